"""What nodes show on the canvas: text, and images as ComfyUI's Preview Image shows them."""

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

from ....ledits.masks import min_max_normalize, resize_nearest
from ..types import Concept, EditRecord
from .fonts import find_font
from .heatmap import draw_masks
from .panels import add_labels, center_crop, contact_sheet, count_columns, fit, stack

INTERMEDIATE_OUTPUT = {"has_intermediate_output": True} if "has_intermediate_output" in io.Schema.__dataclass_fields__ else {}
"""Schema option of a node that shows results without being an output node: a ComfyUI that knows it restores them when the page reloads."""
PREVIEW_SIZE = 2048  # pixels along a side of what a node shows
MASK_PREVIEW_SIZE = 1024  # the same of masks, which are no finer than the latent
MAX_PREVIEWS = 16  # images of a batch that a node shows
Node = type[io.ComfyNode]


def text_ui(node: Node, text: str) -> dict[str, Any]:
    """Shows a text on the running node, whose schema has the hidden unique_id; returns the `ui` output that keeps it in the history."""
    if node.hidden is not None and node.hidden.unique_id is not None:
        from server import PromptServer  # exists in a running server only

        PromptServer.instance.send_progress_text(text, node.hidden.unique_id)
    return ui.PreviewText(text).as_dict()


def image_ui(
    node: Node, draw: Callable[[int], Tensor], count: int, labels: Sequence[str] = (), columns: int = 1, text: str = "", steps: int = 0
) -> dict[str, Any]:
    """The `ui` output that shows a sheet for each image of a batch, numbered if there are several.

    Args:
        draw: makes the sheet, [1, H, W, 3] in 0..1, of the image at an index of the batch.
        labels: on a sheet; the letters that no font here has are shown as a text.
        steps: how many the node has sampled; 0 if it shows no latent previews.
    """
    sheets = [draw(index) for index in range(min(count, MAX_PREVIEWS))]
    if count > 1:
        numbers = [f"{index + 1} of {count}" for index in range(len(sheets))]
        if count > MAX_PREVIEWS:
            numbers[-1] += f"; the other {count - MAX_PREVIEWS} are not shown"
        sheets = add_labels(sheets, numbers, columns)
    if steps and args.preview_method != LatentPreviewMethod.NoPreviews:
        # The front end keeps showing a node's last latent preview, so the result becomes that one.
        last = fit(stack(sheets, count_columns(len(sheets), *sheets[0].shape[1:3])), PREVIEW_SIZE)[0]
        image = Image.fromarray((last.clamp(0, 1) * 255).round().byte().cpu().numpy())
        comfy.utils.ProgressBar(steps).update_absolute(steps, steps, ("PNG", image, max(image.size)))
    if missing := "".join(dict.fromkeys(letter for label in labels for letter in find_font(label)[1])):
        text = f"{text}\nNo font on this computer has the letters {missing}: the labels show ? instead.".strip()
    return (text_ui(node, text) if text else {}) | ui.PreviewImage([sheet[0] for sheet in sheets], cls=node).as_dict()


def sheet_ui(
    node: Node, sheets: Tensor, labels: Sequence[str] = (), columns: int = 1, text: str | None = None, steps: int = 0
) -> dict[str, Any]:
    """The `ui` output that shows sheets [B, H, W, 3] which the node also returns; the rest as in `image_ui`."""
    return image_ui(node, lambda index: fit(sheets[index][None], PREVIEW_SIZE), len(sheets), labels, columns, text or "", steps)


def mask_ui(
    node: Node, image: Tensor, masks: Tensor, concepts: Sequence[Concept], record: EditRecord, factor: int, text: str | None, steps: int
) -> dict[str, Any]:
    """The `ui` output of an edit: for each concept its mask of [concepts * B, H, W] over the image, [B or 1, h, w, 3] of any size.

    The VAE crops what does not fill a latent pixel, of `factor` image pixels along a side. The rest as in `image_ui`.
    """
    height, width = masks.shape[1:]
    by_concept = masks.unflatten(0, (len(concepts), -1))
    changes = [f"{'add' if concept.settings.add else 'remove'}: {concept.text}" for concept in concepts]
    columns = count_columns(len(concepts), height, width)

    def draw_sheet(index: int) -> Tensor:
        background = center_crop(image[index % len(image)][None], height, width, factor)
        background = fit(background, MASK_PREVIEW_SIZE, len(concepts))
        panels, labels = [], []
        for mask, change, used in zip(by_concept[:, index], changes, record.masks, strict=True):
            panels.append(draw_masks(background, resize_nearest(mask[None], *background.shape[1:3])))
            labels.append(f"{change}\n{describe_area(mask) if used is not None else 'it never acted'}")
        return contact_sheet(panels, labels, columns)

    return image_ui(node, draw_sheet, by_concept.shape[1], changes, columns, text or "", steps)


def describe_area(mask: Tensor) -> str:
    """How much of the image a mask covers, in words."""
    share = float((mask > 0).float().mean())
    return f"{share:.2%} of the picture" if 0 < share < 0.01 else f"{share:.0%} of the picture"


def latents_to_rgb(model: ModelPatcher, latents: Tensor) -> Tensor:
    """Latents [B, C, h, w] at the model's scale as ComfyUI's previews show them, [B, h', w', 3]; gray if it has no colors for them."""
    kind = model.get_model_object("latent_format")
    if kind.latent_rgb_factors is None:
        return min_max_normalize(latents.float().mean(1))[..., None].expand(-1, -1, -1, 3)
    previewer = latent_preview.Latent2RGBPreviewer(kind.latent_rgb_factors, kind.latent_rgb_factors_bias, kind.latent_rgb_factors_reshape)
    images = [np.asarray(previewer.decode_latent_to_preview(latent[None].float()), np.float32) for latent in latents]
    return torch.from_numpy(np.stack(images) / 255)
