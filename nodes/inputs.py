"""Inputs that several nodes have."""

from comfy_api.latest import io

from .comfyui.types import ConceptsSocket, InversionSocket


def seed_input(tooltip: str) -> io.Input:
    fixed = io.ControlAfterGenerate.fixed
    return io.Int.Input("seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF, control_after_generate=fixed, tooltip=tooltip)


def cfg_input(default: float, tooltip: str, advanced: bool = False) -> io.Input:
    return io.Float.Input("cfg", default=default, min=0.0, max=30.0, step=0.1, advanced=advanced, tooltip=tooltip)


def edit_inputs() -> list[io.Input]:
    """What an edit changes, and the inputs by which it may leave the inversion's own base."""
    base = "Instead of the inversion's; changes the photo outside the masks, too."
    return [
        InversionSocket.Input("inversion", tooltip="From LEDITS++ Invert or Load Inversion."),
        ConceptsSocket.Input("concepts", optional=True, tooltip="The changes to make. Unconnected: the photo as it was."),
        io.Conditioning.Input("positive", optional=True, tooltip=base),
        io.Conditioning.Input("negative", optional=True, tooltip=base),
        cfg_input(0.0, "0: the inversion's. Others need 'positive' and change the whole photo.", advanced=True),
    ]


def background_inputs() -> list[io.Input]:
    """Whether the photo is put back around the masks."""
    return [
        io.Boolean.Input(
            "keep_background",
            default=False,
            optional=True,
            tooltip="Keeps the photo outside all masks exactly: nothing spreads. Off, as published: shadows and reflections may follow.",
        ),
        io.Int.Input(
            "margin",
            default=1,
            min=0,
            max=16,
            optional=True,
            advanced=True,
            tooltip="With keep_background: latent pixels around the masks that may still change. 1 or 2 leave room for an edge.",
        ),
    ]
