"""`make pictures`: the pictures of the help pages, made by the pack's own nodes in the real ComfyUI with the checkpoint of the
scenes.

Every picture shows what its node does, or what turning an input changes. The labels below are names and values of inputs, which are the
same in every language.

    make pictures ARGS="LEDITS_Concept LEDITS_Edit"    only these
"""

from __future__ import annotations

import functools
import itertools
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from scripts.host.in_comfy import comfy, encode, execute, load_checkpoint, nodes, pictures_on, run, to_image

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from scripts.paths import CHECKOUT, SCENES_CHECKPOINT
from scripts.scenes.shown import BOOT, CAR

FOLDER = CHECKOUT / "web" / "docs" / "images"
MOST_BYTES = 60_000
SEED = 0
PANEL, GAP, STRIP, COLUMNS = 240, 8, 34, 3

Panels = dict[str, Tensor]
"""Pictures [H, W, 3] in 0..1 by their labels."""

WORDS = {"text": f"{BOOT.where} and a cupcake", "words": "green boot"}
DRAWN = "a cupcake and a red apple on grass"


@functools.cache
def checkpoint() -> tuple[Any, Any, Any]:
    return load_checkpoint(SCENES_CHECKPOINT)


@functools.cache
def attentive(resolution: int = 16) -> Any:
    """The checkpoint with maps of this resolution."""
    return run("LEDITS_AttentionStore", model=checkpoint()[0], resolution=resolution)[0]


def photo() -> Tensor:
    return to_image(BOOT.photo())


@functools.cache
def latent() -> dict[str, Tensor]:
    return {"samples": checkpoint()[2].encode(photo())}


@functools.cache
def prompt(text: str) -> Any:
    return encode(checkpoint()[1], text)


def decoded(samples: Tensor) -> Tensor:
    return checkpoint()[2].decode(samples)[0]


def grey(mask: Tensor) -> Tensor:
    return mask[..., None].expand(*mask.shape, 3)


def difference(one: Tensor, other: Tensor) -> Tensor:
    """How far two pictures differ, ten times brighter."""
    return (10 * (one - other).abs()).clamp(0, 1)


@functools.cache
def inversion(skip: float = 0.15, steps: int = 40) -> Any:
    model = checkpoint()[0]
    sigmas = run("LEDITS_Schedule", model=model, steps=steps, skip=skip)[0]
    return run("LEDITS_Invert", model=model, latent=latent(), sigmas=sigmas, negative=prompt(""), seed=0)[0]


@functools.cache
def probed(text: str = WORDS["text"], noise_level: float = 0.35, resolution: int = 16) -> Any:
    clip = checkpoint()[1]
    return run("LEDITS_ProbeAttention", model=attentive(resolution), latent=latent(), clip=clip, text=text, noise_level=noise_level)[0]


def concept(text: str, **settings: Any) -> Any:
    """A concept in place of the green boot."""
    usual = {"scale": 5.0, "threshold": 0.87, "mask_mode": "attention", "warmup": 0}
    where = {"attention": probed(), "words": WORDS["words"]}
    return run("LEDITS_Concept", clip=checkpoint()[1], text=text, **(usual | where | settings))[0]


def recolouring(colour: str = "yellow", **settings: Any) -> Any:
    """The green boot removed, one of another colour added."""
    less = settings | {"scale": settings.get("scale", 5.0) * 2 / 3}
    return concept(f"a {colour} boot", concepts=concept(BOOT.where, direction="remove", **less), **settings)


def edit(concepts: Any, inverted: Any = None) -> tuple[Any, ...]:
    return run("LEDITS_Edit", model=attentive(), inversion=inverted or inversion(), concepts=concepts)


def edited(concepts: Any, inverted: Any = None) -> Tensor:
    return decoded(edit(concepts, inverted)[0]["samples"])


def replayed(concepts: Any = (), stop: int | None = None) -> Tensor:
    """The photo's path with SamplerCustomAdvanced, up to a step."""
    from comfy_extras.nodes_custom_sampler import SamplerCustomAdvanced

    sampler, sigmas, start, noise = run("LEDITS_ReplaySampler", inversion=inversion())
    guider = run("LEDITS_MaskedGuider", model=attentive(), inversion=inversion(), concepts=concepts)[0]
    sigmas = sigmas if stop is None else sigmas[: stop + 1]
    return decoded(SamplerCustomAdvanced.execute(noise, guider, sampler, sigmas, start).result[0]["samples"])


