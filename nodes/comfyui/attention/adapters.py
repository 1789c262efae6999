"""The kinds of networks whose attention can be recorded: one adapter each."""

from contextlib import AbstractContextManager
from typing import Any, Protocol

from comfy.model_patcher import ModelPatcher

from ....ledits.attention import StoreSettings
from ...errors import LeditsInputError
from .rows import RecordedCall
from .unet import UNetAdapter


class AttentionAdapter(Protocol):
    """What the recorder must know of one kind of network, for latents of one size."""

    def __init__(self, network: Any, settings: StoreSettings, height: int, width: int) -> None:
        """ValueError where the settings ask for maps that the network does not have of such a latent."""

    @staticmethod
    def supports(network: Any) -> bool:
        """Whether this is a network of the adapter's kind."""

    @staticmethod
    def encoding_width(config: dict[str, Any]) -> int | None:
        """Channels of the encodings that the network reads, from ComfyUI's unet_config; None where any width may come."""

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the maps of a latent, or of an area of it that is predicted alone."""

    def hook(self, network: Any, options: dict, call: RecordedCall) -> AbstractContextManager[dict]:
        """A copy of the transformer_options with which the network hands its attention layers to `call`.

        A layer counts where its queries are the image tokens of `call.size`; its keys are the prompt's tokens. Whatever other nodes
        have put into the options is called through, and the output of the network stays the same.
        """


ADAPTERS: list[type[AttentionAdapter]] = [UNetAdapter]
KNOWN_NETWORKS = "the UNets of SD 1.x, SD 2.x and SDXL"


def adapter_for(network: Any) -> type[AttentionAdapter] | None:
    network = getattr(network, "_orig_mod", network)  # behind torch.compile
    return next((adapter for adapter in ADAPTERS if adapter.supports(network)), None)


def encoding_width(model: ModelPatcher) -> int | None:
    """Channels of the encodings that the model reads, where they are known."""
    adapter = adapter_for(model.get_model_object("diffusion_model"))
    return None if adapter is None else adapter.encoding_width(model.model.model_config.unet_config)


def make_adapter(network: Any, settings: StoreSettings, height: int, width: int) -> AttentionAdapter:
    """The adapter of a network for latents of this size; LeditsInputError without one, or without maps of the resolution."""
    adapter = adapter_for(network)
    if adapter is None:
        raise LeditsInputError("model", f"is a {type(network).__name__}, but attention can be recorded of {KNOWN_NETWORKS} only")
    try:
        return adapter(network, settings, height, width)
    except ValueError as error:
        raise LeditsInputError("resolution", str(error)) from error
