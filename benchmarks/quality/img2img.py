"""What a user would pick instead: noise the picture and draw it again from a description of the wanted one, everywhere or in a mask."""

from __future__ import annotations

import torch

from .checkpoint import encoded, latent_of, model_of
from .edits import Edit
from .result import Result
from .settings import SEED, Setting

CFG = 4.0


def img2img(edit: Edit, setting: Setting, full: bool = False) -> Result:
    """ComfyUI's KSampler at the setting's strength."""
    return _sampled(edit, setting, {})


def inpaint(edit: Edit, setting: Setting, full: bool = False) -> Result:
    """The same inside the true region alone."""
    return _sampled(edit, setting, {"noise_mask": torch.from_numpy(edit.region).float()[None]})


def _sampled(edit: Edit, setting: Setting, mask: dict[str, torch.Tensor]) -> Result:
    import nodes  # ComfyUI's; it registers everything it has, which takes seconds

    subject = setting.subject
    conditioning = encoded(edit.asked_caption, subject), encoded("", subject)
    latent = latent_of(edit, subject) | mask
    settings = SEED, setting.steps, CFG, "euler", "normal"
    return Result(nodes.common_ksampler(model_of(subject), *settings, *conditioning, latent, denoise=setting.strength)[0]["samples"])
