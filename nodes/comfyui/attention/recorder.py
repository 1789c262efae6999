"""Recording cross-attention while ComfyUI samples, without changing what it computes.

The capture binds late: around every network call it takes what is in the attention slots at that moment, puts itself in front on
a copy of the call's options, and calls the earlier occupant through. Nothing is installed on the model or in the shared options.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import comfy.ldm.modules.attention
import comfy.model_patcher
import comfy.patcher_extension
import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...ledits.attention_store import RunningMean, StoreSettings, cross_attention_probabilities, halved, halvings
from .attention import with_lean_attention
from .branches import Branches, Chunks, Name, ambiguous_rows, follow
from .model import CrossAttentionBlock, cross_attention_blocks

KEY = "ledits"
"""Under this key stand all wrappers and options of the pack."""


class Recorder:
    """Sums one step's cross-attention over layers and heads, for the prompts that are asked for.

    Args:
        wants: whether to record the chunk of this name.
    """

    def __init__(self, settings: StoreSettings, height: int, width: int, wants: Callable[[Name], bool]):
        self.settings, self.wants = settings, wants
        self._halvings = halvings(height, width, settings.resolution)
        self.sums: dict[Name, RunningMean] = {}
        self._sizes: dict[Name, tuple[int, int]] = {}

    def maps(self, name: Name, device: torch.device) -> Tensor:
        """The mean over layers and heads, [B, h, w, columns], of a prompt that was recorded.

        A prompt that was asked for an area of the picture has maps of that area. Several graphics cards may share the prompts of
        a step; each map waits on the one that made it until it is wanted on `device`.
        """
        return self.sums[name].mean().unflatten(1, self._sizes[name]).to(device)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the maps of a latent, or an area of it, of height x width cells."""
        return halved(height, width, self._halvings)

    def add(self, name: Name, size: tuple[int, int], query: Tensor, key: Tensor, heads: int) -> None:
        """Adds one layer of a prompt whose maps have this size."""
        self._sizes[name] = size
        self.sums.setdefault(name, RunningMean()).add(cross_attention_probabilities(query, key, heads), heads)


def following(model_options: dict, branches: Branches, shown: int | None = None, recorder: Recorder | None = None) -> dict:
    """A copy of the options with which these prompts are followed into the network, and recorded there; see `follow`."""
    options = with_lean_attention(without_capture(comfy.model_patcher.create_model_options_clone(model_options)))
    _add(options, WrappersMP.CALC_COND_BATCH, partial(follow, branches, shown))
    if recorder is not None:
        _add(options, WrappersMP.CALC_COND_BATCH, _uncompiled)
        _add(options, WrappersMP.DIFFUSION_MODEL, partial(around_network, recorder))
    return options


def install(model_options: dict, branches: Branches, around: Callable) -> None:
    """Follows these prompts into the network for as long as these options are used; `around` is a DIFFUSION_MODEL wrapper."""
    _add(model_options, WrappersMP.CALC_COND_BATCH, partial(follow, branches, None))
    _add(model_options, WrappersMP.CALC_COND_BATCH, _uncompiled)
    _add(model_options, WrappersMP.DIFFUSION_MODEL, around)


def without_capture(model_options: dict) -> dict:
    """A copy of the options that listens to nothing."""
    options = model_options.get("transformer_options", {})
    wrappers = dict(options.get("wrappers", {}))
    for kind in (WrappersMP.CALC_COND_BATCH, WrappersMP.DIFFUSION_MODEL):
        if KEY in wrappers.get(kind, {}):
            wrappers[kind] = {key: those for key, those in wrappers[kind].items() if key != KEY}
    return model_options | {"transformer_options": options | {"wrappers": wrappers}}


