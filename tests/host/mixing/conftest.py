"""A short inversion, edits of it, and what must hold of every mix: the photo comes back and the incoming MODEL stays as it was."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from scripts.host.in_comfy import encode as encode_with
from scripts.host.in_comfy import run

import pytest
import torch
from torch import Tensor

from support.families import cross_attention

EXACT = 1e-4
SCALE = 10.0


@dataclass(frozen=True)
class Edited:
    """What LEDITS_Edit returned."""

    samples: Tensor
    attention: Any
    mask: Tensor


@pytest.fixture(scope="session")
def sigmas():
    """A step in each quarter of the noise range, the last from so much noise that what a concept adds there is plain to see."""
    return torch.tensor([8.0, 3.0, 1.2, 0.4, 0.0])


@pytest.fixture(scope="session")
def invert(latent, sigmas, encode) -> Callable[..., Any]:
    """Inverts the photo with a model and any inputs of LEDITS_Invert."""

    def make(model: Any, **inputs: Any) -> Any:
        return run("LEDITS_Invert", model=model, **({"latent": latent, "sigmas": sigmas, "negative": encode("")} | inputs))[0]

    return make


@pytest.fixture(scope="session")
def small(latent, sigmas):
    """A corner of the photo and two steps: what an inversion takes besides a model."""
    return {"latent": {"samples": latent["samples"][..., 4:20, 2:18].contiguous()}, "sigmas": sigmas[[0, 2, 4]]}


@pytest.fixture(scope="session")
def inversion(invert, model):
    return invert(model)


@pytest.fixture(scope="session")
def edit() -> Callable[..., Edited]:
    """Edits an inversion with a model and any concepts."""

    def make(model: Any, inversion: Any, concepts: Any = (), **inputs: Any) -> Edited:
        latent, attention, mask, _ = run("LEDITS_Edit", model=model, inversion=inversion, concepts=concepts, **inputs)
        return Edited(latent["samples"], attention, mask)

    return make


@pytest.fixture(scope="session")
def assert_photo_returns(edit, clip) -> Callable[..., None]:
    """Asserts that an inversion replays exactly, without a call and with every prediction made anew beside a concept that may go nowhere.

    `exact` is how far a cell may be off where the network is called again, beside other rows than while inverting.
    """

    def check(model: Any, inversion: Any, exact: float = EXACT) -> None:
        original = inversion.latent["samples"]
        height, width = original.shape[-2:]
        nothing = torch.zeros(1, 8 * height, 8 * width)
        nowhere = run("LEDITS_Concept", clip=clip, text="a green circle", mask=nothing, warmup=0, mask_mode="none")[0]
        assert (edit(model, inversion).samples - original).abs().max() <= 1e-5
        replayed = edit(model, inversion, nowhere, negative=list(inversion.base.negative))
        assert (replayed.samples - original).abs().max() <= exact

    return check


@pytest.fixture(scope="session")
def unchanged() -> Callable[..., contextlib.AbstractContextManager[None]]:
    """`with unchanged(model):` asserts that nothing that can be set on a MODEL, and no weight behind it, is different afterwards."""

    @contextlib.contextmanager
    def check(*models: Any) -> Iterator[None]:
        before = [_everything(model) for model in models]
        yield
        for model, was in zip(models, before, strict=True):
            now = _everything(model)
            for name, value in was.items():
                assert now[name] == value, f"{name} of the MODEL changed"

    return check


@dataclass(frozen=True)
class MixingResult:
    """A mix that held.

    Attributes:
        base: [N, B, C, H, W] the prediction at every step of the inversion.
        guidance: [B, C, H, W] what one concept of scale SCALE adds in the last step.
        maps: [B, h, w, words] where it looks there.
        cells: [B, 1, H, W] the mask that it has there.
    """

    base: Tensor
    guidance: Tensor
    maps: Tensor
    cells: Tensor
    inversion: Any


@pytest.fixture(scope="session")
def predictions() -> Callable[..., Tensor]:
    """ComfyUI's own predictions for a conditioning at every state of an inversion's path, as LATENTs, [N, B, C, H, W]."""
    import comfy.samplers

    from ledits.inversion import trajectory

    class Looks(comfy.samplers.Sampler):
        def __init__(self, inversion: Any):
            self.states = list(trajectory(inversion.trajectory))

        def sample(self, guider: Any, sigmas: Tensor, arguments: dict, *rest: Any) -> Tensor:
            levels = sigmas[:, None].expand(-1, len(self.states[0]))
            looks = zip(self.states, levels[:-1], strict=False)
            self.found = torch.stack([guider(state, level, **arguments) for state, level in looks])
            return self.found[-1]

    def look(model: Any, inversion: Any, negative: Any, positive: Any = None, cfg: float = 1.0) -> Tensor:
        guider = comfy.samplers.CFGGuider(model.clone())
        guider.inner_set_conds({"positive": negative if positive is None else positive, "negative": negative})
        guider.set_cfg(cfg)
        looks, picture = Looks(inversion), inversion.latent["samples"]
        with torch.inference_mode():
            guider.sample(torch.zeros_like(picture), picture, looks, inversion.trajectory.sigmas, disable_pbar=True)
        return model.model.process_latent_out(looks.found)

    return look


@pytest.fixture(scope="session")
def assert_mixing(invert, edit, assert_photo_returns, unchanged, predictions) -> Callable[..., MixingResult]:
    """What must hold beside any feature: the photo comes back, and every prediction and map is what ComfyUI itself makes of it.

    `place` applies the feature to conditionings: it is given a function that encodes a text, and returns the conditioning. A
    concept must be asked under the same feature, unless `asked` gives another conditioning for it. Two calls of the network
    with other rows beside may differ by `exact`.
    """

    def check(
        model: Any,
        clip: Any,
        place: Callable,
        *,
        text: str = "a green circle",
        asked: Callable | None = None,
        exact: float = EXACT,
        **inputs: Any,
    ) -> MixingResult:
        encode = functools.partial(encode_with, clip)
        negative = place(encode)
        alone = place(lambda _: encode(text)) if asked is None else asked(encode)
        with unchanged(model):
            inversion = invert(model, negative=negative, **inputs)
            picture, steps = inversion.latent["samples"], inversion.trajectory.steps
            settings = {"clip": clip, "text": text, "scale": SCALE, "threshold": 0.8, "warmup": steps - 1}
            everywhere, somewhere = (run("LEDITS_Concept", mask_mode=mode, **settings)[0] for mode in ("none", "attention"))
            assert_photo_returns(model, inversion, exact)
            base = model.model.process_latent_out(inversion.trajectory.denoised)
            source = inversion.base.positive
            assert torch.allclose(base, predictions(model, inversion, negative, source, inversion.base.cfg), atol=EXACT)
            empty = base if source is None else predictions(model, inversion, negative)
            height, width = (math.ceil(math.ceil(side / 2) / 2) for side in picture.shape[-2:])
            found, layers = cross_attention(model, height * width, lambda: predictions(model, inversion, alone))
            # After the last step there is no noise: what it adds is seen in the picture as it is.
            guidance = edit(model, inversion, everywhere).samples - picture
            assert torch.allclose(guidance, SCALE * (found - empty)[-1], atol=exact)
            edited = edit(model, inversion, somewhere)
            maps = edited.attention.prompts[0].mean()
            if len(alone) == 1:
                last = torch.cat([seen for part in ("input", "output") for seen in layers[part][-len(layers[part]) // steps :]], 1)
                known = last.float().mean(1).unflatten(1, (height, width))
                columns = [list(columns) for columns in somewhere[0].prompt.token_indices]
                assert torch.allclose(maps, torch.stack([known[..., word].sum(-1) for word in columns], -1), atol=exact / 10)
            cells = edited.mask[:, None, ::8, ::8]
            # Outside the mask stays what the base differs by where the network is called beside other rows.
            assert torch.allclose(edited.samples - picture, guidance * cells, atol=exact)
        assert ((cells.mean((1, 2, 3)) - 0.2).abs() < 1 / (height * width) + 0.03).all()
        return MixingResult(base, guidance, maps, cells, inversion)

    return check


@pytest.fixture(scope="session")
def plain(assert_mixing, model, clip) -> MixingResult:
    """The concept beside an empty neutral prompt, with no feature at all."""
    return assert_mixing(model, clip, lambda encode: encode(""))


SET_ON_A_MODEL = (
    "model_options", "wrappers", "callbacks", "patches", "object_patches", "weight_wrapper_patches", "attachments", "injections",
    "additional_models", "hook_patches", "hook_patches_backup", "forced_hooks", "hook_mode", "patches_uuid",
)  # fmt: skip


def _everything(model: Any) -> dict[str, Any]:
    """What is set on a patcher by name, and of its network the weights, without what is baked into them, and its modules' hooks."""
    found: dict[str, Any] = {name: _tree(getattr(model, name, None)) for name in SET_ON_A_MODEL}
    network = model.model
    with torch.inference_mode():
        found["weights"] = {name: _kept(model, name, weight) for name, weight in network.state_dict().items()}
    found["modules"] = [
        (name, type(module), list(module._forward_hooks), list(module._forward_pre_hooks), _own_functions(module))
        for name, module in network.named_modules()
    ]
    return found


def _kept(model: Any, name: str, weight: Tensor) -> Any:
    """The weight as it was loaded: where patches are baked in at the moment, it waits in a backup."""
    if name in model.hook_backup:
        weight = model.hook_backup[name][0]
    elif name in model.backup:
        weight = model.backup[name].weight
    return str(weight.dtype), tuple(weight.shape), hashlib.sha256(weight.flatten().view(torch.uint8).numpy()).digest()


def _own_functions(module: torch.nn.Module) -> list[str]:
    """Methods that somebody laid over a module's own."""
    return sorted(name for name, value in vars(module).items() if callable(value) and not isinstance(value, torch.nn.Module | type))


def _tree(value: Any) -> Any:
    """Dicts and lists by value; anything else is told apart by which object it is."""
    if isinstance(value, dict):
        return {key: _tree(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_tree(inner) for inner in value]
    return value if isinstance(value, int | float | str | None) else (id(value), value)  # held, so that no other object gets its id
