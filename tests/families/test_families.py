"""Every kind of UNet checkpoint through the pack's nodes, at every shape of picture, alone and in a batch."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

from scripts.host.in_comfy import load_checkpoint, run

import pytest
import torch
from comfy.model_base import ModelType
from torch import Tensor

from support.families import DETECTED, KINDS, SIZE_COLUMNS, Conditioning, Kind, NetworkCall, cross_attention, detected, left_half, watched

SIZES = {"square": (20, 20), "2:3": (20, 30), "odd": (33, 47)}
STEPS = 3
EXACT = 1e-4
ADDED, REMOVED = "a striped zeppelin", "green fog"

every_kind = pytest.mark.parametrize("name", KINDS)
every_shape = pytest.mark.parametrize(
    ("name", "shape"), [(name, shape) for name in ("SD 1.5", "SD 2.x", "SDXL", "SD 1.5 inpainting") for shape in SIZES]
)
alone_and_in_a_batch = pytest.mark.parametrize("batch", [1, 2])


@dataclass(frozen=True)
class Case:
    """A batch of pictures, its inversion, and the network calls that were made so far."""

    of: Kind
    model: Any
    calls: list[NetworkCall]
    latent: dict[str, Tensor]
    negative: Conditioning
    inversion: Any

    @property
    def rows(self) -> int:
        return sum(len(call.x) for call in self.calls)

    def edit(self, concepts: Any = (), **inputs: Any) -> tuple[dict[str, Tensor], Any, Tensor]:
        self.calls.clear()
        return run("LEDITS_Edit", model=self.model, inversion=self.inversion, concepts=concepts, **inputs)[:3]

    def replay(self) -> dict[str, Tensor]:
        """Every prediction made anew, beside a concept that may go nowhere."""
        height, width = self.latent["samples"].shape[-2:]
        nowhere = concept(self.of, mask_mode="none", mask=torch.zeros(1, 8 * height, 8 * width))
        return self.edit(nowhere, negative=self.negative)[0]

    def error(self, other: dict[str, Tensor]) -> float:
        return self.of.difference(other, self.latent).max().item()


def case(of: Kind, latent: dict[str, Tensor], negative: Conditioning, skip: float = 0.15) -> Case:
    model, calls = watched(of.model)
    sigmas = run("LEDITS_Schedule", model=model, steps=STEPS, skip=skip)[0]
    inversion = run("LEDITS_Invert", model=model, latent=latent, sigmas=sigmas, negative=negative)[0]
    return Case(of, model, calls, latent, negative, inversion)


def concept(of: Kind, text: str = ADDED, **settings: Any) -> Any:
    return run("LEDITS_Concept", clip=of.clip, text=text, **({"scale": 4.0, "threshold": 0.8, "warmup": 0} | settings))[0]


def quarter(height: int, width: int) -> tuple[int, int]:
    return math.ceil(math.ceil(height / 2) / 2), math.ceil(math.ceil(width / 2) / 2)


@pytest.fixture(scope="module")
def kind():
    """A kind by its name, with the same random weights for every test."""
    return functools.cache(lambda name: KINDS[name]())


@pytest.fixture(scope="module")
def small_case(kind):
    """Two pictures of a shape, or the second of them alone."""

    @functools.cache
    def make(name: str, shape: str, batch: int) -> Case:
        latent, negative = kind(name).pictures(*SIZES[shape])
        return case(kind(name), {"samples": latent["samples"][2 - batch :]}, negative)

    return make


@pytest.fixture(scope="module")
def small_edit(small_case):
    """One concept added and one removed in the last step, after which nothing can spread."""

    @functools.cache
    def make(name: str, shape: str, batch: int) -> tuple[dict[str, Tensor], Any, Tensor]:
        photo = small_case(name, shape, batch)
        added = concept(photo.of, ADDED, warmup=STEPS - 1)
        return photo.edit(concept(photo.of, REMOVED, warmup=STEPS - 1, direction="remove", mask_mode="attention", concepts=added))

    return make


@every_shape
@alone_and_in_a_batch
def test_the_photo_comes_back(small_case, name, shape, batch):
    """Without a call where there is no concept, and just as well when the network is asked again at every step."""
    photo = small_case(name, shape, batch)
    assert photo.error(photo.edit()[0]) <= EXACT
    assert not photo.calls
    assert photo.error(photo.replay()) <= EXACT
    assert photo.rows == 2 * STEPS * batch


@every_shape
@alone_and_in_a_batch
def test_an_edit_changes_its_masks_and_nothing_else(small_case, small_edit, name, shape, batch):
    photo = small_case(name, shape, batch)
    height, width = SIZES[shape]
    edited, attention, mask = small_edit(name, shape, batch)
    for prompt, text in zip(attention.prompts, (ADDED, REMOVED), strict=True):
        assert prompt.words == tuple(text.split())
        assert prompt.steps == 1
        assert prompt.mean().shape == (batch, *quarter(height, width), len(prompt.words))
    assert mask.shape == (2 * batch, 8 * height, 8 * width)
    cells = mask.unflatten(0, (2, batch))[..., ::8, ::8]
    changed = photo.of.difference(edited, photo.latent)
    assert torch.equal(changed > EXACT, cells.amax(0) > 0)
    assert cells[1].mean((1, 2)) == pytest.approx(0.2, abs=0.03)
    assert (cells[0].mean((1, 2)) > 0).all()


@every_shape
def test_a_batch_equals_its_pictures_alone(kind, small_edit, name, shape):
    (both, both_maps, both_masks), (second, maps, masks) = (small_edit(name, shape, batch) for batch in (2, 1))
    assert kind(name).difference({"samples": both["samples"][1:]}, second).max() <= EXACT
    for together, alone in zip(both_maps.prompts, maps.prompts, strict=True):
        assert torch.allclose(together.mean()[1], alone.mean()[0], atol=1e-5)
        assert not torch.allclose(together.mean()[0], alone.mean()[0], atol=1e-3)
    assert torch.equal(both_masks.unflatten(0, (2, 2))[:, 1], masks)


@every_kind
def test_maps_are_those_of_every_layer_at_a_quarter_outside_the_middle(kind, name):
    """Against what the modules compute. SDXL's middle block has the same size, and enters only when asked for."""
    of = kind(name)
    size = SIZES["odd"]
    latent, _ = of.pictures(*size)

    def probe(model: Any) -> tuple[Tensor, dict[str, list[Tensor]]]:
        look = functools.partial(run, "LEDITS_ProbeAttention", model=model, latent=latent, clip=of.clip, text=ADDED)
        found, layers = cross_attention(of.model, math.prod(quarter(*size)), look)
        return found[0].prompts[0].mean(), layers

    def mean(*layers: Tensor) -> Tensor:
        return torch.cat(layers, 1).mean(1)[:, :, 1:4].unflatten(1, quarter(*size))

    maps, layers = probe(of.model)
    outside = [*layers["input"], *layers["output"]]
    deep = name.startswith("SDXL")
    assert [len(layers[part]) for part in ("input", "middle", "output")] == ([5, 5, 10] if deep else [1, 0, 2])
    assert torch.allclose(maps, mean(*outside), atol=1e-6)
    with_middle = probe(run("LEDITS_AttentionStore", model=of.model, mid=True)[0])[0]
    assert torch.allclose(with_middle, mean(*outside, *layers["middle"]), atol=1e-6)
    assert torch.allclose(with_middle, maps, atol=1e-4) != deep


