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


def sheet_on_the_page(page: FrontEnd):
    """Left, top and scale of the heatmap's three panels on the page, by the white gaps between them."""
    white = (np.asarray(page.screenshot()) > 250).all(-1)
    tallest = np.array([max(map(len, bytes(column).split(b"\0"))) for column in white.T.astype(np.uint8)])
    gaps = np.flatnonzero(tallest > 0.8 * tallest.max())
    first, second = (part.mean() + 0.5 for part in np.split(gaps, [np.diff(gaps).argmax() + 1]))
    scale = (second - first) / (256 + 8)
    column = bytes(white[:, gaps[len(gaps) // 4]].astype(np.uint8))
    top = column.index(max(column.split(b"\0"), key=len))  # of the gap, not of a white letter above it
    return first - (256 + 4) * scale, top, scale


def reading(page: FrontEnd, at):
    """What the heatmap answers with the pointer there."""
    page.point(at)
    return page.js("return document.querySelector('.ledits-heatmap-reading').textContent")


def check_readings(page: FrontEnd, heatmap):
    # A run that is at work takes the picture off its node for a moment, and the page may still be drawing.
    page.wait(lambda: page.server.get("/queue") == {"queue_running": [], "queue_pending": []}, what="the end of the run")
    page.wait(lambda: page.js("return app.nodeOutputs[arguments[0]]?.ledits_heatmap?.length", heatmap), what="the node's result")
    left, top, scale = page.wait(lambda: (seen := sheet_on_the_page(page)) == sheet_on_the_page(page) and seen, what="a picture that stays")
    sheet = on_the_node(page, heatmap).astype(int)
    for panel, word in enumerate(("a", "green", "circle")):
        heat = sheet[:256, panel * 264 : panel * 264 + 256, 0]
        for edge, allowed in ((heat.argmax(), (0.75, 1.0)), (heat.argmin(), (0.0, 0.25))):
            y, x = divmod(int(edge), 256)
            place = round(left + (panel * 264 + min(max(x, 4), 251)) * scale), round(top + min(max(y, 4), 251) * scale)
            said, value = page.wait(lambda at=place: reading(page, at), 10, f"what is there of {word}").rsplit(" ", 1)
            assert said == word
            assert allowed[0] <= float(value) <= allowed[1]
    between = round(left + 260 * scale), round(top + 128 * scale)
    assert reading(page, between) == ""
    assert reading(page, (round(left + 128 * scale), round(top + 290 * scale))) == "", "on the label"
    page.point((round(left + 128 * scale), round(top + 128 * scale)))


def test_a_heatmap_answers_under_the_pointer(page: FrontEnd):
    (heatmap,) = run(page, "LEDITS_Heatmap")
    page.wait(lambda: on_the_node(page, heatmap) is not None, what="the heatmap")
    page.js("Object.assign(app.rootGraph.getNodeById(arguments[0]), {pos: [9000, 0]}).setSize([700, 420])", heatmap)
    page.show(heatmap, 1.1, 300, 150)
    page.still()
    page.point((20, 5))
    check_readings(page, heatmap)
    page.screenshot("heatmap-under-the-pointer")
    page.js("Object.assign(app.rootGraph.getNodeById(arguments[0]), {pos: [9000, 0]}).setSize([420, 520])", heatmap)
    page.show(heatmap, 1.6, 300, 80)
    page.still()
    page.point((20, 5))
    check_readings(page, heatmap)
    assert page.console_errors() == []


def test_so_it_does_on_nodes_of_the_newer_kind(page: FrontEnd):
    set_kind = "return app.extensionManager.setting.set('Comfy.VueNodes.Enabled', arguments[0])"
    page.js(set_kind, True)
    try:
        (heatmap,) = run(page, "LEDITS_Heatmap")
        page.wait(lambda: on_the_node(page, heatmap) is not None, what="the heatmap")
        page.js("Object.assign(app.rootGraph.getNodeById(arguments[0]), {pos: [9000, 0]}).setSize([700, 420])", heatmap)
        page.show(heatmap, 1.0, 300, 150)
        page.still()
        page.wait(lambda: page.js("return document.querySelector(`[data-node-id='${arguments[0]}'] img`)?.naturalWidth", heatmap))
        page.point((20, 5))
        check_readings(page, heatmap)
        page.screenshot("heatmap-under-the-pointer-2.0")
    finally:
        page.js(set_kind, False)


def test_they_are_still_there_after_the_page_was_opened_anew(page: FrontEnd):
    """Nothing runs again; ComfyUI sends what it keeps."""
    page.reload()
    (edit,) = run(page, "LEDITS_Edit")
    page.wait(lambda: masks_seen(page, edit), what="the masks on the Edit node")
