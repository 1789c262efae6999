"""Inversion and replay as ComfyUI samplers: loading, previews, progress and interrupts come with the guider that runs them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import comfy.samplers
import comfy.utils
import torch
from torch import Tensor

from ....ledits.inversion import Denoiser, Inversion, StepCallback, add_noise, invert, replay
from ....ledits.solver import NoiseKind
from ...errors import LeditsInputError
from ..types import ImageInversion
from .guider import MaskedGuider


@dataclass(frozen=True)
class Job:
    """One run, as ComfyUI hands it to a sampler.

    Attributes:
        guider: predicts the denoised latent.
        sigmas: [N + 1] noise levels.
        arguments: what every prediction is called with besides state and level.
        latent: [B, C, H, W] the image at the model's scale.
        denoise_mask: where the image may change at a step, or None.
        callback: called after every step.
    """

    guider: Any
    sigmas: Tensor
    arguments: dict[str, Any]
    latent: Tensor
    denoise_mask: Callable[[int], Tensor] | None
    callback: StepCallback

    def denoiser(self) -> Denoiser:
        """The guider's prediction at a state and a step."""
        levels = self.sigmas[:, None].to(self.latent).expand(-1, self.latent.shape[0])

        def denoise(x: Tensor, step: int) -> Tensor:
            # Some patches are stochastic (ToMe, HyperTile): seed per step so inversion and edit draw the same numbers.
            with torch.random.fork_rng(devices=[]):
                _seed(x.device, ((self.arguments["seed"] or 0) + step) % 2**64)
                return self.guider(x, levels[step], **self.arguments)

        return denoise


class _Sampler(comfy.samplers.Sampler):
    """Brings ComfyUI's arguments into a Job, with a progress bar in the terminal."""

    def sample(
        self,
        model_wrap: Any,
        sigmas: Tensor,
        extra_args: dict[str, Any],
        callback: Callable | None,
        noise: Tensor,
        latent_image: Tensor | None = None,
        denoise_mask: Tensor | None = None,
        disable_pbar: bool = False,
    ) -> Tensor:
        steps = len(sigmas) - 1
        with comfy.utils.model_trange(steps, disable=disable_pbar) as bar:

            def step_callback(step: int, denoised: Tensor, x: Tensor) -> None:
                bar.update()
                if callback is not None:
                    callback(step, denoised, x, steps)

            latent = noise if latent_image is None else latent_image
            mask = None if denoise_mask is None else partial(_mask_at, denoise_mask, model_wrap, sigmas, extra_args["model_options"])
            return self.run(Job(model_wrap, sigmas, extra_args, latent, mask, step_callback))

    def run(self, job: Job) -> Tensor:
        """Does the job and returns the latent that it ends with."""
        raise NotImplementedError


class InversionSampler(_Sampler):
    """Inverts an image and leaves the inversion in `result`; returns the image as it was."""

    result: Inversion

    def __init__(self, noise: NoiseKind, seed: int):
        self._noise, self._seed = noise, seed

    def run(self, job: Job) -> Tensor:
        result = invert(job.latent, job.sigmas, job.denoiser(), noise=self._noise, seed=self._seed, callback=job.callback)
        finite = torch.isfinite(result.denoised).flatten(1).all(1)
        if not finite.all():
            raise _not_finite(f"at step {int((~finite).nonzero()[0])}", "take out the node that breaks it")
        self.result = result
        return job.latent


class ReplaySampler(_Sampler):
    """Follows an inversion's trajectory, guided by whatever guider runs it."""

    def __init__(self, inversion: ImageInversion):
        self._inversion = inversion.trajectory

    def run(self, job: Job) -> Tensor:
        guider = job.guider if isinstance(job.guider, MaskedGuider) else None
        if guider is not None and guider.inversion is not None and guider.inversion.trajectory is not self._inversion:
            raise LeditsInputError("sampler", "has a different inversion than the guider: connect the same one to both")
        first = guider.first_step if guider is not None else 0
        inversion = self._cut(job.latent, job.sigmas)
        x = replay(inversion, job.denoiser(), first=first, denoise_mask=job.denoise_mask, callback=job.callback)
        if not torch.isfinite(x).all():
            raise _not_finite("while it edited", "lower the scale of the concepts")
        return job.guider.inner_model.model_sampling.inverse_noise_scaling(job.sigmas[-1], x)

    def _cut(self, latent: Tensor, sigmas: Tensor) -> Inversion:
        """The inversion on the device of the latent, cut to the levels that were asked for."""
        whole, steps = self._inversion, len(sigmas) - 1
        if tuple(latent.shape) != tuple(whole.x0.shape):
            raise LeditsInputError(
                "latent_image",
                f"is {_size(latent)}, but the inversion is of {_size(whole.x0)}: connect the latent that comes with this sampler",
            )
        if steps > whole.steps or not torch.equal(sigmas.cpu(), whole.sigmas[: steps + 1]):
            raise LeditsInputError(
                "sigmas",
                "are not the inversion's: connect the sigmas that come with this sampler; of a split list only the first part can be replayed",
            )
        device = latent.device
        return replace(
            whole,
            x0=whole.x0.to(device),
            sigmas=whole.sigmas[: steps + 1],
            x_T=whole.x_T.to(device),
            denoised=whole.denoised[:steps].to(device),
            noise_maps=whole.noise_maps[:steps].to(device),
        )


class ProbeSampler(_Sampler):
    """One prediction at the first of the sigmas, from the noised image; returns the prediction."""

    def __init__(self, noise: NoiseKind, seed: int):
        self._noise, self._seed = noise, seed

    def run(self, job: Job) -> Tensor:
        x = add_noise(job.latent, self._noise.levels(job.sigmas[:1]), self._seed)[0]
        denoised = job.denoiser()(x, 0)
        job.callback(0, denoised, x)
        return denoised


def _not_finite(when: str, remedy: str) -> LeditsInputError:
    return LeditsInputError(
        "model",
        f"gave a prediction {when} that is not finite (NaN or infinity): load it in another precision (ComfyUI's --force-fp32, "
        f"--bf16-unet), or {remedy}",
    )


def _mask_at(mask: Tensor, guider: Any, sigmas: Tensor, model_options: dict[str, Any], step: int) -> Tensor:
    """The mask at a step, which other nodes may change from step to step (Differential Diffusion)."""
    function = model_options.get("denoise_mask_function")
    if function is None:
        return mask
    return function(sigmas[step].expand(len(mask)), mask, extra_options={"model": guider, "sigmas": sigmas})


def _seed(device: torch.device, seed: int) -> None:
    """Seeds the RNG of this device."""
    if device.type == "cpu":
        # torch.manual_seed also records a stack trace for unused GPUs, which takes as long as a step's masks.
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def _size(latent: Tensor) -> str:
    batch, channels, height, width = latent.shape
    return f"{batch} x {channels} channels x {height} x {width}"
