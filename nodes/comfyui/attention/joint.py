"""Transformers with joint attention: text and image are one sequence, in which every token attends to all."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from ...errors import require
from .transformer import Layout, Parts, TransformerAdapter, count_text


class JointAdapter(TransformerAdapter):
    """The text, the image, and the images that an instruction refers to."""

    def layout(self, image: int, conds: Mapping[str, Any]) -> Layout:
        parts = self.parts(image, conds)
        return Layout(parts, parts)

    def parts(self, image: int, conds: Mapping[str, Any]) -> Parts:
        return {"text": count_text(conds), "image": image, "references": self.count_references(conds)}

    def count_references(self, conds: Mapping[str, Any]) -> int:
        sizes = [self.map_size(*latent.shape[-2:]) for latent in conds.get("ref_latents") or ()]
        return sum(height * width for height, width in sizes)


class SD3Adapter(JointAdapter):
    networks = ("modules.diffusionmodules.mmdit.MMDiT",)
    blocks = ("joint_blocks",)
    best_blocks = {24: (7,), 38: (18, 21)}

    def parts(self, image: int, conds: Mapping[str, Any]) -> Parts:
        return {"registers": self.network.register_length, **super().parts(image, conds)}


class AuraFlowAdapter(JointAdapter):
    networks = ("aura.mmdit.MMDiT",)
    blocks = ("double_layers", "single_layers")

    def parts(self, image: int, conds: Mapping[str, Any]) -> Parts:
        return {"registers": self.network.register_tokens.shape[1], **super().parts(image, conds)}


class FluxAdapter(JointAdapter):
    """Flux.1, Flux.2, LongCat-Image and Ovis-Image."""

    networks = ("Flux",)
    blocks = ("double_blocks", "single_blocks")
    best_blocks = {57: (18, 17, 12), 56: (5, 6, 7), 32: (11,), 25: (11,)}  # Flux.1; Flux.2 dev, Klein 9B, Klein 4B

    def as_encoded(self, maps: Tensor, columns: int | None) -> Tensor:
        # ComfyUI fills up the text of Flux.2 with zeros, at the left.
        return maps[..., -columns:] if columns and self.network.params.global_modulation else maps


class ChromaAdapter(JointAdapter):
    """Chroma and Chroma Radiance, which were trained on from Flux.1; they are given reference images and ignore them."""

    networks = ("Chroma",)
    blocks = FluxAdapter.blocks
    best_blocks = {57: FluxAdapter.best_blocks[57]}

    def count_references(self, conds: Mapping[str, Any]) -> int:
        return 0


class QwenImageAdapter(JointAdapter):
    networks = ("QwenImageTransformer2DModel", "MageFlowTransformer2DModel")
    blocks = ("transformer_blocks",)


class Krea2Adapter(JointAdapter):
    networks = ("SingleStreamDiT",)
    blocks = ("blocks",)
    patch = "patch"

    def count_references(self, conds: Mapping[str, Any]) -> int:
        method = conds.get("ref_latents_method", self.network.default_ref_method)
        return 0 if method is None else super().count_references(conds)


class LuminaAdapter(JointAdapter):
    """Lumina 2 and Z-Image, which fills up text and image with learned tokens."""

    networks = ("NextDiT",)
    blocks = ("layers",)
    best_blocks = {30: (18,)}  # Z-Image

    def parts(self, image: int, conds: Mapping[str, Any]) -> Parts:
        problem = "has reference images (Z-Image Omni), beside which attention cannot be recorded: use mask_mode 'noise' or 'none'"
        require(not conds.get("ref_latents"), "model", problem)
        text, multiple = count_text(conds), self.network.pad_tokens_multiple or 1
        return {"text": text, "text padding": -text % multiple, "image": image, "image padding": -image % multiple}


class OmniGen2Adapter(JointAdapter):
    networks = ("OmniGen2Transformer2DModel",)
    blocks: ClassVar[tuple[str, ...]] = ("layers",)

    def parts(self, image: int, conds: Mapping[str, Any]) -> Parts:
        return {"text": count_text(conds), "references": self.count_references(conds), "image": image}


class BooguAdapter(OmniGen2Adapter):
    networks = ("BooguTransformer2DModel",)
    blocks = ("double_stream_layers", "single_stream_layers")


class Ideogram4Adapter(JointAdapter):
    networks = ("Ideogram4Transformer2DModel",)
    blocks = ("layers",)
    patch = 1


class JoyImageAdapter(JointAdapter):
    networks = ("JoyImageTransformer3DModel",)
    blocks = ("double_blocks",)

    def parts(self, image: int, conds: Mapping[str, Any]) -> Parts:
        return {"image": image, "references": self.count_references(conds), "text": count_text(conds)}


class ErnieImageAdapter(JoyImageAdapter):
    networks = ("ErnieImageModel",)
    blocks = ("layers",)
    patched_layers = "ErnieImageAttention"


class LensAdapter(JoyImageAdapter):
    networks = ("LensTransformer2DModel",)
    blocks = ("transformer_blocks",)
    patch = 1


class PixelDiTAdapter(JointAdapter):
    """PixelDiT and PiD, whose reference is no part of the sequence."""

    networks = ("PixDiT_T2I",)
    blocks = ("patch_blocks",)

    def parts(self, image: int, conds: Mapping[str, Any]) -> Parts:
        return {"text": min(count_text(conds), self.network.txt_max_length), "image": image}


class HunyuanImageAdapter(JointAdapter):
    """Hunyuan-Image and Hunyuan-Video: quoted text comes as glyphs too, which stand behind the text, in 1.5 before it."""

    networks = ("HunyuanVideo",)
    blocks = ("double_blocks", "single_blocks")
    text = (("text",), ("glyphs",))

    def parts(self, image: int, conds: Mapping[str, Any]) -> Parts:
        glyphs = conds.get("txt_byt5")
        parts = {"text": count_text(conds), "glyphs": 0 if glyphs is None or self.network.byt5_in is None else glyphs.shape[1]}
        if self.network.cond_type_embedding is not None:
            parts = dict(reversed(parts.items()))
        return parts | {"references": 0 if conds.get("ref_latent") is None else image, "image": image}


class HiDreamAdapter(JointAdapter):
    """T5's text, and Llama's twice: its last layer, and the layer that belongs to the block."""

    networks = ("HiDreamImageTransformer2DModel",)
    blocks = ("double_stream_blocks", "single_stream_blocks")
    text = (("text",), ("llama", "llama of the block"))

    def parts(self, image: int, conds: Mapping[str, Any]) -> Parts:
        llama = conds["encoder_hidden_states_llama3"].shape[2]
        return {"image": image, "text": count_text(conds), "llama": llama, "llama of the block": llama}


class HiDreamO1Adapter(JointAdapter):
    """The first tokens of the text see no image, and ask nothing beside it."""

    networks = ("HiDreamO1Transformer",)

    def count_blocks(self) -> int:
        return len(self.network.language_model.layers)

    def layout(self, image: int, conds: Mapping[str, Any]) -> Layout:
        text, references = conds["input_ids"].shape[1], conds.get("ref_patches")
        rest = {"image": image, "references": 0 if references is None else references.shape[1]}
        return Layout({"text": text - conds["ar_len"], **rest}, {"text": text, **rest})
