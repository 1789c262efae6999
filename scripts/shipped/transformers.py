"""The workflows for transformers, with the files and the values of each: Flux, Qwen-Image, Z-Image and Stable Diffusion 3.5.

Their values are first ones, from what is published of similar methods; no such model is small enough to be tuned here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from scripts.scenes.shown import CAR

from .parts import AMBER, BLUE, GREEN, File, Group, Link, Node, Workflow, node, note

SCENE, THING = CAR.photo_file.name, CAR.where.removeprefix("a ")
HUB = "https://huggingface.co"
IS, BECOMES = f"{CAR.where} on grass", f"{CAR.text} on grass"
IMAGE, SIZED, INVERSION = (2, 0), (34, 0), (6, 0)
TO_ADD = "- **To add a thing**: in *where* what it stands on, *mask_mode* intersect."
ONLY_ADD = "\n\nOnly want to add something? Select *Remove* and press Ctrl+B; in *where* of *Add* write what it stands on, and set *mask_mode* to intersect."
FIRST_VALUES = "\n\nFirst values, from published settings of similar methods, not tuned with this model: change them one at a time."


def loader(number: int, kind: str, names: Iterable[str], directory: str, *files: tuple[str, str], **inputs: Any) -> Node:
    """A loading node, with these files in its widgets, and where each is found: (repository, path)."""
    found = tuple(File(path.rpartition("/")[2], f"{HUB}/{repository}/resolve/main/{path}", directory) for repository, path in files)
    values = dict(zip(names, (file.name for file in found), strict=True))
    return node(number, kind, files=found, **values, **inputs)


@dataclass(frozen=True)
class Parts:
    """What a workflow loads, and where its parts come out."""

    loaders: list[Node]
    model: Link
    clip: Link = (51, 0)
    vae: Link = (52, 0)

    def prompt(self, number: int, title: str, text: str) -> Node:
        return node(number, "CLIPTextEncode", title, clip=self.clip, text=text)

    def concept(self, number: int, title: str, text: str, **inputs: Any) -> Node:
        usual = {"direction": "add", "threshold": 0.0, "mask_mode": "attention", "warmup": 2, "cooldown": 0, "words": "", "where": THING}
        return node(number, "LEDITS_Concept", title, clip=self.clip, text=text, **(usual | inputs))


def separate_files(repository: str, network: str, encoder: tuple[str, str], vae: str, shift: float) -> Parts:
    """Loaders for a repository in ComfyUI's layout, the text encoder given as its type and file, and the shift of the noise levels."""
    kind, text = encoder

    def found(directory: str, name: str) -> tuple[str, str]:
        return repository, f"split_files/{directory}/{name}"

    return Parts(
        [
            loader(1, "UNETLoader", ["unet_name"], "diffusion_models", found("diffusion_models", network), weight_dtype="default"),
            loader(51, "CLIPLoader", ["clip_name"], "text_encoders", found("text_encoders", text), type=kind, device="default"),
            loader(52, "VAELoader", ["vae_name"], "vae", found("vae", vae)),
            node(55, "ModelSamplingAuraFlow", model=(1, 0), shift=shift),
        ],
        model=(55, 0),
    )


def edit_graph(
    name: str,
    about: str,
    parts: Parts,
    prompts: list[Node],
    base: dict[str, Link],
    steps: int,
    skip: float,
    changes: list[list[Node]],
    turn: str,
) -> Workflow:
    """The simple edit: load, encode, invert, concepts, edit, decode, save, with the masks and the heatmap beside it."""
    inverting = [
        node(3, "VAEEncode", pixels=SIZED, vae=parts.vae),
        *prompts,
        node(5, "LEDITS_Schedule", model=parts.model, steps=steps, skip=skip),
    ]
    photo = [
        node(2, "LoadImage", "Photo", image=SCENE),
        node(34, "LEDITS_FitPhoto", "To the model's size", model=parts.model, image=IMAGE, megapixels=0.0),
    ]
    invert = node(6, "LEDITS_Invert", model=parts.model, latent=(3, 0), sigmas=(5, 0), cfg=1.0, seed=0, **base)
    edit = node(9, "LEDITS_Edit", model=parts.model, inversion=INVERSION, concepts=(changes[-1][-1].id, 0), image=SIZED, cfg=0.0)
    decode = node(10, "VAEDecode", samples=(9, 0), vae=parts.vae)
    heatmap = node(14, "LEDITS_Heatmap", image=SIZED, attention=(9, 1), concept=0, opacity=0.6)
    results = [
        [node(11, "SaveImage", "Edited photo", images=(10, 0), filename_prefix=f"ledits/{name}"), heatmap],
        [
            node(12, "MaskToImage", mask=(9, 2)),
            node(13, "PreviewImage", "Mask of each concept", images=(12, 0)),
            node(15, "PreviewImage", "Where each word looks", images=(14, 0)),
        ],
    ]
    return Workflow(
        name,
        [
            [Group("1  Model and photo", [[note(90, about), *parts.loaders], photo], BLUE)],
            [
                Group("2  Inversion: computed once, reused by every edit", [inverting, [invert]], BLUE),
                Group("3  What to change", [*changes, [note(91, turn + FIRST_VALUES, (340, 320))]], GREEN),
            ],
            [Group("4  Edit", [[edit, decode]], AMBER)],
            [Group("Result", results, AMBER)],
        ],
    )


