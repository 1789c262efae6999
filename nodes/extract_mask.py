import torch
from comfy_api.latest import io
from torch import Tensor

from ..ledits.masks import OFFICIAL_SMOOTHING, above_threshold, min_max_normalize, resize_bilinear, resize_nearest, smooth
from .checks import get_maps, merge_map
from .comfyui.images.heatmap import apply_colormap
from .comfyui.images.panels import contact_sheet, fit
from .comfyui.images.preview import PREVIEW_SIZE, describe_area, image_ui
from .comfyui.types import Attention, AttentionSocket
from .errors import LeditsInputError


class ExtractMaskNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LEDITS_ExtractMask",
            display_name="LEDITS++ Extract Mask",
            category="LEDITS++/attention",
            description="Turns the attention of words into a mask for any other node, such as inpainting. Uses the mean of the steps.",
            search_aliases=[
                *("ledits", "attention mask", "text mask", "text to mask", "mask from text", "clipseg"),
                "\u6587\u5b57\u906e\u7f69",  # Chinese: text mask
            ],
            inputs=[
                AttentionSocket.Input("attention", tooltip="From Probe Attention, Capture Attention or Edit."),
                io.Int.Input("concept", default=0, min=0, max=63, tooltip="Which concept's maps, counted from 0 along the chain."),
                io.String.Input(
                    "words", default="", tooltip="Only these words of the text, such as 'dog'; '-dog': all but dog. Empty: all words."
                ),
                io.Float.Input(
                    "smoothing",
                    default=round(OFFICIAL_SMOOTHING, 4),
                    min=0.0,
                    max=16.0,
                    step=0.05,
                    round=0.0001,
                    advanced=True,
                    tooltip="Blur before the cut, in pixels of the map: removes specks and rounds corners. 0: none.",
                ),
                io.Float.Input(
                    "quantile",
                    default=0.9,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="0.9 keeps the tenth with most attention; 0.5 keeps half. 0: found in the map itself.",
                ),
                io.Boolean.Input("binary", default=True, tooltip="On: inside or outside. Off: soft, by the attention above the cut."),
                io.Int.Input("width", default=0, min=0, max=16384, advanced=True, tooltip="Width of the mask in pixels; 0: the image's."),
                io.Int.Input("height", default=0, min=0, max=16384, advanced=True, tooltip="Height of the mask in pixels; 0: the image's."),
            ],
            outputs=[
                io.Mask.Output(display_name="mask", tooltip="White where the attention of the words is strong."),
                io.Image.Output(display_name="heatmap", tooltip="The smoothed map in colors, dark to bright."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls, attention: Attention, concept: int, words: str, smoothing: float, quantile: float, binary: bool, width: int, height: int
    ) -> io.NodeOutput:
        size = (height or attention.height, width or attention.width)
        cut = levels = torch.zeros(1, 1, 1)
        note = ""
        try:
            prompt = get_maps(attention, concept)
        except LeditsInputError as error:
            # A good edit may have made no maps: its run goes on, with nothing selected.
            note = f"The mask is black: '{error.name}' {error.problem}"
        else:
            maps = smooth(merge_map(prompt, words), smoothing)
            cut, levels = above_threshold(maps, quantile), min_max_normalize(maps)
            if quantile == 0:
                note = f"The quantile found: {', '.join(f'{1 - share:.2f}' for share in cut.mean((1, 2)).tolist())}"
        mask = resize_nearest(cut, *size) if binary else resize_bilinear(cut * levels, *size)
        heatmap = apply_colormap(resize_bilinear(levels, *size))

        def draw_sheet(index: int) -> Tensor:
            panels = [fit(images[index][None], PREVIEW_SIZE, 2) for images in (mask[..., None].expand_as(heatmap), heatmap)]
            return contact_sheet(panels, [f"mask: {describe_area(mask[index])}", "heatmap"], 2)

        return io.NodeOutput(mask, heatmap, ui=image_ui(cls, draw_sheet, len(mask), columns=2, text=note))
