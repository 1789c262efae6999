"""ComfyUI's UNet (SD 1.x, SD 2.x, SDXL): cross-attention layers in the transformer blocks of three parts."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import comfy.ldm.modules.attention
from comfy.ldm.modules.diffusionmodules.openaimodel import Downsample, Upsample
from torch import Tensor

from ....ledits.attention import StoreSettings, downsampled_size, downsampling_steps
from ...errors import require
from .rows import RecordedCall

LayerAddress = tuple[str, int, int]  # as ComfyUI numbers a layer: part ("input", "middle", "output"), block and transformer


def cross_attention_layers(network: Any) -> Iterator[tuple[LayerAddress, int, Any]]:
    """The cross-attention layers of a UNet, each with how often the latent was halved before it; none for other networks."""
    level = 0
    parts = {
        "input": getattr(network, "input_blocks", ()),
        "middle": [getattr(network, "middle_block", None) or ()],
        "output": getattr(network, "output_blocks", ()),
    }
    for part, blocks in parts.items():
        for number, block in enumerate(blocks):
            for layer in block:
                level += isinstance(layer, Downsample) - isinstance(layer, Upsample)
                for index, transformer in enumerate(getattr(layer, "transformer_blocks", ())):
                    if getattr(transformer, "attn2", None) is not None:
                        yield (part, number, index), level, transformer.attn2


class UNetAdapter:
    def __init__(self, network: Any, settings: StoreSettings, height: int, width: int):
        self._recorded = {"input": settings.down, "middle": settings.mid, "output": settings.up}
        levels = {level for address, level, _ in cross_attention_layers(network) if self._recorded[address[0]]}
        self._steps = downsampling_steps(height, width, settings.resolution, levels)

    @staticmethod
    def supports(network: Any) -> bool:
        return next(cross_attention_layers(network), None) is not None

    @staticmethod
    def encoding_width(config: dict[str, Any]) -> int | None:
        width = config.get("context_dim")
        return width if isinstance(width, int) else None

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        return downsampled_size(height, width, self._steps)

    @contextlib.contextmanager
    def hook(self, network: Any, options: dict, call: RecordedCall) -> Iterator[dict]:
        options, hook = dict(options), _Hook(call)
        replacements = options.get("patches_replace", {})
        occupants = replacements.get("attn2", {})
        hooked = dict(occupants)
        for address, _, layer in cross_attention_layers(network):
            if self._recorded[address[0]]:
                # ComfyUI takes the transformer's own slot first, then the block's.
                earlier = occupants.get(address, occupants.get(address[:2]))
                hooked[address] = partial(hook.replace_attention, layer, earlier, options)
        options["patches_replace"] = replacements | {"attn2": hooked}
        patches = options.get("patches", {})
        if patches.get("attn2_patch"):
            followed = itertools.chain.from_iterable((patch, hook.follow_inputs) for patch in patches["attn2_patch"])
            options["patches"] = patches | {"attn2_patch": [hook.capture_inputs, *followed]}
        try:
            yield options
        finally:
            # Break the reference cycle now so the maps are freed without waiting for the garbage collector.
            hooked.clear()


class _Hook:
    """Stands around all other patches of the cross-attention layers during one network call."""

    def __init__(self, call: RecordedCall):
        self._call = call
        self._inputs: tuple[Tensor, Tensor] | None = None
        self._tokens = 0

    def capture_inputs(self, hidden: Tensor, context: Tensor, value: Tensor, extra: dict) -> tuple[Tensor, Tensor, Tensor]:
        """An attn2_patch before other nodes' ones: keeps what reaches a layer."""
        self._inputs, self._tokens = (hidden, context), context.shape[1]
        return hidden, context, value

    def follow_inputs(self, hidden: Tensor, context: Tensor, value: Tensor, extra: dict) -> tuple[Tensor, Tensor, Tensor]:
        """An attn2_patch behind each of them: keeps what it leaves, as long as that is the prompt's own rows and tokens."""
        assert self._inputs is not None
        if hidden.shape[:2] == self._inputs[0].shape[:2] and context.shape[1] <= self._inputs[1].shape[1]:
            self._inputs = hidden, context
        else:
            problem = "has a patch that takes tokens away (NegPip) behind one that adds rows or tokens: connect the former first"
            require(context.shape[1] >= self._tokens, "model", problem)
        self._tokens = context.shape[1]
        return hidden, context, value

    def replace_attention(
        self, layer: Any, earlier: Callable | None, options: dict, query: Tensor, key: Tensor, value: Tensor, extra: dict
    ) -> Tensor:
        """An attn2 replacement: records the layer, then computes what would have been computed without it."""
        heads = extra["n_heads"]
        (hidden, context), self._inputs = self._inputs or (query, key), None
        # Regional prompts and the like give the layer rows or tokens of their own. The prompt's words are those that came in.
        if hidden.shape[:2] != query.shape[:2] or context.shape[1] < key.shape[1]:
            self._call.add_layer(hidden, context, heads, layer.to_q, layer.to_k)
        else:
            self._call.add_layer(query, key, heads)
        if earlier is not None:
            return earlier(query, key, value, extra)
        attention = comfy.ldm.modules.attention.optimized_attention
        return attention(query, key, value, heads, attn_precision=extra.get("attn_precision"), transformer_options=options)
