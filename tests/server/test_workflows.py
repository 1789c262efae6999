"""Every shipped workflow runs as it is, and does to its picture what its notes say."""

import copy
import io
import json

from scripts.host.in_comfy import load_checkpoint
from scripts.host.networks import control_net

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from benchmarks.quality.scores import iou, widened
from scripts.drawn_edit import find, on_the_drawing, score
from scripts.paths import CHECKOUT
from scripts.shipped.drawn import LARGE_ITEMS, SCENES, pictures, stencil
from scripts.shipped.graphs import CHECKPOINT
from scripts.shipped.slots import CONTROL_NET, LORA, switched_on
from scripts.shipped.thumbnails import NOT_RUN
from scripts.small_model.drawings import PALETTE
from scripts.small_model.see import nearest_colour

GRAPHS = sorted((CHECKOUT / "workflows").glob("*.json"))
TWINS = {path.stem: json.loads((path.parent / "api" / path.name).read_text()) for path in GRAPHS}
TWO = SCENES["two_shapes"]
CIRCLE, SQUARE = TWO.masks()
FAR = 0.05
"""Mean difference of what should have stayed, in shares of the full range. The small autoencoder alone makes 0.01."""


@pytest.fixture(scope="module")
def server(faulty):
    for name, picture in pictures().items():
        picture.save(faulty.folder / "input" / name)
    return faulty


@pytest.fixture(scope="module")
def show(server):
    """Runs a workflow; its pictures, [H, W, 3] uint8, by node, also inside a subgraph."""

    def run(workflow):
        found = {}
        for node, outputs in server.run(workflow)["outputs"].items():
            found[int(node.rpartition(":")[2])] = [np.asarray(opened(server, reference)) for reference in outputs.get("images", [])]
        return found

    return run


def opened(server, reference):
    return Image.open(io.BytesIO(server.file(reference))).convert("RGB")


def of_colour(picture, region, colour):
    """The share of a region that is nearer to this colour than to any other."""
    return float((nearest_colour(picture) == list(PALETTE).index(colour))[region].mean())


def kept(picture, photo, region):
    """The mean difference outside a region, in shares of the full range."""
    return float(np.abs(picture.astype(float) - photo)[~widened(region)].mean() / 255)


def white(picture):
    return picture[..., 0] > 127


def reached(mask, size):
    """Where a soft mask can have an effect in a photo of this size: its picture shows no grey below 1/255, and it is stretched smoothly."""
    wide = torch.nn.functional.max_pool2d(torch.from_numpy(mask[None, ..., 0].copy()).float(), 5, 1, 2)[0]
    return np.asarray(Image.fromarray(wide.byte().numpy()).resize(size, Image.Resampling.NEAREST)) > 0


def panels(sheet, size=256):
    """How many panels' places stand side by side and below one another."""
    return sheet.shape[1] // size, sheet.shape[0] // size


def shortened(workflow):
    """The same in ten steps."""
    workflow = copy.deepcopy(workflow)
    workflow["5"]["inputs"]["steps"] = 10
    return workflow


def edit(show, workflow):
    """With the shipped drawing in the place of a photo: only what is inside the mask is not the original's."""
    made = show(on_the_drawing(workflow))
    photo, picture = TWO.image(), made[11][0]
    figures = score(picture, photo)
    assert figures["inside_target_share"] > 0.8
    assert figures["outside_psnr_db"] > 28
    outside = ~reached(made[14][0], picture.shape[1::-1])
    assert outside.mean() > 0.5
    assert np.array_equal(picture[outside], photo[outside])
    assert np.array_equal(made[13][0], np.concatenate([photo, picture], 1))


@pytest.mark.parametrize(("there", "instead"), [("red circle", ""), ("", "a green circle")], ids=["remove", "add"])
def test_one_of_the_two_texts_may_be_empty(show, there, instead):
    workflow = on_the_drawing(TWINS["edit"])
    workflow[find(workflow, "LEDITS_Concept")]["inputs"] |= {"where": there, "text": instead}
    picture = show(workflow)[11][0]
    assert of_colour(picture, CIRCLE, "red") < 0.5
    assert instead == "" or of_colour(picture, CIRCLE, "green") > 0.5


@pytest.mark.parametrize("size", [(451, 300), (960, 640)])
def test_a_photo_of_any_size_comes_back_whole(show, server, size):
    """Every pixel outside the mask is the original's, also where the VAE would crop."""
    photo = pictures()["large_drawing.png"].resize(size)
    photo.save(server.folder / "input" / "sized.png")
    workflow = on_the_drawing(TWINS["edit"])
    workflow["2"]["inputs"]["image"] = "sized.png"
    made = show(workflow)
    picture, original = made[11][0], np.asarray(photo)
    assert picture.shape == original.shape
    touched = reached(made[14][0], size)
    assert 0.01 < touched.mean() < 0.5
    assert np.array_equal(picture[~touched], original[~touched])


