"""Inversion and replay as ComfyUI samplers: loading, previews, progress and interrupts come with the guider that runs them."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import comfy.samplers
import comfy.utils
import torch
from torch import Tensor

from ....ledits.inversion import Denoiser, Inversion, StepCallback, add_noise, invert, replay
from ....ledits.solver import NoiseKind, Solver
from ...errors import PACK, LeditsInputError, named, require
from ..types import ImageInversion
from .frames import drop_frame
from .guider import MaskedGuider


@dataclass(frozen=True)
class Job:
    """What ComfyUI hands to a sampler, as the method takes it."""

    guider: Any
    latent: Tensor  # [B, C, H, W] the image at the model's scale; where another node calls the sampler, perhaps with noise
    is_clean: bool  # whether it has none for sure
    sigmas: Tensor  # [N + 1]
    denoise: Denoiser
    denoise_mask: Callable[[int], Tensor] | None
    callback: StepCallback


class _Sampler(comfy.samplers.KSAMPLER):
    """Makes a Job of what ComfyUI gives a sampler's function, with a progress bar in the terminal.

    A KSAMPLER, because other nodes wrap what that class has: its `sample`, `sampler_function` and `extra_options`, which are not for it.
    """

    def __init__(self) -> None:
        # Not the parent's: a bound method in a field would keep the sampler alive.
        self.extra_options: dict[str, Any] = {}
        self.inpaint_options: dict[str, Any] = {}

    def sampler_function(self, model, x, sigmas, extra_args, callback=None, disable=False, **extra_options) -> Tensor:
        steps = len(sigmas) - 1
        with comfy.utils.model_trange(steps, disable=disable) as bar:

            def step_callback(step: int, denoised: Tensor, x: Tensor) -> None:
                bar.update()
                if callback is not None:
                    shown = {"denoised": denoised.reshape(latent.shape), "x": x.reshape(latent.shape)}
                    callback({"i": step, **shown, "sigma": sigmas[step], "sigma_hat": sigmas[step]})

            guider, denoise_mask = model.inner_model, extra_args.get("denoise_mask")
            image = getattr(model, "latent_image", None)
            latent: Tensor = x if image is None else image
            # The method has its own way with the mask.
            denoise = partial(_denoise, model, sigmas, extra_args | {"denoise_mask": None}, latent.shape)
            mask = None if denoise_mask is None else partial(_mask_at, denoise_mask, guider, sigmas, extra_args["model_options"])
            return self.run(Job(guider, drop_frame(latent), image is not None, sigmas, denoise, mask, step_callback)).reshape(latent.shape)

    def run(self, job: Job) -> Tensor:
        """The latent that the job ends with; at the last noise level, as a sampler's function returns it."""
        raise NotImplementedError


class InversionSampler(_Sampler):
    """Inverts an image and leaves the inversion in `result`; returns the image as it was."""

    result: Inversion

    def __init__(self, noise: NoiseKind, seed: int, solver: Solver):
        super().__init__()
        self._invert = partial(invert, noise=noise, seed=seed, solver=solver)

    def run(self, job: Job) -> Tensor:
        result = self._invert(job.latent, job.sigmas, job.denoise, callback=job.callback)
        finite = torch.isfinite(result.denoised).flatten(1).all(1)
        if not finite.all():
            raise _not_finite(f"at step {int((~finite).nonzero()[0])}", "take out the node that breaks it")
        self.result = result
        return job.latent


