"""LEDITS_ReplaySampler."""

from __future__ import annotations

from comfy_api.latest import io
from torch import Tensor

from .comfyui.samplers import ReplaySampler as Sampler
from .comfyui.types import InversionSocket, PictureInversion

NODE = "LEDITS++ Replay Sampler"


class InversionNoise:
    """NOISE: the noise that the inverted photo starts from, for samplers that add it themselves."""

    def __init__(self, inversion: PictureInversion):
        self.seed = inversion.seed
        self._walk = inversion.walk

    def generate_noise(self, input_latent: dict) -> Tensor:
        sigma = float(self._walk.sigmas[0])
        kept = (1.0 - sigma if self._walk.flow else 1.0) * self._walk.original
        return ((self._walk.start - kept) / sigma).to("cpu")


class ReplaySampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LEDITS_ReplaySampler",
            display_name=NODE,
            category="LEDITS++/advanced",
            description="Walks an inverted photo's path again: the other four inputs of SamplerCustomAdvanced beside LEDITS++ Masked Guider.",
            search_aliases=["ledits", "replay", "sampler"],
            inputs=[InversionSocket.Input("inversion", tooltip="From LEDITS++ Invert; the same one as in the Masked Guider.")],
            outputs=[
                io.Sampler.Output(display_name="sampler", tooltip="Follows the inversion's path, guided by the guider."),
                io.Sigmas.Output(display_name="sigmas", tooltip="The inversion's noise levels."),
                io.Latent.Output(display_name="latent", tooltip="The inverted photo."),
                io.Noise.Output(display_name="noise", tooltip="The noise that the path starts from."),
            ],
        )

    @classmethod
    def execute(cls, inversion: PictureInversion) -> io.NodeOutput:
        return io.NodeOutput(Sampler(inversion.walk), inversion.walk.sigmas, inversion.latent, InversionNoise(inversion))
