"""`make hero`: the picture at the top of the README, three edits that the pack's own nodes make with the small checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from scripts.host.in_comfy import comfy, run, to_image

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from scripts.help_pictures import attentive, checkpoint, decoded, prompt
from scripts.paths import CHECKOUT
from scripts.small_model.drawings import Item, Scene

PLACE = CHECKOUT / "docs" / "images" / "three_edits.jpg"
PANEL, GAP, MARGIN, HEAD = 256, 8, 34, 56
PAPER, INK, MASK = (24, 24, 28), "white", (255, 210, 80)
ROWS = ("photo", "where it changes", "edited")


@dataclass(frozen=True)
class EditRequest:
    """What is asked of a photo, and where: an object that is there."""

    photo: Scene
    where: Item
    remove: str
    add: str
    scale: float
    threshold: float
    steps: int
    skip: float
    cooldown: int

    @property
    def asked(self) -> str:
        return "\n".join(f"{verb}: {text}" for verb, text in (("remove", self.remove), ("add", self.add)) if text)


CORNER = Scene((Item("blue", "triangle", 88, 88, 46), Item("white", "square", 180, 176, 44)), 23)
STRIPES = Scene((Item("white", "circle", 180, 84, 44), Item("red", "square", 84, 176, 44)), 5)
CLOUDS = Scene((Item("yellow", "circle", 84, 92, 46), Item("purple", "triangle", 180, 170, 48)), 11)

REQUESTS = (
    EditRequest(CORNER, CORNER.items[0], "a blue triangle", "a green triangle", 9.0, 0.91, 40, 0.0, 12),
    EditRequest(STRIPES, STRIPES.items[0], "", "a white triangle", 7.0, 0.89, 20, 0.1, 0),
    EditRequest(CLOUDS, CLOUDS.items[1], "a purple triangle", "", 3.0, 0.9, 20, 0.1, 0),
)


def panels(request: EditRequest) -> tuple[Tensor, Tensor, Tensor]:
    """The photo, the mask over the dimmed photo, and the edited photo, [H, W, 3]."""
    model, clip, vae = checkpoint()
    photo = to_image(request.photo.image())
    latent = {"samples": vae.encode(photo)}
    sigmas = run("LEDITS_Schedule", model=model, steps=request.steps, skip=request.skip)[0]
    inversion = run("LEDITS_Invert", model=model, latent=latent, sigmas=sigmas, negative=prompt(""))[0]
    seen = run("LEDITS_ProbeAttention", model=attentive(), latent=latent, clip=clip, text=request.where.phrase, noise_level=0.35)[0]
    concepts = ()
    # What goes is pushed a third less than what comes.
    for text, direction, scale in (
        (request.remove, "remove", request.scale * 2 / 3 if request.add else request.scale),
        (request.add, "add", request.scale),
    ):
        if text:
            concepts = run(
                "LEDITS_Concept",
                clip=clip,
                text=text,
                direction=direction,
                scale=scale,
                threshold=request.threshold,
                mask_mode="attention",
                warmup=0,
                cooldown=request.cooldown,
                words=f"{request.where.colour} {request.where.shape}",
                attention=seen,
                concepts=concepts,
            )[0]
    edited, _, masks, _ = run("LEDITS_Edit", model=attentive(), inversion=inversion, concepts=concepts)
    share = masks[-1][..., None]
    over = 0.45 * photo[0] * (1 - share) + share * torch.tensor(MASK) / 255
    return photo[0], over, decoded(edited["samples"])


def sheet(edit_requests: tuple[EditRequest, ...]) -> Image.Image:
    """A column for each edit, with what was asked above it."""
    made = Image.new("RGB", (MARGIN + len(edit_requests) * (PANEL + GAP), HEAD + len(ROWS) * (PANEL + GAP)), PAPER)
    pen = ImageDraw.Draw(made)
    for column, request in enumerate(edit_requests):
        left = MARGIN + column * (PANEL + GAP)
        pen.multiline_text((left + PANEL / 2, HEAD / 2), request.asked, INK, ImageFont.load_default(19), "mm", align="center")
        for row, picture in enumerate(panels(request)):
            pixels = Image.fromarray((picture.clamp(0, 1) * 255).round().byte().numpy())
            made.paste(pixels.resize((PANEL, PANEL), Image.Resampling.LANCZOS), (left, HEAD + row * (PANEL + GAP)))
    for row, name in enumerate(ROWS):
        label = Image.new("RGB", (PANEL, MARGIN), PAPER)
        ImageDraw.Draw(label).text((PANEL / 2, MARGIN / 2), name, INK, ImageFont.load_default(17), "mm")
        made.paste(label.rotate(90, expand=True), (0, HEAD + row * (PANEL + GAP)))
    return made


@torch.inference_mode()
def main() -> None:
    comfy.utils.PROGRESS_BAR_ENABLED = False
    PLACE.parent.mkdir(parents=True, exist_ok=True)
    sheet(REQUESTS).save(PLACE, quality=88, optimize=True)
    print(f"{PLACE} {PLACE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
