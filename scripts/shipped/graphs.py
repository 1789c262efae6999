"""The workflows that ship: what is in them, how they are laid out, and what their notes say.

Their values suit the drawings that ship with them and the small checkpoint that draws such; each graph has a note with values for photos.
Those of large models open a scene that looks like a photo.
"""

from __future__ import annotations

from typing import Any

from scripts.scenes.shown import CAR

from . import photo_edit, transformers
from .parts import AMBER, BLUE, BYPASSED, GREEN, PURPLE, Group, Link, Node, Workflow, as_large_as_the_original, node, note
from .slots import CONTROL_NET, LORA

CHECKPOINT, SDXL = "ledits-tiny.safetensors", "sd_xl_base_1.0.safetensors"
TWO_SHAPES, LARGE = "two_shapes.png", "large_drawing.png"
MANY = (TWO_SHAPES, "circle_and_triangle.png", "circle_and_square.png")
MODEL, CLIP, VAE = (1, 0), (1, 1), (1, 2)
PHOTO, INVERSION, ATTENTIVE = (2, 0), (6, 0), (16, 0)
CELLS = 16
"""Cells along a side of the attention maps, which SD 1.5 has at 512 pixels by itself."""

VALUES_FOR_PHOTOS = (
    "**For photos** (SD 1.5, SDXL and their fine-tunes) choose a *preset* on each Concept, and set Schedule to steps 50 and skip 0.15"
)
FOR_PHOTOS = f"{VALUES_FOR_PHOTOS}, Attention Store to resolution 0."
TURN = (
    "## What to turn\n- **Nothing changes**: raise *scale*, lower *skip* or *warmup*.\n- **Too much changes**: raise *threshold* or *warmup*.\n"
    "- **The wrong thing changes**: name the thing in *words*, connect *attention*, or draw a *mask*.\n\n" + FOR_PHOTOS
)


def loading(text: str, *more: Node, checkpoint: str = CHECKPOINT, photo: str = TWO_SHAPES) -> Group:
    """The checkpoint, the photo, and a note that says what the graph is for."""
    return Group(
        "1  Checkpoint and photo",
        [
            [note(90, text)],
            [
                node(1, "CheckpointLoaderSimple", ckpt_name=checkpoint),
                node(2, "LoadImage", "Photo", image=photo),
                *more,
            ],
        ],
        BLUE,
    )


def fitted(megapixels: float) -> Node:
    """The photo in a checkpoint's size."""
    return node(34, "LEDITS_FitPhoto", model=MODEL, image=PHOTO, megapixels=megapixels)


def inverting(steps: int, skip: float, model: Link = MODEL, clip: Link = CLIP, pixels: Link = PHOTO, negative: Link = (4, 0)) -> Group:
    return Group(
        "2  Inversion: computed once, reused by every edit",
        [
            [
                node(3, "VAEEncode", pixels=pixels, vae=VAE),
                node(4, "CLIPTextEncode", "Neutral prompt (empty)", clip=clip, text=""),
                node(5, "LEDITS_Schedule", model=model, steps=steps, skip=skip),
            ],
            [node(6, "LEDITS_Invert", model=model, latent=(3, 0), sigmas=(5, 0), negative=negative, cfg=1.0, seed=0)],
        ],
        BLUE,
    )


def concept(number: int, title: str, text: str, direction: str = "add", clip: Link = CLIP, **settings: Any) -> Node:
    usual = {"scale": 9.0, "threshold": 0.89, "mask_mode": "attention", "warmup": 0, "cooldown": 12, "words": ""}
    return node(number, "LEDITS_Concept", title, clip=clip, text=text, direction=direction, **(usual | settings))


def store(model: Link = MODEL) -> Node:
    return node(16, "LEDITS_AttentionStore", model=model, resolution=CELLS, up=True, down=True, mid=False, average_steps=False)


def probe(number: int, title: str, text: str, clip: Link = CLIP) -> Node:
    return node(
        number,
        "LEDITS_ProbeAttention",
        title,
        model=ATTENTIVE,
        latent=(3, 0),
        clip=clip,
        text=text,
        noise_level=0.35,
        seed=0,
    )


def looking(*probes: Node, model: Link = MODEL) -> Group:
    return Group("3  Where is it? One look at the photo", [[store(model), probes[0]], *([probe] for probe in probes[1:])], GREEN)


