"""Whether a loaded inversion belongs to the model that edits it."""

from comfy.model_patcher import ModelPatcher

from ..types import ImageInversion
from .fingerprint import fingerprint


def provenance_note(model: ModelPatcher, inversion: ImageInversion) -> str | None:
    """What a user should know of a loaded inversion with this model; None for one that was made in this process."""
    if not inversion.is_loaded:
        return None
    known, connected = inversion.fingerprint, fingerprint(model)
    if known.checkpoint is None or connected.checkpoint is None:
        return (
            "The weights of this checkpoint, or of the one that made the loaded inversion, cannot be compared. "
            "If they are not the same, the photo is not kept exactly outside the masks."
        )
    if known.checkpoint != connected.checkpoint:
        return (
            "Warning: the loaded inversion was made with another checkpoint, or another precision of this one. "
            "The photo is not kept exactly outside the masks. Load the checkpoint that made it, or invert again."
        )
    if known.changes is None or known.changes != connected.changes:
        return (
            "The loaded inversion was made with this checkpoint, but other nodes changed it then or change it now. "
            "If those are not the same (LoRA, sampling), the photo is not kept exactly outside the masks."
        )
    return "The loaded inversion was made with this checkpoint."
