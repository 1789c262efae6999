import comfy.utils
from comfy_api.latest import io
from torch import Tensor

from .comfyui.images.preview import text_ui
from .comfyui.images.size import fitted_size, preferred_megapixels


class FitPhotoNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LEDITS_FitPhoto",
            display_name="LEDITS++ Fit Photo",
            category="LEDITS++",
            description="Scales a photo to the size that the model draws best, with its proportions. The node shows the size.",
            search_aliases=["ledits", "resize", "scale image", "scale to megapixels", "image size"],
            inputs=[
                io.Model.Input("model", tooltip="The checkpoint that will invert and edit the photo."),
                io.Image.Input("image", tooltip="A photo of any size."),
                io.Float.Input(
                    "megapixels",
                    default=0.0,
                    min=0.0,
                    max=16.0,
                    step=0.01,
                    tooltip="0: what the model was trained at, 0.25 for SD 1.5, 1 for SDXL and newer models. Less needs less memory.",
                ),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="The photo, its sides multiples of 64 pixels. For VAE Encode.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, model, image: Tensor, megapixels: float) -> io.NodeOutput:
        height, width = image.shape[1:3]
        to_height, to_width = fitted_size(height, width, megapixels or preferred_megapixels(model))
        scaled = comfy.utils.common_upscale(image.movedim(-1, 1), to_width, to_height, "lanczos", "disabled").movedim(1, -1)
        return io.NodeOutput(scaled, ui=text_ui(cls, f"{width} × {height} → {to_width} × {to_height}"))