def flux() -> Workflow:
    encoders = "comfyanonymous/flux_text_encoders"
    parts = Parts(
        [
            loader(
                1,
                "UNETLoader",
                ["unet_name"],
                "diffusion_models",
                ("Comfy-Org/flux1-dev", "flux1-dev.safetensors"),
                weight_dtype="default",
            ),
            loader(
                51,
                "DualCLIPLoader",
                ["clip_name1", "clip_name2"],
                "text_encoders",
                (encoders, "clip_l.safetensors"),
                (encoders, "t5xxl_fp16.safetensors"),
                type="flux",
                device="default",
            ),
            loader(52, "VAELoader", ["vae_name"], "vae", ("Comfy-Org/Lumina_Image_2.0_Repackaged", "split_files/vae/ae.safetensors")),
        ],
        model=(1, 0),
    )
    return edit_graph(
        "flux",
        "## Edit a photo with Flux.1 dev\n1. Describe the photo as it is (*Photo as it is*).\n2. Write the same with your change "
        "(*Photo as it should be*), and in *where* the thing that is to change.\n3. Run.\n\nFlux takes its guidance as a number (*FluxGuidance*), "
        "and an empty prompt means little to it. So a change is the difference of two descriptions.",
        parts,
        [
            parts.prompt(4, "Neutral prompt (empty)", ""),
            parts.prompt(53, "Photo as it is", IS),
            node(54, "FluxGuidance", conditioning=(53, 0), guidance=1.5),
        ],
        {"negative": (4, 0), "positive": (54, 0)},
        28,
        0.1,
        [[parts.concept(8, "Photo as it should be", BECOMES, scale=4.0)]],
        "## What to turn\n- **Nothing changes**: *scale* 6, *skip* 0.05.\n- **Too much changes**: *scale* 3, *warmup* 4.\n"
        "- **Keep guidance at 1 to 1.5**; at 3.5 take *scale* 1.5 to 3.\n- **To remove a thing**: describe the photo without it.\n"
        + TO_ADD,
    )


def qwen_image() -> Workflow:
    parts = separate_files(
        "Comfy-Org/Qwen-Image_ComfyUI",
        "qwen_image_fp8_e4m3fn.safetensors",
        ("qwen_image", "qwen_2.5_vl_7b_fp8_scaled.safetensors"),
        "qwen_image_vae.safetensors",
        shift=3.1,
    )
    return edit_graph(
        "qwen_image",
        "## Edit a photo with Qwen-Image\n1. Load a photo.\n2. Write what to add and what to remove, "
        "and in *where* of both the thing that is to change; Chinese works too.\n3. Run." + ONLY_ADD,
        parts,
        [parts.prompt(4, "Neutral prompt (empty)", "")],
        {"negative": (4, 0)},
        30,
        0.15,
        add_and_remove(parts, 6.0),
        WITH_TRUE_GUIDANCE,
    )


def sd35() -> Workflow:
    checkpoint = ("Comfy-Org/stable-diffusion-3.5-fp8", "sd3.5_large_fp8_scaled.safetensors")
    parts = Parts(
        [loader(1, "CheckpointLoaderSimple", ["ckpt_name"], "checkpoints", checkpoint)],
        model=(1, 0),
        clip=(1, 1),
        vae=(1, 2),
    )
    return edit_graph(
        "sd35",
        "## Edit a photo with Stable Diffusion 3.5\n1. Load a photo. Large and Medium work alike.\n2. Write what to add and what to remove, "
        "and in *where* of both the thing that is to change.\n3. Run." + ONLY_ADD,
        parts,
        [parts.prompt(4, "Neutral prompt (empty)", "")],
        {"negative": (4, 0)},
        40,
        0.15,
        add_and_remove(parts, 6.0),
        WITH_TRUE_GUIDANCE,
    )


def add_and_remove(parts: Parts, scale: float) -> list[list[Node]]:
    return [
        [parts.concept(8, "Add", CAR.text, scale=scale)],
        [parts.concept(7, "Remove", CAR.where, scale=scale, direction="remove", concepts=(8, 0))],
    ]


WITH_TRUE_GUIDANCE = (
    "## What to turn\n- **Nothing changes**: *scale* 8, *skip* 0.1.\n- **Harsh colours**: *scale* 4. Flow models want less than SD 1.5.\n"
    "- **Too much changes**: *warmup* 5, *skip* 0.25.\n- **The photo's subject is lost**: describe the photo, connect that to "
    "*positive* of Invert, and set its *cfg* to 1 to 3.5."
)


def z_image_turbo() -> Workflow:
    parts = separate_files(
        "Comfy-Org/z_image_turbo",
        "z_image_turbo_bf16.safetensors",
        ("lumina2", "qwen_3_4b.safetensors"),
        "ae.safetensors",
        shift=3.0,
    )
    return edit_graph(
        "z_image_turbo",
        "## Edit a photo with Z-Image-Turbo, in 8 steps\n1. Describe the photo as it is (*Photo as it is*).\n2. Write the same with your change "
        "(*Photo as it should be*), and in *where* the thing that is to change.\n3. Run.\n\nA model of few steps has "
        "its guidance built in, so a change is the difference of two descriptions. Schnell, Klein and Lightning work the same way.",
        parts,
        [parts.prompt(4, "Photo as it is", IS)],
        {"negative": (4, 0)},
        8,
        0.1,
        [[parts.concept(8, "Photo as it should be", BECOMES, scale=2.0, warmup=0)]],
        "## What to turn\n- **Nothing changes**: *scale* 3, *skip* 0.05.\n- **Harsh colours**: *scale* 1.5.\n"
        "- **Too much changes**: *skip* 0.2.\n- **The mask misses the thing**: other words in *where*, or another *seed* of Invert.\n"
        + TO_ADD,
    )


def workflows() -> Iterator[Workflow]:
    yield from (flux(), qwen_image(), z_image_turbo(), sd35())
