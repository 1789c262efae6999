"""Transformers with cross-attention: the image's tokens attend to each other in one call, and to the text in another."""

from collections.abc import Mapping
from typing import Any

from .transformer import Layout, TransformerAdapter, count_text


class CrossAdapter(TransformerAdapter):
    """In each block self-attention comes first; with as many tokens in the text as in the image, both calls have the same lengths."""

    blocks = ("blocks",)

    @property
    def calls_before(self) -> int:
        """Of self-attention among the text's tokens."""
        return 0

    def affordable_blocks(self, depth: int) -> int:
        return depth

    def layout(self, image: int, conds: Mapping[str, Any]) -> Layout:
        return Layout({"image": image}, {"text": count_text(conds)})

    def block_of(self, call: int, layout: Layout) -> int | None:
        queries, keys = layout.lengths
        if queries != keys:
            return call
        first = call - self.calls_before
        return first // 2 if first % 2 else None


class CosmosAdapter(CrossAdapter):
    """Cosmos-Predict2 and Anima."""

    networks = ("MiniTrainDIT",)
    patch = "patch_spatial"


class WanAdapter(CrossAdapter):
    networks = ("WanModel",)


class KandinskyAdapter(CrossAdapter):
    networks = ("Kandinsky5",)
    blocks = ("visual_transformer_blocks",)

    @property
    def calls_before(self) -> int:
        return len(self.network.text_transformer_blocks)


class PixArtAdapter(CrossAdapter):
    networks = ("PixArtMS",)
    patched_layers = "MultiHeadCrossAttention"

    def block_of(self, call: int, layout: Layout) -> int | None:
        return call  # only cross-attention is patched


class HunyuanDiTAdapter(PixArtAdapter):
    """Two encoders' texts, one after the other."""

    networks = ("HunYuanDiT",)
    patched_layers = "CrossAttention"
    text = (("text",), ("t5",))

    def layout(self, image: int, conds: Mapping[str, Any]) -> Layout:
        return Layout({"image": image}, {"text": count_text(conds), "t5": conds["encoder_hidden_states_t5"].shape[1]})


class CascadeAdapter(TransformerAdapter):
    """Stable Cascade, stage C: the image's tokens attend to themselves and to the text in one call."""

    networks = ("StageC",)
    patch = 1

    def count_blocks(self) -> int:
        return sum(type(module).__name__ == "AttnBlock" for module in self.network.modules())

    def layout(self, image: int, conds: Mapping[str, Any]) -> Layout:
        images = conds["clip_img"]
        pooled = self.network.c_clip_seq * (1 + (images.shape[1] if images.ndim == 3 else 1))
        return Layout({"image": image}, {"image": image, "text": conds["clip_text"].shape[1], "pooled": pooled})
