"""Inversion and replay as ComfyUI samplers: loading, previews, progress and cancelling come with the guider that runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.samplers
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ...ledits.inversion import Denoiser, Inversion, StepReport, invert, noise_levels, noised_path, replay
from .guider import KNOWN_BASE, MaskedGuider


class InversionSampler(comfy.samplers.Sampler):
    """Walks a picture's inversion and leaves it in `result`; returns the picture as it was."""

    result: Inversion

    def __init__(self, flow: bool, seed: int):
        self._flow, self._seed = flow, seed

    def sample(
        self,
        model_wrap: Any,
        sigmas: Tensor,
        extra_args: dict,
        callback: Callable | None,
        noise: Tensor,
        latent_image: Tensor | None = None,
        denoise_mask: Tensor | None = None,
        disable_pbar: bool = False,
    ) -> Tensor:
        assert latent_image is not None
        with tqdm(total=len(sigmas) - 1, disable=disable_pbar) as bar:
            denoise = _denoiser(model_wrap, latent_image, sigmas, extra_args)
            report = _report(callback, bar, len(sigmas) - 1)
            self.result = invert(latent_image, sigmas, denoise, flow=self._flow, seed=self._seed, report=report)
        return latent_image


class ReplaySampler(comfy.samplers.Sampler):
    """Follows an inversion's path, guided by whatever guider runs it."""

    def __init__(self, inversion: Inversion):
        self._inversion = inversion

    def sample(
        self,
        model_wrap: Any,
        sigmas: Tensor,
        extra_args: dict,
        callback: Callable | None,
        noise: Tensor,
        latent_image: Tensor | None = None,
        denoise_mask: Tensor | None = None,
        disable_pbar: bool = False,
    ) -> Tensor:
        walk = self._on_device(noise, sigmas)
        guider = model_wrap if isinstance(model_wrap, MaskedGuider) else None
        if guider is not None and guider.inversion is not None and guider.inversion.walk is not self._inversion:
            raise ValueError("LEDITS++: Masked Guider and Replay Sampler hold different inversions. Connect the same one to both.")
        first = guider.first_step if guider is not None else 0
        knows_base = guider is not None and guider.knows_base
        guided = _denoiser(model_wrap, walk.original, sigmas, extra_args)
        on_known_base = _denoiser(model_wrap, walk.original, sigmas, _with_known_base(extra_args, walk, first))

        def denoise(x: Tensor, step: int) -> Tensor:
            # At the first edited step the state is still the inversion's own, where the base prediction is known.
            return (on_known_base if knows_base and step == first else guided)(x, step)

        with tqdm(total=walk.steps, disable=disable_pbar) as bar:
            x = replay(walk, denoise, first=first, keep=denoise_mask, report=_report(callback, bar, walk.steps))
        return model_wrap.inner_model.model_sampling.inverse_noise_scaling(sigmas[-1], x)

    def _on_device(self, noise: Tensor, sigmas: Tensor) -> Inversion:
        """The inversion where the sampler runs, cut to the levels that were asked for."""
        walk, steps = self._inversion, len(sigmas) - 1
        if tuple(noise.shape) != tuple(walk.original.shape):
            raise ValueError(
                f"LEDITS++ Replay Sampler: the latent is {_shape(noise)}, but the inversion holds {_shape(walk.original)}. "
                "Connect the Replay Sampler's own latent output to the sampler node's latent_image."
            )
        if steps > walk.steps or not torch.equal(sigmas.cpu(), walk.sigmas[: steps + 1]):
            raise ValueError(
                "LEDITS++ Replay Sampler: these sigmas are not the inversion's. Connect the Replay Sampler's own sigmas output; "
                "of a split list only the first part can be replayed."
            )
        return Inversion(
            walk.original.to(noise.device),
            walk.sigmas[: steps + 1],
            walk.flow,
            walk.start.to(noise.device),
            walk.denoised[:steps].to(noise.device),
            walk.corrections[:steps].to(noise.device),
        )


class LookSampler(comfy.samplers.Sampler):
    """One prediction at the first of the sigmas, from the noised picture; returns the prediction."""

    def __init__(self, flow: bool, seed: int):
        self._flow, self._seed = flow, seed

    def sample(
        self,
        model_wrap: Any,
        sigmas: Tensor,
        extra_args: dict,
        callback: Callable | None,
        noise: Tensor,
        latent_image: Tensor | None = None,
        denoise_mask: Tensor | None = None,
        disable_pbar: bool = False,
    ) -> Tensor:
        assert latent_image is not None
        x = noised_path(latent_image, noise_levels(sigmas[:1], self._flow), self._seed)[0]
        denoised = _denoiser(model_wrap, x, sigmas, extra_args)(x, 0)
        if callback is not None:
            callback(0, denoised, x, 1)
        return denoised


def _denoiser(model_wrap: Any, like: Tensor, sigmas: Tensor, extra_args: dict) -> Denoiser:
    levels = sigmas[:, None].to(like).expand(-1, like.shape[0])
    return lambda x, step: model_wrap(x, levels[step], **extra_args)


def _report(callback: Callable | None, bar: tqdm, steps: int) -> StepReport:
    def report(step: int, denoised: Tensor, x: Tensor) -> None:
        bar.update()
        if callback is not None:
            callback(step, denoised, x, steps)

    return report


def _with_known_base(extra_args: dict, walk: Inversion, step: int) -> dict:
    if step >= walk.steps:
        return extra_args
    return extra_args | {"model_options": extra_args["model_options"] | {KNOWN_BASE: walk.denoised[step]}}


def _shape(latent: Tensor) -> str:
    batch, channels, height, width = latent.shape
    return f"{batch} x {channels} channels x {height} x {width} cells"
