"""What a user would pick instead: noise the picture and draw it again from a description of the wanted one."""

from __future__ import annotations

from .checkpoint import encoded, latent_of, model_of
from .edits import Edit
from .result import Result
from .settings import SEED, Setting

CFG = 4.0


def img2img(edit: Edit, setting: Setting, full: bool = False) -> Result:
    """ComfyUI's KSampler at the setting's strength."""
    import nodes  # ComfyUI's; it registers everything it has, which takes seconds

    conditioning = encoded(edit.asked.caption), encoded("")
    latent = nodes.common_ksampler(
        model_of(setting.subject), SEED, setting.steps, CFG, "euler", "normal", *conditioning, latent_of(edit), denoise=setting.strength
    )[0]
    return Result(latent["samples"])