def edit(concepts: Link, photo: Link = PHOTO, model: Link = ATTENTIVE) -> Node:
    """The node draws each mask over the photo as it was inverted."""
    return node(9, "LEDITS_Edit", model=model, inversion=INVERSION, concepts=concepts, image=photo, cfg=0.0)


def decode(samples: Link = (9, 0)) -> Node:
    return node(10, "VAEDecode", samples=samples, vae=VAE)


def save(number: int, images: Link, name: str, title: str = "Edited photo", size: tuple[int, int] | None = None) -> Node:
    return node(number, "SaveImage", title, size=size, images=images, filename_prefix=f"ledits/{name}")


def try_it() -> Workflow:
    settings = {"scale": 4.0, "cooldown": 9}
    return Workflow(
        "try_it",
        [
            [
                loading(
                    "## Try it without a checkpoint\nA drawing, and the small checkpoint that draws such: this pack's repository has it "
                    "(`scripts/small_model/ledits-tiny.safetensors`). For a photo open *edit*.\n\n"
                    "The inversion is computed once. Change a concept and run again: only the edit is repeated.\n\n"
                    "Only want to add something? Select *Remove* and press Ctrl+B."
                )
            ],
            [
                inverting(20, 0.0),
                Group(
                    "3  What to change",
                    [
                        [concept(8, "Add", "a green circle", **settings)],
                        [concept(7, "Remove", "a red circle", "remove", concepts=(8, 0), **settings)],
                        [note(91, TURN, (340, 250))],
                    ],
                    GREEN,
                ),
            ],
            [Group("4  Edit", [[store(), edit((7, 0)), decode()]], AMBER)],
            [
                Group(
                    "Result",
                    [
                        [save(11, (10, 0), "edited"), node(14, "LEDITS_Heatmap", image=PHOTO, attention=(9, 1), concept=0, opacity=0.6)],
                        [
                            node(12, "MaskToImage", mask=(9, 2)),
                            node(13, "PreviewImage", "Mask of each concept", images=(12, 0)),
                            node(15, "PreviewImage", "Where each word looks", images=(14, 0)),
                        ],
                    ],
                    AMBER,
                )
            ],
        ],
    )


def several_concepts() -> Workflow:
    return Workflow(
        "several_concepts",
        [
            [
                loading(
                    "## Several changes at once\nChain Concept nodes: each has its own text, strength and place, and all act in one run.\n\n"
                    "Here the photo is first asked where the two things are (*Probe Attention*). Each concept gets its place through *attention*, "
                    "and *words* picks the thing out of the probed text."
                )
            ],
            [
                inverting(40, 0.0),
                looking(
                    probe(20, "Look for the first thing", "a red circle"),
                    probe(21, "Look for the second thing", "a blue square"),
                ),
            ],
            [
                Group(
                    "4  Two concepts, chained",
                    [
                        [
                            concept(7, "First change", "a green circle", attention=(20, 0), words="red circle"),
                            concept(
                                8,
                                "Second change",
                                "a purple square",
                                threshold=0.88,
                                attention=(21, 0),
                                words="blue square",
                                concepts=(7, 0),
                            ),
                        ],
                        [
                            note(
                                91,
                                "## What to turn\nEach concept alone: *scale* for its strength, *threshold* for how much of the picture it may "
                                "touch (0.89 leaves 89 % alone).\n\nA mask that misses its thing: write other words in its Probe Attention.\n\n"
                                "A third change: copy a Concept, and connect the chain's end to its *concepts*.\n\n" + FOR_PHOTOS,
                                (340, 320),
                            )
                        ],
                    ],
                    GREEN,
                )
            ],
            [Group("5  Edit", [[edit((8, 0)), decode()]], AMBER)],
            [
                Group(
                    "Result",
                    [
                        [save(11, (10, 0), "several")],
                        [
                            node(12, "MaskToImage", mask=(9, 2)),
                            node(13, "PreviewImage", "Mask of each concept, in their order", images=(12, 0)),
                        ],
                    ],
                    AMBER,
                )
            ],
        ],
    )


