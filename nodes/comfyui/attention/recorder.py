"""Recording attention while ComfyUI samples, without changing what it computes.

The recorder binds late: around every network call it takes what is in the attention slots at that moment, puts itself in front on
a copy of the call's options, and calls the earlier occupant through. Nothing is installed on the model or in the shared options.
"""

import contextlib
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import comfy.patcher_extension
import torch
from comfy.patcher_extension import WrappersMP
from comfyui_version import __version__
from torch import Tensor

from ....ledits.attention import RunningMean
from ...errors import LeditsInputError
from .. import KEY
from .adapters import AttentionAdapter
from .rows import CHUNKS, CondKey, Prompts, RecordedCall, track

ATTENTION_SKIPPED = (
    "another node skipped the network's attention layers, computed them in its own way, or changed their size (a cache, token merging, "
    "tiles, prompt areas, a downscale). Take that node off this model; or let the concept begin after its steps, with 'warmup'; or make "
    "masks without attention, with mask_mode 'noise' or 'none'"
)


class AttentionNotSeenError(LeditsInputError):
    """A step in which no attention between the image and a prompt's words went by."""


class Recorder:
    """Sums one step's attention over layers and heads, for the prompts that are wanted."""

    def __init__(self, adapter: AttentionAdapter, wants: Callable[[CondKey], bool]):
        self.adapter, self.wants = adapter, wants
        self.sums: dict[CondKey, RunningMean] = {}
        self.network = "network"
        self.unmatched: set[tuple[int, int]] = set()  # numbers of queries and keys of attention that was seen and left out

    def maps(self, key: CondKey, device: torch.device) -> Tensor:
        """The mean over layers and heads, [B, h, w, tokens], of a recorded prompt, or of the area that it was predicted for.

        Several GPUs may share the prompts of a step; each map stays on the one that made it until it is wanted on `device`.
        """
        return self.sums[key].mean().to(device)

    def not_seen(self, text: str) -> AttentionNotSeenError:
        others = ", ".join(f"{queries}x{keys}" for queries, keys in sorted(self.unmatched)) or "none"
        problem = (
            f"is a {self.network} and has no attention maps of {text!r} (attention of other sizes: {others}; ComfyUI {__version__}): "
            f"{ATTENTION_SKIPPED}"
        )
        return AttentionNotSeenError("model", problem)

    def apply_model_wrapper(
        self, executor: Any, x: Tensor, t, c_concat=None, c_crossattn=None, control=None, transformer_options: dict = {}, **kwargs: Any
    ) -> Any:
        """An APPLY_MODEL wrapper: the one that every network has, with one signature."""
        chunks = transformer_options.get(CHUNKS)
        if chunks is None or not any(key is not None and self.wants(key) for key in chunks.keys):
            return executor(x, t, c_concat, c_crossattn, control, transformer_options, **kwargs)
        rows = {key: rows for key, rows in chunks.rows(x).items() if self.wants(key)}
        size, conds = self.adapter.map_size(*x.shape[-2:]), kwargs | {"c_crossattn": c_crossattn}
        call = RecordedCall(self.sums, rows, len(x), size, conds, chunks.columns, self.unmatched)
        network = getattr(executor.class_obj.diffusion_model, "_orig_mod", executor.class_obj.diffusion_model)
        self.network = type(network).__name__
        with self.adapter.hook(network, transformer_options, call) as hooked:
            return executor(x, t, c_concat, c_crossattn, control, hooked, **kwargs)


def tracked_options(model_options: dict, prompts: Prompts, numbers: Mapping[Any, int], *recorders: Recorder) -> dict:
    """A copy of the options with which these prompts, instead of others, are tracked into the network and recorded there; see `track`."""
    transformer_options = model_options.get("transformer_options", {})
    wrappers = {
        kind: {key: list(functions) for key, functions in keyed.items() if key != KEY}
        for kind, keyed in transformer_options.get("wrappers", {}).items()
    }
    # All else is shared: other nodes may keep something there from step to step.
    options = model_options | {"transformer_options": transformer_options | {"wrappers": wrappers}}
    install_recording(options, prompts, *(recorder.apply_model_wrapper for recorder in recorders), numbers=numbers)
    return options


def install_recording(model_options: dict, prompts: Prompts, *apply_model_wrappers: Callable, numbers: Mapping[Any, int] = {}) -> None:
    """Tracks these prompts into the network for as long as these options are used, and records them there; see `track`."""
    wrappers: list[tuple[str, Callable]] = [(WrappersMP.CALC_COND_BATCH, partial(track, prompts, numbers))]
    if apply_model_wrappers:
        wrappers += [(WrappersMP.CALC_COND_BATCH, _run_eagerly), *((WrappersMP.APPLY_MODEL, wrapper) for wrapper in apply_model_wrappers)]
    for kind, wrapper in wrappers:
        comfy.patcher_extension.add_wrapper_with_key(kind, KEY, wrapper, model_options, is_model_options=True)


def _run_eagerly(executor: Any, *args: Any) -> Any:
    """A CALC_COND_BATCH wrapper. Compiled graphs ignore patches added later, so run eagerly while recording."""
    if "torch._dynamo" not in sys.modules:  # nothing was compiled
        return executor(*args)
    with getattr(torch.compiler, "set_stance", contextlib.nullcontext)("force_eager"):
        return executor(*args)
