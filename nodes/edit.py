"""LEDITS_Edit."""

from __future__ import annotations

import comfy.model_management
import torch
from comfy_api.latest import io

from ..ledits.masks import upsample
from . import checks
from .comfyui.model import pixels_per_cell
from .comfyui.notice import notice
from .comfyui.preview import LASTING, latent_colours, masks_shown
from .comfyui.samplers import ReplaySampler
from .comfyui.sampling import sample
from .comfyui.types import Attention, AttentionSocket, ConceptsSocket, EditRecord, InversionSocket, PictureInversion
from .guidance import base_inputs, guider_of

NODE = "LEDITS++ Edit"


class Edit(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LEDITS_Edit",
            display_name=NODE,
            category="LEDITS++",
            description="Edits an inverted photo: makes the concepts' changes, each inside its own mask, and keeps the rest. Afterwards it shows each "
            "mask over the photo. Change a concept and run again: the inversion is reused.",
            search_aliases=["ledits", "edit photo", "semantic edit", "prompt edit"],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="The checkpoint that inverted the photo. Through LEDITS++ Attention Store, its settings shape the masks.",
                ),
                InversionSocket.Input("inversion", tooltip="From LEDITS++ Invert or Load Inversion."),
                ConceptsSocket.Input(
                    "concepts", optional=True, tooltip="The changes to make. Unconnected: the photo comes back as it was, without any work."
                ),
                *base_inputs(),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="Optional: the photo that was inverted. Only for looking: the node draws each concept's mask over it. "
                    "Unconnected: over a rough view of the photo.",
                ),
            ],
            outputs=[
                io.Latent.Output(display_name="latent", tooltip="The edited photo, for VAE Decode."),
                AttentionSocket.Output(
                    display_name="attention", tooltip="Where the words of each concept looked, for Heatmap and Extract Mask."
                ),
                io.Mask.Output(
                    display_name="mask",
                    tooltip="The mask that each concept's last step used: one for each concept and photo, concept by concept.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
            **LASTING,
        )

    @classmethod
    def execute(
        cls, model, inversion: PictureInversion, concepts=(), positive=None, negative=None, cfg: float = 0.0, image=None
    ) -> io.NodeOutput:
        record = EditRecord.of(concepts)
        guider = guider_of(NODE, model, inversion, concepts, positive, negative, cfg, record)
        if image is not None:
            checks.photo(NODE, image, model, inversion)
        origin = checks.origin(model, inversion)
        walk, latent = inversion.walk, inversion.latent
        samples = sample(guider, ReplaySampler(walk), latent, walk.sigmas, inversion.seed)
        device = comfy.model_management.intermediate_device()
        batch, _, height, width = walk.original.shape
        cell = pixels_per_cell(model)
        attention = Attention(tuple(words.to(device) for words in record.words), height * cell, width * cell)
        # A concept that never acted changed nothing: its mask is black.
        nothing = torch.zeros(batch, 1, height, width)
        masks = [(nothing if mask is None else mask.expand(batch, 1, height, width)).to(device)[:, 0] for mask in record.masks] or [
            nothing[:, 0]
        ]
        mask = upsample(torch.cat(masks), height * cell, width * cell)
        ui = notice(cls, origin) if origin else None
        if concepts:
            photo = latent_colours(model, walk.original) if image is None else image[..., :3]
            # Drawn in the computer's memory: the card's is for networks.
            ui = masks_shown(cls, photo.cpu(), mask.cpu(), concepts, record, cell, origin, walk.steps)
        return io.NodeOutput(latent | {"samples": samples.to(device)}, attention, mask, ui=ui)