@functools.cache
def drawn(resolution: int) -> tuple[Tensor, Any]:
    """A picture that ComfyUI's own sampler drew, and its attention."""
    from comfy_extras.nodes_custom_sampler import BasicScheduler, CFGGuider, KSamplerSelect, RandomNoise, SamplerCustomAdvanced

    _, clip, _ = checkpoint()
    model, store = run("LEDITS_AttentionStore", model=checkpoint()[0], resolution=resolution)
    guider = CFGGuider.execute(model, prompt(DRAWN), prompt(""), 4.0).result[0]
    sigmas = BasicScheduler.execute(model, "normal", 20, 1.0).result[0]
    empty = {"samples": torch.zeros_like(latent()["samples"])}
    sampler = KSamplerSelect.execute("euler").result[0]
    made = SamplerCustomAdvanced.execute(RandomNoise.execute(SEED).result[0], guider, sampler, sigmas, empty).result[0]
    attention = run("LEDITS_CaptureAttention", store=store, latent=made, clip=clip, text=DRAWN)[0]
    return decoded(made["samples"]), attention


def heat(attention: Any, words: str) -> Tensor:
    return run("LEDITS_ExtractMask", attention=attention, words=words)[1][0]


def schedule() -> Panels:
    skips = {f"skip {skip:g}": edited(recolouring(), inversion(skip)) for skip in (0.0, 0.05, 0.1, 0.15, 0.25)}
    return {"photo": photo()[0]} | skips


def fit_photo() -> Panels:
    """The fitted photo in the corner of a ground of the photo's size."""
    large = to_image(np.asarray(Image.fromarray(CAR.photo()[60:231]).resize((960, 640), Image.Resampling.LANCZOS)))
    panels = {"960 x 640": large[0]}
    for megapixels in (0.25, 0.06):
        fitted = run("LEDITS_FitPhoto", model=checkpoint()[0], image=large, megapixels=megapixels)[0][0]
        ground = torch.full_like(large[0], 0.1)
        height, width = (min(one, other) for one, other in zip(fitted.shape[:2], ground.shape[:2], strict=True))
        ground[:height, :width] = fitted[:height, :width]
        panels[f"megapixels {megapixels:g}: {fitted.shape[1]} x {fitted.shape[0]}"] = ground
    return panels


def invert() -> Panels:
    walk = inversion().trajectory
    noise = decoded(walk.x_T / float(walk.sigmas[0]))
    return {"photo": photo()[0], "inversion": noise, "Edit, no concept": edited(())}


def concept_picture() -> Panels:
    inverted = inversion()
    scales = {f"scale {scale:g}": edited(recolouring(scale=scale), inverted) for scale in (1.0, 5.0, 25.0)}
    thresholds = {f"threshold {cut:g}": edited(recolouring(threshold=cut), inverted) for cut in (0.97, 0.87, 0.5)}
    return scales | thresholds


def edit_picture() -> Panels:
    height, width = photo().shape[1:3]
    output = execute("LEDITS_Edit", model=attentive(), inversion=inversion(), concepts=recolouring(), image=photo())
    over_photo = pictures_on(output)[0][:height, -width:]
    return {"photo": photo()[0], "latent": decoded(output.result[0]["samples"]), "mask": over_photo}


def attention_store() -> Panels:
    sizes = {f"resolution {size}": heat(drawn(size)[1], "apple") for size in (8, 16)}
    return {"picture": drawn(8)[0]} | sizes


def capture_attention() -> Panels:
    picture, attention = drawn(16)
    return {"picture": picture} | {word: heat(attention, word) for word in ("cupcake", "apple")}


def probe_attention() -> Panels:
    return {f"noise_level {level:g}": heat(probed(noise_level=level), "cupcake") for level in (0.1, 0.5, 0.9)}


def extract_mask() -> Panels:
    def cut(**settings: Any) -> Tensor:
        return grey(run("LEDITS_ExtractMask", attention=probed(), words=WORDS["words"], **settings)[0][0])

    return {
        "photo": photo()[0],
        "heatmap": heat(probed(), WORDS["words"]),
        "quantile 0.9": cut(quantile=0.9),
        "quantile 0.7": cut(quantile=0.7),
        "smoothing 2": cut(smoothing=2.0),
        "binary off": cut(binary=False),
    }


def heatmap() -> Panels:
    def panel(opacity: float) -> Tensor:
        """The panel of the last word, without its label."""
        height, width = photo().shape[1:3]
        return run("LEDITS_Heatmap", image=photo(), attention=probed("a cupcake"), opacity=opacity)[0][0, :height, -width:]

    return {f"opacity {opacity:g}": panel(opacity) for opacity in (0.3, 0.6, 1.0)}


