import comfy.samplers
import torch
from comfy_api.latest import io

from . import checks
from .capture_attention import read_branch
from .comfyui.attention.store import RunHistory, patch_model, store_settings
from .comfyui.images.size import vae_scale_factor
from .comfyui.sampling.noise import level_sigma
from .comfyui.sampling.sample import sample
from .comfyui.sampling.samplers import ProbeSampler
from .comfyui.text.words import encode
from .comfyui.types import Attention, AttentionSocket
from .inputs import seed_input
from .validation import widgets_verdict

WRITE_TEXT = "write the words to look for"


class ProbeAttentionNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LEDITS_ProbeAttention",
            display_name="LEDITS++ Probe Attention",
            category="LEDITS++/attention",
            description="Shows where a text's words have attention in an image before any edit, in one network call. Use it to find words "
            "that the checkpoint locates well, or to get a mask from a text.",
            search_aliases=[
                *("ledits", "text mask", "text to mask", "mask from text", "clipseg", "segment by text", "where does the word look"),
                "\u6587\u5b57\u906e\u7f69",  # Chinese: text mask
            ],
            inputs=[
                io.Model.Input("model", tooltip="The checkpoint. Settings of an Attention Store on it are used."),
                io.Latent.Input("latent", tooltip="The image, from VAE Encode."),
                io.Clip.Input("clip", tooltip="The checkpoint's text encoder."),
                io.String.Input(
                    "text",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="A short description with the words to find, such as 'a dog on a sofa'.",
                ),
                io.Float.Input(
                    "noise_level",
                    default=0.5,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    tooltip="Noise to add first. Around 0.5 objects are found best; low values show texture, high ones only layout.",
                ),
                seed_input("Which noise. Another seed shows how sure the map is."),
            ],
            outputs=[AttentionSocket.Output(display_name="attention", tooltip="A map for each word, for Extract Mask and Heatmap.")],
        )

    @classmethod
    def execute(cls, model, latent, clip, text: str, noise_level: float, seed: int) -> io.NodeOutput:
        noise = checks.get_noise_kind(model)
        checks.check_latent("latent", latent, model)
        height, width = latent["samples"].shape[-2:]
        checks.check_attention(model, "there is nothing to probe", height, width)
        prompt = checks.read_prompt(clip, text, WRITE_TEXT)
        positive = encode(clip, text)
        checks.check_conditioning("clip", positive, model, f"{text!r} ")

        store = RunHistory(store_settings(model))
        guider = comfy.samplers.CFGGuider(patch_model(model, store))
        guider.inner_set_conds({"positive": positive})
        run = store.find(sample(guider, ProbeSampler(noise, seed), latent, torch.tensor([level_sigma(model, noise_level), 0.0]), seed))
        assert run is not None, "the run that has just ended is kept"
        factor = vae_scale_factor(model)
        return io.NodeOutput(Attention((read_branch(run, prompt, "positive", "model"),), height * factor, width * factor))

    @classmethod
    def validate_inputs(cls, text: str | None = None) -> bool | str:
        return widgets_verdict(cls, lambda text: checks.check_text(text, WRITE_TEXT), text=text)
