"""Which rows of a network call belong to which prompt, whatever guider asks and whatever other nodes have predicted in between.

A prompt is recognised by the uuids of its entries where predictions are asked for, and its chunks are tracked into the network.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import Identity
from torch.nn import functional as F

from ....ledits.attention import RunningMean, cross_attention_probabilities
from ...errors import require
from ..types import Conds

CHUNKS = "ledits_chunks"

CondKey = tuple[Hashable, Hashable]  # a prompt and the uuid of one of its entries
Projection = Callable[[Tensor], Tensor]
Prompts = Callable[[], Mapping[Any, Conds]]  # the entries of every tracked prompt, as the guider has them now


@dataclass(frozen=True)
class Chunks:
    """The chunks that ComfyUI put into one network call."""

    keys: list[CondKey | None]  # None where the prompt is not tracked
    shape: tuple[int, ...]  # of the whole input, [batch, C, H, W]
    columns: dict[CondKey, int]  # of each tracked prompt's encoding, before ComfyUI repeats or pads it for the network

    def rows(self, x: Tensor) -> dict[CondKey, slice]:
        """The rows of each tracked prompt in the network's input; LeditsInputError where another node cut it up or changed their number."""
        height, width = self.shape[-2:]
        problem = (
            f"is sampled in tiles by another node, {x.shape[-1]}x{x.shape[-2]} latent pixels of {width}x{height} in a call, and how they "
            "lie in the image cannot be known, so no attention can be recorded: use the model without that node, or, to edit with it, "
            "probe the photo without it and connect that to the concept's 'attention', or choose mask_mode 'noise' or 'none'"
        )
        require(x.shape[-2:] == (height, width), "model", problem)
        require_rows(self.shape[0], len(x))
        size = self.shape[0] // len(self.keys)
        return {key: slice(i * size, (i + 1) * size) for i, key in enumerate(self.keys) if key is not None}


@dataclass(frozen=True)
class RecordedCall:
    """One network call whose attention is added to `sums`, over layers and heads."""

    sums: dict[CondKey, RunningMean]
    rows: dict[CondKey, slice]  # of each wanted prompt in the batch
    batch: int
    size: tuple[int, int]  # height and width of the maps
    conds: Mapping[str, Any] = field(default_factory=dict)  # what else the network is given, by ComfyUI's names
    columns: Mapping[CondKey, int] = field(default_factory=dict)  # of each prompt's encoding
    unmatched: set[tuple[int, int]] = field(default_factory=set)  # numbers of queries and keys of attention that was left out

    def add(self, cond: CondKey, probabilities: Tensor, count: int) -> None:
        """Adds the sum of `count` heads' probabilities, [rows, pixels of the maps, tokens]."""
        self.sums.setdefault(cond, RunningMean()).add(probabilities.unflatten(1, self.size), count)

    def add_layer(self, query: Tensor, key: Tensor, heads: int, to_query: Projection = Identity(), to_key: Projection = Identity()) -> None:
        """Adds a layer that projects to [batch, pixels of the maps, heads * d] and [batch, tokens, heads * d]; leaves others out.

        LeditsInputError where another node changed the number of rows.
        """
        if query.shape[1] != self.size[0] * self.size[1]:
            self.unmatched.add((query.shape[1], key.shape[1]))
            return
        require_rows(self.batch, len(query))
        for cond, rows in self.rows.items():
            probabilities = cross_attention_probabilities(to_query(query[rows]), to_key(key[rows]), heads)
            self.add(cond, probabilities, heads)


def require_rows(expected: int, found: int) -> None:
    problem = (
        f"has a patch of another node that turns a batch of {expected} rows into {found}, so which attention belongs to which prompt "
        "cannot be known: remove that patch, or do not record attention with it (mask_mode 'noise' or 'none')"
    )
    require(found == expected, "model", problem)


def track(
    prompts: Prompts, numbers: Mapping[Any, int], executor, model, conds: list[Conds | None], x, timestep, model_options: dict
) -> list[Tensor]:
    """A CALC_COND_BATCH wrapper; `cond_or_uncond` tells all other nodes a prompt's number, or else its index in the list."""
    known = {_uuids(entries): name for name, entries in prompts().items() if entries}
    names = [known.get(_uuids(entries)) if entries else None for entries in conds]
    columns = {
        (name, entry.get("uuid")): entry["cross_attn"].shape[1]
        for name, entries in zip(names, conds, strict=True)
        for entry in entries or ()
        if name is not None and entry.get("cross_attn") is not None
    }
    wrapper = partial(_wrap_call, names, columns, numbers, model_options.get("model_function_wrapper"))
    return executor(model, conds, x, timestep, model_options | {"model_function_wrapper": wrapper})


def _wrap_call(
    names: list[Hashable | None],
    columns: dict[CondKey, int],
    numbers: Mapping[Any, int],
    earlier: Callable | None,
    apply_model: Callable,
    arguments: dict[str, Any],
) -> Tensor:
    """Outermost model_function_wrapper: sees the batch before other wrappers change it."""
    indices, c = arguments["cond_or_uncond"], arguments["c"]
    options = c["transformer_options"]
    keys = [None if names[i] is None else (names[i], uuid) for i, uuid in zip(indices, options["uuids"], strict=True)]
    cond_or_uncond = [numbers.get(names[i], i) for i in indices]
    chunks = Chunks(keys, tuple(arguments["input"].shape), columns)
    options = options | {"cond_or_uncond": list(cond_or_uncond), CHUNKS: chunks}
    patches = options.get("patches", {})
    read: list[Tensor] = []  # of each text in each layer, whether it is there
    if patches.get("attn2_output_patch"):
        texts = [text[0] for text, key in zip(c["c_crossattn"].chunk(len(keys)), keys, strict=True) if key is not None]
        options["patches"] = patches | {"attn2_patch": [*patches.get("attn2_patch", ()), partial(_look_for_texts, texts, read)]}
    c = c | {"transformer_options": options}
    if earlier is None:
        output = apply_model(arguments["input"], arguments["timestep"], **c)
    else:
        output = earlier(apply_model, arguments | {"c": c, "cond_or_uncond": cond_or_uncond})
    problem = "has regional prompts of another node in place of every prompt, so the text of a concept is never read: remove that node"
    require(not read or bool(torch.stack(read).all()), "model", problem)  # once a call: a card is waited for here
    return output


def _look_for_texts(
    texts: list[Tensor], read: list[Tensor], hidden: Tensor, context: Tensor, value: Tensor, extra: dict
) -> tuple[Tensor, Tensor, Tensor]:
    """An attn2_patch behind regional prompts of other nodes, which may stand in place of a prompt's own text: adds whether each is there."""
    found = F.normalize(context.float(), dim=-1)
    for text in texts:
        # A text is there where one row has all of its tokens. Some packs scale them or change their sign.
        similarity = (found @ F.normalize(text.to(found), dim=-1).mT).abs()
        read.append((similarity.amax(1).amin(-1) > 0.999).any())
    return hidden, context, value


def _uuids(entries: Conds) -> tuple[Hashable, ...]:
    return tuple(entry.get("uuid") for entry in entries)