def try_it(show, workflow):
    made = show(workflow)
    figures = score(made[11][0], TWO.image())
    assert figures["inside_target_share"] > 0.8
    assert figures["outside_psnr_db"] > 20
    assert [mask.shape for mask in made[13]] == [(256, 256, 3)] * 2
    assert [panels(strip) for strip in made[15]] == [(3, 1)]


def several_concepts(show, workflow):
    made = show(workflow)
    assert of_colour(made[11][0], CIRCLE, "green") > 0.9
    assert of_colour(made[11][0], SQUARE, "purple") > 0.9
    masks = [white(mask) for mask in made[13]]
    overlaps = np.array([[iou(mask, region) for region in (CIRCLE, SQUARE)] for mask in masks])
    assert overlaps.diagonal().min() > 0.6
    assert max(overlaps[0, 1], overlaps[1, 0]) < 0.1


def advanced(show, workflow):
    """As one LEDITS++ Edit does it, to the bit."""
    photo = TWO.image()
    made = show(workflow)[11][0]
    assert of_colour(made, CIRCLE, "green") > 0.9
    assert of_colour(made, SQUARE, "blue") > 0.9
    assert kept(made, photo, CIRCLE) < FAR
    in_one = copy.deepcopy(workflow)
    guider = in_one["17"]["inputs"]
    in_one["9"] = {"class_type": "LEDITS_Edit", "inputs": {name: guider[name] for name in ("model", "inversion", "concepts", "cfg")}}
    assert np.array_equal(show(in_one)[11][0], made)


def where_words_look(show, workflow):
    made = show(workflow)
    assert panels(made[22][0]) == (3, 3)  # of seven words
    for node, region, other in ((24, CIRCLE, SQUARE), (26, SQUARE, CIRCLE)):
        mask = white(made[node][0])
        assert iou(mask, region) > 0.6
        assert iou(mask, other) < 0.1


def inpaint_by_words(show, workflow):
    scene = SCENES["circle_and_square"]
    photo, (circle, square) = scene.image(), scene.masks()
    made = show(workflow)
    picture, mask = made[11][0], white(made[25][0])
    assert (circle & mask).sum() > 0.95 * circle.sum()
    assert (square & mask).sum() == 0
    assert np.array_equal(picture[~mask], photo[~mask])
    assert of_colour(picture, circle, "red") < 0.05
    assert of_colour(picture, circle, "yellow") > 0.25


def sweep(show, workflow):
    """Too weak, right, and with a mask so large that the square is lost."""
    settings = workflow["9"]["inputs"]
    across, down = len(settings["column_values"].split(",")), len(settings["row_values"].split(","))
    sheet = show(workflow)[11][0]
    width, height = sheet.shape[1] // (1 + across), sheet.shape[0] // down
    assert width in range(256, 270)
    assert height in range(270, 310)
    cells = [
        [sheet[row * height : row * height + 256, column * width :][:, :256] for column in range(1, 1 + across)] for row in range(down)
    ]
    inside = np.roll(CIRCLE, 6, 1) & np.roll(CIRCLE, -6, 1)
    assert of_colour(cells[0][0], inside, "red") > 0.9
    assert of_colour(cells[1][2], inside, "green") > 0.75
    assert of_colour(cells[1][2], SQUARE, "blue") > 0.8
    assert of_colour(cells[2][2], SQUARE, "blue") < 0.2


def sdxl(show, workflow):
    """On the small checkpoint and a drawing, in their size."""
    workflow["1"]["inputs"]["ckpt_name"] = CHECKPOINT
    workflow["2"]["inputs"]["image"] = "two_shapes.png"
    for node, values in {
        "20": {"text": "a red circle"},
        "7": {"text": "a red circle", "words": "red circle"},
        "8": {"text": "a green circle", "words": "red circle"},
    }.items():
        workflow[node]["inputs"] |= values
    assert workflow["34"]["inputs"]["megapixels"] == 0
    workflow["34"]["inputs"]["megapixels"] = 0.06
    made = show(workflow)
    picture = made[11][0]
    assert picture.shape == (256, 256, 3)
    assert of_colour(picture, CIRCLE, "green") > 0.7
    assert of_colour(picture, SQUARE, "blue") > 0.9
    assert kept(picture, TWO.image(), CIRCLE) < FAR
    assert iou(white(made[12][0]), CIRCLE) > 0.5


