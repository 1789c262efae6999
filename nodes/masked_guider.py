from comfy_api.latest import io

from . import checks
from .comfyui.images.preview import text_ui
from .comfyui.sampling.guider import MaskedGuider
from .comfyui.storage.fingerprint import provenance_note
from .comfyui.types import Concept, EditRecord, ImageInversion
from .inputs import background_inputs, edit_inputs


def make_guider(
    model,
    inversion: ImageInversion,
    concepts: tuple[Concept, ...],
    positive,
    negative,
    cfg: float,
    record: EditRecord | None = None,
    keep_background: bool = False,
    margin: int = 1,
) -> MaskedGuider:
    """The guider of an edit, its inputs checked; the margin counts where the background is kept."""
    base = inversion.base.override(negative, positive, cfg)
    checks.check_edit(model, inversion, concepts)
    checks.check_base(base, model)
    return MaskedGuider(model, base, inversion, concepts, record, margin if keep_background else None)


class MaskedGuiderNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LEDITS_MaskedGuider",
            display_name="LEDITS++ Masked Guider",
            category="LEDITS++/advanced",
            description="Edits an inverted photo as a GUIDER for SamplerCustomAdvanced, each concept inside its own mask. Take the other "
            "four inputs from LEDITS++ Replay Sampler. LEDITS++ Edit does both in one node.",
            search_aliases=["ledits", "guider", "semantic guidance"],
            inputs=[
                io.Model.Input("model", tooltip="The checkpoint that inverted the photo, with the same patches."),
                *edit_inputs(),
                *background_inputs(),
            ],
            outputs=[io.Guider.Output(display_name="guider", tooltip="For SamplerCustomAdvanced.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model,
        inversion: ImageInversion,
        concepts=(),
        positive=None,
        negative=None,
        cfg: float = 0.0,
        keep_background: bool = False,
        margin: int = 1,
    ) -> io.NodeOutput:
        guider = make_guider(model, inversion, concepts, positive, negative, cfg, None, keep_background, margin)
        guider.owner = "LEDITS++ Masked Guider"
        note = provenance_note(model, inversion)
        return io.NodeOutput(guider, ui=text_ui(cls, note) if note else None)
