from comfy_api.latest import io

from ..ledits.attention import StoreSettings, parse_blocks
from . import checks
from .comfyui.attention.store import RunHistory, patch_model
from .comfyui.types import StoreSocket
from .errors import LeditsInputError, require
from .validation import widgets_verdict


class AttentionStoreNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LEDITS_AttentionStore",
            display_name="LEDITS++ Attention Store",
            category="LEDITS++/attention",
            description="Records the attention of each word of a prompt while an image is sampled, for Capture Attention. The image stays "
            "the same to the last bit. LEDITS++ Edit makes its masks with these settings; without this node it uses the defaults.",
            search_aliases=["ledits", "cross attention", "attention maps", "daam"],
            inputs=[
                io.Model.Input("model", tooltip="The model to record. It stays as it is; the output is a patched copy."),
                io.Int.Input(
                    "resolution",
                    default=0,
                    min=0,
                    max=512,
                    tooltip="UNets (SD, SDXL): shorter side of maps. 0: a quarter of the latent. More: finer, noisier.",
                ),
                io.Boolean.Input("up", default=True, advanced=True, tooltip="UNets: record the up blocks, which position details."),
                io.Boolean.Input("down", default=True, advanced=True, tooltip="UNets: record the down blocks, which find objects."),
                io.Boolean.Input(
                    "mid",
                    default=False,
                    advanced=True,
                    tooltip="UNets: record the middle block where its size fits (SDXL). It blurs the maps.",
                ),
                io.Boolean.Input("average_steps", default=False, tooltip="Masks use the mean of the steps so far: steadier, but slower."),
                io.String.Input(
                    "blocks",
                    default="",
                    optional=True,
                    tooltip="Transformers (Flux, SD3, Qwen-Image): which blocks to record, counted from 0, such as 8-12, 15. Empty: those that "
                    "find words best. More: steadier, but slower.",
                ),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The model to sample with."),
                StoreSocket.Output(display_name="store", tooltip="The recorded attention, for Capture Attention after the sampler."),
            ],
        )

    @classmethod
    def execute(cls, model, resolution: int, up: bool, down: bool, mid: bool, average_steps: bool, blocks: str = "") -> io.NodeOutput:
        checks.check_attention(model, "there is nothing to record")
        settings = StoreSettings(resolution, up, down, mid, average_steps, _read_widgets(up, down, mid, blocks))
        store = RunHistory(settings, "LEDITS++ Attention Store")
        return io.NodeOutput(patch_model(model, store), store)

    @classmethod
    def validate_inputs(
        cls, up: bool | None = None, down: bool | None = None, mid: bool | None = None, blocks: str | None = None
    ) -> bool | str:
        return widgets_verdict(cls, _read_widgets, up=up, down=down, mid=mid, blocks=blocks)


def _read_widgets(up: bool | None, down: bool | None, mid: bool | None, blocks: str | None) -> tuple[int, ...]:
    """The blocks to record. Refuses what the widgets alone show to be wrong; None is not known yet."""
    is_off = all(part is False for part in (up, down, mid))
    require(not is_off, "up", "is off, and so are 'down' and 'mid': switch at least one of them on")
    try:
        return parse_blocks(blocks or "")
    except ValueError as error:
        raise LeditsInputError("blocks", str(error)) from error