def advanced() -> Workflow:
    model, clip = (30, 0), (30, 1)
    return Workflow(
        "advanced",
        [
            [
                loading(
                    "## The same edit from ComfyUI's own parts\n*Masked Guider* and *Replay Sampler* feed ComfyUI's SamplerCustomAdvanced, so that "
                    "anything that takes a GUIDER or a SAMPLER can stand in between.\n\nThe purple nodes are bypassed. Select one and press "
                    "**Ctrl+B** to switch it on:\n- **LoRA**: choose a file. It then takes part in the inversion, the look and the edit.\n"
                    "- **ControlNet**: switch on *both* of its nodes and choose a file of your checkpoint's kind. Its outlines hold the shapes, "
                    "so that a stronger *scale* keeps the layout.",
                ),
                Group(
                    "LoRA (bypassed)",
                    [
                        [
                            node(
                                30,
                                "LoraLoader",
                                "LoRA: Ctrl+B switches it on",
                                mode=BYPASSED,
                                lora_name=LORA,
                                model=MODEL,
                                clip=CLIP,
                                strength_model=1.0,
                                strength_clip=1.0,
                            )
                        ]
                    ],
                    PURPLE,
                ),
                Group(
                    "ControlNet (bypassed)",
                    [
                        [
                            node(31, "ControlNetLoader", "ControlNet: Ctrl+B switches it on", mode=BYPASSED, control_net_name=CONTROL_NET),
                            node(32, "Canny", "Outlines of the photo", image=PHOTO, low_threshold=0.2, high_threshold=0.5),
                        ],
                        [
                            node(
                                33,
                                "ControlNetApplyAdvanced",
                                "Apply it: Ctrl+B switches it on",
                                mode=BYPASSED,
                                positive=(4, 0),
                                negative=(4, 0),
                                control_net=(31, 0),
                                image=(32, 0),
                                strength=0.5,
                                start_percent=0.0,
                                end_percent=1.0,
                            )
                        ],
                    ],
                    PURPLE,
                ),
            ],
            [
                inverting(40, 0.0, model=model, clip=clip, negative=(33, 1)),
                Group(
                    "3  Where, and what to change",
                    [
                        [
                            store(model),
                            probe(20, "Look for the thing", "a red circle", clip),
                        ],
                        [concept(8, "What to change", "a green circle", clip=clip, scale=5.0, attention=(20, 0), words="red circle")],
                    ],
                    GREEN,
                ),
            ],
            [
                Group(
                    "4  Sample",
                    [
                        [
                            node(17, "LEDITS_MaskedGuider", model=ATTENTIVE, inversion=INVERSION, concepts=(8, 0), cfg=0.0),
                            node(18, "LEDITS_ReplaySampler", inversion=INVERSION),
                            note(
                                91,
                                "## What to turn\nAs in the simple graph: *scale*, *threshold*, *warmup* and *skip*.\n\nAll five inputs of "
                                "SamplerCustomAdvanced belong together: guider, sampler, sigmas, latent and noise come from the **same** "
                                "inversion.\n\n" + FOR_PHOTOS,
                                (320, 260),
                            ),
                        ],
                        [
                            node(
                                9,
                                "SamplerCustomAdvanced",
                                noise=(18, 3),
                                guider=(17, 0),
                                sampler=(18, 0),
                                sigmas=(18, 1),
                                latent_image=(18, 2),
                            ),
                            decode(),
                        ],
                    ],
                    AMBER,
                )
            ],
            [
                Group(
                    "Result",
                    [
                        [save(11, (10, 0), "advanced")],
                        [
                            node(14, "LEDITS_Heatmap", image=PHOTO, attention=(20, 0), concept=0, opacity=0.6),
                            node(15, "PreviewImage", "Where each word looks", images=(14, 0)),
                        ],
                    ],
                    AMBER,
                )
            ],
        ],
    )


