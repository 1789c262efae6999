import torch
from comfy_api.latest import io

from ..ledits.attention import WordMaps
from ..ledits.prompt import Prompt, word_maps
from . import checks
from .comfyui.attention.recorder import ATTENTION_SKIPPED
from .comfyui.attention.store import BRANCHES, MAX_BYTES, Run, RunHistory
from .comfyui.images.preview import text_ui
from .comfyui.text.words import encode
from .comfyui.types import Attention, AttentionSocket, Conditioning, StoreSocket
from .errors import LeditsInputError, require
from .validation import widgets_verdict

WRITE_TEXT = "write the prompt that was sampled"
OTHER_TEXT = (
    "The sampler did not read this text as it is encoded here. If its prompt has other words, these maps have the wrong labels: "
    "copy the prompt, and use the text encoder that encoded it."
)


class CaptureAttentionNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LEDITS_CaptureAttention",
            display_name="LEDITS++ Capture Attention",
            category="LEDITS++/attention",
            description="Reads the attention of each word of a prompt from the store, for the sampler that made a certain latent.",
            search_aliases=["ledits", "read attention", "attention maps"],
            inputs=[
                StoreSocket.Input("store", tooltip="From LEDITS++ Attention Store."),
                io.Latent.Input("latent", tooltip="The sampler's output. It selects the run to read, and makes this node wait for it."),
                io.Clip.Input("clip", tooltip="The text encoder that encoded the prompt."),
                io.String.Input(
                    "text",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="Exactly the sampled prompt, or the text of a concept of LEDITS++ Edit.",
                ),
                io.Combo.Input("branch", options=list(BRANCHES), default="positive", tooltip="Which of the sampler's two prompts this is."),
            ],
            outputs=[AttentionSocket.Output(display_name="attention", tooltip="A map for each word, for Extract Mask and Heatmap.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, store: RunHistory, latent, clip, text: str, branch: str) -> io.NodeOutput:
        samples = latent["samples"]
        run = store.find(samples)
        if run is None:
            problem = (
                "was not made by a sampler that used this store's model, or its maps had to make room for later ones (a store keeps "
                f"{MAX_BYTES >> 20} MB): connect the store's model to the sampler and its output here; "
                "if both are so, change its seed to run it again"
            )
            raise LeditsInputError("latent", problem)
        prompt = checks.read_prompt(clip, text, WRITE_TEXT)
        words, warning = _find_concept(run, prompt), None
        if words is None:
            words = read_branch(run, prompt, branch, "store")
            warning = None if _was_sampled(run, branch, encode(clip, text)) else OTHER_TEXT
        attention = Attention((words,), samples.shape[-2] * run.factor, samples.shape[-1] * run.factor)
        return io.NodeOutput(attention, ui=text_ui(cls, warning) if warning else None)

    @classmethod
    def validate_inputs(cls, text: str | None = None) -> bool | str:
        return widgets_verdict(cls, lambda text: checks.check_text(text, WRITE_TEXT), text=text)


def _find_concept(run: Run, prompt: Prompt) -> WordMaps | None:
    """The maps, perhaps none, of a concept with this text, where a LEDITS++ guider sampled."""
    concepts = [words for words in run.edits.words if words.text == prompt.text] if run.edits else []
    return max(concepts, key=lambda words: words.steps, default=None)


def _was_sampled(run: Run, branch: str, encoded: Conditioning) -> bool:
    """Whether the sampler read this very text, up to what two runs of a text encoder may differ in half precision."""
    mine = encoded[0][0].float().cpu()
    sampled = (encoding.float().cpu() for (name, _), encoding in run.encodings.items() if name == branch)
    return any(theirs.shape == mine.shape and torch.allclose(theirs, mine, rtol=0, atol=float(0.01 * mine.std())) for theirs in sampled)


def read_branch(run: Run, prompt: Prompt, branch: str, source: str) -> WordMaps:
    """The maps of a prompt that a sampler read; `source` is the input that errors name where the run recorded nothing."""
    require(run.maps or run.edits, source, f"has no attention maps of this run: {ATTENTION_SKIPPED}")
    entries = [maps for (name, _), maps in run.maps.items() if name == branch]
    if not entries:
        hint = "the sampler did not use it (cfg 1 has no negative prompt)"
        if run.edits:
            concepts = ", ".join(repr(words.text) for words in run.edits.words) or "no concepts"
            hint = f"the run was an edit with {concepts}: write one as 'text'"
        raise LeditsInputError("branch", f"is {branch!r}, but nothing was recorded for it: {hint}")
    if len(entries) > 1:
        problem = f"is {branch!r}, which held {len(entries)} prompts at once (regional or combined): sample with one prompt"
        raise LeditsInputError("branch", problem)
    words = WordMaps(prompt.text, prompt.words)
    try:
        for maps in entries[0].values():
            words.add(word_maps(maps.total, prompt), maps.count)
    except (ValueError, IndexError) as error:
        problem = f"does not fit what was recorded ({error}): write the prompt exactly as it was sampled with"
        raise LeditsInputError("text", problem) from error
    return words
