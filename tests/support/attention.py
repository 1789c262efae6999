"""ComfyUI's own choice of attention on GPUs, for tests on the CPU."""

from typing import Any

import comfy.ldm.modules.attention
from comfy.model_patcher import ModelPatcher


def with_torch_attention(model: ModelPatcher) -> ModelPatcher:
    """A clone that computes attention with PyTorch's own function, as --use-pytorch-cross-attention and GPUs do.

    ComfyUI's default on a CPU rounds otherwise for other batch sizes, and holds the scores of a whole layer.
    """
    model = model.clone()

    def override(chosen: Any, *arguments: Any, **options: Any) -> Any:
        return comfy.ldm.modules.attention.attention_pytorch(*arguments, **options)

    model.model_options["transformer_options"]["optimized_attention_override"] = override
    return model