@every_kind
def test_a_long_prompt_is_found_behind_all_of_a_kinds_encoders(small_case, name):
    """Both of SDXL's encoders cut a prompt into the same chunks, and its words stand where the joined encoding has them."""
    photo = small_case(name, "square", 1)
    text = "a very quiet lighthouse " * 30
    (long,) = concept(photo.of, text)
    assert long.prompt.words == tuple(text.split())
    assert long.conditioning[0][0].shape == (1, long.prompt.length, 64)
    assert long.prompt.length == 154
    attention = photo.edit((long,))[1]
    assert attention.prompts[0].mean().shape[-1] == 120


@pytest.mark.parametrize("name", ["SDXL", "SDXL inpainting"])
def test_a_concept_brings_its_own_pooled_vector_and_keeps_the_pictures_size(kind, name):
    of = kind(name)
    photo = case(of, *of.pictures(*SIZES["2:3"]))
    of_empty = photo.calls[0].y
    photo.edit(concept(of, warmup=STEPS - 1))
    (call,) = photo.calls
    pooled = concept(of)[0].conditioning[0][1]["pooled_output"]
    negative, positive = call.y.chunk(2)
    assert torch.equal(negative, of_empty)
    assert torch.equal(positive, torch.cat([pooled.expand(2, -1), of_empty[:, -SIZE_COLUMNS:]], 1))
    assert not torch.equal(positive, of_empty)
    # The picture's size is the one in its prompt, not the one that ComfyUI fills in where there is none.
    encoding, options = photo.negative[0]
    sizeless = [[encoding, {key: value for key, value in options.items() if key not in ("width", "height")}]]
    assert not torch.equal(case(of, photo.latent, sizeless).calls[0].y, of_empty)


