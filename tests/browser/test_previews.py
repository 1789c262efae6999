"""What nodes show of their results, on ComfyUI's page."""

import base64
import io
import json

from scripts.host.front_end import FrontEnd

import numpy as np
from PIL import Image

from scripts.paths import CHECKOUT

PICTURE = """
const image = app.rootGraph.getNodeById(arguments[0]).imgs?.[0];
if (!image?.naturalWidth) return null;
const canvas = Object.assign(document.createElement("canvas"), { width: image.naturalWidth, height: image.naturalHeight });
canvas.getContext("2d").drawImage(image, 0, 0);
return canvas.toDataURL("image/png").split(",")[1];
"""


def on_the_node(page: FrontEnd, node):
    data = page.js(PICTURE, node)
    return data and np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def panels(picture):
    """The two panels of a sheet of two concepts, or None where something else is shown."""
    return None if picture is None or picture.shape[1] != 2 * 256 + 8 else (picture[:256, :256], picture[:256, -256:])


def run(page: FrontEnd, *kinds):
    """Runs the simple workflow; the numbers of its nodes of these kinds."""
    page.load(json.loads((CHECKOUT / "workflows" / "try_it.json").read_text()))
    page.wait(lambda: set(kinds) <= set(page.nodes().values()))
    page.console_errors()
    page.one("[data-testid=queue-button]").click()
    return [next(node for node, found in page.nodes().items() if found == kind) for kind in kinds]


def masks_seen(page: FrontEnd, node):
    """The white line within each mask and the black one around it, on both panels."""
    shown = panels(on_the_node(page, node))
    return shown is not None and all((panel == shade).all(-1).sum() > 100 for panel in shown for shade in (0, 255))


def test_after_a_run_the_masks_and_maps_are_on_their_nodes(page: FrontEnd):
    edit, heatmap = run(page, "LEDITS_Edit", "LEDITS_Heatmap")
    page.wait(lambda: masks_seen(page, edit), what="the masks on the Edit node")
    words = page.wait(lambda: on_the_node(page, heatmap) is not None and on_the_node(page, heatmap).shape[1])
    assert words == 3 * 256 + 2 * 8
    page.show_all()
    page.screenshot("masks-on-the-node")
    assert page.console_errors() == []


def test_they_are_still_there_after_the_page_was_opened_anew(page: FrontEnd):
    """Nothing runs again; ComfyUI sends what it keeps."""
    page.reload()
    (edit,) = run(page, "LEDITS_Edit")
    page.wait(lambda: masks_seen(page, edit), what="the masks on the Edit node")
