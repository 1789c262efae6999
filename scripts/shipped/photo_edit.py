"""The first workflow: checkpoint, photo, what is there, what instead. The rest is in one subgraph, which is the blueprint too."""

from __future__ import annotations

from ledits.presets import PRESETS

from .parts import AMBER, BLUE, GREEN, File, Group, Link, Node, Subgraph, Workflow, as_large_as_the_original, node, note

STEPS, SKIP = 20, 0.15
CHECKPOINT = File(
    "v1-5-pruned-emaonly-fp16.safetensors",
    "https://huggingface.co/Comfy-Org/stable-diffusion-v1-5-archive/resolve/main/v1-5-pruned-emaonly-fp16.safetensors",
    "checkpoints",
)
EXAMPLE = "example.png"
"""Every ComfyUI has it."""
THERE, INSTEAD, STRENGTH, SIZE, MODE = "what is there", "what instead", "strength", "megapixels", "mask_mode"
WARMUP = {"warmup": round(PRESETS["replace"]["warmup"] * STEPS)}

INSIDE = Workflow(
    "Photo Edit (LEDITS++)",
    [
        [
            Group(
                "1  The photo in the model's size, and its inversion",
                [
                    [
                        node(34, "LEDITS_FitPhoto"),
                        node(3, "VAEEncode", pixels=(34, 0)),
                        node(4, "CLIPTextEncode", "Neutral prompt (empty)", text=""),
                        node(5, "LEDITS_Schedule", steps=STEPS, skip=SKIP),
                    ],
                    [node(6, "LEDITS_Invert", latent=(3, 0), sigmas=(5, 0), negative=(4, 0))],
                ],
                BLUE,
            )
        ],
        [Group("2  What to change, and where", [[node(7, "LEDITS_Concept", "What to change", **(PRESETS["replace"] | WARMUP))]], GREEN)],
        [
            Group(
                "3  Edit",
                [[node(9, "LEDITS_Edit", inversion=(6, 0), concepts=(7, 0), image=(34, 0)), node(10, "VAEDecode", samples=(9, 0))]],
                AMBER,
            )
        ],
        [
            Group(
                "4  Back into the original, with a soft edge",
                [
                    [
                        node(42, "GetImageSize", "The original's size", size=(320, 150)),
                        as_large_as_the_original(),
                        node(
                            45, "ImageCompositeMasked", "Only inside the mask", source=(43, 0), mask=(48, 0), x=0, y=0, resize_source=False
                        ),
                    ],
                    [
                        node(44, "GrowMask", "A little larger than the thing", mask=(9, 2), expand=8, tapered_corners=True),
                        node(46, "MaskToImage", mask=(44, 0)),
                        node(47, "ImageBlur", "The soft edge", image=(46, 0), blur_radius=8, sigma=4.0),
                        node(48, "ImageToMask", image=(47, 0), channel="red"),
                    ],
                ],
                AMBER,
            )
        ],
    ],
)
PHOTO_EDIT = Subgraph(
    INSIDE,
    [
        ("photo", [(34, "image"), (42, "image"), (45, "destination")]),
        ("model", [(34, "model"), (5, "model"), (6, "model"), (9, "model")]),
        ("clip", [(4, "clip"), (7, "clip")]),
        ("vae", [(3, "vae"), (10, "vae")]),
        (THERE, [(7, "where")]),
        (INSTEAD, [(7, "text")]),
        (STRENGTH, [(7, "scale")]),
        (SIZE, [(34, "megapixels")]),
        (MODE, [(7, "mask_mode")]),
    ],
    [("photo", 45, 0), ("mask", 48, 0)],
)
LOADER, PHOTO, EDIT, RESULT, MASK, BEFORE_AND_AFTER = 1, 2, 49, 11, 14, 13
PHOTO_HEIGHT = 200
"""Of the photo in App Mode: a person sees what is in it, and the texts still stand above Run."""


def part(output: int) -> Link:
    return LOADER, output


def edit() -> Workflow:
    changed: Node = node(
        EDIT,
        INSIDE.name,
        size=(360, 400),
        inside=PHOTO_EDIT,
        photo=(PHOTO, 0),
        model=part(0),
        clip=part(1),
        vae=part(2),
        **{THERE: "pink dress", INSTEAD: "red dress"},
    )
    return Workflow(
        "edit",
        [
            [
                Group(
                    "1  Checkpoint and photo",
                    [
                        [
                            node(
                                LOADER,
                                "CheckpointLoaderSimple",
                                files=(CHECKPOINT,),
                                labels={"ckpt_name": "checkpoint"},
                                ckpt_name=CHECKPOINT.name,
                            ),
                            node(PHOTO, "LoadImage", "Photo", labels={"image": "photo"}, image=EXAMPLE),
                        ]
                    ],
                    BLUE,
                )
            ],
            [
                Group(
                    "2  What is there, and what instead",
                    [
                        [
                            changed,
                            note(
                                90,
                                "**Replace**: write both. **Remove**: write what is behind it, or nothing and *strength* 5. **Add**: write what it stands on and the whole photo as it should be, and set *mask_mode* to intersect. **Background**: write what stays, with a minus (*-dog*), and the new one.\n\n"
                                "Nothing changes? *strength* 20. Harsh colours? 5. Short of memory? *megapixels* 0.5; 0 is the model's own size.",
                                (360, 180),
                            ),
                        ]
                    ],
                    GREEN,
                )
            ],
            [
                Group(
                    "Result",
                    [
                        [
                            node(RESULT, "SaveImage", "Edited photo", images=(EDIT, 0), filename_prefix="ledits/edited"),
                            node(MASK, "MaskPreview", "Where it changed", size=(420, 300), mask=(EDIT, 1)),
                        ],
                        [
                            node(
                                12,
                                "ImageStitch",
                                "Before and after",
                                image1=(PHOTO, 0),
                                image2=(EDIT, 0),
                                direction="right",
                                match_image_size=True,
                                spacing_width=0,
                                spacing_color="white",
                            ),
                            node(BEFORE_AND_AFTER, "PreviewImage", "Before and after", size=(640, 420), images=(12, 0)),
                        ],
                    ],
                    AMBER,
                )
            ],
        ],
        {
            "inputs": [[LOADER, "ckpt_name"], [PHOTO, "image", {"height": PHOTO_HEIGHT}], [EDIT, THERE], [EDIT, INSTEAD]],
            "outputs": [RESULT],
        },
    )
