"""ComfyUI's own nodes, called as the tests need them."""

from __future__ import annotations

from typing import Any

from scripts.host import in_comfy  # noqa: F401 (ComfyUI must be set to the CPU before anything of it is imported)

import torch
from torch import Tensor


def outputs_of(result: Any) -> tuple[Any, ...]:
    """A node's outputs, in either of ComfyUI's ways to return them."""
    return getattr(result, "result", result)


def first_output(result: Any) -> Any:
    return outputs_of(result)[0]


@torch.inference_mode()
def sample(model: Any, positive: Any, negative: Any, latent: dict[str, Tensor] | None = None, **settings: Any) -> dict[str, Tensor]:
    """What the node KSampler makes of a LATENT, by default an empty one; settings: seed, steps, cfg."""
    import nodes

    empty = {"samples": torch.zeros(1, 4, 32, 32)}
    asked = {"seed": 1, "steps": 4, "cfg": 4.0} | settings
    return nodes.common_ksampler(
        model, sampler_name="euler", scheduler="normal", positive=positive, negative=negative, latent=latent or empty, **asked
    )[0]
