"""LEDITS_MaskedGuider."""

from __future__ import annotations

from comfy_api.latest import io

from . import checks
from .comfyui.guider import MaskedGuider as Guider
from .comfyui.notice import notice
from .comfyui.types import Concept, ConceptsSocket, InversionSocket, PictureInversion, overridden

NODE = "LEDITS++ Masked Guider"


def base_inputs() -> list[io.Input]:
    """The inputs by which an edit may leave the inversion's own base."""
    return [
        io.Conditioning.Input(
            "positive",
            optional=True,
            tooltip="Optional: another description to start from than the inversion's. The photo is then no "
            "longer kept exactly outside the masks.",
        ),
        io.Conditioning.Input(
            "negative",
            optional=True,
            tooltip="Optional: another neutral prompt than the inversion's. The photo is then no longer kept exactly outside the masks.",
        ),
        io.Float.Input(
            "cfg",
            default=0.0,
            min=0.0,
            max=30.0,
            step=0.1,
            tooltip="0: the inversion's own. Another value needs a 'positive' prompt, here or in "
            "the inversion, and no longer keeps the photo exactly outside the masks.",
        ),
    ]


def guider_of(
    node: str, model, inversion: PictureInversion, concepts: tuple[Concept, ...], positive, negative, cfg: float, record=None
) -> Guider:
    """The checked guider of an edit."""
    base = overridden(inversion.base, negative, positive, cfg)
    checks.edit(node, model, inversion, concepts)
    checks.base(node, base, model)
    return Guider(model, base, inversion, concepts, record)


class MaskedGuider(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LEDITS_MaskedGuider",
            display_name=NODE,
            category="LEDITS++/advanced",
            description="Applies concepts to an inverted photo, each inside its own mask, as a GUIDER for SamplerCustomAdvanced. Take the other four "
            "inputs of that node from LEDITS++ Replay Sampler. LEDITS++ Edit does both in one node.",
            search_aliases=["ledits", "guider", "semantic guidance"],
            inputs=[
                io.Model.Input("model", tooltip="The checkpoint that inverted the photo, with whatever else is patched onto it."),
                InversionSocket.Input("inversion", tooltip="From LEDITS++ Invert or Load Inversion."),
                ConceptsSocket.Input(
                    "concepts", optional=True, tooltip="The changes to make. Unconnected: the photo comes back as it was."
                ),
                *base_inputs(),
            ],
            outputs=[io.Guider.Output(display_name="guider", tooltip="For SamplerCustomAdvanced.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, model, inversion: PictureInversion, concepts=(), positive=None, negative=None, cfg: float = 0.0) -> io.NodeOutput:
        guider = guider_of(NODE, model, inversion, concepts, positive, negative, cfg)
        origin = checks.origin(model, inversion)
        return io.NodeOutput(guider, ui=notice(cls, origin) if origin else None)
