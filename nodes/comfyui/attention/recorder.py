"""Recording attention while ComfyUI samples, without changing what it computes.

The recorder binds late: around every network call it takes what is in the attention slots at that moment, puts itself in front on
a copy of the call's options, and calls the earlier occupant through. Nothing is installed on the model or in the shared options.
"""

import contextlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import comfy.model_patcher
import comfy.patcher_extension
import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ....ledits.attention import RunningMean, cross_attention_probabilities
from .. import KEY
from .adapters import AttentionAdapter
from .rows import CHUNKS, CondKey, Prompts, ambiguous_rows, track

WRAPPERS = (WrappersMP.CALC_COND_BATCH, WrappersMP.APPLY_MODEL)


class Recorder:
    """Sums one step's attention over layers and heads, for the prompts that are wanted.

    Args:
        adapter: of the network, for the latent that is sampled.
        wants: whether to record the chunk of this key.
    """

    def __init__(self, adapter: AttentionAdapter, wants: Callable[[CondKey], bool]):
        self.adapter, self.wants = adapter, wants
        self.sums: dict[CondKey, RunningMean] = {}
        self._sizes: dict[CondKey, tuple[int, int]] = {}

    def maps(self, key: CondKey, device: torch.device) -> Tensor:
        """The mean over layers and heads, [B, h, w, tokens], of a prompt that was recorded.

        A prompt that was predicted for an area of the image has maps of that area. Several GPUs may share the prompts of a step; each
        map stays on the one that made it until it is wanted on `device`.
        """
        return self.sums[key].mean().unflatten(1, self._sizes[key]).to(device)

    def add(self, key: CondKey, size: tuple[int, int], probabilities: Tensor, heads: int) -> None:
        """Adds one layer's probabilities, summed over its heads, of a prompt whose maps have this size."""
        self._sizes[key] = size
        self.sums.setdefault(key, RunningMean()).add(probabilities, heads)

    def apply_model_wrapper(
        self,
        executor: Any,
        x: Tensor,
        t: Any,
        c_concat: Any = None,
        c_crossattn: Any = None,
        control: Any = None,
        transformer_options: dict = {},
        **kwargs: Any,
    ) -> Any:
        """An APPLY_MODEL wrapper: the one that every network has, with one signature."""
        chunks = transformer_options.get(CHUNKS)
        if chunks is None or not any(key is not None and self.wants(key) for key in chunks.keys):
            return executor(x, t, c_concat, c_crossattn, control, transformer_options, **kwargs)
        rows = {key: rows for key, rows in chunks.rows(len(x)).items() if self.wants(key)}
        call = RecordedCall(self, rows, len(x), self.adapter.map_size(*x.shape[-2:]))
        network = executor.class_obj.diffusion_model
        with self.adapter.hook(getattr(network, "_orig_mod", network), transformer_options, call) as hooked:
            return executor(x, t, c_concat, c_crossattn, control, hooked, **kwargs)


@dataclass(frozen=True)
class RecordedCall:
    """One network call whose attention is recorded.

    Attributes:
        rows: which rows of the batch belong to which wanted prompt.
        batch: rows in all.
        size: height and width of the maps.
    """

    recorder: Recorder
    rows: dict[CondKey, slice]
    batch: int
    size: tuple[int, int]

    def add_layer(
        self,
        query: Tensor,
        key: Tensor,
        heads: int,
        to_query: Callable[[Tensor], Tensor] | None = None,
        to_key: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        """Adds a layer whose queries are as many as the maps' pixels; others are left out.

        Args:
            query: [batch, pixels, heads * d], or what `to_query` makes it from.
            key: [batch, tokens, heads * d], or what `to_key` makes it from.

        Raises:
            RuntimeError: another node changed the number of rows.
        """
        if query.shape[1] != self.size[0] * self.size[1]:
            return
        if len(query) != self.batch:
            raise ambiguous_rows(self.batch, len(query))
        for cond, rows in self.rows.items():
            own_query, own_key = query[rows], key[rows]
            if to_query is not None and to_key is not None:
                own_query, own_key = to_query(own_query), to_key(own_key)
            self.recorder.add(cond, self.size, cross_attention_probabilities(own_query, own_key, heads), heads)


def tracked_options(model_options: dict, prompts: Prompts, numbers: Mapping[Any, int] = {}, recorder: Recorder | None = None) -> dict:
    """A copy of the options with which these prompts are tracked into the network, and recorded there; see `track`."""
    options = without_wrappers(comfy.model_patcher.create_model_options_clone(model_options))
    _add_wrapper(options, WrappersMP.CALC_COND_BATCH, partial(track, prompts, numbers))
    if recorder is not None:
        _add_recording(options, recorder.apply_model_wrapper)
    return options


def install_recording(model_options: dict, prompts: Prompts, apply_model_wrapper: Callable) -> None:
    """Tracks these prompts into the network for as long as these options are used, and records them there."""
    _add_wrapper(model_options, WrappersMP.CALC_COND_BATCH, partial(track, prompts, {}))
    _add_recording(model_options, apply_model_wrapper)


def without_wrappers(model_options: dict) -> dict:
    """A copy of the options without the wrappers of this file."""
    options = model_options.get("transformer_options", {})
    wrappers = dict(options.get("wrappers", {}))
    for kind in WRAPPERS:
        if KEY in wrappers.get(kind, {}):
            wrappers[kind] = {key: those for key, those in wrappers[kind].items() if key != KEY}
    return model_options | {"transformer_options": options | {"wrappers": wrappers}}


def _add_recording(model_options: dict, apply_model_wrapper: Callable) -> None:
    _add_wrapper(model_options, WrappersMP.CALC_COND_BATCH, _run_eagerly)
    _add_wrapper(model_options, WrappersMP.APPLY_MODEL, apply_model_wrapper)


def _add_wrapper(model_options: dict, kind: str, wrapper: Callable) -> None:
    comfy.patcher_extension.add_wrapper_with_key(kind, KEY, wrapper, model_options, is_model_options=True)


def _run_eagerly(executor: Any, *args: Any) -> Any:
    """A CALC_COND_BATCH wrapper. Compiled graphs ignore patches added later, so run eagerly while recording."""
    if "torch._dynamo" not in sys.modules:  # nothing was compiled
        return executor(*args)
    with getattr(torch.compiler, "set_stance", contextlib.nullcontext)("force_eager"):
        return executor(*args)
