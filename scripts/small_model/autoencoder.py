"""The small autoencoders: TAESD's layout, trained with few channels and stored in the 64 that its loader expects.

Channels beyond an autoencoder's width are zero from end to end (ReLU keeps them so), hence the stored network computes the same function.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STORED_WIDTH = 64


def _conv(n_in: int, n_out: int, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=bias)


class _Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Sequential(_conv(width, width), nn.ReLU(), _conv(width, width), nn.ReLU(), _conv(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x) + x)


class _Clamp(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / 3) * 3


class Autoencoder(nn.Module):
    """Images [B, 3, H, W] in 0..1 to latents [B, channels, H/8, W/8] and back.

    Args:
        spread, centre: one over the images' standard deviation, and their mean.
    """

    def __init__(self, channels: int, width: int, spread: float, centre: float):
        super().__init__()
        self.width = width
        down: list[nn.Module] = [_conv(3, width), _Block(width)]
        up: list[nn.Module] = [_Clamp(), _conv(channels, width), nn.ReLU()]
        for _ in range(3):
            down += [_conv(width, width, stride=2, bias=False), *(_Block(width) for _ in range(3))]
            up += [*(_Block(width) for _ in range(3)), nn.Upsample(scale_factor=2), _conv(width, width, bias=False)]
        self.taesd_encoder = nn.Sequential(*down, _conv(width, channels))
        self.taesd_decoder = nn.Sequential(*up, _Block(width), _conv(width, 3))
        self._start_near_identity(spread, centre)

    @torch.no_grad()
    def _start_near_identity(self, spread: float, centre: float) -> None:
        """Blocks start as the identity and the layers between them near it: a coarse image gets through from the first step."""
        for layer in (*self.taesd_encoder, *self.taesd_decoder):
            if isinstance(layer, _Block):
                nn.init.zeros_(layer.conv[-1].weight)
                nn.init.zeros_(layer.conv[-1].bias)
            elif isinstance(layer, nn.Conv2d):
                random = 0.3 * layer.weight.clone()
                nn.init.dirac_(layer.weight)
                layer.weight += random
        self.taesd_encoder[-1].weight *= spread
        self.taesd_encoder[-1].bias -= spread * centre
        self.taesd_decoder[1].weight /= spread
        self.taesd_decoder[1].bias += centre

    def encode(self, images: Tensor) -> Tensor:
        return self.taesd_encoder(images)

    def decode(self, latents: Tensor) -> Tensor:
        return self.taesd_decoder(latents)


def stored_state_dict(autoencoder: Autoencoder) -> dict[str, Tensor]:
    """The weights in TAESD's stored layout: every dimension of the autoencoder's width padded with zeros to 64."""
    width = autoencoder.width

    def pad(weight: Tensor) -> Tensor:
        missing = [STORED_WIDTH - width if size == width else 0 for size in weight.shape[:2]]
        widths = [0, 0] * (weight.dim() - 2)
        for extra in reversed(missing):
            widths += [0, extra]
        return F.pad(weight, widths)

    return {key: pad(weight) for key, weight in autoencoder.state_dict().items()}


def load_stored_state_dict(autoencoder: Autoencoder, stored: dict[str, Tensor]) -> Autoencoder:
    """The narrow autoencoder back from TAESD's stored layout."""
    own = autoencoder.state_dict()
    autoencoder.load_state_dict({key: stored[key][tuple(slice(size) for size in weight.shape)].float() for key, weight in own.items()})
    return autoencoder.eval()
