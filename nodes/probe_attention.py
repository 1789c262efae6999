"""LEDITS_ProbeAttention."""

from __future__ import annotations

import comfy.samplers
import torch
from comfy_api.latest import io

from ..ledits.attention_store import WordMaps
from ..ledits.tokens import word_maps
from . import checks
from .comfyui.model import pixels_per_cell
from .comfyui.samplers import LookSampler
from .comfyui.sampling import sample
from .comfyui.store import AttentionStore, patched, settings_of
from .comfyui.text import encode, tokenize
from .comfyui.types import Attention, AttentionSocket

NODE = "LEDITS++ Probe Attention"


class ProbeAttention(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LEDITS_ProbeAttention",
            display_name=NODE,
            category="LEDITS++/attention",
            description="One quick look at where each word of a text lands in a picture, before any edit. Use it to find words that the checkpoint "
            "places well, or to get a mask from a text.",
            search_aliases=["ledits", "text mask", "segment by text", "where does the word look"],
            inputs=[
                io.Model.Input("model", tooltip="The checkpoint that looks. Settings of an Attention Store on it are used."),
                io.Latent.Input("latent", tooltip="The picture, from VAE Encode."),
                io.Clip.Input("clip", tooltip="The checkpoint's text encoder."),
                io.String.Input(
                    "text", multiline=True, tooltip="A short description that holds the words you want to see, such as 'a dog on a sofa'."
                ),
                io.Float.Input(
                    "noise_level",
                    default=0.5,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    tooltip="How much noise the picture gets before the look. Around 0.5 "
                    "objects are found best; low values see texture, high ones only layout.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=io.ControlAfterGenerate.fixed,
                    tooltip="Which noise. Another seed shows how sure the map is.",
                ),
            ],
            outputs=[AttentionSocket.Output(display_name="attention", tooltip="A map for each word, for Extract Mask and Heatmap.")],
        )

    @classmethod
    def execute(cls, model, latent, clip, text: str, noise_level: float, seed: int) -> io.NodeOutput:
        flow = checks.noise_kind(NODE, model)
        samples = checks.picture_latent(NODE, "latent", latent, model)
        checks.cross_attention(NODE, model, "words look nowhere in it")
        checks.map_resolution(NODE, model, *samples.shape[-2:])
        checks.embeddings(NODE, clip, text)
        prompt = tokenize(clip, text)
        checks.has_words(NODE, prompt, "is empty: write the words to look for")
        positive = encode(clip, text)
        checks.conditioning(NODE, "clip", positive, model, f"{text!r} ")

        store = AttentionStore(settings_of(model))
        guider = comfy.samplers.CFGGuider(patched(model, store))
        guider.inner_set_conds({"positive": positive})
        sigma = model.get_model_object("model_sampling").percent_to_sigma(1.0 - noise_level)
        run = store.find(sample(guider, LookSampler(flow, seed), latent, torch.tensor([sigma, 0.0]), seed))
        assert run is not None, "the run that has just ended is kept"
        (maps,) = next(iter(run.maps.values())).values()
        words = WordMaps(text, prompt.words)
        words.add(word_maps(maps.mean(), prompt))
        cell = pixels_per_cell(model)
        return io.NodeOutput(Attention((words,), samples.shape[-2] * cell, samples.shape[-1] * cell))
