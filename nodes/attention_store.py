"""LEDITS_AttentionStore."""

from __future__ import annotations

from comfy_api.latest import io

from ..ledits.attention import StoreSettings
from . import checks
from .comfyui.attention.store import RunHistory, patch_model
from .comfyui.types import StoreSocket
from .errors import LeditsInputError


class AttentionStoreNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LEDITS_AttentionStore",
            display_name="LEDITS++ Attention Store",
            category="LEDITS++/attention",
            description="Records the attention of each word of a prompt while an image is sampled. Use the patched model in any sampler, then read the "
            "maps with Capture Attention. LEDITS++ Edit uses these settings for its masks; without this node it uses the defaults. The image stays "
            "the same to the last bit.",
            search_aliases=["ledits", "cross attention", "attention maps", "daam"],
            inputs=[
                io.Model.Input("model", tooltip="The model to record. Your model itself stays as it is; the output is a patched copy."),
                io.Int.Input(
                    "resolution",
                    default=0,
                    min=0,
                    max=512,
                    tooltip="Pixels along the shorter side of the maps. 0: a quarter of the latent (16 for "
                    "SD 1.5 at 512 pixels), where words differ most. Twice as many give finer, noisier maps.",
                ),
                io.Boolean.Input("up", default=True, tooltip="Record the layers on the way up, which place details."),
                io.Boolean.Input("down", default=True, tooltip="Record the layers on the way down, which find objects."),
                io.Boolean.Input(
                    "mid",
                    default=False,
                    tooltip="Record the middle layers too, where their size fits (SDXL). They attend to the whole image and blur the maps.",
                ),
                io.Boolean.Input(
                    "average_steps",
                    default=False,
                    tooltip="Masks use the mean over the steps so far instead of the current step's map: "
                    "steadier, but slower to follow the image as it changes.",
                ),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The model to sample with."),
                StoreSocket.Output(display_name="store", tooltip="What was recorded. Connect it to Capture Attention, after the sampler."),
            ],
        )

    @classmethod
    def execute(cls, model, resolution: int, up: bool, down: bool, mid: bool, average_steps: bool) -> io.NodeOutput:
        checks.check_attention(model, "there is nothing to record")
        if not (up or down or mid):
            raise LeditsInputError("up", "is off, and so are 'down' and 'mid': switch at least one of them on")
        store = RunHistory(StoreSettings(resolution, up, down, mid, average_steps))
        return io.NodeOutput(patch_model(model, store), store)