def masked_guider() -> Panels:
    ours, node = replayed(recolouring()), edited(recolouring())
    return {"photo": photo()[0], "SamplerCustomAdvanced": ours, "10 x difference to Edit": difference(ours, node)}


def replay_sampler() -> Panels:
    steps = inversion().trajectory.steps
    return {f"step {stop} of {steps}": replayed(stop=stop) for stop in (steps // 2, 7 * steps // 8, steps)}


@functools.cache
def from_file() -> Any:
    """The inversion, saved and loaded again."""
    import folder_paths

    kept = folder_paths.get_output_directory()
    with tempfile.TemporaryDirectory(prefix="ledits-pictures-") as folder:
        folder_paths.set_output_directory(folder)
        try:
            saved = nodes()["LEDITS_SaveInversion"].execute(inversion=inversion(), filename_prefix="photo").ui["inversions"][0]
            return run("LEDITS_LoadInversion", file=f"{saved['filename']} [output]")[0]
        finally:
            folder_paths.set_output_directory(kept)


def save_inversion() -> Panels:
    colours = {colour: edited(recolouring(colour), from_file()) for colour in ("yellow", "red")}
    return {"photo": photo()[0]} | colours


def load_inversion() -> Panels:
    there, back = edited(recolouring("red")), edited(recolouring("red"), from_file())
    return {"Invert": there, "Load Inversion": back, "10 x difference": difference(there, back)}


def sweep() -> Panels:
    """The pictures of one sheet, each with its values."""
    scales, cuts = ("2", "5", "15"), ("0.87", "0.6")
    _, pictures = run(
        "LEDITS_Sweep",
        model=attentive(),
        vae=checkpoint()[2],
        inversion=inversion(),
        concepts=recolouring(),
        concept=1,
        columns="scale",
        column_values=", ".join(scales),
        rows="threshold",
        row_values=", ".join(cuts),
    )
    return {f"{scale}, {cut}": picture[0] for (cut, scale), picture in zip(itertools.product(cuts, scales), pictures, strict=True)}


PICTURES: dict[str, Callable[[], Panels]] = {
    "LEDITS_FitPhoto": fit_photo,
    "LEDITS_Schedule": schedule,
    "LEDITS_Invert": invert,
    "LEDITS_Concept": concept_picture,
    "LEDITS_Edit": edit_picture,
    "LEDITS_AttentionStore": attention_store,
    "LEDITS_CaptureAttention": capture_attention,
    "LEDITS_ProbeAttention": probe_attention,
    "LEDITS_ExtractMask": extract_mask,
    "LEDITS_Heatmap": heatmap,
    "LEDITS_MaskedGuider": masked_guider,
    "LEDITS_ReplaySampler": replay_sampler,
    "LEDITS_SaveInversion": save_inversion,
    "LEDITS_LoadInversion": load_inversion,
    "LEDITS_Sweep": sweep,
}


def sheet(panels: Panels) -> Image.Image:
    """The panels in rows, each with its label below, on a ground that suits a light and a dark page."""
    rows = -(-len(panels) // COLUMNS)
    tall = max(round(PANEL * picture.shape[0] / picture.shape[1]) for picture in panels.values())
    made = Image.new("RGB", (COLUMNS * PANEL + (COLUMNS - 1) * GAP, rows * (tall + STRIP)), (24, 24, 28))
    for number, (label, picture) in enumerate(panels.items()):
        left, top = number % COLUMNS * (PANEL + GAP), number // COLUMNS * (tall + STRIP)
        pixels = Image.fromarray((picture.clamp(0, 1) * 255).round().byte().numpy())
        made.paste(pixels.resize((PANEL, tall), Image.Resampling.LANCZOS), (left, top))
        font = ImageFont.load_default(20 if len(label) < 22 else 17)
        ImageDraw.Draw(made).text((left + PANEL / 2, top + tall + STRIP / 2), label, "white", font, anchor="mm")
    return made


@torch.inference_mode()
def main(wanted: list[str]) -> None:
    comfy.utils.PROGRESS_BAR_ENABLED = False
    FOLDER.mkdir(parents=True, exist_ok=True)
    for node_id in wanted or PICTURES:
        place = FOLDER / f"{node_id}.jpg"
        sheet(PICTURES[node_id]()).save(place, quality=88, optimize=True)
        size = place.stat().st_size
        print(f"{place} {size / 1000:.0f} kB", flush=True)
        assert size <= MOST_BYTES, f"{place} is larger than {MOST_BYTES} bytes"


if __name__ == "__main__":
    main(sys.argv[1:])
