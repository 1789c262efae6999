"""Inversion and replay as ComfyUI samplers: loading, previews, progress and cancelling come with the guider that runs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import comfy.samplers
import comfy.utils
import torch
from torch import Tensor

from ...ledits.inversion import Denoiser, Inversion, StepReport, invert, noise_levels, noised_path, replay
from ..errors import LeditsInputError
from .guider import KNOWN_BASE, MaskedGuider


@dataclass(frozen=True)
class Job:
    """One run, as ComfyUI hands it to a sampler.

    Attributes:
        guider: predicts the denoised latent.
        sigmas: [N + 1] noise levels.
        arguments: what every prediction is called with besides state and level.
        latent: [B, C, H, W] the picture at the model's scale.
        mask: where the picture may change at a step, or None.
        report: to be told of every step.
    """

    guider: Any
    sigmas: Tensor
    arguments: dict[str, Any]
    latent: Tensor
    mask: Callable[[int], Tensor] | None
    report: StepReport

    def denoiser(self, **options: Any) -> Denoiser:
        """The guider's prediction at a state and a step; `options` are added to the model options."""
        levels = self.sigmas[:, None].to(self.latent).expand(-1, self.latent.shape[0])
        arguments = self.arguments | {"model_options": self.arguments["model_options"] | options}

        def denoise(x: Tensor, step: int) -> Tensor:
            # Some nodes draw lots in the network (token merging, tiles). At a step they shall fall the same in an inversion and its edits.
            with torch.random.fork_rng(devices=[]):
                _seed(x.device, ((self.arguments["seed"] or 0) + step) % 2**64)
                return self.guider(x, levels[step], **arguments)

        return denoise


class _Sampler(comfy.samplers.Sampler):
    """Brings ComfyUI's arguments into a Job, with a progress bar in the terminal."""

    runs = 1
    """Walks that are made side by side; each step counts once for each."""

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
        steps = (len(sigmas) - 1) * self.runs
        with comfy.utils.model_trange(steps, disable=disable_pbar) as bar:

            def report(step: int, denoised: Tensor, x: Tensor) -> None:
                bar.update()
                if callback is not None:
                    callback(step, denoised, x, steps)

            latent = noise if latent_image is None else latent_image
            mask = None if denoise_mask is None else partial(_mask_at, denoise_mask, model_wrap, sigmas, extra_args["model_options"])
            return self.walk(Job(model_wrap, sigmas, extra_args, latent, mask, report))

    def walk(self, job: Job) -> Tensor:
        """Does the job and returns the latent that it ends with."""
        raise NotImplementedError


class InversionSampler(_Sampler):
    """Walks a picture's inversion and leaves it in `result`; returns the picture as it was."""

    result: Inversion

    def __init__(self, flow: bool, seed: int):
        self._flow, self._seed = flow, seed

    def walk(self, job: Job) -> Tensor:
        result = invert(job.latent, job.sigmas, job.denoiser(), flow=self._flow, seed=self._seed, report=job.report)
        broken = ~torch.isfinite(result.denoised).flatten(1).all(1)
        if broken.any():
            raise LeditsInputError(
                "LEDITS++ Invert",
                "model",
                f"gave a prediction at step {int(broken.nonzero()[0])} that is not finite (NaN or infinity): load it in another precision "
                "(ComfyUI's --force-fp32, --bf16-unet), or take out the node that breaks it",
            )
        self.result = result
        return job.latent


class ReplaySampler(_Sampler):
    """Follows an inversion's path, guided by whatever guider runs it."""

    def __init__(self, inversion: Inversion):
        self._inversion = inversion

    def walk(self, job: Job) -> Tensor:
        guider = job.guider if isinstance(job.guider, MaskedGuider) else None
        if guider is not None and guider.inversion is not None and guider.inversion.walk is not self._inversion:
            raise ValueError("LEDITS++: Masked Guider and Replay Sampler hold different inversions. Connect the same one to both.")
        x = self.replayed(job, guider)
        if not torch.isfinite(x).all():
            raise LeditsInputError(
                "LEDITS++ Edit, Sweep or Masked Guider",
                "model",
                "gave predictions that are not finite (NaN or infinity): load it in another precision (ComfyUI's --force-fp32, --bf16-unet), "
                "or lower the scale of the concepts",
            )
        return job.guider.inner_model.model_sampling.inverse_noise_scaling(job.sigmas[-1], x)

    def replayed(self, job: Job, guider: MaskedGuider | None) -> Tensor:
        """The last state."""
        walk = self.on_device(job.latent, job.sigmas)
        first = guider.first_step if guider is not None else 0
        guided = job.denoiser()

        def denoise(x: Tensor, step: int) -> Tensor:
            known = self.known_base(guider, walk, step) if guider is not None and step == first else {}
            return (job.denoiser(**known) if known else guided)(x, step)

        return replay(walk, denoise, first=first, keep=job.mask, report=job.report)

    def known_base(self, guider: MaskedGuider, walk: Inversion, first: int) -> dict[str, Tensor]:
        """The base prediction at the first edited step, as a model option: the state is still the inversion's own there."""
        return {KNOWN_BASE: walk.denoised[first]} if guider.knows_base else {}

    def on_device(self, latent: Tensor, sigmas: Tensor) -> Inversion:
        """The inversion where the sampler runs, cut to the levels that were asked for."""
        walk, steps = self._inversion, len(sigmas) - 1
        if tuple(latent.shape) != tuple(walk.original.shape):
            raise ValueError(
                f"LEDITS++ Replay Sampler: the latent is {_shape(latent)}, but the inversion holds {_shape(walk.original)}. "
                "Connect the Replay Sampler's own latent output to the sampler node's latent_image."
            )
        if steps > walk.steps or not torch.equal(sigmas.cpu(), walk.sigmas[: steps + 1]):
            raise ValueError(
                "LEDITS++ Replay Sampler: these sigmas are not the inversion's. Connect the Replay Sampler's own sigmas output; "
                "of a split list only the first part can be replayed."
            )
        return Inversion(
            walk.original.to(latent.device),
            walk.sigmas[: steps + 1],
            walk.flow,
            walk.start.to(latent.device),
            walk.denoised[:steps].to(latent.device),
            walk.corrections[:steps].to(latent.device),
        )


class LookSampler(_Sampler):
    """One prediction at the first of the sigmas, from the noised picture; returns the prediction."""

    def __init__(self, flow: bool, seed: int):
        self._flow, self._seed = flow, seed

    def walk(self, job: Job) -> Tensor:
        x = noised_path(job.latent, noise_levels(job.sigmas[:1], self._flow), self._seed)[0]
        denoised = job.denoiser()(x, 0)
        job.report(0, denoised, x)
        return denoised


def _mask_at(mask: Tensor, guider: Any, sigmas: Tensor, model_options: dict[str, Any], step: int) -> Tensor:
    """The mask at a step, which other nodes may change from step to step (Differential Diffusion)."""
    function = model_options.get("denoise_mask_function")
    if function is None:
        return mask
    return function(sigmas[step].expand(len(mask)), mask, extra_options={"model": guider, "sigmas": sigmas})


def _seed(device: torch.device, seed: int) -> None:
    """Seeds the lots that are drawn on this device."""
    if device.type == "cpu":
        # torch.manual_seed also notes the seed, with a trace of the stack, for graphics cards that nobody uses: that takes as long
        # as a step's masks.
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def _shape(latent: Tensor) -> str:
    batch, channels, height, width = latent.shape
    return f"{batch} x {channels} channels x {height} x {width} cells"
