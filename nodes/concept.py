from typing import Any

from comfy_api.latest import io

from ..ledits.attention import WordMaps
from ..ledits.guidance import MASK_MODES, EditSettings
from ..ledits.presets import PRESETS
from ..ledits.prompt import split_minus
from . import checks
from .comfyui.images.preview import text_ui
from .comfyui.text.words import encode
from .comfyui.types import Attention, AttentionSocket, Concept, ConceptsSocket, Where
from .errors import require
from .validation import widgets_verdict

WRITE_TEXT = "write what to add or remove, or take this node out of the chain"
NOTHING_PAINTED = (
    "Nothing is painted in 'mask' (it is all black), so this concept changes nothing: paint where it may change (right-click Load Image, "
    "Open in MaskEditor), or disconnect the mask."
)


class ConceptNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LEDITS_Concept",
            display_name="LEDITS++ Concept",
            category="LEDITS++",
            description="One change to the photo: what to add or remove, how strongly, and where. Chain nodes for several. "
            f"Its presets have good values to start from: {', '.join(PRESETS)}.",
            search_aliases=[
                *("ledits", "edit prompt", "semantic guidance", "sega", "add", "remove", "add object", "remove object", "replace object"),
                *("erase", "recolor", "style transfer", "\u53bb\u9664\u7269\u4f53"),  # and in Chinese: remove object
            ],
            inputs=[
                io.Clip.Input("clip", tooltip="The checkpoint's text encoder."),
                io.String.Input(
                    "text",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="What to add or remove: 'glasses'. To replace a thing, name the old one in 'where'. Empty: removes what 'where' names.",
                ),
                io.Combo.Input(
                    "direction",
                    options=["add", "remove"],
                    default="add",
                    tooltip="Show more of it in the image, or less.",
                    extra_dict={"presets": PRESETS},  # for web/presets.js
                ),
                io.Float.Input(
                    "scale", default=7.0, min=0.0, max=50.0, step=0.5, tooltip="Strength. No change: 10 to 12. Artefacts: 3 to 5. 0: off."
                ),
                io.Float.Input(
                    "threshold",
                    default=0.9,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Share of image to keep: 0.95 small things, 0.5 a style. 0: found in the map itself.",
                ),
                io.Combo.Input(
                    "mask_mode",
                    options=list(MASK_MODES),
                    default="intersect",
                    tooltip="Where to change. attention: where the words have attention. noise: where the prediction differs (styles). "
                    "intersect: where both hold (objects). none: everywhere.",
                ),
                io.Int.Input("warmup", default=2, min=0, max=1000, tooltip="The first active step. 5 keeps shapes; 0 changes most."),
                io.Int.Input(
                    "cooldown", default=0, min=0, max=1000, advanced=True, tooltip="The step from which it stops acting; 0: never."
                ),
                io.String.Input(
                    "words",
                    default="",
                    optional=True,
                    tooltip="Only these words decide where; '-red': all but red. Empty: all. With 'where' or 'attention': of its words.",
                ),
                io.Mask.Input("mask", optional=True, tooltip="Where it may change; grey weakens the change. Of the photo, in any size."),
                AttentionSocket.Input(
                    "attention",
                    optional=True,
                    tooltip="Where to change, known before the edit. To replace a thing, find the old one with Probe Attention: "
                    "the new one appears in its mask, which stays fixed. Unconnected: this text's attention in each step.",
                ),
                ConceptsSocket.Input("concepts", optional=True, tooltip="The previous Concept; all concepts of a chain act together."),
                io.String.Input(
                    "where",
                    default="",
                    optional=True,
                    tooltip="The thing in the photo that is to change: 'red circle'. Edit finds it once, and its mask stays fixed. "
                    "'-red circle': anywhere but there. Empty: the attention of 'text' in each step.",
                ),
            ],
            outputs=[ConceptsSocket.Output(display_name="concepts", tooltip="This concept after those it is chained to.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        clip,
        text: str,
        direction: str,
        words: str = "",
        mask=None,
        attention: Attention | None = None,
        concepts=(),
        where: str = "",
        **settings: Any,
    ) -> io.NodeOutput:
        acting = EditSettings(direction == "add" and bool(text.strip()), **settings)
        _check_widgets(text, acting.mask_mode, acting.warmup, acting.cooldown, where)
        text = text if text.strip() else where
        prompt = checks.read_prompt(clip, text, WRITE_TEXT, needs_words=False)
        problem = f"is {where!r}, but 'attention' says where already: clear this text, or disconnect 'attention'"
        require(not where.strip() or attention is None, "where", problem)
        thing = _read_where(clip, where) if where.strip() else None
        found = prompt if thing is None else thing.prompt
        indices = checks.select_words(found.words if attention is None else _only_text(attention).words, words)
        mask = None if mask is None else mask.clone()
        ui = text_ui(cls, NOTHING_PAINTED) if mask is not None and not mask.any() else None
        concept = Concept(acting, prompt, indices, encode(clip, text), mask, attention, where=thing)
        return io.NodeOutput((*concepts, concept), ui=ui)

    @classmethod
    def validate_inputs(
        cls,
        text: str | None = None,
        mask_mode: str | None = None,
        warmup: int | None = None,
        cooldown: int | None = None,
        where: str | None = "",
    ) -> bool | str:
        return widgets_verdict(cls, _check_widgets, text=text, mask_mode=mask_mode, warmup=warmup, cooldown=cooldown, where=where)


def _check_widgets(text: str | None, mask_mode: str | None, warmup: int | None, cooldown: int | None, where: str | None) -> None:
    """Refuses what the widgets alone show to be wrong; None is not known yet."""
    if where is not None and (not where.strip() or split_minus(where)[1]):
        checks.check_text(text, WRITE_TEXT)
    problem = f"is {cooldown}, but the concept only begins at warmup {warmup}: raise it, or set 0 for no end"
    require(not cooldown or warmup is None or cooldown > warmup, "cooldown", problem)
    problem = f"is {where!r}, which mask_mode {mask_mode!r} does not use: choose 'attention' or 'intersect', or clear this text"
    require(not (where or "").strip() or mask_mode not in ("noise", "none"), "where", problem)


def _read_where(clip: Any, where: str) -> Where:
    thing, beside = split_minus(where)
    prompt = checks.read_prompt(clip, thing, "write the words of a thing in the photo, or clear it", name="where")
    return Where(prompt, encode(clip, thing), beside)


def _only_text(attention: Attention) -> WordMaps:
    """The one text that a mask can be made for."""
    prompts, texts = attention.prompts, ", ".join(repr(prompt.text) for prompt in attention.prompts)
    problem = f"must be of one text with maps, but is of {len(prompts)} ({texts}): connect Probe Attention or Capture Attention"
    require(len(prompts) == 1 and prompts[0].steps, "attention", problem)
    return prompts[0]
