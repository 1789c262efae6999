"""All predictions of one step, in one calc_cond_batch where other nodes allow it."""

from collections.abc import Iterable
from typing import Any

import comfy.samplers
from torch import Tensor

from ..attention.recorder import Recorder, tracked_options
from ..types import Conds


def predict_conds(conds: dict[str, Conds], arguments: dict[str, Any], recorder: Recorder | None) -> dict[str, Tensor]:
    """The denoised prediction of each prompt, [B, C, H, W].

    The prompts are in the order "negative", "positive", concepts. The arguments are what ComfyUI gives to a
    `sampler_calc_cond_batch_function`; one in its model options is another node's.
    """
    # Other nodes know the negative prompt as 1, and everything else as 0.
    numbers = {name: int(name == "negative") for name in conds}
    options = tracked_options(arguments["model_options"], lambda: conds, numbers, recorder)
    arguments = arguments | {"model_options": options}
    function = options.get("sampler_calc_cond_batch_function")
    if function is None and not expects_pair(options, conds.values()):
        # ComfyUI fills a batch from the end of the list: negative, positive, concepts.
        names = list(reversed(conds))
        return dict(zip(names, _calc_cond_batch(arguments | {"conds": [conds[name] for name in names]}), strict=True))
    # These hooks expect exactly one cond/uncond pair, so evaluate concepts one at a time as the cond.
    predictions: dict[str, Tensor] = {}
    negative = conds.get("negative")
    pairs = [name for name in conds if name != "negative"]
    if not pairs or (function is not None and "positive" not in conds):
        # Alone and first, as while inverting: some functions draw noise into prompt after prompt (CADS).
        pairs.insert(0, "negative")
    for name in pairs:
        pair = [None if name == "negative" else conds[name], negative]
        cond, uncond = (function or _calc_cond_batch)(arguments | {"conds": pair})[:2]
        predictions[name] = cond
        if negative is not None:
            predictions["negative"], negative = uncond, None
    return predictions


def expects_pair(model_options: dict, all_conds: Iterable[Conds]) -> bool:
    """Whether a patch on the model or in a conditioning's hooks changes rows by the pair that it expects."""
    hooked = (
        getattr(hook, "transformers_dict", None) or {}
        for conds in all_conds
        for cond in conds
        for hook in getattr(cond.get("hooks"), "hooks", ())
    )
    return any(options.get("patches", {}).get("attn2_output_patch") for options in (model_options["transformer_options"], *hooked))


def _calc_cond_batch(arguments: dict[str, Any]) -> list[Tensor]:
    return comfy.samplers.calc_cond_batch(
        arguments["model"], arguments["conds"], arguments["input"], arguments["sigma"], arguments["model_options"]
    )
