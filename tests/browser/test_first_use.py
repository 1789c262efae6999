"""From an empty ComfyUI to the first edit of one's own photo, in the graph and in App Mode, by the link that the README gives."""

from __future__ import annotations

import io
import re
from urllib.parse import parse_qs, urlsplit

from scripts.host.comfy_server import ComfyServer
from scripts.host.front_end import FrontEnd, programs

import numpy as np
import pytest
from PIL import Image, ImageFilter
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from scripts.drawn_edit import DRAWING
from scripts.paths import CHECKOUT, CHECKPOINT
from scripts.shipped.blueprint import NAME
from scripts.shipped.photo_edit import EDIT, EXAMPLE, INSTEAD, LOADER, MASK, PHOTO, RESULT, SIZE, STRENGTH, THERE
from scripts.shipped.screenshots import SET_VALUES
from scripts.small_model.drawings import PALETTE, TWO_SHAPES
from scripts.small_model.see import nearest_colour

LINK = re.search(r"http://127\.0\.0\.1:8188(/\?template=edit&source=[\w-]+)", (CHECKOUT / "README.md").read_text())
APP_MODE = "&mode=linear"
MOST_ACTIONS = 6
CONCEPT = DRAWING["LEDITS_Concept"]
FOR_THE_SMALL_CHECKPOINT = {
    NAME: {STRENGTH: CONCEPT["scale"], SIZE: DRAWING["LEDITS_FitPhoto"]["megapixels"]},
    "LEDITS_Schedule": DRAWING["LEDITS_Schedule"],
    "LEDITS_Concept": {"warmup": CONCEPT["warmup"]},
}
"""A checkpoint for photos needs none of these: the small one knows one size, and decides a colour in the first steps."""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """ComfyUI as it is after its installation: no settings, no photos, one checkpoint."""
    if programs() is None:
        pytest.skip("no Chromium")
    with ComfyServer(tmp_path_factory.mktemp("comfyui-empty")) as server, FrontEnd(server, tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def photo(request, tmp_path):
    """One's own photo, larger than the checkpoint's images. Another name and size for each test, so that none finds what another left."""
    size = (384, 384) if request.node.callspec.params["view"] == "graph" else (512, 512)
    path = tmp_path / f"photo for {request.node.callspec.params['view']}.png"
    Image.fromarray(TWO_SHAPES.image()).resize(size, Image.Resampling.LANCZOS).save(path)
    return path


class Graph:
    """What a person does in the graph. Each method but the looks is one action."""

    mode = ""

    def __init__(self, page):
        self.page, self.actions = page, []

    def open(self):
        self.actions.append("open the link")
        self.page.driver.get(f"http://127.0.0.1:{self.page.server.port}{LINK[1]}{self.mode}")
        # The page takes the address away once the workflow is there.
        opened = "return !location.search && window.app?.rootGraph?.getNodeById(arguments[0])?.type === 'SaveImage'"
        self.page.wait(lambda: self.page.js(opened, RESULT) and self.is_open(), what="the workflow")

    def is_open(self):
        return self.page.all("[data-testid=queue-button]")

    def choose_checkpoint(self, name):
        self.actions.append("choose the checkpoint")
        self.page.still()
        self.page.point(self.widget(LOADER, "ckpt_name"), click=True)
        self.click_entry(".litemenu-entry", name)

    def click_entry(self, entries, name):
        self.page.wait(lambda: [entry for entry in self.page.all(entries) if entry.text.strip() == name], what=name)[0].click()

    def choose_photo(self, file):
        self.actions.append("drop the photo")
        x, y = self.page.place(PHOTO, 160, 200)
        for kind in ("dragEnter", "dragOver", "drop"):
            data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
            self.page.driver.execute_cdp_cmd("Input.dispatchDragEvent", {"type": kind, "x": x, "y": y, "data": data})
        self.page.wait(lambda: self.value(PHOTO, "image") == file.name, what="the photo on its node")

    def write(self, name, text):
        self.actions.append(f"write {name}")
        self.type_over(self.field(name), text)
        if name == THERE:
            ActionChains(self.page.driver).send_keys(Keys.ENTER).perform()
        self.page.wait(lambda: self.value(EDIT, name) == text, what=f"{name}: {text}")

    def field(self, name):
        if name == INSTEAD:
            return self.page.one(".comfy-multiline-input")
        self.page.point(self.widget(EDIT, name), click=True)
        return self.page.one(".graphdialog input")

    def type_over(self, field, text):
        field.click()
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text)

    def run(self):
        self.actions.append("run")
        self.page.one("[data-testid=queue-button]").click()

    def result(self):
        """The address of the picture that is shown, once there is one."""
        return self.page.js("const i = app.rootGraph.getNodeById(arguments[0]).imgs?.[0]; return i?.naturalWidth ? i.src : null", RESULT)

    def widget(self, node, name):
        """Where a widget of a node lies on the page."""
        place = "const n = app.rootGraph.getNodeById(arguments[0]), w = n.widgets.find(w => w.name === arguments[1]); return [n.size[0] / 2, w.last_y + 10]"
        return self.page.place(node, *self.page.js(place, node, name))

    def value(self, node, name):
        return self.page.js("return app.rootGraph.getNodeById(arguments[0]).widgets.find(w => w.name === arguments[1]).value", node, name)


