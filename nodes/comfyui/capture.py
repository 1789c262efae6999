"""Recording cross-attention while ComfyUI samples, without changing what it computes.

The capture binds late: around every network call it takes what is in the attention slots at that moment, puts itself in front on
a copy of the call's options, and calls the earlier occupant through. Nothing is installed on the model or in the shared options.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

import comfy.ldm.modules.attention
import comfy.model_patcher
import comfy.patcher_extension
import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...ledits.attention_store import RunningSum, StoreSettings, cross_attention_probabilities, halved, halvings
from .model import cross_attention_blocks

KEY = "ledits"
"""Under this key stand all wrappers and options of the pack."""

Name = tuple[int, Hashable]
"""What a prompt is recorded under: its branch or concept, and which entry of the conditioning it is."""


class Recorder:
    """Sums one step's cross-attention over layers and heads, for the chunks of the batch that are asked for.

    Args:
        wanted: gives, for each chunk of a network call, the name to record it under, or None.
    """

    def __init__(self, settings: StoreSettings, height: int, width: int, wanted: Callable[[dict], Sequence[Name | None]]):
        self.settings, self.wanted = settings, wanted
        self._halvings = halvings(height, width, settings.resolution)
        self.sums: dict[Name, RunningSum] = {}
        self._sizes: dict[Name, tuple[int, int]] = {}

    def maps(self, name: Name, device: torch.device) -> Tensor:
        """The mean over layers and heads, [B, h, w, columns], of a prompt that was recorded.

        A prompt that was asked for an area of the picture has maps of that area. Several graphics cards may share the prompts of
        a step; each map waits on the one that made it until it is wanted on `device`.
        """
        return self.sums[name].mean(*self._sizes[name]).to(device)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the maps of a latent, or an area of it, of height x width cells."""
        return halved(height, width, self._halvings)

    def record(self, rows: Sequence[tuple[Name, slice]], batch: int, size: tuple[int, int], query: Tensor, key: Tensor, heads: int) -> None:
        if query.shape[1] != size[0] * size[1]:
            return
        if query.shape[0] != batch:
            raise RuntimeError(
                f"LEDITS++ cannot tell whose attention is whose: another node turned a batch of {batch} rows into {query.shape[0]} "
                "inside the attention layers. Remove that node's patch from this model, or use mask_mode 'noise' or 'none'."
            )
        for name, part in rows:
            self._sizes[name] = size
            self.sums.setdefault(name, RunningSum()).add(cross_attention_probabilities(query[part], key[part], heads), heads)


def capturing(model_options: dict, recorder: Recorder) -> dict:
    """A copy of the options with which network calls are recorded."""
    options = comfy.model_patcher.create_model_options_clone(model_options)
    comfy.patcher_extension.add_wrapper_with_key(
        WrappersMP.DIFFUSION_MODEL, KEY, partial(around_network, recorder), options, is_model_options=True
    )
    return options


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
    names = recorder.wanted(transformer_options)
    batch = x.shape[0]
    share = batch // max(len(names), 1)
    rows = [(name, slice(chunk * share, (chunk + 1) * share)) for chunk, name in enumerate(names) if name is not None]
    if rows:
        record = partial(recorder.record, rows, batch, recorder.size(*x.shape[-2:]))
        transformer_options = _with_capture(transformer_options, executor.class_obj, record, recorder.settings)
    return executor(x, timesteps, context, y, control, transformer_options, **kwargs)


def _with_capture(options: dict, network: Any, record: Callable[[Tensor, Tensor, int], None], settings: StoreSettings) -> dict:
    options = dict(options)
    replacements = dict(options.get("patches_replace", {}))
    occupants = replacements.get("attn2", {})
    captured = dict(occupants)
    for block in cross_attention_blocks(network):
        if settings.records(block.part):
            # ComfyUI looks for the transformer's own slot first, then for the block's.
            own = (block.part, block.number, block.index)
            earlier = occupants.get(own, occupants.get(own[:2]))
            captured[own] = partial(_attend_and_record, record, earlier, options)
    replacements["attn2"] = captured
    options["patches_replace"] = replacements
    return options


def _attend_and_record(
    record: Callable[[Tensor, Tensor, int], None],
    earlier: Callable | None,
    options: dict,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    extra: dict,
) -> Tensor:
    record(query, key, extra["n_heads"])
    if earlier is not None:
        return earlier(query, key, value, extra)
    attention = comfy.ldm.modules.attention.optimized_attention
    return attention(query, key, value, extra["n_heads"], attn_precision=extra["attn_precision"], transformer_options=options)