def where_words_look() -> Workflow:
    def cut(number: int, words: str, quantile: float) -> Node:
        return node(
            number,
            "LEDITS_ExtractMask",
            attention=(20, 0),
            concept=0,
            words=words,
            smoothing=0.7071,
            quantile=quantile,
            binary=True,
            width=0,
            height=0,
        )

    return Workflow(
        "where_words_look",
        [
            [
                loading(
                    "## Where does each word look?\nOne look at a photo, without any edit: a map for each word, and masks cut from them.\n\n"
                    "Use it to find words that your checkpoint places well, before you spend time on an edit, or as a mask from a text for any "
                    "other node."
                )
            ],
            [
                Group(
                    "2  One look",
                    [
                        [
                            node(3, "VAEEncode", pixels=PHOTO, vae=VAE),
                            store(),
                            probe(20, "The words to look for", "a red circle and a blue square"),
                        ],
                    ],
                    GREEN,
                ),
            ],
            [
                Group(
                    "Maps: bright where a word looks",
                    [
                        [
                            node(21, "LEDITS_Heatmap", image=PHOTO, attention=(20, 0), concept=0, opacity=0.6),
                            node(22, "PreviewImage", "A panel for each word", size=(1000, 300), images=(21, 0)),
                        ]
                    ],
                    AMBER,
                ),
                Group(
                    "Masks: ordinary MASKs for any node",
                    [
                        [cut(23, "red circle", 0.89), node(24, "MaskPreview", "Mask of 'red circle'", mask=(23, 0))],
                        [cut(25, "blue square", 0.88), node(26, "MaskPreview", "Mask of 'blue square'", mask=(25, 0))],
                        [
                            note(
                                91,
                                "## What to turn\n- **Map too spotty**: another *noise_level*. Low values (0.2) see texture, high ones (0.8) only "
                                "layout.\n- **Mask too large or too small**: *quantile*; 0.89 takes the 11 % that the words look at most.\n"
                                "- **Soft edges**: switch *binary* off.\n- **Finer cells**: Attention Store *resolution*. 0 is right for photos on "
                                "SD 1.5 and SDXL.\n- **Is the map sure?** Another *seed* shows it.",
                                (320, 300),
                            )
                        ],
                    ],
                    AMBER,
                ),
            ],
        ],
    )


def inpaint_by_words() -> Workflow:
    return Workflow(
        "inpaint_by_words",
        [
            [
                loading(
                    "## Inpaint what a word finds\nNo brush: *Probe Attention* finds the thing by its name, *Extract Mask* turns that into a MASK, "
                    "and ComfyUI's own inpainting draws something new there.\n\nOutside the mask the photo stays the same to the bit.",
                    photo=MANY[2],
                )
            ],
            [
                Group(
                    "2  Find it",
                    [
                        [
                            node(3, "VAEEncode", pixels=PHOTO, vae=VAE),
                            store(),
                            probe(20, "The thing to replace", "a red circle"),
                        ],
                        [
                            node(
                                23,
                                "LEDITS_ExtractMask",
                                attention=(20, 0),
                                concept=0,
                                words="red circle",
                                smoothing=0.7071,
                                quantile=0.85,
                                binary=True,
                                width=0,
                                height=0,
                            ),
                            node(24, "GrowMask", "A little larger than the thing", mask=(23, 0), expand=8, tapered_corners=True),
                            node(25, "MaskPreview", "What will be drawn anew", mask=(24, 0)),
                        ],
                    ],
                    GREEN,
                ),
            ],
            [
                Group(
                    "3  ComfyUI's own inpainting",
                    [
                        [
                            node(
                                26,
                                "CLIPTextEncode",
                                "The whole picture as it should be",
                                clip=CLIP,
                                text="a yellow triangle and a white square",
                            ),
                            node(4, "CLIPTextEncode", "Negative prompt", clip=CLIP, text=""),
                            node(27, "SetLatentNoiseMask", samples=(3, 0), mask=(24, 0)),
                            note(
                                91,
                                "## What to turn\n- **Parts of the old thing remain**: raise *expand*, or lower *quantile*.\n"
                                "- **The new thing is wrong**: another *seed* or *cfg*; describe the whole picture.\n"
                                "- **Keep something of the old thing**: lower *denoise*.\n\nWith an inpainting checkpoint put "
                                "InpaintModelConditioning in the place of Set Latent Noise Mask.",
                                (320, 280),
                            ),
                        ],
                        [
                            node(
                                28,
                                "KSampler",
                                model=MODEL,
                                positive=(26, 0),
                                negative=(4, 0),
                                latent_image=(27, 0),
                                seed=1,
                                control_after_generate="fixed",
                                steps=20,
                                cfg=4.0,
                                sampler_name="euler",
                                scheduler="normal",
                                denoise=1.0,
                            ),
                            decode((28, 0)),
                        ],
                    ],
                    AMBER,
                )
            ],
            [
                Group(
                    "Result",
                    [
                        [
                            node(
                                29,
                                "ImageCompositeMasked",
                                "Back into the photo",
                                destination=PHOTO,
                                source=(10, 0),
                                mask=(24, 0),
                                x=0,
                                y=0,
                                resize_source=False,
                            ),
                            save(11, (29, 0), "inpainted", "Inpainted photo"),
                        ]
                    ],
                    AMBER,
                )
            ],
        ],
    )


