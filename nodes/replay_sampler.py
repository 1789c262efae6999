from comfy_api.latest import io
from torch import Tensor

from .comfyui.sampling.samplers import ReplaySampler
from .comfyui.types import ImageInversion, InversionSocket, copy_latent


class InversionNoise:
    """NOISE: the noise that the inverted photo starts from, for samplers that add it themselves."""

    def __init__(self, inversion: ImageInversion):
        self.seed = inversion.seed
        self._inversion = inversion.trajectory

    def generate_noise(self, input_latent: dict) -> Tensor:
        level = self._inversion.noise.levels(self._inversion.sigmas[:1])[0]
        return ((self._inversion.x_T - level.alpha * self._inversion.x0) / level.sigma).to("cpu")


class ReplaySamplerNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LEDITS_ReplaySampler",
            display_name="LEDITS++ Replay Sampler",
            category="LEDITS++/advanced",
            description="Replays an inverted photo: the other four inputs of SamplerCustomAdvanced beside LEDITS++ Masked Guider.",
            search_aliases=["ledits", "replay", "sampler"],
            inputs=[InversionSocket.Input("inversion", tooltip="From LEDITS++ Invert; the same one as in the Masked Guider.")],
            outputs=[
                io.Sampler.Output(display_name="sampler", tooltip="Follows the inversion's trajectory, guided by the guider."),
                io.Sigmas.Output(display_name="sigmas", tooltip="The inversion's noise levels."),
                io.Latent.Output(display_name="latent", tooltip="The inverted photo."),
                io.Noise.Output(display_name="noise", tooltip="The noise that the trajectory starts from."),
            ],
        )

    @classmethod
    def execute(cls, inversion: ImageInversion) -> io.NodeOutput:
        sampler, sigmas = ReplaySampler(inversion, "LEDITS++ Replay Sampler"), inversion.trajectory.sigmas.clone()
        return io.NodeOutput(sampler, sigmas, copy_latent(inversion.latent), InversionNoise(inversion))