def around_network(
    recorder: Recorder,
    executor: Any,
    x: Tensor,
    timesteps: Any,
    context: Any,
    y: Any,
    control: Any,
    transformer_options: dict,
    **kwargs: Any,
) -> Any:
    """A DIFFUSION_MODEL wrapper of ComfyUI's UNet."""
    chunks = Chunks.of(transformer_options)
    if chunks is not None and any(name is not None and recorder.wants(name) for name in chunks.names):
        rows = {name: part for name, part in chunks.rows(transformer_options, len(x)).items() if recorder.wants(name)}
        tap = _Tap(recorder, rows, len(x), recorder.size(*x.shape[-2:]))
        with tap.on(transformer_options, executor.class_obj) as listening:
            return executor(x, timesteps, context, y, control, listening, **kwargs)
    return executor(x, timesteps, context, y, control, transformer_options, **kwargs)


class _Tap:
    """Listens at the cross-attention layers during one network call.

    Args:
        rows: what to record, of a batch of so many rows.
        size: rows and columns of the maps to record.
    """

    def __init__(self, recorder: Recorder, rows: dict[Name, slice], batch: int, size: tuple[int, int]):
        self._recorder, self._rows, self._batch, self._size = recorder, rows, batch, size
        self._arrived: tuple[Tensor, Tensor] | None = None

    @contextlib.contextmanager
    def on(self, options: dict, network: Any) -> Iterator[dict]:
        """A copy of the call's options with this tap in front of all other patches."""
        options = dict(options)
        replacements = dict(options.get("patches_replace", {}))
        occupants = replacements.get("attn2", {})
        captured = dict(occupants)
        for block in cross_attention_blocks(network):
            if self._recorder.settings.records(block.part):
                # ComfyUI looks for the transformer's own slot first, then for the block's.
                own = (block.part, block.number, block.index)
                earlier = occupants.get(own, occupants.get(own[:2]))
                captured[own] = partial(self._attend, block, earlier, options)
        replacements["attn2"] = captured
        options["patches_replace"] = replacements
        patches = options.get("patches", {})
        if patches.get("attn2_patch"):
            options["patches"] = patches | {"attn2_patch": [self._arrive, *patches["attn2_patch"]]}
        try:
            yield options
        finally:
            # The options hold the tap and the tap the options: let go of the maps now, not when Python next looks for such circles.
            captured.clear()

    def _arrive(self, hidden: Tensor, context: Tensor, value: Tensor, extra: dict) -> tuple[Tensor, Tensor, Tensor]:
        """What reaches a layer before other nodes' patches change it."""
        self._arrived = hidden, context
        return hidden, context, value

    def _attend(
        self,
        block: CrossAttentionBlock,
        earlier: Callable | None,
        options: dict,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        extra: dict,
    ) -> Tensor:
        self._record(block.layer, query, key, extra["n_heads"])
        if earlier is not None:
            return earlier(query, key, value, extra)
        attention = comfy.ldm.modules.attention.optimized_attention
        return attention(query, key, value, extra["n_heads"], attn_precision=extra["attn_precision"], transformer_options=options)

    def _record(self, layer: Any, query: Tensor, key: Tensor, heads: int) -> None:
        (hidden, context), self._arrived = self._arrived or (query, key), None
        # Regional prompts and the like give the layer rows or tokens of their own. The prompt's words are those that came in.
        widened = hidden.shape[:2] != query.shape[:2] or context.shape[1] < key.shape[1]
        queries, keys = (hidden, context) if widened else (query, key)
        if queries.shape[1] != self._size[0] * self._size[1]:
            return
        if len(queries) != self._batch:
            raise ambiguous_rows(self._batch, len(queries))
        for name, part in self._rows.items():
            own_query, own_key = queries[part], keys[part]
            if widened:
                own_query, own_key = layer.to_q(own_query), layer.to_k(own_key)
            self._recorder.add(name, self._size, own_query, own_key, heads)


def _add(model_options: dict, kind: str, wrapper: Callable) -> None:
    comfy.patcher_extension.add_wrapper_with_key(kind, KEY, wrapper, model_options, is_model_options=True)


def _uncompiled(executor: Any, *args: Any) -> Any:
    """A CALC_COND_BATCH wrapper: a network of torch.compile keeps to the patches it was compiled with and would not let us listen."""
    if "torch._dynamo" not in sys.modules:  # nothing was compiled
        return executor(*args)
    with getattr(torch.compiler, "set_stance", contextlib.nullcontext)("force_eager"):
        return executor(*args)
