"""LEDITS_STORE: keeps what was attended to in the last few sampling runs of a patched model, found again by the picture they made."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import comfy.model_management
import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...ledits.attention_store import RunningMean, StoreSettings
from ..errors import LeditsInputError
from .branches import Name
from .capture import KEY, Recorder, around_network, install, without_capture
from .types import EditRecord

KEPT_RUNS = 4
BRANCHES = ("positive", "negative")
"""What guiders call the prompts that can be read from a store."""

_RUN = f"{KEY}_run"


@dataclass
class Run:
    """One sampling run: the maps of every prompt of both branches, and what this pack's guider recorded.

    Attributes:
        latent_size: height and width of the picture; areas that are predicted alone are not recorded.
        maps: by branch ("positive" or "negative") and conditioning entry the mean over the steps, of [B, h, w, columns]; apart for each
            number of columns, which are more where a longer prompt was asked beside it.
        encodings: what the sampler read for each of them.
        edits: the record of a LEDITS++ guider that sampled in this run.
    """

    settings: StoreSettings
    latent_size: tuple[int, int]
    maps: dict[Name, dict[int, RunningMean]] = field(default_factory=dict)
    encodings: dict[Name, Tensor] = field(default_factory=dict)
    edits: EditRecord | None = None
    _sigma: float | None = None
    _recorder: Recorder | None = None
    # Several graphics cards may begin a step at the same time, each in a thread of its own.
    _turning: threading.Lock = field(default_factory=threading.Lock)

    def around_network(self, executor: Any, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        if tuple(x.shape[-2:]) != self.latent_size:
            return executor(x, *args, **kwargs)
        options = args[4]
        sigma = float(options["sigmas"].flatten()[0])
        with self._turning:
            if sigma != self._sigma or self._recorder is None:
                self.finish_step()
                self._sigma, self._recorder = sigma, self._new_recorder()
        return around_network(self._recorder, executor, x, *args, **kwargs)

    def _new_recorder(self) -> Recorder:
        try:
            return Recorder(self.settings, *self.latent_size, self._wants)
        except ValueError as error:
            raise LeditsInputError("LEDITS++ Attention Store", "resolution", str(error)) from error

    def finish_step(self) -> None:
        if self._recorder is not None:
            for name in self._recorder.sums:
                maps = self._recorder.maps(name, torch.device("cpu"))
                self.maps.setdefault(name, {}).setdefault(maps.shape[-1], RunningMean()).add(maps)
            self._recorder = None

    def _wants(self, name: Name) -> bool:
        assert self._recorder is not None, "a network call outside any step"
        # A second look at the same prompt in the same step is another node's own branch, such as perturbed attention.
        return name[0] in BRANCHES and name not in self._recorder.sums


class AttentionStore:
    """The store's settings and its last few runs. Only finished runs enter; an interrupted one leaves nothing."""

    def __init__(self, settings: StoreSettings):
        self.settings = settings
        # Apart, so that a series of edits does not push out the picture of a sampler that ComfyUI keeps and never runs again.
        self._sampled: deque[tuple[str, Run]] = deque(maxlen=KEPT_RUNS)
        self._edited: deque[tuple[str, Run]] = deque(maxlen=KEPT_RUNS)

    def find(self, samples: Tensor) -> Run | None:
        """The run whose result these samples are."""
        wanted = _fingerprint(samples)
        return next((run for runs in (self._edited, self._sampled) for known, run in reversed(runs) if known == wanted), None)

    def around_run(self, executor: Any, noise: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """An OUTER_SAMPLE wrapper: gives this run a place of its own in the run's options."""
        guider, run = executor.class_obj, Run(self.settings, (noise.shape[-2], noise.shape[-1]))
        guider.model_options["transformer_options"][_RUN] = run
        install(guider.model_options, lambda: guider.conds, run.around_network)
        samples = executor(noise, *args, **kwargs)
        run.finish_step()
        for branch in BRANCHES:
            run.encodings |= {(branch, cond["uuid"]): cond["cross_attn"] for cond in guider.conds.get(branch, []) if "cross_attn" in cond}
        if run.edits is not None:
            run.edits.words = [words.to(torch.device("cpu")) for words in run.edits.words]
        runs = self._sampled if run.edits is None else self._edited
        runs.append((_fingerprint(samples), run))
        return samples


def patched(model: ModelPatcher, store: AttentionStore) -> ModelPatcher:
    """A clone of the model whose sampling runs are recorded in the store, in place of an earlier one."""
    model = model.clone()
    model.remove_wrappers_with_key(WrappersMP.OUTER_SAMPLE, KEY)
    model.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, store.around_run)
    model.set_attachments(KEY, store.settings)
    return model


def settings_of(model: ModelPatcher) -> StoreSettings:
    """The settings of the store that the model was patched with, else the defaults."""
    return model.get_attachment(KEY) or StoreSettings()


def remember_edits(model_options: dict, record: EditRecord) -> None:
    """Where the current run is being stored, stores what the guider will record in it too."""
    run = model_options.get("transformer_options", {}).get(_RUN)
    if run is not None:
        run.edits = record


def without_run(model_options: dict) -> dict:
    """Options with which the store does not record: the guider records the concepts itself and needs no other rows."""
    return without_capture(model_options) if _RUN in model_options.get("transformer_options", {}) else model_options


def _fingerprint(samples: Tensor) -> str:
    """Same for the sampler's result and for the LATENT that a node made of it."""
    samples = samples.detach().to("cpu", getattr(comfy.model_management, "intermediate_dtype", lambda: torch.float32)()).float()
    return hashlib.sha256(str(tuple(samples.shape)).encode() + samples.contiguous().numpy().tobytes()).hexdigest()
