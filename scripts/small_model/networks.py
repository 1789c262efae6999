"""The small networks that are trained here, out of ComfyUI's own classes and freshly initialised, and their files."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from scripts.small_model.autoencoder import Autoencoder, load_stored_state_dict, stored_state_dict

NETWORK, TEXT, VAE = "model.diffusion_model.", "cond_stage_model.transformer.text_model.", "first_stage_model."
"""Where a checkpoint has its parts."""


class Denoiser(nn.Module):
    """A network with its text model."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        from transformers import CLIPTextConfig, CLIPTextModel

        from scripts.small_model.comfyui_node import TEXT_MODEL

        self.network = network
        for module in network.modules():
            # ComfyUI's layers leave their weights uninitialised, since it always loads them.
            for kind in (nn.Conv2d, nn.Linear, nn.GroupNorm, nn.LayerNorm):
                if isinstance(module, kind):
                    kind.reset_parameters(module)
        self.text = CLIPTextModel(CLIPTextConfig(**TEXT_MODEL))

    def add_noise(self, x0: Tensor, noise: Tensor, share: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The state at a share of the training's noise levels, [B] from the noisiest, 0, to the cleanest, 1.

        Returns:
            The state, what the network is told of its level, what it shall predict, and alpha, [B].
        """
        raise NotImplementedError

    def forward(self, x: Tensor, level: Tensor, tokens: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The prediction, and each layer's attention to the text as [B, cells, tokens], mean over heads."""
        raise NotImplementedError


class UNetDenoiser(Denoiser):
    """SD 1.5's UNet, which predicts v."""

    def __init__(self, config: dict[str, Any], high_noise: float) -> None:
        """The larger `high_noise`, the more noise is trained on. Only there do colour, position and shape come from the words; at lower
        noise the image shows them."""
        import comfy.ops
        from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

        super().__init__(UNetModel(**config, operations=comfy.ops.disable_weight_init))
        self.high_noise = high_noise
        for name, parameter in self.network.named_parameters():
            if name.endswith(("out_layers.3.weight", "out_layers.3.bias", "proj_out.weight", "proj_out.bias")) or name.startswith("out.2."):
                nn.init.zeros_(parameter)

    @functools.cached_property
    def levels(self) -> tuple[Tensor, Tensor]:
        """alpha and sigma of the 1000 training timesteps, as ComfyUI has them for this checkpoint."""
        betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
        alphas = (1 - betas).cumprod(0)
        return alphas.sqrt().float(), (1 - alphas).sqrt().float()

    def levels_at(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """alpha and sigma of these timesteps, [B] to [B, 1, 1, 1]."""
        alpha, sigma = (values.to(level.device)[level].view(-1, 1, 1, 1) for values in self.levels)
        return alpha, sigma

    def add_noise(self, x0: Tensor, noise: Tensor, share: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        level = (999.999 * (1 - share**self.high_noise)).long()
        a, s = self.levels_at(level)
        return a * x0 + s * noise, level, a * noise - s * x0, a.flatten()

    def forward(self, x: Tensor, level: Tensor, tokens: Tensor) -> tuple[Tensor, list[Tensor]]:
        from comfy.ldm.modules.attention import attention_pytorch

        layers: list[Tensor] = []

        def attend(query: Tensor, key: Tensor, value: Tensor, extra: dict) -> Tensor:
            q, k, v = (part.unflatten(-1, (extra["n_heads"], -1)).transpose(1, 2) for part in (query, key, value))
            probabilities = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
            layers.append(probabilities.mean(1))
            return (probabilities @ v).transpose(1, 2).flatten(2)

        blocks = [(part, number) for part, count in (("input", 20), ("middle", 1), ("output", 20)) for number in range(count)]
        options = {
            "optimized_attention_override": lambda _, *args, **kwargs: attention_pytorch(*args, **kwargs),
            "patches_replace": {"attn2": dict.fromkeys(blocks, attend)},
        }
        return self.network(x, level, self.text(tokens).last_hidden_state, transformer_options=options), layers


class TransformerDenoiser(Denoiser):
    """SD3's transformer, which predicts the flow's velocity. It reads the text model of the trained UNet, as it is."""

    shift = 3.0  # of the noise levels towards the noisy end, as ComfyUI samples SD3

    def __init__(self, config: dict[str, Any], checkpoint: Path) -> None:
        import comfy.ops
        from comfy.ldm.modules.diffusionmodules.mmdit import OpenAISignatureMMDITWrapper, get_2d_sincos_pos_embed

        super().__init__(OpenAISignatureMMDITWrapper(**config, operations=comfy.ops.disable_weight_init))
        positions = get_2d_sincos_pos_embed(self.network.hidden_size, config["pos_embed_max_size"])
        self.network.pos_embed.copy_(torch.from_numpy(positions))
        for name, parameter in self.network.named_parameters():
            if parameter.dim() == 1 and name.endswith(("ln_q.weight", "ln_k.weight")):
                nn.init.ones_(parameter)
            elif ".adaLN_modulation." in name or name.startswith("final_layer."):
                nn.init.zeros_(parameter)  # blocks start as the identity
        self.text.load_state_dict({key.removeprefix(TEXT): value for key, value in load_file(checkpoint).items() if key.startswith(TEXT)})
        self.text.requires_grad_(False)

    def add_noise(self, x0: Tensor, noise: Tensor, share: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        sigma = self.shift * (1 - share) / (1 + (self.shift - 1) * (1 - share))
        s = sigma.view(-1, 1, 1, 1)
        return (1 - s) * x0 + s * noise, 1000 * sigma, noise - x0, 1 - sigma

    def forward(self, x: Tensor, level: Tensor, tokens: Tensor) -> tuple[Tensor, list[Tensor]]:
        layers: list[Tensor] = []
        words = tokens.shape[1]

        def attend(_: Any, q: Tensor, k: Tensor, v: Tensor, heads: int, *args: Any, **kwargs: Any) -> Tensor:
            q, k, v = (part.flatten(2).unflatten(-1, (heads, -1)).transpose(1, 2) for part in (q, k, v))
            scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
            # The share of each word among all words is what can be taught; how much the image attends to text at all is left free.
            layers.append(scores[:, :, words:, :words].softmax(-1).mean(1))
            return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)

        context = self.text(tokens).last_hidden_state
        prediction = self.network(x, level, context, transformer_options={"optimized_attention_override": attend})
        return prediction, layers[len(layers) // 4 : -(len(layers) // 4)]


def export_checkpoint(path: Path, mean: dict[str, Tensor], autoencoder: Autoencoder | None, metadata: dict[str, str]) -> None:
    """A file that ComfyUI's loaders take, in half precision: a checkpoint, or without an autoencoder the network alone.

    Args:
        mean: a denoiser's weights.
    """
    weights = {NETWORK + key.removeprefix("network."): mean[key] for key in mean if key.startswith("network.")}
    if autoencoder is not None:
        weights |= {VAE + key: value for key, value in stored_state_dict(autoencoder).items()}
        text = {key.removeprefix("text.").removeprefix("text_model."): mean[key] for key in mean if key.startswith("text.")}
        weights |= {TEXT + key: value for key, value in text.items() if "position_ids" not in key}
    partial = path.with_suffix(".partial")
    save_file({key: value.half().cpu().contiguous() for key, value in weights.items()}, partial, metadata=metadata)
    partial.rename(path)


def import_checkpoint(path: Path, autoencoder: Autoencoder) -> tuple[Autoencoder, dict[str, Tensor]]:
    """What `export_checkpoint` wrote, to train on from: the autoencoder, filled, and a denoiser's weights."""
    weights = load_file(path)
    stored = {key.removeprefix(VAE): value for key, value in weights.items() if key.startswith(VAE)}
    mean = {f"network.{key.removeprefix(NETWORK)}": value.float() for key, value in weights.items() if key.startswith(NETWORK)}
    mean |= {f"text.{key.removeprefix(TEXT)}": value.float() for key, value in weights.items() if key.startswith(TEXT)}
    return load_stored_state_dict(autoencoder, stored), mean
