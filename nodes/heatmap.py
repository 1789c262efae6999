"""LEDITS_Heatmap."""

from __future__ import annotations

from comfy_api.latest import io

from ..ledits.heatmap import colour, overlay
from ..ledits.masks import resize, unit_range
from ..ledits.panels import columns_of, contact_sheet, fitted
from ..ledits.tokens import merge_words
from .comfyui.preview import sheets_shown
from .comfyui.types import Attention, AttentionSocket
from .errors import LeditsInputError
from .masks import merged_map

NODE = "LEDITS++ Heatmap"
LONGEST = 4096
"""Pixels along a side of a sheet, however many words and however large the picture."""


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
            outputs=[io.Image.Output(display_name="image", tooltip="A sheet of the panels for each picture of the batch.")],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, image, attention: Attention, concept: int, opacity: float) -> io.NodeOutput:
        merged = merged_map(NODE, attention, concept, "")
        if len(image) not in (1, len(merged)):
            raise LeditsInputError(
                NODE, "image", f"holds {len(image)} pictures, but the attention is of {len(merged)}: connect the same batch"
            )
        prompt = attention.prompts[concept]
        mean, count = prompt.mean(), len(prompt.words)
        picture = fitted(image[..., :3].to(mean.device), count, LONGEST)
        size = tuple(picture.shape[1:3])
        maps = [unit_range(merge_words(mean, (place,))) for place in range(count)]
        columns = columns_of(count, *size)
        sheet = contact_sheet([overlay(picture, colour(resize(each, *size)), opacity) for each in maps], prompt.words, columns)
        return io.NodeOutput(sheet, ui=sheets_shown(cls, sheet, prompt.words, columns))
