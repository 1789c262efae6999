"""LEDITS_ExtractMask."""

from __future__ import annotations

import torch
from comfy_api.latest import io
from torch import Tensor

from ..ledits.heatmap import colour
from ..ledits.masks import OFFICIAL_SMOOTHING, above_quantile, resize, smooth, unit_range, upsample
from ..ledits.panels import contact_sheet, fitted
from ..ledits.tokens import merge_words, positions_of
from .comfyui.preview import PREVIEW, share, shown
from .comfyui.types import Attention, AttentionSocket
from .errors import LeditsInputError

NODE = "LEDITS++ Extract Mask"


class ExtractMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LEDITS_ExtractMask",
            display_name=NODE,
            category="LEDITS++/attention",
            description="Turns where words look into an ordinary mask, for inpainting, compositing or any other node. Maps of several steps are averaged.",
            search_aliases=["ledits", "attention mask", "text mask"],
            inputs=[
                AttentionSocket.Input("attention", tooltip="From Probe Attention, Capture Attention or Edit."),
                io.Int.Input(
                    "concept",
                    default=0,
                    min=0,
                    max=63,
                    tooltip="Which concept's maps, counted from 0 along the chain. 0 where there is one text.",
                ),
                io.String.Input("words", default="", tooltip="Only these words of the text, such as 'dog'. Empty: all words together."),
                io.Float.Input(
                    "smoothing",
                    default=round(OFFICIAL_SMOOTHING, 4),
                    min=0.0,
                    max=16.0,
                    step=0.05,
                    round=0.0001,
                    tooltip="Blur before the cut, in cells of the map: removes specks and rounds corners. 0: none.",
                ),
                io.Float.Input(
                    "quantile",
                    default=0.9,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="About one minus the share of the picture in the mask: 0.9 keeps "
                    "the tenth that the words look at most. Lower it for larger things.",
                ),
                io.Boolean.Input(
                    "binary", default=True, tooltip="On: inside or outside. Off: a soft mask that grows with attention above the cut."
                ),
                io.Int.Input("width", default=0, min=0, max=16384, tooltip="Width of the mask in pixels; 0: the picture's."),
                io.Int.Input("height", default=0, min=0, max=16384, tooltip="Height of the mask in pixels; 0: the picture's."),
            ],
            outputs=[
                io.Mask.Output(display_name="mask", tooltip="White where the words look."),
                io.Image.Output(display_name="heatmap", tooltip="The smoothed map in colours, dark to bright."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls, attention: Attention, concept: int, words: str, smoothing: float, quantile: float, binary: bool, width: int, height: int
    ) -> io.NodeOutput:
        size = (height or attention.height, width or attention.width)
        maps = smooth(merged_map(NODE, attention, concept, words), smoothing)
        cut, levels = above_quantile(maps, quantile), unit_range(maps)
        mask = upsample(cut, *size) if binary else resize(cut * levels, *size)
        heat = colour(resize(levels, *size))

        def sheet(place: int) -> Tensor:
            one, heated = mask[place : place + 1], heat[place : place + 1]
            panels = [fitted(picture, 2, PREVIEW) for picture in (one[..., None].expand_as(heated), heated)]
            return contact_sheet(panels, [f"mask: {share(one)}", "heatmap"], 2)

        return io.NodeOutput(mask, heat, ui=shown(cls, sheet, len(mask), columns=2))


def merged_map(node: str, attention: Attention, concept: int, words: str) -> Tensor:
    """The mean map of a concept's chosen words, [B, h, w]; refuses a concept or word that is not there."""
    if concept >= len(attention.prompts):
        raise LeditsInputError(node, "concept", f"is {concept}, but the attention holds {len(attention.prompts)}, counted from 0")
    prompt = attention.prompts[concept]
    if not prompt.steps:
        raise LeditsInputError(
            node, "concept", f"is {concept} ({prompt.text!r}), which has no maps: its mask_mode used no attention, or it never acted"
        )
    try:
        positions = positions_of(prompt.words, words)
    except ValueError as error:
        raise LeditsInputError(node, "words", str(error)) from error
    maps = merge_words(prompt.mean(), positions)
    if not torch.isfinite(maps).all():
        raise LeditsInputError(
            node, "attention", "holds maps that are not finite (NaN or infinity): load the model that was looked at in another precision"
        )
    return maps
