"""Pictures on a node, as ComfyUI's Preview Image shows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import comfy.utils
import latent_preview
import numpy as np
import torch
from comfy.cli_args import LatentPreviewMethod, args
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io, ui
from PIL import Image
from torch import Tensor

from ...ledits.heatmap import masks_over
from ...ledits.masks import unit_range, upsample
from ...ledits.panels import columns_of, contact_sheet, covering, fitted, labelled, reduced, side_by_side, undrawable
from .notice import notice
from .types import Concept, EditRecord

LASTING: dict[str, bool] = {"has_intermediate_output": True} if "has_intermediate_output" in io.Schema.__dataclass_fields__ else {}
"""For the schema of a node that shows its result on the way: where ComfyUI knows of it, what it shows comes back after the page is opened anew."""

PREVIEW = 2048
"""Pixels along a side of what a node shows."""
MOST = 16
"""Pictures of a batch that a node shows."""


def shown(
    node: type[io.ComfyNode],
    sheet: Callable[[int], Tensor],
    count: int,
    labels: Sequence[str] = (),
    columns: int = 1,
    text: str | None = None,
    steps: int = 0,
) -> dict[str, Any]:
    """The `ui` output that shows a sheet for each picture of a batch, numbered where there are several.

    Args:
        sheet: [1, H, W, 3] in 0..1 of a picture, by its place in the batch.
        count: pictures of the batch.
        labels: what is written on the sheets; letters that no font here has are named in a notice.
        columns: of each sheet.
        text: shown as well.
        steps: that the node has sampled.
    """
    sheets = [sheet(place) for place in range(min(count, MOST))]
    if count > 1:
        left_out = f"; the other {count - MOST} are not shown" if count > MOST else ""
        numbers = [f"{place} of {count}" + left_out * (place == MOST) for place in range(1, len(sheets) + 1)]
        sheets = [labelled([each], [number], columns)[0] for each, number in zip(sheets, numbers, strict=True)]
    if steps and args.preview_method != LatentPreviewMethod.NoPreviews:
        _in_place_of_the_latent_preview(sheets, steps)
    letters = undrawable(labels)
    lacking = f"No font of this computer has the letters {letters}: the labels show ? in their place." if letters else ""
    says = "\n".join(filter(None, (text, lacking)))
    return (notice(node, says) if says else {}) | ui.PreviewImage([each[0] for each in sheets], cls=node).as_dict()


def sheets_shown(node: type[io.ComfyNode], sheets: Tensor, labels: Sequence[str] = (), columns: int = 1, steps: int = 0) -> dict[str, Any]:
    """The `ui` output that shows sheets [B, H, W, 3] which the node gives too; the rest as in `shown`."""
    return shown(node, lambda place: reduced(sheets[place : place + 1], PREVIEW), len(sheets), labels, columns, steps=steps)


def _in_place_of_the_latent_preview(sheets: Sequence[Tensor], steps: int) -> None:
    """The front end goes on showing a node's last preview where it has one, so the result becomes that one; a batch on one sheet."""
    picture = reduced(side_by_side(sheets, columns_of(len(sheets), *sheets[0].shape[1:3])), PREVIEW)[0]
    image = Image.fromarray((picture.clamp(0, 1) * 255).round().byte().cpu().numpy())
    comfy.utils.ProgressBar(steps).update_absolute(steps, steps, ("PNG", image, max(image.size)))


def masks_shown(
    node: type[io.ComfyNode],
    photo: Tensor,
    masks: Tensor,
    concepts: tuple[Concept, ...],
    record: EditRecord,
    cell: int,
    text: str | None,
    steps: int,
) -> dict[str, Any]:
    """The `ui` output of an edit: a panel for each concept, with its mask over the photo.

    Args:
        photo: [B or 1, h, w, 3] in 0..1, of whatever size.
        masks: [concepts * B, H, W], concept by concept.
        cell: pixels along a side of a latent's cell; what does not fill one the VAE drops.
        text: shown as well.
        steps: that were sampled.
    """
    height, width = masks.shape[1:]
    by_concept = masks.unflatten(0, (len(concepts), -1))
    changes = [f"{'add' if concept.edit.add else 'remove'}: {concept.text}" for concept in concepts]

    def sheet(place: int) -> Tensor:
        picture = fitted(covering(photo[place % len(photo)][None], height, width, cell), len(concepts), PREVIEW)
        size = picture.shape[1:3]
        panels = [masks_over(picture, upsample(mask[place][None], *size)) for mask in by_concept]
        covered = [
            share(mask[place]) if used is not None else "it never acted" for mask, used in zip(by_concept, record.masks, strict=True)
        ]
        labels = [f"{change}\n{part}" for change, part in zip(changes, covered, strict=True)]
        return contact_sheet(panels, labels, columns_of(len(concepts), *size))

    return shown(node, sheet, by_concept.shape[1], changes, columns_of(len(concepts), height, width), text, steps)


def share(mask: Tensor) -> str:
    """How much of the picture a mask covers, in words."""
    part = float((mask > 0).float().mean())
    return f"{part:.0%} of the picture" if part >= 0.01 or part == 0 else f"{part:.2%} of the picture"


def latent_colours(model: ModelPatcher, latents: Tensor) -> Tensor:
    """What ComfyUI's latent previews show of latents in the model's own scale: [B, C, h, w] to [B, h', w', 3] in 0..1, without a network.

    A kind of latent whose colours ComfyUI does not know is shown as grey, by the mean of its channels.
    """
    kind = model.get_model_object("latent_format")
    if kind.latent_rgb_factors is None:
        return unit_range(latents.float().mean(1))[..., None].expand(-1, -1, -1, 3)
    previewer = latent_preview.Latent2RGBPreviewer(kind.latent_rgb_factors, kind.latent_rgb_factors_bias, kind.latent_rgb_factors_reshape)
    pictures = [np.asarray(previewer.decode_latent_to_preview(latent[None].float()), np.float32) for latent in latents]
    return torch.from_numpy(np.stack(pictures) / 255)