class App(Graph):
    """What a person does in App Mode."""

    mode = APP_MODE

    def is_open(self):
        return self.page.all("[data-testid=linear-run-button]")

    def inputs(self):
        items = self.page.all("[data-testid=app-mode-widget-item]")
        return {item.find_element(By.CSS_SELECTOR, "[data-testid=builder-widget-label]").text: item for item in items}

    def choose_checkpoint(self, name):
        self.actions.append("choose the checkpoint")
        self.inputs()["checkpoint"].find_element(By.CSS_SELECTOR, "[role=combobox]").click()
        self.click_entry("[role=option]", name)

    def choose_photo(self, file):
        self.actions.append("choose the photo")
        self.inputs()["photo"].find_element(By.CSS_SELECTOR, "input[type=file]").send_keys(str(file))
        self.page.wait(lambda: self.value(PHOTO, "image") == file.name, what="the photo")

    def field(self, name):
        return self.inputs()[name].find_element(By.CSS_SELECTOR, "input, textarea")

    def write(self, name, text):
        self.actions.append(f"write {name}")
        self.type_over(self.field(name), text)
        self.page.wait(lambda: self.value(EDIT, name) == text, what=f"{name}: {text}")

    def run(self):
        self.actions.append("run")
        next(button for button in self.page.all("[data-testid=linear-run-button] button") if button.text.strip() == "Run").click()

    def result(self):
        shown = (image.get_attribute("src") for image in self.page.all("[data-testid=linear-center-panel] img") if image.is_displayed())
        return next((address for address in shown if "filename=edited" in address and "type=output" in address), None)


def test_app_mode_shows_the_four_inputs_with_names_that_say_what_they_are(page: FrontEnd):
    person = App(page)
    person.open()
    page.wait(lambda: len(person.inputs()) == 4, what="the inputs")
    assert list(person.inputs()) == ["checkpoint", "photo", THERE, INSTEAD]
    shown = person.inputs()["photo"].find_element(By.CSS_SELECTOR, "[data-slot=drop-zone-indicator] img")
    assert f"filename={EXAMPLE}" in shown.get_attribute("src")
    assert page.wait(lambda: shown.size["height"] > 100, what="a photo in which one sees something")
    page.screenshot("app-mode")


@pytest.mark.parametrize("view", ["graph", "app"])
def test_six_actions_lead_to_the_first_edit_of_ones_own_photo(page: FrontEnd, view, photo):
    person = {"graph": Graph, "app": App}[view](page)
    page.console_errors()
    person.open()
    page.js(SET_VALUES, FOR_THE_SMALL_CHECKPOINT)
    person.choose_checkpoint(CHECKPOINT.name)
    person.choose_photo(photo)
    person.write(THERE, CONCEPT["where"])
    person.write(INSTEAD, CONCEPT["text"])
    person.run()
    address = page.wait(person.result, 120, "the edited photo")
    page.screenshot(f"first-use-{view}")
    assert len(person.actions) <= MOST_ACTIONS, person.actions

    edited, original = picture(page, reference(address)), np.asarray(Image.open(photo))
    circle, _ = (np.asarray(Image.fromarray(region).resize(edited.shape[1::-1])) for region in TWO_SHAPES.masks())
    outside = outside_the_mask(page, reference(address), edited.shape[1::-1])
    assert edited.shape == original.shape
    assert (nearest_colour(edited)[circle] == list(PALETTE).index("green")).mean() > 0.7
    assert (nearest_colour(original)[circle] == list(PALETTE).index("red")).mean() > 0.7
    assert 0.5 < outside.mean() < 1
    assert np.array_equal(edited[outside], original[outside])
    assert page.console_errors() == []


def reference(address):
    asked = parse_qs(urlsplit(address).query, keep_blank_values=True)
    return {name: asked[name][0] for name in ("filename", "subfolder", "type")}


def picture(page, file):
    return np.asarray(Image.open(io.BytesIO(page.server.file(file))).convert("RGB"))


def outside_the_mask(page, result, size):
    """Where the mask that was shown with this result is black. Two pixels less, as 8 bits do not show the faintest of its soft edge."""

    def shown():
        # The result is there before the run has ended.
        runs = [run["outputs"] for run in page.server.get("/history").values()]
        return next((outputs[str(MASK)] for outputs in runs if result in outputs.get(str(RESULT), {}).get("images", [])), None)

    mask = Image.fromarray(picture(page, page.wait(shown, what="the end of the run")["images"][0])[..., 0])
    return np.asarray(mask.resize(size, Image.Resampling.BILINEAR).filter(ImageFilter.MaxFilter(5))) == 0
