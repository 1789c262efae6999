import comfy.model_management
import torch
from comfy_api.latest import io

from ..ledits.masks import resize_nearest
from . import checks
from .comfyui.images.preview import INTERMEDIATE_OUTPUT, latents_to_rgb, mask_ui, text_ui
from .comfyui.images.size import vae_scale_factor
from .comfyui.sampling.sample import sample
from .comfyui.sampling.samplers import ReplaySampler
from .comfyui.storage.fingerprint import provenance_note
from .comfyui.types import Attention, AttentionSocket, EditRecord, ImageInversion, copy_latent
from .inputs import background_inputs, edit_inputs
from .masked_guider import make_guider

ALL_STEPS, LAST_STEP = MASKS = ("all steps", "last step")


class EditNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LEDITS_Edit",
            display_name="LEDITS++ Edit",
            category="LEDITS++",
            description="Edits an inverted photo: makes each concept's change inside its own mask and keeps the rest. Afterwards it shows "
            "the masks over the photo. Change a concept and run again: the inversion is reused.",
            search_aliases=[
                *("ledits", "edit photo", "image edit", "semantic edit", "prompt edit", "prompt to prompt", "inpaint"),
                *("\u7f16\u8f91\u7167\u7247", "\u56fe\u50cf\u7f16\u8f91"),  # Chinese: edit photo, image edit
            ],
            inputs=[
                io.Model.Input("model", tooltip="The checkpoint that inverted the photo. An Attention Store's settings shape the masks."),
                *edit_inputs(),
                io.Image.Input("image", optional=True, tooltip="The photo, to show the masks over. Unconnected: a rough preview of it."),
                *background_inputs(),
                io.Combo.Input(
                    "masks",
                    options=list(MASKS),
                    default=ALL_STEPS,
                    optional=True,
                    advanced=True,
                    tooltip="What is shown and returned. all steps: how often each pixel was in the mask. last step: the mask of that one.",
                ),
            ],
            outputs=[
                io.Latent.Output(display_name="latent", tooltip="The edited photo, for VAE Decode."),
                AttentionSocket.Output(display_name="attention", tooltip="Each word's attention, for Heatmap and Extract Mask."),
                io.Mask.Output(
                    display_name="mask",
                    tooltip="Each concept's mask, concept by concept: the share of its active steps that had each pixel.",
                ),
                io.Mask.Output(display_name="joined_mask", tooltip="All concepts' masks as one: everything that may have changed."),
            ],
            hidden=[io.Hidden.unique_id],
            **INTERMEDIATE_OUTPUT,
        )

    @classmethod
    def execute(
        cls,
        model,
        inversion: ImageInversion,
        concepts=(),
        positive=None,
        negative=None,
        cfg: float = 0.0,
        image=None,
        keep_background: bool = False,
        margin: int = 1,
        masks: str = ALL_STEPS,
    ) -> io.NodeOutput:
        record = EditRecord.from_concepts(concepts)
        guider = make_guider(model, inversion, concepts, positive, negative, cfg, record, keep_background, margin)
        if image is not None:
            checks.check_image(image, model, inversion)
        note = provenance_note(model, inversion)
        trajectory, latent = inversion.trajectory, inversion.latent
        samples = sample(guider, ReplaySampler(inversion), latent, trajectory.sigmas, inversion.seed)
        note = "\n".join(filter(None, (note, record.notice))) or None
        device = comfy.model_management.intermediate_device()
        batch, _, height, width = trajectory.x0.shape
        factor = vae_scale_factor(model)
        attention = Attention(tuple(words.to(device) for words in record.words), height * factor, width * factor)
        # A concept that never acted changed nothing: its mask is black.
        black = torch.zeros(batch, 1, height, width)
        shown = record.shares if masks == ALL_STEPS else record.masks
        used = [black if mask is None else mask.expand_as(black) for mask in shown] or [black]
        mask = resize_nearest(torch.cat([each.to(device)[:, 0] for each in used]), height * factor, width * factor)
        joined = mask.unflatten(0, (-1, batch)).amax(0)
        ui = text_ui(cls, note) if note else None
        if concepts:
            photo = latents_to_rgb(model, trajectory.x0) if image is None else image[..., :3]
            # Draw on the CPU; keep VRAM for the models.
            ui = mask_ui(cls, photo.cpu(), mask.cpu(), concepts, record, factor, note, trajectory.steps)
        return io.NodeOutput(copy_latent(latent) | {"samples": samples.to(device)}, attention, mask, joined, ui=ui)
