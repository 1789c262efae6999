"""LEDITS_Sweep."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from comfy_api.latest import io

from ..ledits.panels import contact_sheet
from ..ledits.sweep import values_of
from . import checks
from .comfyui.preview import sheets_shown
from .comfyui.sampling import sample
from .comfyui.sweep import SweepGuider, SweepSampler
from .comfyui.types import Concept, ConceptsSocket, InversionSocket, PictureInversion
from .errors import LeditsInputError

NODE = "LEDITS++ Sweep"
RANGES = {"scale": (0, 50), "threshold": (0, 1), "warmup": (0, 1000), "cooldown": (0, 1000), "smoothing": (0, 16)}
WHOLE = ("warmup", "cooldown")
NONE = "none"
MOST = 50
"""Pictures of one sheet."""


class Sweep(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LEDITS_Sweep",
            display_name=NODE,
            category="LEDITS++",
            description="Makes the same edit with several values of one or two settings and lays the pictures out as one labelled sheet, to "
            "find good values by looking. What the edits have in common is computed once.",
            search_aliases=["ledits", "grid", "xy plot", "compare settings"],
            inputs=[
                io.Model.Input("model", tooltip="The checkpoint that inverted the photo, as for LEDITS++ Edit."),
                io.Vae.Input("vae", tooltip="The checkpoint's VAE, to show the pictures."),
                InversionSocket.Input("inversion", tooltip="From LEDITS++ Invert or Load Inversion."),
                ConceptsSocket.Input("concepts", tooltip="The changes to make. One of them is varied, the others stay as they are."),
                io.Int.Input("concept", default=0, min=0, max=63, tooltip="Which concept is varied, counted from 0 along the chain."),
                io.Combo.Input("columns", options=list(RANGES), default="scale", tooltip="The setting that changes from column to column."),
                io.String.Input("column_values", default="3, 5, 8", tooltip="Its values, with commas between them."),
                io.Combo.Input(
                    "rows",
                    options=[NONE, *RANGES],
                    default=NONE,
                    tooltip="A second setting, which changes from row to row; none: a single row.",
                ),
                io.String.Input("row_values", default="", tooltip="Its values, with commas between them. Unused where rows is none."),
            ],
            outputs=[
                io.Image.Output(display_name="sheet", tooltip="All pictures with their values below them."),
                io.Image.Output(display_name="pictures", is_output_list=True, tooltip="The pictures one by one, row by row."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        model,
        vae,
        inversion: PictureInversion,
        concepts: tuple[Concept, ...],
        concept: int,
        columns: str,
        column_values: str,
        rows: str,
        row_values: str,
    ) -> io.NodeOutput:
        if not concepts:
            raise LeditsInputError(NODE, "concepts", "is empty: connect LEDITS++ Concept")
        if concept >= len(concepts):
            raise LeditsInputError(NODE, "concept", f"is {concept}, but the chain has {len(concepts)}, counted from 0")
        if rows == columns:
            raise LeditsInputError(NODE, "rows", f"is {rows!r} like columns: choose another setting, or none")
        across = _values("column_values", columns, column_values)
        down = () if rows == NONE else _values("row_values", rows, row_values)
        cells = [{rows: y, columns: x} for y in down for x in across] if down else [{columns: x} for x in across]
        if len(cells) > MOST:
            raise LeditsInputError(
                NODE, "column_values", f"and row_values make {len(cells)} pictures, but a sheet holds {MOST}: write fewer"
            )
        edits = [(*concepts[:concept], _varied(concepts[concept], cell), *concepts[concept + 1 :]) for cell in cells]
        for edited in edits:
            checks.edit(NODE, model, inversion, edited)

        guider, sampler = SweepGuider(model, inversion, edits), SweepSampler(inversion, len(edits))
        results = sample(guider, sampler, inversion.latent, inversion.walk.sigmas, inversion.seed).chunk(len(edits))
        pictures = [vae.decode(latent)[..., :3] for latent in results]
        labels = [", ".join(f"{setting} {value:g}" for setting, value in cell.items()) for cell in cells]
        sheet = contact_sheet(pictures, labels, len(across))
        steps = len(edits) * inversion.walk.steps
        return io.NodeOutput(sheet, pictures, ui=sheets_shown(cls, sheet, columns=len(across), steps=steps))


def _values(name: str, setting: str, text: str) -> tuple[float, ...]:
    try:
        values = values_of(text)
    except ValueError as error:
        raise LeditsInputError(NODE, name, str(error)) from error
    low, high = RANGES[setting]
    for value in values:
        if not low <= value <= high or (setting in WHOLE and value != int(value)):
            kind = "a whole number" if setting in WHOLE else "a number"
            raise LeditsInputError(NODE, name, f"holds {value:g}, but {setting} must be {kind} from {low} to {high}")
    return values


def _varied(concept: Concept, cell: dict[str, float]) -> Concept:
    whole: dict[str, Any] = {setting: int(value) if setting in WHOLE else value for setting, value in cell.items()}
    smoothing = whole.pop("smoothing", concept.smoothing)
    varied = replace(concept, edit=replace(concept.edit, **whole), smoothing=smoothing)
    if varied.edit.cooldown and varied.edit.cooldown <= varied.edit.warmup:
        raise LeditsInputError(
            NODE,
            "column_values",
            f"and row_values make a picture with cooldown {varied.edit.cooldown} and warmup {varied.edit.warmup}, in which the concept "
            "would never act: leave that pair out",
        )
    return varied
