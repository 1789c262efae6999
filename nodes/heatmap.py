"""LEDITS_Heatmap."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..ledits.heatmap import colour, labelled, overlay
from ..ledits.masks import resize, unit_range
from ..ledits.tokens import merge_words
from .comfyui.types import Attention, AttentionSocket
from .errors import LeditsInputError
from .masks import merged_map

NODE = "LEDITS++ Heatmap"


class Heatmap(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LEDITS_Heatmap",
            display_name=NODE,
            category="LEDITS++/attention",
            description="Lays where each word looks over the picture: one labelled panel for each word.",
            search_aliases=["ledits", "attention map", "show attention"],
            inputs=[
                io.Image.Input("image", tooltip="The picture to lay the maps over."),
                AttentionSocket.Input("attention", tooltip="From Probe Attention, Capture Attention or Edit."),
                io.Int.Input("concept", default=0, min=0, max=63, tooltip="Which concept's maps, counted from 0 along the chain."),
                io.Float.Input("opacity", default=0.6, min=0.0, max=1.0, step=0.05, tooltip="0 shows only the picture, 1 only the maps."),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="The panels side by side, one row for each picture of the batch.")],
        )

    @classmethod
    def execute(cls, image, attention: Attention, concept: int, opacity: float) -> io.NodeOutput:
        merged = merged_map(NODE, attention, concept, "")
        if len(image) not in (1, len(merged)):
            raise LeditsInputError(
                NODE, "image", f"holds {len(image)} pictures, but the attention is of {len(merged)}: connect the same batch"
            )
        prompt = attention.prompts[concept]
        mean, size = prompt.mean(), tuple(image.shape[1:3])
        picture = image[..., :3].to(mean.device)
        panels = [
            labelled(overlay(picture, colour(resize(unit_range(merge_words(mean, (place,))), *size)), opacity), word)
            for place, word in enumerate(prompt.words)
        ]
        return io.NodeOutput(torch.cat(panels, dim=2))
