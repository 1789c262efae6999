"""LEDITS_STORE: the attention of the latest sampling runs of a patched model, found again by the latent that they produced."""

import hashlib
import threading
from dataclasses import dataclass, field
from typing import Any

import comfy.model_management
import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ....ledits.attention import RunningMean, StoreSettings
from ...errors import PACK, named
from .. import KEY
from ..images.size import vae_scale_factor
from ..types import EditRecord
from .adapters import make_adapter, prepare_recording
from .recorder import Recorder, install_recording
from .rows import CHUNKS, CondKey

MAX_BYTES = 256 << 20  # of all runs that a store keeps: more than a hundred images of SDXL
BRANCHES = ("positive", "negative")  # what guiders call the prompts that can be read from a store
_RUN = f"{KEY}_run"


@dataclass
class Run:
    """One sampling run: the maps of every prompt of both branches, and what this pack's guider recorded.

    The maps are means over the steps, of [B, h, w, tokens], by branch and conditioning entry; one for each number of tokens, which
    are more where a longer prompt was in the same batch.
    """

    settings: StoreSettings
    latent_size: tuple[int, int]  # height and width; areas that are predicted alone are not recorded
    factor: int  # image pixels along one side of a latent pixel
    owner: str  # the node that errors name
    maps: dict[CondKey, dict[int, RunningMean]] = field(default_factory=dict)
    encodings: dict[CondKey, Tensor] = field(default_factory=dict)  # what the sampler read for each of them
    edits: EditRecord | None = None  # of a LEDITS++ guider in this run; it records its concepts itself, so nothing else is recorded
    _sigma: float | None = None
    _recorder: Recorder | None = None
    # Several GPUs may begin a step at the same time, each in its own thread.
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def nbytes(self) -> int:
        means = [maps for by_length in self.maps.values() for maps in by_length.values()]
        means += self.edits.words if self.edits else []
        return sum(tensor.nbytes for tensor in [*(mean.total for mean in means), *self.encodings.values()])

    def apply_model_wrapper(self, executor: Any, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        transformer_options = args[4]
        chunks = transformer_options.get(CHUNKS)
        if self.edits is not None or chunks is None or chunks.shape[-2:] != self.latent_size:
            return executor(x, *args, **kwargs)
        sigma = float(transformer_options["sigmas"].flatten()[0])
        with named(self.owner):
            with self._lock:
                if sigma != self._sigma or self._recorder is None:
                    self.finish_step()
                    adapter = make_adapter(executor.class_obj.diffusion_model, self.settings, *self.latent_size)
                    self._sigma, self._recorder = sigma, Recorder(adapter, self._wants)
            return self._recorder.apply_model_wrapper(executor, x, *args, **kwargs)

    def finish_step(self) -> None:
        if self._recorder is not None:
            for key in self._recorder.sums:
                maps = self._recorder.maps(key, torch.device("cpu"))
                self.maps.setdefault(key, {}).setdefault(maps.shape[-1], RunningMean()).add(maps)
            self._recorder = None

    def _wants(self, key: CondKey) -> bool:
        assert self._recorder is not None, "a network call outside any step"
        # A repeated call for the same cond within a step comes from another patch (e.g. PAG); ignore it.
        return key[0] in BRANCHES and key not in self._recorder.sums


class RunHistory:
    """The store's settings and its latest runs. Only finished runs enter; an interrupted one leaves nothing.

    ComfyUI samples a whole list of images before the first of them is captured, and keeps what a sampler made while later edits run.
    So the oldest runs go only when all take too much memory. Their latents cannot tell when: nodes hand on copies of them.
    """

    def __init__(self, settings: StoreSettings, owner: str = PACK):
        self.settings, self._owner = settings, owner
        self._runs: dict[str, Run] = {}  # by the hash of their result, the latest last

    def find(self, samples: Tensor) -> Run | None:
        """The run whose result these samples are."""
        return self._runs.get(_hash_samples(samples))

    def outer_sample_wrapper(self, executor: Any, noise: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """An OUTER_SAMPLE wrapper: records this run in its own copy of the model options."""
        guider = executor.class_obj
        run = Run(self.settings, (noise.shape[-2], noise.shape[-1]), vae_scale_factor(guider.model_patcher), self._owner)
        guider.model_options["transformer_options"][_RUN] = run
        install_recording(guider.model_options, lambda: guider.conds, run.apply_model_wrapper)
        samples = executor(noise, *args, **kwargs)
        run.finish_step()
        for branch in BRANCHES:
            run.encodings |= {(branch, cond["uuid"]): cond["cross_attn"] for cond in guider.conds.get(branch, []) if "cross_attn" in cond}
        if run.edits is not None:
            run.edits = EditRecord([words.to(torch.device("cpu")) for words in run.edits.words])
        result = _hash_samples(samples)
        self._runs.pop(result, None)
        self._runs[result] = run
        while len(self._runs) > 1 and sum(kept.nbytes for kept in self._runs.values()) > MAX_BYTES:
            del self._runs[next(iter(self._runs))]
        return samples


def patch_model(model: ModelPatcher, store: RunHistory) -> ModelPatcher:
    """A clone of the model whose sampling runs are recorded in the store, in place of an earlier one."""
    model = model.clone()
    model.remove_wrappers_with_key(WrappersMP.OUTER_SAMPLE, KEY)
    model.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, store.outer_sample_wrapper)
    model.set_attachments(KEY, store.settings)
    prepare_recording(model)
    return model


def store_settings(model: ModelPatcher) -> StoreSettings:
    """The settings of the store that the model was patched with, else the defaults."""
    return model.get_attachment(KEY) or StoreSettings()


def keep_edits(model_options: dict, record: EditRecord) -> None:
    """Where the current run is being stored, stores what the guider will record in it too."""
    run = model_options.get("transformer_options", {}).get(_RUN)
    if run is not None:
        run.edits = record


def _hash_samples(samples: Tensor) -> str:
    """Same for the sampler's result and for the LATENT that a node made of it."""
    samples = samples.detach().to("cpu", getattr(comfy.model_management, "intermediate_dtype", lambda: torch.float32)()).float()
    return hashlib.sha256(str(tuple(samples.shape)).encode() + samples.contiguous().numpy().tobytes()).hexdigest()
