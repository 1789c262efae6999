"""LEDITS_Invert."""

from __future__ import annotations

from comfy_api.latest import io

from . import checks
from .comfyui.sampling.guider import MaskedGuider
from .comfyui.sampling.sample import sample
from .comfyui.sampling.samplers import InversionSampler
from .comfyui.storage.fingerprint import fingerprint
from .comfyui.types import Base, ImageInversion, InversionSocket


class InvertNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LEDITS_Invert",
            display_name="LEDITS++ Invert",
            category="LEDITS++",
            description="Finds the noise from which this checkpoint makes exactly your photo. Without an edit the photo comes back as it was; "
            "with one, only what the edit asks for changes. It is computed once and reused by every edit of the photo.",
            search_aliases=["ledits", "photo to noise", "ddpm inversion", "unsampler"],
            inputs=[
                io.Model.Input("model", tooltip="The checkpoint to edit with."),
                io.Latent.Input("latent", tooltip="The photo, from VAE Encode. Several photos of one size may come as a batch."),
                io.Sigmas.Input("sigmas", tooltip="The noise levels of the steps, falling: LEDITS++ Schedule, or any scheduler node."),
                io.Conditioning.Input(
                    "negative", tooltip="The neutral prompt that edits start from. An empty CLIP Text Encode is the usual choice."
                ),
                io.Conditioning.Input(
                    "positive",
                    optional=True,
                    tooltip="Optional: a description of the photo as it is. Edits then start from it. "
                    "Leave it unconnected unless the checkpoint loses the photo's subject without it.",
                ),
                io.Float.Input(
                    "cfg",
                    default=1.0,
                    min=0.0,
                    max=30.0,
                    step=0.1,
                    tooltip="How strongly the description steers the "
                    "inversion. Only with 'positive': 1 to 3.5. Any value replays exactly; above 1 every step costs two predictions.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=io.ControlAfterGenerate.fixed,
                    tooltip="Which noise to use. Another seed gives another variation of the same edit; the photo itself comes back "
                    "with any. Keep it fixed, or every run inverts again.",
                ),
            ],
            outputs=[
                InversionSocket.Output(
                    display_name="inversion", tooltip="The photo with the noise that makes it. Use it for any number of edits."
                )
            ],
        )

    @classmethod
    def execute(cls, model, latent, sigmas, negative, positive=None, cfg: float = 1.0, seed: int = 0) -> io.NodeOutput:
        noise = checks.get_noise_kind(model)
        checks.check_latent("latent", latent, model)
        checks.check_sigmas(sigmas, noise)
        base = Base(negative, positive, cfg)
        checks.check_base(base, model)

        sampler = InversionSampler(noise, seed)
        sample(MaskedGuider(model, base), sampler, latent, sigmas, seed)
        return io.NodeOutput(ImageInversion(sampler.result, latent, base, seed, fingerprint(model)))
