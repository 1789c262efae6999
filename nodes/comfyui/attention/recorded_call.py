"""What a network's attention layers hand to the recorder during one call."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import Identity

from ....ledits.attention import RunningMean, cross_attention_probabilities
from .rows import CondKey, ambiguous_rows

Projection = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class RecordedCall:
    """One network call whose attention is added to `sums`, over layers and heads."""

    sums: dict[CondKey, RunningMean]
    rows: dict[CondKey, slice]  # of each wanted prompt in the batch
    batch: int
    size: tuple[int, int]  # height and width of the maps

    def add_layer(self, query: Tensor, key: Tensor, heads: int, to_query: Projection = Identity(), to_key: Projection = Identity()) -> None:
        """Adds a layer that projects to [batch, pixels of the maps, heads * d] and [batch, tokens, heads * d]; leaves others out.

        RuntimeError where another node changed the number of rows.
        """
        if query.shape[1] != self.size[0] * self.size[1]:
            return
        if len(query) != self.batch:
            raise ambiguous_rows(self.batch, len(query))
        for cond, rows in self.rows.items():
            probabilities = cross_attention_probabilities(to_query(query[rows]), to_key(key[rows]), heads)
            self.sums.setdefault(cond, RunningMean()).add(probabilities.unflatten(1, self.size), heads)
