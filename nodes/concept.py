"""LEDITS_Concept."""

from __future__ import annotations

from comfy_api.latest import io

from ..ledits.attention import WordMaps
from ..ledits.guidance import MASK_MODES, EditSettings, MaskMode
from . import checks
from .comfyui.text.words import encode, words_of
from .comfyui.types import Attention, AttentionSocket, Concept, ConceptsSocket
from .errors import LeditsInputError


class ConceptNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LEDITS_Concept",
            display_name="LEDITS++ Concept",
            category="LEDITS++",
            description="One change to the photo: what to add or remove, how strongly, and how much of the image it may change. Chain several "
            "to make several changes at once. Good starting points: object scale 12, warmup 5, threshold 0.9; face detail scale 5, threshold 0.95; "
            "style scale 7, threshold 0.5, mask_mode noise.",
            search_aliases=["ledits", "edit prompt", "semantic guidance", "sega", "add", "remove"],
            inputs=[
                io.Clip.Input("clip", tooltip="The checkpoint's text encoder."),
                io.String.Input(
                    "text",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="What to add or remove, in a few words: 'glasses', 'cherry blossom'. "
                    "To replace a thing, remove it in one concept and add the new one in another.",
                ),
                io.Combo.Input(
                    "direction", options=["add", "remove"], default="add", tooltip="Whether the image should show more of it or less."
                ),
                io.Float.Input(
                    "scale",
                    default=7.0,
                    min=0.0,
                    max=50.0,
                    step=0.5,
                    tooltip="How strongly to change. Nothing happens: raise it to 10 or 12. "
                    "Harsh colours or artefacts: lower it to 5 or 3. At 0 the concept is off.",
                ),
                io.Float.Input(
                    "threshold",
                    default=0.9,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="About one minus the share of the image that may change: "
                    "0.9 leaves nine tenths alone. Higher for small things (0.95), lower for large ones or a style (0.5).",
                ),
                io.Combo.Input(
                    "mask_mode",
                    options=list(MASK_MODES),
                    default="intersect",
                    tooltip="Where the change happens. intersect: where the words' attention is strong and "
                    "the prediction differs (best for objects). attention: only where the attention is strong. noise: only where the prediction "
                    "differs (style, whole image). none: everywhere.",
                ),
                io.Int.Input(
                    "warmup",
                    default=2,
                    min=0,
                    max=1000,
                    tooltip="The first step in which the concept acts. Early steps set layout, late ones "
                    "detail: raise it to 5 or more to keep shapes, set 0 to allow the largest changes. Steps before it cost nothing.",
                ),
                io.Int.Input(
                    "cooldown", default=0, min=0, max=1000, tooltip="The step from which it no longer acts; 0 means it acts to the end."
                ),
                io.String.Input(
                    "words",
                    default="",
                    optional=True,
                    tooltip="Only the attention of these words decides where the change happens, for example "
                    "'glasses' of 'a man wearing glasses'. Empty: all words. With 'attention' connected: words of the text that was probed.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Only inside this mask may the image change; grey weakens the change. As large as the photo.",
                ),
                AttentionSocket.Input(
                    "attention",
                    optional=True,
                    tooltip="Optional: attention maps that decide where to change, found before the edit. To replace a thing, probe the photo for "
                    "the old one with Probe Attention and connect it here: 'words' are then words of that node's text, the mask stays the same in "
                    "every step, and the new thing appears where the old one is. Unconnected: each step records the attention of this text.",
                ),
                ConceptsSocket.Input(
                    "concepts", optional=True, tooltip="Concepts that also apply: connect the previous Concept node to chain them."
                ),
            ],
            outputs=[ConceptsSocket.Output(display_name="concepts", tooltip="This concept after those it is chained to.")],
        )

    @classmethod
    def execute(
        cls,
        clip,
        text: str,
        direction: str,
        scale: float,
        threshold: float,
        mask_mode: MaskMode,
        warmup: int,
        cooldown: int,
        words: str = "",
        mask=None,
        attention: Attention | None = None,
        concepts: tuple[Concept, ...] = (),
    ) -> io.NodeOutput:
        if not text.strip():
            raise LeditsInputError("text", "is empty: write what to add or remove, or take this node out of the chain")
        if cooldown and cooldown <= warmup:
            raise LeditsInputError(
                "cooldown", f"is {cooldown}, but the concept only begins at warmup {warmup}: raise it, or set 0 for no end"
            )
        checks.check_embeddings(clip, text)
        prompt = words_of(clip, text)
        indices = checks.select_words(prompt.words if attention is None else _only_text(attention).words, words)
        settings = EditSettings(direction == "add", scale, threshold, mask_mode, warmup, cooldown)
        return io.NodeOutput((*concepts, Concept(settings, prompt, indices, encode(clip, text), mask, attention)))


def _only_text(attention: Attention) -> WordMaps:
    """The one text that a mask can be made for."""
    if len(attention.prompts) != 1 or not attention.prompts[0].steps:
        texts = ", ".join(repr(prompt.text) for prompt in attention.prompts)
        raise LeditsInputError(
            "attention",
            f"must have the maps of one text, but is of {len(attention.prompts)} ({texts}): connect Probe Attention or Capture Attention",
        )
    return attention.prompts[0]