def batch(show, workflow):
    """Each photo is edited, and in a few steps' time is seen to be what it is alone."""
    made = show(workflow)
    photos = [workflow["41"]["inputs"][f"images.image{place}"] for place in range(3)]
    assert len(made[11]) == len(made[13]) == len(photos)
    together = show(shortened(workflow))
    for place, photo in enumerate(photos):
        scene = SCENES[workflow[photo[0]]["inputs"]["image"].removesuffix(".png")]
        (circle, other), picture = scene.masks(), made[11][place]
        assert of_colour(picture, circle, "green") > 0.7
        assert of_colour(picture, other, scene.items[1].colour) > 0.9
        assert kept(picture, scene.image(), circle) < FAR
        alone = shortened(workflow)
        alone["3"]["inputs"]["pixels"] = alone["9"]["inputs"]["image"] = photo
        single = show(alone)
        assert np.array_equal(single[13][0], together[13][place])
        assert np.abs(single[11][0].astype(int) - together[11][place]).max() <= 2


def large_photo(show, workflow):
    original = np.asarray(pictures()["large_drawing.png"])
    made = show(workflow)
    picture, mask = made[11][0], made[12][0]
    assert picture.shape == original.shape
    assert mask.shape[:2] == (256, 384)
    # The mask is stretched smoothly: its edge reaches into the next of its own pixels.
    reach = torch.nn.functional.max_pool2d(torch.from_numpy(mask[None, ..., 0].copy()).float(), 3, 1, 1)
    touched = np.asarray(Image.fromarray(reach[0].byte().numpy()).resize(original.shape[1::-1], Image.Resampling.NEAREST)) > 0
    circle, square = (np.asarray(stencil(item)) > 127 for item in LARGE_ITEMS)
    assert touched.mean() < 0.25
    assert (circle & touched).sum() == circle.sum()
    assert np.array_equal(picture[~touched], original[~touched])
    assert np.array_equal(picture[square], original[square])
    assert of_colour(picture, circle, "green") > 0.75


RESULTS = {
    check.__name__: check
    for check in (edit, try_it, several_concepts, advanced, where_words_look, inpaint_by_words, sweep, sdxl, batch, large_photo)
}


def test_every_workflow_has_its_test():
    """Here, or in test_shipped_transformers.py."""
    assert not set(RESULTS) & set(NOT_RUN)
    assert set(TWINS) == set(RESULTS) | set(NOT_RUN) == {path.stem for path in (CHECKOUT / "workflows").glob("*.json")}


@pytest.mark.parametrize("name", RESULTS)
def test_workflow(show, name):
    RESULTS[name](show, copy.deepcopy(TWINS[name]))


@pytest.fixture(scope="module")
def extras(server):
    """A LoRA and a ControlNet of the small checkpoint's kind, where the workflow's slots find them."""
    model = load_checkpoint()[0]
    generator = torch.Generator().manual_seed(0)
    lora = {}
    for name, weight in model.model.state_dict().items():
        if name.endswith(("attn2.to_k.weight", "attn2.to_v.weight")):
            key = "lora_unet_" + name.removeprefix("diffusion_model.").removesuffix(".weight").replace(".", "_")
            lora[f"{key}.lora_up.weight"] = torch.randn(weight.shape[0], 4, generator=generator)
            lora[f"{key}.lora_down.weight"] = torch.randn(4, weight.shape[1], generator=generator) * weight.shape[1] ** -0.5
    net = {name: weight.contiguous() for name, weight in control_net(model).control_model.state_dict().items()}
    for folder, name, weights in (("loras", LORA, lora), ("controlnet", CONTROL_NET, net)):
        place = server.folder / "models" / folder
        place.mkdir(parents=True, exist_ok=True)
        save_file(weights, place / name)


@pytest.mark.usefixtures("extras")
@pytest.mark.parametrize(("slot", "strength"), [("lora", "strength_model"), ("control_net", "strength")])
def test_advanced_with_a_slot_switched_on(show, slot, strength):
    """It takes part, and at strength 0 it is as if it were off."""
    off = shortened(TWINS["advanced"])
    plain = show(off)[11][0]
    workflow, node = switched_on(off, slot)
    changed = show(workflow)[11][0]
    assert np.abs(changed.astype(int) - plain).mean() > 1
    workflow[node]["inputs"][strength] = 0.0
    assert np.array_equal(show(workflow)[11][0], plain)
