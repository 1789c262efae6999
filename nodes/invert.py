import weakref
from dataclasses import replace

from comfy_api.latest import io

from ..ledits.solver import AUTOMATIC, SOLVERS, choose_solver
from . import checks
from .comfyui.sampling.guider import MaskedGuider
from .comfyui.sampling.sample import sample
from .comfyui.sampling.samplers import InversionSampler
from .comfyui.storage.fingerprint import fingerprint
from .comfyui.types import Base, ImageInversion, InversionSocket, copy_latent
from .errors import require
from .inputs import cfg_input, seed_input


class InvertNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LEDITS_Invert",
            display_name="LEDITS++ Invert",
            category="LEDITS++",
            description="Finds the noise from which this checkpoint makes exactly your photo. Without an edit it comes back as it was; "
            "with one, only what the edit asks for changes. It is computed once and reused by every edit of the photo.",
            search_aliases=["ledits", "photo to noise", "ddpm inversion", "unsampler"],
            inputs=[
                io.Model.Input("model", tooltip="The checkpoint to edit with."),
                io.Latent.Input("latent", tooltip="The photo, from VAE Encode. Several photos of one size may come as a batch."),
                io.Sigmas.Input("sigmas", tooltip="The noise levels of the steps, falling: LEDITS++ Schedule, or any scheduler node."),
                io.Conditioning.Input("negative", tooltip="The neutral prompt that edits start from, usually an empty CLIP Text Encode."),
                io.Conditioning.Input("positive", optional=True, tooltip="Describes the photo; for checkpoints that lose its subject."),
                cfg_input(1.0, "Strength of 'positive', 1 to 3.5. 1 is fastest."),
                seed_input("The noise: each seed varies an edit, none the photo. Keep it fixed, or every run inverts again."),
                io.Combo.Input(
                    "solver",
                    options=[AUTOMATIC, *SOLVERS],
                    default=AUTOMATIC,
                    optional=True,
                    advanced=True,
                    tooltip="How edits follow the photo. automatic: LEDITS++, in 8 steps or fewer first order. ODE: keeps more structure; a "
                    "trace of the old thing may remain. LCM: for LCM checkpoints.",
                ),
                io.Int.Input(
                    "path_shift",
                    default=0,
                    min=0,
                    max=4,
                    optional=True,
                    advanced=True,
                    tooltip="Levels by which the photo has less noise than the network is told. 1 for Turbo checkpoints in few steps; with "
                    "others edits become weaker: 0.",
                ),
            ],
            outputs=[InversionSocket.Output(display_name="inversion", tooltip="The photo with its noise, for any number of edits.")],
        )

    @classmethod
    def execute(
        cls,
        model,
        latent,
        sigmas,
        negative,
        positive=None,
        cfg: float = 1.0,
        seed: int = 0,
        solver: str = "LEDITS++",  # what a workflow of an earlier version, which does not say, was made with
        path_shift: int = 0,
    ) -> io.NodeOutput:
        noise = checks.get_noise_kind(model)
        checks.check_no_cache(model)
        checks.check_latent("latent", latent, model)
        checks.check_sigmas(sigmas, noise)
        base = Base(negative, positive, cfg)
        checks.check_base(base, model)
        steps = len(sigmas) - 1
        problem = f"is {path_shift}, but 'sigmas' has {steps} steps: take less, so that the first of them begins with noise, or more steps"
        require(path_shift < steps, "path_shift", problem)

        sampler = InversionSampler(noise, seed, replace(choose_solver(solver, steps), path_shift=path_shift))
        sample(MaskedGuider(model, base), sampler, latent, sigmas, seed)
        return io.NodeOutput(ImageInversion(sampler.result, copy_latent(latent), base, seed, fingerprint(model), weakref.ref(model)))
