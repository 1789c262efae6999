"""ComfyUI's transformers: attention between the tokens of text and image, whichever way they are arranged.

Their attention functions ask the call's transformer_options for `optimized_attention_override`. There the recorder sees queries and keys
as they are compared, after norms and rotary embeddings, whatever backend computes the result.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from ....ledits.attention import StoreSettings, attention_probabilities, middle_third
from ...errors import require
from .patched_layers import listening
from .rows import RecordedCall, require_rows

OVERRIDE = "optimized_attention_override"

Parts = dict[str, int]  # tokens of each part of a sequence, in order


@dataclass(frozen=True)
class Layout:
    """What the attention between image and text compares in one network call; other calls have other lengths."""

    queries: Parts
    keys: Parts

    @property
    def lengths(self) -> tuple[int, int]:
        return sum(self.queries.values()), sum(self.keys.values())


class TransformerAdapter:
    """What all transformers share; one subclass a family says where its blocks, patches and tokens are."""

    networks: ClassVar[tuple[str, ...]]  # classes, with their module where two have one name; their subclasses are meant too
    blocks: ClassVar[tuple[str, ...]]  # lists of the blocks with such attention, in the order in which they run
    patch: ClassVar[str | int] = "patch_size"  # latent pixels along a side of a token, or the network's attribute that tells
    text: ClassVar[tuple[tuple[str, ...], ...]] = (("text",),)  # parts of the keys that are the prompt; those in one tuple are copies
    patched_layers: ClassVar[str] = ""  # class of the attention modules, where those are given no transformer_options
    best_blocks: ClassVar[Mapping[int, tuple[int, ...]]] = {}  # where published measurements found words best, by the number of blocks

    def __init__(self, network: Any, settings: StoreSettings, height: int, width: int):
        self.network = network
        depth = self.count_blocks()
        last = max(settings.blocks, default=0)
        require(last < depth, "blocks", f"has {last}, but the blocks of this {type(network).__name__} are 0 to {depth - 1}")
        self.recorded = settings.blocks or self.best_blocks.get(depth) or middle_third(depth, self.affordable_blocks(depth))

    @classmethod
    def supports(cls, network: Any) -> bool:
        names = [(base.__name__, f"{base.__module__.removeprefix('comfy.ldm.')}.{base.__name__}") for base in type(network).__mro__]
        return any(name in cls.networks for both in names for name in both)

    @staticmethod
    def encoding_width(config: dict[str, Any]) -> int | None:
        return None

    @staticmethod
    def place_settings(network: Any, settings: StoreSettings, height: int, width: int) -> list[StoreSettings]:
        return [settings]

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        patch = getattr(self.network, self.patch) if isinstance(self.patch, str) else self.patch
        patch = patch if isinstance(patch, int) else patch[-1]
        return -(-height // patch), -(-width // patch)

    def count_blocks(self) -> int:
        return sum(len(getattr(self.network, name)) for name in self.blocks)

    def affordable_blocks(self, depth: int) -> int:
        """So many that recording them takes about 1 % of a step: each costs a third of a block's own time."""
        return max(1, depth // 16)

    def layout(self, image: int, conds: Mapping[str, Any]) -> Layout:
        """Where text and image are, for so many image tokens and what else the network is given."""
        raise NotImplementedError

    def block_of(self, call: int, layout: Layout) -> int | None:
        """The block of a call of matching lengths, numbered from 0 in the order of the calls; None where such a call is another kind."""
        return call

    def as_encoded(self, maps: Tensor, columns: int | None) -> Tensor:
        """Maps of the text's columns as the conditioning holds them, [..., tokens]: so many, where that is known."""
        return maps

    @contextlib.contextmanager
    def hook(self, network: Any, options: dict, call: RecordedCall) -> Iterator[dict]:
        layout = self.layout(call.size[0] * call.size[1], call.conds)
        override = _Override(self, layout, call, options.get(OVERRIDE))
        with listening(override.record):
            yield options | {OVERRIDE: override}


class _Override:
    """Records the attention of one network call, and calls through what was there before."""

    def __init__(self, adapter: TransformerAdapter, layout: Layout, call: RecordedCall, earlier: Callable | None):
        self._adapter, self._layout, self._call, self._earlier = adapter, layout, call, earlier
        self._matched = 0

    def __call__(self, attention: Callable, *args: Any, **kwargs: Any) -> Tensor:
        self.record(*args, **kwargs)
        return attention(*args, **kwargs) if self._earlier is None else self._earlier(attention, *args, **kwargs)

    def record(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        heads: int,
        mask: Tensor | None = None,
        *_: Any,
        skip_reshape: bool = False,
        scale: float | None = None,
        **__: Any,
    ) -> None:
        """Takes the arguments of ComfyUI's attention functions."""
        width = query.shape[-1] if skip_reshape else query.shape[-1] // heads
        query, key = (tensor if skip_reshape else tensor.unflatten(-1, (-1, width)).transpose(1, 2) for tensor in (query, key))
        lengths = query.shape[2], key.shape[2]
        if lengths != self._layout.lengths:
            self._call.unmatched.add(lengths)
            return
        block = self._adapter.block_of(self._matched, self._layout)
        self._matched += 1
        if block not in self._adapter.recorded:
            return
        require_rows(self._call.batch, len(query))
        image = _span(self._layout.queries, "image")
        if mask is not None and mask.shape[-2] > 1:
            mask = mask[..., image, :]
        columns = [[_span(self._layout.keys, part) for part in copies] for copies in self._adapter.text]
        for cond, rows in self._call.rows.items():
            bias = mask if mask is None or mask.ndim == 2 or len(mask) == 1 else mask[rows]
            maps = attention_probabilities(query[rows, :, image], key[rows], columns, scale, bias)
            self._call.add(cond, self._adapter.as_encoded(maps, self._call.columns.get(cond)), heads)


def _span(parts: Parts, name: str) -> slice:
    start = sum(list(parts.values())[: list(parts).index(name)])
    return slice(start, start + parts[name])


def count_text(conds: Mapping[str, Any]) -> int:
    context = conds["c_crossattn"]
    return 0 if context is None else context.shape[1]
