"""Which rows of a network call belong to which prompt, whatever guider asks and whatever other nodes add to the batch.

ComfyUI numbers the prompts of a prediction by their place in the guider's list, and other nodes have their own prompts predicted in
between or put rows of their own into the batch. So a prompt is recognised by the ids of its entries where predictions are asked for,
and its chunks are followed from there into the network.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

_CHUNKS = "ledits_chunks"
POSITIVE = 0
"""How other packs know the chunks of a prompt; 1 are those of the negative one, and many know no others."""

Name = tuple[Hashable, Hashable]
"""A prompt and the id of one of its entries."""

Branches = Callable[[], Mapping[Any, list[dict[str, Any]]]]
"""Gives the entries of every prompt that is followed, as the guider has them now."""


@dataclass(frozen=True)
class Chunks:
    """The chunks that ComfyUI put into one network call.

    Attributes:
        names: whose each is; None where nobody follows it.
        numbers: how the call's options number them.
        ids: of their entries.
        size: rows in each.
    """

    names: list[Name | None]
    numbers: list[int]
    ids: list[Hashable]
    size: int

    @classmethod
    def of(cls, options: dict) -> Chunks | None:
        """The chunks of the call with these transformer options, where they are followed."""
        return options.get(_CHUNKS)

    def rows(self, options: dict, batch: int) -> dict[Name, slice]:
        """The rows of each followed prompt in a batch to which other nodes may have added rows.

        Raises:
            RuntimeError: rows were added, and the call's options do not say which they are.
        """
        start = self._start(options["cond_or_uncond"], options["uuids"], batch)
        found = {}
        for place, name in enumerate(self.names):
            if name is not None:
                if start is None:
                    raise ambiguous_rows(len(self.names) * self.size, batch)
                found[name] = slice(start + place * self.size, start + (place + 1) * self.size)
        return found

    def _start(self, numbers: list[int], ids: list[Hashable], batch: int) -> int | None:
        own = len(self.numbers)
        if batch == own * self.size:
            return 0
        if len(numbers) * self.size != batch:
            return None
        known = len(ids) == len(numbers)
        places = [
            place
            for place in range(len(numbers) - own + 1)
            if numbers[place : place + own] == self.numbers and (not known or ids[place : place + own] == self.ids)
        ]
        return places[0] * self.size if len(places) == 1 else None


def ambiguous_rows(expected: int, found: int) -> RuntimeError:
    return RuntimeError(
        f"LEDITS++ cannot tell whose attention is whose: another node turned a batch of {expected} rows into {found} and does not say "
        "which are its own. Take that node's patch off this model; or take LEDITS++ Attention Store off it, and in an edit use "
        "mask_mode 'noise' or 'none'."
    )


def follow(
    branches: Branches,
    shown: int | None,
    executor: Any,
    model: Any,
    conds: list[list[dict[str, Any]] | None],
    x: Tensor,
    timestep: Tensor,
    model_options: dict[str, Any],
) -> list[Tensor]:
    """A CALC_COND_BATCH wrapper.

    Args:
        shown: the number by which all other nodes shall know the chunks of these prompts; None leaves ComfyUI's own.
    """
    known = {_ids(entries): name for name, entries in branches().items() if entries}
    names = [known.get(_ids(entries)) if entries else None for entries in conds]
    around = partial(_around_call, names, shown, model_options.get("model_function_wrapper"))
    return executor(model, conds, x, timestep, model_options | {"model_function_wrapper": around})


def _around_call(
    names: list[Hashable | None], shown: int | None, earlier: Callable | None, apply_model: Callable, arguments: dict[str, Any]
) -> Tensor:
    """The outermost place around a network call, where the batch is still as ComfyUI made it."""
    asked, c = arguments["cond_or_uncond"], arguments["c"]
    options = c["transformer_options"]
    numbers = [number if shown is None or names[number] is None else shown for number in asked]
    chunks = Chunks(
        [None if names[number] is None else (names[number], entry) for number, entry in zip(asked, options["uuids"], strict=True)],
        numbers,
        list(options["uuids"]),
        len(arguments["input"]) // len(asked),
    )
    c = c | {"transformer_options": options | {"cond_or_uncond": list(numbers), _CHUNKS: chunks}}
    if earlier is not None:
        return earlier(apply_model, arguments | {"c": c, "cond_or_uncond": list(numbers)})
    return apply_model(arguments["input"], arguments["timestep"], **c)


def _ids(entries: list[dict[str, Any]]) -> tuple[Hashable, ...]:
    return tuple(entry.get("uuid") for entry in entries)