class ReplaySampler(_Sampler):
    """Follows an inversion's trajectory, guided by whatever guider runs it."""

    def __init__(self, inversion: ImageInversion, owner: str = PACK):
        super().__init__()
        self._inversion, self._owner = inversion.trajectory, owner

    def __deepcopy__(self, memo: dict) -> "ReplaySampler":
        """For nodes that sample with a deep copy: the options are their own, the inversion is the one that the guider knows."""
        copied = copy.copy(self)
        copied.extra_options, copied.inpaint_options = copy.deepcopy((self.extra_options, self.inpaint_options), memo)
        return copied

    def run(self, job: Job) -> Tensor:
        with named(self._owner):
            return self._replay(job)

    def _replay(self, job: Job) -> Tensor:
        guider, first, mask = job.guider, 0, job.denoise_mask
        if isinstance(guider, MaskedGuider):
            is_same = guider.inversion is None or guider.inversion.trajectory is self._inversion
            require(is_same, "sampler", "has a different inversion than the guider: connect the same one to both")
            first = guider.first_step
            if guider.margin is not None:
                guider.is_limited = True
                mask = partial(_limit, guider, mask)
        x = replay(self._cut(job), job.denoise, first=first, denoise_mask=mask, callback=job.callback)
        if not torch.isfinite(x).all():
            raise _not_finite("while it edited", "lower the scale of the concepts", getattr(guider, "owner", PACK))
        return x

    def _cut(self, job: Job) -> Inversion:
        """The inversion on the device of the latent, cut to the levels that were asked for."""
        whole, latent, sigmas = self._inversion, job.latent, job.sigmas
        steps = len(sigmas) - 1
        problem = f"is {_size(latent)}, but the inversion is of {_size(whole.x0)}: connect the latent that comes with this sampler"
        require(latent.shape == whole.x0.shape, "latent_image", problem)
        problem = (
            "are not the inversion's: connect the sigmas that come with this sampler; of a split list only the first part can be replayed"
        )
        require(steps <= whole.steps and torch.equal(sigmas.cpu(), whole.sigmas[: steps + 1]), "sigmas", problem)
        tensors = {"x0": whole.x0, "x_T": whole.x_T, "denoised": whole.denoised[:steps], "noise_maps": whole.noise_maps[:steps]}
        moved: dict[str, Any] = {name: tensor.to(latent.device) for name, tensor in tensors.items()}
        is_same = not job.is_clean or torch.allclose(latent, moved["x0"], rtol=1e-3, atol=1e-3)
        require(is_same, "latent_image", "is of another photo than the inversion: connect the latent that comes with this sampler")
        return replace(whole, sigmas=whole.sigmas[: steps + 1], **moved)


class ProbeSampler(_Sampler):
    """One prediction at the first of the sigmas, from the noised image; returns the prediction."""

    def __init__(self, noise: NoiseKind, seed: int):
        super().__init__()
        self._noise, self._seed = noise, seed

    def run(self, job: Job) -> Tensor:
        x = add_noise(job.latent, self._noise.levels(job.sigmas[:1]), self._seed)[0]
        denoised = job.denoise(x, 0)
        job.callback(0, denoised, x)
        return denoised


def _not_finite(when: str, remedy: str, node: str = PACK) -> LeditsInputError:
    return LeditsInputError(
        "model",
        f"gave a prediction {when} that is not finite (NaN or infinity): load it in another precision (ComfyUI's --force-fp32, "
        f"--bf16-unet), or {remedy}",
        node,
    )


def _denoise(model: Any, sigmas: Tensor, arguments: dict[str, Any], shape: torch.Size, x: Tensor, step: int) -> Tensor:
    """The prediction. Some patches are stochastic (ToMe, HyperTile): inversion and edit draw the same numbers at a step."""
    # torch.manual_seed also records a stack trace for unused GPUs, which takes as long as a step's masks.
    seed_rng = torch.default_generator.manual_seed if x.device.type == "cpu" else torch.manual_seed
    with torch.random.fork_rng(devices=[]):
        seed_rng(((arguments["seed"] or 0) + step) % 2**64)
        return drop_frame(model(x.reshape(shape), sigmas[step].to(x).expand(len(x)), **arguments))


def _mask_at(mask: Tensor, guider: Any, sigmas: Tensor, model_options: dict[str, Any], step: int) -> Tensor:
    """The mask at a step, which other nodes may change from step to step (Differential Diffusion)."""
    function = model_options.get("denoise_mask_function")
    if function is not None:
        mask = function(sigmas[step].expand(len(mask)), mask, extra_options={"model": guider, "sigmas": sigmas})
    return drop_frame(mask)


def _limit(guider: MaskedGuider, denoise_mask: Callable[[int], Tensor] | None, step: int) -> Tensor:
    """The mask at a step, inside the area that the edit changes: x' <- x_own + K (x' - x_own)."""
    area = guider.area_to_change()
    return area if denoise_mask is None else area * denoise_mask(step)


def _size(latent: Tensor) -> str:
    batch, channels, height, width = latent.shape
    return f"{batch} x {channels} channels x {height} x {width}"
