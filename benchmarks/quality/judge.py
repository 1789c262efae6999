"""Who looks at the edited pictures of each subject."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from . import judge_drawings, judge_scenes
from .edits import Edit
from .subjects import Subject
from .verdict import Verdict

JUDGES: dict[Subject, ModuleType] = {"unet": judge_drawings, "transformer": judge_drawings, "scenes": judge_scenes}


def judge(subject: Subject, edit: Edit, picture: np.ndarray) -> Verdict:
    """Looks at an edited picture, [H, W, 3] uint8."""
    return JUDGES[subject].judge(edit, picture)