def sweep() -> Workflow:
    return Workflow(
        "sweep",
        [
            [
                loading(
                    "## Find good values by looking\n*Sweep* makes the same edit with several values of one or two settings, and lays the pictures "
                    "out with their values below.\n\nOne inversion serves them all."
                )
            ],
            [
                inverting(20, 0.05),
                looking(probe(20, "Look for the thing", "a red circle")),
            ],
            [
                Group(
                    "4  What to change",
                    [
                        [
                            concept(8, "This one is varied", "a green circle", attention=(20, 0), words="red circle"),
                        ]
                    ],
                    GREEN,
                )
            ],
            [
                Group(
                    "5  Sweep",
                    [
                        [
                            node(
                                9,
                                "LEDITS_Sweep",
                                model=ATTENTIVE,
                                vae=VAE,
                                inversion=INVERSION,
                                concepts=(8, 0),
                                concept=0,
                                columns="scale",
                                column_values="1, 3, 9",
                                rows="threshold",
                                row_values="0.97, 0.89, 0.7",
                            ),
                            note(
                                91,
                                "## What to turn\n- *concept*: which one of the chain is varied, counted from 0.\n- *columns*, *rows*: the settings to "
                                "vary; rows may be **none**.\n- Their values, with commas between them; up to 50 pictures a sheet.\n\n"
                                "Then copy the values of the picture you like best into the Concept of the simple graph.\n\n"
                                "**For photos** begin with scale 4, 7, 12 against threshold 0.95, 0.9, 0.8.",
                                (340, 280),
                            ),
                        ]
                    ],
                    AMBER,
                )
            ],
            [Group("Result", [[save(11, (9, 0), "sweep", "The sheet", (760, 860))]], AMBER)],
        ],
    )


def sdxl() -> Workflow:
    settings = {"warmup": 2, "cooldown": 0}
    return Workflow(
        "sdxl",
        [
            [
                loading(
                    "## Edit with SDXL\nSDXL works best around one megapixel. The photo, whatever its size, is scaled to that; its sides become multiples "
                    "of 64 and keep their proportions.\n\nAny SDXL checkpoint or fine-tune will do.",
                    fitted(0.0),
                    checkpoint=SDXL,
                    photo=CAR.photo_file.name,
                )
            ],
            [
                inverting(40, 0.1, pixels=(34, 0)),
                Group(
                    "3  Where is it, and what to change",
                    [
                        [
                            node(
                                16, "LEDITS_AttentionStore", model=MODEL, resolution=0, up=True, down=True, mid=False, average_steps=False
                            ),
                            probe(20, "Look for the thing", CAR.where),
                        ],
                        [concept(7, "Remove", CAR.where, "remove", scale=6.0, attention=(20, 0), words="purple car", **settings)],
                        [concept(8, "Add", CAR.text, attention=(20, 0), words="purple car", concepts=(7, 0), **settings)],
                        [
                            note(
                                91,
                                "## What to turn\n- **Nothing changes**: *scale* 12, *skip* 0.05.\n- **The layout drifts**: *skip* 0.2, *warmup* 5.\n"
                                "- **A small thing** (glasses, a mouth): *threshold* 0.95; **a large one**: 0.8.\n- **A style**: *mask_mode* noise, "
                                "*threshold* 0.5, without *attention*.\n\nShort of memory? *megapixels* 0.6.",
                                (340, 250),
                            )
                        ],
                    ],
                    GREEN,
                ),
            ],
            [Group("4  Edit", [[edit((8, 0), (34, 0)), decode()]], AMBER)],
            [
                Group(
                    "Result",
                    [
                        [
                            save(11, (10, 0), "sdxl", size=(560, 620)),
                            node(12, "MaskPreview", "Where it changed", mask=(9, 2)),
                        ]
                    ],
                    AMBER,
                )
            ],
        ],
    )


