from dataclasses import replace
from typing import Any

from comfy_api.latest import io

from ..ledits.words import plain_separators
from . import checks
from .comfyui.images.panels import contact_sheet
from .comfyui.images.preview import sheet_ui
from .comfyui.sampling.guider import MaskedGuider
from .comfyui.sampling.sample import sample_each
from .comfyui.sampling.samplers import ReplaySampler
from .comfyui.storage.fingerprint import provenance_note
from .comfyui.types import Concept, ConceptsSocket, ImageInversion, InversionSocket
from .errors import LeditsInputError, require
from .validation import widgets_verdict

RANGES = {"scale": (0, 50), "threshold": (0, 1), "warmup": (0, 1000), "cooldown": (0, 1000), "smoothing": (0, 16)}
WHOLE = ("warmup", "cooldown")
NONE = "none"
MAX_IMAGES = 50  # of one sheet


class SweepNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LEDITS_Sweep",
            display_name="LEDITS++ Sweep",
            category="LEDITS++",
            description="Makes the same edit with several values of one or two settings: on one labelled sheet, each row begins with the original.",
            search_aliases=["ledits", "grid", "xy plot", "compare settings"],
            inputs=[
                io.Model.Input("model", tooltip="The checkpoint that inverted the photo, as for LEDITS++ Edit."),
                io.Vae.Input("vae", tooltip="The checkpoint's VAE, to decode the images."),
                InversionSocket.Input("inversion", tooltip="From LEDITS++ Invert or Load Inversion."),
                ConceptsSocket.Input("concepts", tooltip="The changes to make. One of them is varied, the others stay as they are."),
                io.Int.Input("concept", default=0, min=0, max=63, tooltip="Which concept is varied, counted from 0 along the chain."),
                io.Combo.Input("columns", options=list(RANGES), default="scale", tooltip="The setting that changes from column to column."),
                io.String.Input("column_values", default="3, 5, 8", tooltip="Its values, with commas between them."),
                io.Combo.Input("rows", options=[NONE, *RANGES], default=NONE, tooltip="A second setting, from row to row; none: one row."),
                io.String.Input("row_values", default="", tooltip="Its values, with commas between them. Unused where rows is none."),
            ],
            outputs=[
                io.Image.Output(
                    display_name="sheet", tooltip="All images with their values below them; each row begins with the original."
                ),
                io.Image.Output(display_name="pictures", is_output_list=True, tooltip="The edited images one by one, row by row."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls, model, vae, inversion: ImageInversion, concepts, concept: int, columns: str, column_values: str, rows: str, row_values: str
    ) -> io.NodeOutput:
        require(concepts, "concepts", "is empty: connect LEDITS++ Concept")
        require(concept < len(concepts), "concept", f"is {concept}, but the chain has {len(concepts)}, counted from 0")
        table = _read_table(columns, column_values, rows, row_values)
        cells = [cell for row in table for cell in row]
        edits = [(*concepts[:concept], _vary(concepts[concept], cell), *concepts[concept + 1 :]) for cell in cells]
        for edited in edits:
            checks.check_edit(model, inversion, edited)

        note = provenance_note(model, inversion)
        guiders = [MaskedGuider(model, inversion.base, inversion, edited) for edited in edits]
        results = sample_each(guiders, ReplaySampler(inversion), inversion.latent, inversion.trajectory.sigmas, inversion.seed)
        original, *images = (vae.decode(latent).flatten(0, -4)[..., :3] for latent in (inversion.latent["samples"], *results))
        beside = [cell for row in table for cell in ({}, *row)]  # each row begins with the original
        edited_images = iter(images)
        panels = [next(edited_images) if cell else original for cell in beside]
        labels = [", ".join(f"{setting} {value:g}" for setting, value in cell.items()) or "original" for cell in beside]
        sheet = contact_sheet(panels, labels, len(table[0]) + 1)
        steps = len(edits) * inversion.trajectory.steps
        return io.NodeOutput(sheet, images, ui=sheet_ui(cls, sheet, columns=len(table[0]) + 1, text=note, steps=steps))

    @classmethod
    def validate_inputs(
        cls, columns: str | None = None, column_values: str | None = None, rows: str | None = None, row_values: str | None = None
    ) -> bool | str:
        widgets = {"columns": columns, "column_values": column_values, "rows": rows, "row_values": row_values}
        return widgets_verdict(cls, _check_widgets, **widgets)


def _check_widgets(**widgets: Any) -> None:
    """Refuses what the widgets alone show to be wrong, once all are known."""
    if None not in widgets.values():
        _read_table(**widgets)


def _read_table(columns: str, column_values: str, rows: str, row_values: str) -> list[list[dict[str, float]]]:
    """The settings of each image, row by row."""
    require(rows != columns, "rows", f"is {rows!r} like columns: choose another setting, or none")
    across = _parse_values("column_values", columns, column_values)
    down: list[dict[str, float]] = [{}] if rows == NONE else [{rows: value} for value in _parse_values("row_values", rows, row_values)]
    table = [[row | {columns: value} for value in across] for row in down]
    problem = f"and row_values make {len(down) * len(across)} images, but a sheet has room for {MAX_IMAGES}: write fewer"
    require(len(down) * len(across) <= MAX_IMAGES, "column_values", problem)
    return table


def _parse_values(name: str, setting: str, text: str) -> tuple[float, ...]:
    """The numbers of "3, 5, 8" in their order. Between semicolons a comma is a decimal one: "0,7; 0,9"."""
    text, values = plain_separators(text), []
    for part in filter(None, map(str.strip, text.replace(",", ".").split(";") if ";" in text else text.split(","))):
        try:
            values.append(float(part))
        except ValueError as error:
            remedy = "write numbers with commas between them, e.g. 3, 5, 8, or with semicolons, e.g. 0,7; 0,9"
            problem = f"has {part!r}, which is not a number: {remedy}"
            raise LeditsInputError(name, problem) from error
    require(values, name, "has no number: write the values to try, e.g. 3, 5, 8")
    (low, high), is_whole = RANGES[setting], setting in WHOLE
    wanted = f"{'a whole number' if is_whole else 'a number'} from {low} to {high}"
    for value in values:
        is_valid = low <= value <= high and not (is_whole and value % 1)
        hint = "; for decimal commas write semicolons between the numbers, e.g. 0,7; 0,9" if "," in text and ";" not in text else ""
        require(is_valid, name, f"has {value:g}, but {setting} must be {wanted}{hint}")
    return tuple(values)


def _vary(concept: Concept, cell: dict[str, float]) -> Concept:
    values: dict[str, Any] = {setting: int(value) if setting in WHOLE else value for setting, value in cell.items()}
    smoothing = values.pop("smoothing", concept.smoothing)
    settings = replace(concept.settings, **values)
    pair = f"cooldown {settings.cooldown} and warmup {settings.warmup}"
    problem = f"and row_values make an image with {pair}, in which the concept would never act: leave that pair out"
    require(not settings.cooldown or settings.cooldown > settings.warmup, "column_values", problem)
    return replace(concept, settings=settings, smoothing=smoothing)