@pytest.mark.parametrize("name", ["SD 1.5 inpainting", "SDXL inpainting"])
def test_with_the_node_for_inpainting_models(kind, name):
    """Its masked picture and mask reach every row of the inversion and of the edit alike, and the mask bounds what changes."""
    from nodes import InpaintModelConditioning

    of, vae = kind(name), load_checkpoint()[2]
    height, width = 17, 24
    pixels = torch.rand((1, 8 * height, 8 * width, 3), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        prompts = of.encode(of.clip, ""), of.encode(of.clip, "")
        _, negative, latent = InpaintModelConditioning().encode(*prompts, pixels, vae, left_half(height, width), True)
    check_inpainting(case(of, latent, negative))


@pytest.mark.parametrize("name", ["SD 1.5 inpainting", "SDXL inpainting"])
def test_an_inpainting_model_with_nothing_but_a_mask_on_the_latent(kind, name):
    """The network is told of the mask while it inverts as well as while it edits."""
    from nodes import SetLatentNoiseMask

    of = kind(name)
    height, width = SIZES["square"]
    latent = SetLatentNoiseMask().set_mask(of.pictures(height, width)[0], left_half(height, width))[0]
    negative = of.encode(of.clip, "")
    check_inpainting(case(of, latent, negative))


def check_inpainting(photo: Case) -> None:
    batch, _, height, width = photo.latent["samples"].shape
    known = photo.calls[0].x[:, 4:]
    assert torch.equal(known[:, 0], left_half(height, width)[:, ::8, ::8].expand(batch, -1, -1))
    assert known[:, 1:].std() > 0.1

    def every_row_knows_the_same() -> bool:
        return all(torch.equal(rows, known) for call in photo.calls for rows in call.x[:, 4:].split(batch))

    assert every_row_knows_the_same()
    assert photo.error(photo.replay()) <= EXACT
    assert every_row_knows_the_same()
    edited = photo.edit(concept(photo.of, mask_mode="none"))[0]
    assert every_row_knows_the_same()
    assert torch.isfinite(edited["samples"]).all()
    changed = photo.of.difference(edited, photo.latent)
    assert changed[..., width // 2 :].max() <= EXACT
    assert changed[..., : width // 2].min() > 1e-3


def test_the_highest_noise_of_a_model_with_zero_snr(kind):
    """A schedule that leaves nothing out begins at a noise level in the thousands."""
    of = kind("SDXL v zero SNR")
    photo = case(of, *of.pictures(*SIZES["2:3"]), skip=0.0)
    assert photo.inversion.trajectory.sigmas[0] > 1000
    assert photo.error(photo.replay()) <= EXACT
    assert 0.01 < photo.error(photo.edit(concept(of))[0]) < 100


@pytest.mark.long
@pytest.mark.parametrize("name", DETECTED)
def test_a_network_that_comfyui_recognises_by_its_weights(name):
    """As wide as the family is, loaded as a checkpoint's network is; whether it predicts v and what it takes beside the latent included."""
    of = detected(name)
    assert type(of.model.model.model_config) is DETECTED[name][1]
    assert of.model.model.model_type == (ModelType.V_PREDICTION if name == "SD 2.x" else ModelType.EPS)
    assert of.inpaints == ("inpainting" in name)
    latent, negative = of.pictures(12, 18)
    photo = case(of, {"samples": latent["samples"][:1]}, negative)
    assert photo.error(photo.replay()) <= EXACT
    edited, attention, mask = photo.edit(concept(of, warmup=1))
    assert attention.prompts[0].steps == STEPS - 1
    assert attention.prompts[0].mean().shape == (1, 3, 5, 3)
    assert mask.shape == (1, 96, 144)
    assert torch.isfinite(edited["samples"]).all()
    assert photo.error(edited) > 0.01