def batch() -> Workflow:
    first, *others = MANY
    return Workflow(
        "batch",
        [
            [
                loading(
                    "## The same change in several photos\nPut photos of one size into one batch: all are inverted and edited together, each with its own "
                    "mask, and each as if it were alone.\n\nPhotos of other sizes: ComfyUI scales them to the first one's when they join the batch.",
                    *(node(35 + place, "LoadImage", f"Photo {place + 2}", image=photo) for place, photo in enumerate(others)),
                    photo=first,
                )
            ],
            [
                Group(
                    "One batch",
                    [[node(41, "BatchImagesNode", **{"images.image0": PHOTO, "images.image1": (35, 0), "images.image2": (36, 0)})]],
                    BLUE,
                ),
                inverting(40, 0.0, pixels=(41, 0)),
            ],
            [
                Group(
                    "3  Where is it, and what to change",
                    [
                        [
                            store(),
                            probe(20, "Look for the thing", "a red circle"),
                            concept(8, "What to change", "a green circle", attention=(20, 0), words="red circle"),
                        ],
                        [
                            note(
                                91,
                                "## What to turn\nAll photos share the concept's settings, but each is asked where its own thing is.\n\n"
                                "- **One photo changes too little**: raise *scale*.\n- **Out of memory**: fewer photos at once.\n\n"
                                + FOR_PHOTOS,
                                (340, 240),
                            )
                        ],
                    ],
                    GREEN,
                )
            ],
            [Group("4  Edit", [[edit((8, 0), (41, 0)), decode()]], AMBER)],
            [
                Group(
                    "Result",
                    [
                        [save(11, (10, 0), "batch", "Edited photos", (640, 360))],
                        [
                            node(12, "MaskToImage", mask=(9, 2)),
                            node(13, "PreviewImage", "The mask of each photo", size=(640, 360), images=(12, 0)),
                        ],
                    ],
                    AMBER,
                )
            ],
        ],
    )


def large_photo() -> Workflow:
    return Workflow(
        "large_photo",
        [
            [
                loading(
                    "## A photo of any size\nThe photo is scaled down to what the checkpoint likes, edited there, scaled back, and laid into the original "
                    "through Edit's own mask: **every pixel outside the mask is the original's**, in full resolution.",
                    fitted(0.1),
                    photo=LARGE,
                )
            ],
            [
                inverting(20, 0.0, pixels=(34, 0)),
                Group(
                    "3  What to change, and where",
                    [
                        [concept(8, "What to change", "a green circle", scale=5.0, threshold=0.0, cooldown=0, where="red circle")],
                        [
                            note(
                                91,
                                "## What to turn\n- *megapixels*: 0.1 suits the small drawing checkpoint. **For photos 0**: the checkpoint's own size.\n- **A hard edge around the change**: raise *expand* of Grow Mask.\n\n"
                                f"One concept here: with several, take Edit's *joined_mask*.\n\n{VALUES_FOR_PHOTOS}.",
                                (340, 320),
                            )
                        ],
                    ],
                    GREEN,
                ),
            ],
            [Group("4  Edit", [[edit((8, 0), (34, 0), MODEL), decode()]], AMBER)],
            [
                Group(
                    "5  Back into the original",
                    [
                        [
                            node(42, "GetImageSize", "The original's size", size=(320, 150), image=PHOTO),
                            as_large_as_the_original(),
                            node(44, "GrowMask", "A little larger than the mask", mask=(9, 2), expand=16, tapered_corners=True),
                            node(
                                45,
                                "ImageCompositeMasked",
                                "Only inside the mask",
                                destination=PHOTO,
                                source=(43, 0),
                                mask=(44, 0),
                                x=0,
                                y=0,
                                resize_source=False,
                            ),
                            node(12, "MaskPreview", "Where it changed", mask=(44, 0)),
                        ]
                    ],
                    AMBER,
                )
            ],
            [Group("Result", [[save(11, (45, 0), "large", size=(820, 640))]], AMBER)],
        ],
    )


WORKFLOWS = {
    made.name: made
    for made in (
        photo_edit.edit(),
        try_it(),
        several_concepts(),
        advanced(),
        where_words_look(),
        inpaint_by_words(),
        sweep(),
        sdxl(),
        batch(),
        large_photo(),
        *transformers.workflows(),
    )
}
