"""The base prediction by ComfyUI's own guidance, and the concepts' predictions in its one call."""

import math
from collections.abc import Sequence
from typing import Any

import comfy.samplers
from torch import Tensor

from ..attention.recorder import Recorder, tracked_options
from ..types import Conds
from .frames import drop_frame
from .predictions import mixes_pair, predict_conds

# By `predict_base`, in the model options and in the transformer options.
_CHANGED_OPTIONS = {
    "disable_cfg1_optimization",
    "sampler_cfg_function",
    "sampler_calc_cond_batch_function",
    "transformer_options",
    "wrappers",
}


def predict_base(
    model: Any,
    x: Tensor,
    timestep: Tensor,
    base: dict[str, Conds],
    cfg: float,
    concepts: dict[str, Conds],
    reference: str,
    recorders: Sequence[Recorder],
    model_options: dict,
) -> tuple[Tensor, dict[str, Tensor]]:
    """D_base, and by name every prediction that was made for it or beside it: D_negative, D_positive, each D_c, and its own "reference"
    where another node mixes the pair.

    Args:
        base: the prompts "negative" and, where it has weight, "positive", in this order.
        concepts: those that act in this step.
        reference: which of the base's prompts concepts differ from.
    """
    options = dict(model_options)
    cond, uncond, scale = "positive", "negative", cfg
    # Some nodes want the negative prompt's prediction even where it has no weight.
    without_cfg = math.isclose(cfg, 1.0) and not options.get("disable_cfg1_optimization", False)
    if without_cfg or "positive" not in base:
        # Pass the single prediction as both cond and uncond so post-CFG patches still work.
        cond = uncond = "positive" if "positive" in base else "negative"
        scale = 1.0
        options["disable_cfg1_optimization"] = True
        options.pop("sampler_cfg_function", None)
        if cond == "negative":
            # Other nodes may predict it again (PAG): to patches of the layers it must be the negative prompt then too.
            options = tracked_options(options, lambda: {cond: base[cond]}, {cond: 1})
    conds = {name: own for name, own in base.items() if name in (cond, uncond) or (concepts and name == reference)}
    found: dict[str, Tensor] = {}

    def calc_cond_batch(arguments: dict[str, Any]) -> list[Tensor]:
        # Only this first call is ours: CFG functions that predict something themselves get what was there before.
        del options["sampler_calc_cond_batch_function"]
        options.update({key: value for key, value in model_options.items() if key == "sampler_calc_cond_batch_function"})
        arguments = arguments | {"model_options": model_options}
        if concepts and len(conds) == 2 and mixes_pair(model_options):
            found.update(predict_conds(conds, arguments))
            found.update(predict_conds({"reference": base[reference]} | concepts, arguments, *recorders))
        else:
            found.update(predict_conds(conds | concepts, arguments, *recorders))
        return [found[cond].clone(), found[uncond].clone()]  # CFG functions may write into them

    options["sampler_calc_cond_batch_function"] = calc_cond_batch
    prediction = comfy.samplers.sampling_function(model, x, timestep, base[uncond], base[cond], scale, model_options=options)
    # Guidance with a momentum keeps it there from step to step.
    for own, theirs in ((options, model_options), (options["transformer_options"], model_options["transformer_options"])):
        theirs.update({key: value for key, value in own.items() if key not in _CHANGED_OPTIONS})
    return drop_frame(prediction), {name: drop_frame(one) for name, one in found.items()}
