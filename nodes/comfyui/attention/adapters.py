"""The kinds of networks whose attention can be recorded: one adapter each."""

from contextlib import AbstractContextManager
from typing import Any, ClassVar, Protocol

from comfy.model_patcher import ModelPatcher

from ....ledits.attention import StoreSettings
from ...errors import LeditsInputError
from . import cross, joint
from .patched_layers import patch_layers
from .rows import RecordedCall
from .unet import UNetAdapter


class AttentionAdapter(Protocol):
    """What the recorder must know of one kind of network, for latents of one size."""

    patched_layers: ClassVar[str]  # class of the attention modules that must be patched to be heard; see `patched_layers.py`

    def __init__(self, network: Any, settings: StoreSettings, height: int, width: int) -> None:
        """LeditsInputError of the Attention Store's input that asks for what the network does not have of such a latent."""

    @staticmethod
    def supports(network: Any) -> bool:
        """Whether this is a network of the adapter's kind."""

    @staticmethod
    def encoding_width(config: dict[str, Any]) -> int | None:
        """Channels of the encodings that the network reads, from ComfyUI's unet_config; None where any width may come."""

    @staticmethod
    def place_settings(network: Any, settings: StoreSettings, height: int, width: int) -> list[StoreSettings]:
        """Of the adapters whose maps together find a place in a latent of this size: one or two."""

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the maps of a latent, or of an area of it that is predicted alone."""

    def hook(self, network: Any, options: dict, call: RecordedCall) -> AbstractContextManager[dict]:
        """A copy of the transformer_options with which the network hands its attention layers to `call`.

        A layer counts where its queries are the image tokens of `call.size`, and its keys or some of them the prompt's tokens. Whatever
        other nodes have put into the options is called through, and the output of the network stays the same.
        """


ADAPTERS: list[type[AttentionAdapter]] = [
    UNetAdapter,
    joint.SD3Adapter,
    joint.AuraFlowAdapter,
    joint.FluxAdapter,
    joint.ChromaAdapter,
    joint.QwenImageAdapter,
    joint.Krea2Adapter,
    joint.LuminaAdapter,
    joint.OmniGen2Adapter,
    joint.BooguAdapter,
    joint.Ideogram4Adapter,
    joint.JoyImageAdapter,
    joint.ErnieImageAdapter,
    joint.LensAdapter,
    joint.PixelDiTAdapter,
    joint.HunyuanImageAdapter,
    joint.HiDreamAdapter,
    joint.HiDreamO1Adapter,
    cross.CosmosAdapter,
    cross.WanAdapter,
    cross.KandinskyAdapter,
    cross.PixArtAdapter,
    cross.HunyuanDiTAdapter,
    cross.CascadeAdapter,
]
KNOWN_NETWORKS = "UNets (SD 1.x, SD 2.x, SDXL) and ComfyUI's own image transformers (Flux, SD3, Qwen-Image, Z-Image and others)"


def adapter_for(network: Any) -> type[AttentionAdapter] | None:
    network = getattr(network, "_orig_mod", network)  # behind torch.compile
    return next((adapter for adapter in ADAPTERS if adapter.supports(network)), None)


def encoding_width(model: ModelPatcher) -> int | None:
    """Channels of the encodings that the model reads, where they are known."""
    adapter = adapter_for(model.get_model_object("diffusion_model"))
    return None if adapter is None else adapter.encoding_width(model.model.model_config.unet_config)


def prepare_recording(model: ModelPatcher) -> None:
    """Patches a clone of the model so that its attention can be recorded while it samples, where that takes a patch."""
    adapter = adapter_for(model.get_model_object("diffusion_model"))
    if adapter is not None and adapter.patched_layers:
        patch_layers(model, adapter.patched_layers)


def make_adapter(network: Any, settings: StoreSettings, height: int, width: int) -> AttentionAdapter:
    """The adapter of a network for latents of this size; LeditsInputError without one, or without what the settings ask for."""
    adapter = adapter_for(network)
    if adapter is None:
        raise LeditsInputError("model", f"is a {type(network).__name__}, but attention can be recorded of {KNOWN_NETWORKS} only")
    return adapter(getattr(network, "_orig_mod", network), settings, height, width)


def make_place_adapters(network: Any, settings: StoreSettings, height: int, width: int) -> list[AttentionAdapter]:
    """The adapters whose maps together find a place; otherwise as `make_adapter`."""
    adapter = adapter_for(network)
    every = [settings] if adapter is None else adapter.place_settings(getattr(network, "_orig_mod", network), settings, height, width)
    return [make_adapter(network, one, height, width) for one in every]
