from comfy_api.latest import io

from ..ledits.masks import min_max_normalize, resize_bilinear
from .checks import get_maps, merge_map
from .comfyui.images.heatmap import apply_colormap, overlay
from .comfyui.images.panels import contact_sheet, count_columns, fit
from .comfyui.images.preview import sheet_ui
from .comfyui.images.readings import readings
from .comfyui.types import Attention, AttentionSocket
from .errors import LeditsInputError, require

MAX_SHEET_SIZE = 4096  # pixels along a side, for any number of words


class HeatmapNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LEDITS_Heatmap",
            display_name="LEDITS++ Heatmap",
            category="LEDITS++/attention",
            description="Shows the attention of each word over the image: one labeled panel for each word.",
            search_aliases=["ledits", "attention map", "show attention", "\u70ed\u56fe"],  # Chinese: heatmap
            inputs=[
                io.Image.Input("image", tooltip="The image to lay the maps over."),
                AttentionSocket.Input("attention", tooltip="From Probe Attention, Capture Attention or Edit."),
                io.Int.Input("concept", default=0, min=0, max=63, tooltip="Which concept's maps, counted from 0 along the chain."),
                io.Float.Input(
                    "opacity",
                    default=0.6,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    advanced=True,
                    tooltip="0 shows only the image, 1 only the maps.",
                ),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="A sheet of the panels for each image of the batch.")],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, image, attention: Attention, concept: int, opacity: float) -> io.NodeOutput:
        count = len(image)
        try:
            prompt = get_maps(attention, concept)
            batch = len(merge_map(prompt))
            require(count in (1, batch), "image", f"has {count} images, but the attention is of {batch}: connect the same batch")
        except LeditsInputError as error:
            # This node is only for looking: it must not end a run before the image is saved.
            note = f"No heatmap: '{error.name}' {error.problem}"
            sheet = contact_sheet([fit(image[..., :3], MAX_SHEET_SIZE)], [note], 1)
            return io.NodeOutput(sheet, ui=sheet_ui(cls, sheet, text=note))
        words, maps = prompt.words, min_max_normalize(prompt.mean().movedim(-1, 1))
        columns = count_columns(len(words), *image.shape[1:3])
        background = fit(image[..., :3].to(maps.device), MAX_SHEET_SIZE, len(words))
        heatmaps = [apply_colormap(resize_bilinear(word_map, *background.shape[1:3])) for word_map in maps.unbind(1)]
        sheet = contact_sheet([overlay(background, heatmap, opacity) for heatmap in heatmaps], words, columns)
        ui = sheet_ui(cls, sheet, words, columns) | {"ledits_heatmap": [readings(words, maps, background, sheet, columns)]}
        return io.NodeOutput(sheet, ui=ui)
