"""The guider: masked semantic guidance inside ComfyUI's sampling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import comfy.samplers
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor
from torch.nn import functional as F

from ...ledits.attention_store import on_the_picture, weighted_mean
from ...ledits.guidance import concept_guidance, first_active_step, guidance_mask, guided
from ...ledits.tokens import merge_words, word_maps
from .branches import POSITIVE
from .capture import KEY, Recorder, following
from .fingerprint import is_network_of
from .store import remember_edits, settings_of, without_run
from .types import Base, Concept, Conditioning, EditRecord, PictureInversion

KNOWN_BASE = f"{KEY}_known_base"
"""Model option under which the replay hands over a base prediction that the inversion already made at this very state."""

# What belongs to one text, and to no other that is asked in its place.
_TEXT_KEYS = {"cross_attn", "pooled_output", "model_conds", "uuid", "clip_start_percent", "clip_end_percent"}


@dataclass(frozen=True)
class Look:
    """What the network predicts at one state: D_base, D_empty, D_c of each concept that was asked for, and their attention."""

    base: Tensor
    empty: Tensor
    concepts: dict[int, Tensor]
    recorder: Recorder | None


class MaskedGuider(comfy.samplers.CFGGuider):
    """Predicts D' = D_base + sum of M_c G_c; without concepts just D_base.

    Args:
        base: what an inversion walks with, or what an edit starts from.
        inversion: the one that is edited; steps are counted by its noise levels. None while inverting.
        record: filled while sampling, for whoever wants to look afterwards.
    """

    def __init__(
        self,
        model: ModelPatcher,
        base: Base,
        inversion: PictureInversion | None = None,
        concepts: tuple[Concept, ...] = (),
        record: EditRecord | None = None,
    ):
        # ComfyUI registers the conditionings' hooks on the patcher that samples; the incoming one stays as it is.
        super().__init__(model.clone())
        self._incoming = model
        self.inversion, self.concepts, self.settings, self._observer = inversion, concepts, settings_of(model), record
        self._levels = [] if inversion is None else inversion.walk.sigmas.tolist()
        self._with_source = base.positive is not None
        self.base = base
        self.set_cfg(base.cfg)
        conds = {"negative": base.negative} | ({"positive": base.positive} if base.positive is not None else {})
        for number, concept in enumerate(concepts):
            conds[_name(number)] = _in_place_of(base.negative, concept.conditioning)
        self.inner_set_conds(conds)

    @property
    def first_step(self) -> int:
        """The first step that leaves the inversion's own path: where a concept begins to act, or 0 on another base."""
        if self.inversion is None or self.base is not self.inversion.base:
            return 0
        return first_active_step((concept.edit for concept in self.concepts), self.inversion.walk.steps)

    @property
    def knows_base(self) -> bool:
        """Whether the inversion's base predictions are this guider's too."""
        inversion = self.inversion
        return inversion is not None and self.base is inversion.base and is_network_of(inversion, self._incoming, KEY)

    def inner_sample(self, noise: Tensor, latent_image: Tensor, device: torch.device, *args: Any, **kwargs: Any) -> Tensor:
        self._record = self._observer or EditRecord.of(self.concepts)
        remember_edits(self.model_options, self._record)
        self._user_masks = [_to_latent(concept.mask, latent_image, device) for concept in self.concepts]
        self._predicted = 0
        try:
            return super().inner_sample(noise, latent_image, device, *args, **kwargs)
        finally:
            del self._record, self._user_masks, self._predicted

    def predict_noise(self, x: Tensor, timestep: Tensor, model_options: dict = {}, seed: int | None = None) -> Tensor:
        step = self._step(timestep) if self.inversion is not None else 0
        self._turn_hooks(step, timestep, model_options)
        active = self._active(step)
        look = self._look(x, timestep, step, active, model_options)
        guidances, masks = [], []
        for number in active:
            concept, user_mask = self.concepts[number], self._user_masks[number]
            guidance = concept_guidance(look.concepts[number], look.empty, concept.edit, user_mask)
            mask = guidance_mask(guidance, concept.edit, self._word_map(look.recorder, number, step, x), concept.smoothing)
            self._record.masks[number] = mask if user_mask is None else mask * user_mask
            guidances.append(guidance)
            masks.append(mask)
        return guided(look.base, guidances, masks)

    def _active(self, step: int) -> list[int]:
        return [number for number, concept in enumerate(self.concepts) if concept.edit.is_active(step)]

    def _look(self, x: Tensor, timestep: Tensor, step: int, active: list[int], model_options: dict) -> Look:
        """Asks the network everything that the step needs, with these concepts."""
        known = model_options.get(KNOWN_BASE)
        needs_empty = self._needs_empty(bool(active), known)
        conds: list[Any] = [
            self.conds["positive"] if self._with_source and self.cfg != 0 and known is None else None,
            self.conds["negative"] if needs_empty else None,
            *(self.conds[_name(number)] for number in active),
        ]
        options = without_run(model_options)
        recorder = self._recorder(x, active)
        asked = {number: self.conds[_name(number)] for number in active}
        out = self._predict(conds, x, timestep, following(options, lambda: asked, POSITIVE, recorder))
        base = known if known is not None else self._base(conds, out, x, timestep, options)
        return Look(base, out[1] if needs_empty else base, dict(zip(active, out[2:], strict=True)), recorder)

    def _step(self, timestep: Tensor) -> int:
        """How many of the inversion's levels lie above this one."""
        sigma = float(timestep.flatten()[0]) * (1 + 1e-6)
        return sum(level > sigma for level in self._levels[:-1])

    def _turn_hooks(self, step: int, timestep: Tensor, model_options: dict) -> None:
        """Lets hooks that change from step to step pass the steps that the replay did not predict, as they did in the inversion."""
        groups = {cond["hooks"] for conds in self.conds.values() for cond in conds if cond.get("hooks") is not None}
        for level in self._levels[self._predicted : step]:
            for hooks in groups:
                self.model_patcher.prepare_hook_patches_current_keyframe(torch.full_like(timestep, level), hooks, model_options)
        self._predicted = step + 1

    def _needs_empty(self, editing: bool, known: Tensor | None) -> bool:
        """Whether D_empty must be predicted: as the base or a part of it, or to measure concepts against."""
        if known is not None:
            return editing and (self._with_source or self._base_is_altered())
        return editing or not (self._with_source and self._is_single())

    def _is_single(self) -> bool:
        """Whether the base is one prompt's prediction; some nodes want the negative prompt's even where it does not count."""
        return not self._with_source or (math.isclose(self.cfg, 1.0) and not self.model_options.get("disable_cfg1_optimization", False))

    def _base_is_altered(self) -> bool:
        """Whether other nodes change the base prediction, so that it is not D_empty any more."""
        return any(name in self.model_options for name in ("sampler_cfg_function", "sampler_pre_cfg_function", "sampler_post_cfg_function"))

    def _predict(self, conds: list[Any], x: Tensor, timestep: Tensor, options: dict) -> list[Tensor]:
        """Every prediction of the step in one go, which ComfyUI splits where memory is short; zeros where the cond is None."""
        out = [torch.zeros_like(x)] * len(conds)
        if all(cond is None for cond in conds):
            return out
        function = options.get("sampler_calc_cond_batch_function")
        if function is None and not options["transformer_options"].get("patches", {}).get("attn2_output_patch"):
            return comfy.samplers.calc_cond_batch(self.inner_model, conds, x, timestep, options)
        # What other nodes bring there is made for one prompt and one negative prompt: the concepts come as the prompt, one by one.
        negative = conds[1]
        for place in [place for place, cond in enumerate(conds) if cond is not None and place != 1] or [0]:
            pair = [conds[place], negative]
            if function is None:
                predicted = comfy.samplers.calc_cond_batch(self.inner_model, pair, x, timestep, options)
            else:
                predicted = function({"conds": pair, "input": x, "sigma": timestep, "model": self.inner_model, "model_options": options})
            out[place] = predicted[0]
            if negative is not None:
                out[1], negative = predicted[1], None
        return out

    def _base(self, conds: list[Any], out: list[Tensor], x: Tensor, timestep: Tensor, options: dict) -> Tensor:
        """D_base by ComfyUI's own guidance, so that what other nodes do to it holds here too."""
        pair, predictions, scale = conds[:2], out[:2], self.cfg
        if self._is_single():
            # Nothing to guide between: the one prediction stands on both sides, for nodes that add to it.
            place = 0 if self._with_source else 1
            pair, predictions, scale = [conds[place]] * 2, [out[place]] * 2, 1.0
            options = {key: value for key, value in options.items() if key != "sampler_cfg_function"}
        for function in options.get("sampler_pre_cfg_function", []):
            predictions = function(
                {
                    "conds": pair,
                    "conds_out": predictions,
                    "cond_scale": scale,
                    "timestep": timestep,
                    "input": x,
                    "sigma": timestep,
                    "model": self.inner_model,
                    "model_options": options,
                }
            )
        return comfy.samplers.cfg_function(
            self.inner_model, *predictions[:2], scale, x, timestep, model_options=options, cond=pair[0], uncond=pair[1]
        )

    def _recorder(self, x: Tensor, active: list[int]) -> Recorder | None:
        numbers = {number for number in active if self.concepts[number].looks}
        height, width = x.shape[-2:]
        return Recorder(self.settings, height, width, lambda name: name[0] in numbers) if numbers else None

    def _word_map(self, recorder: Recorder | None, number: int, step: int, x: Tensor) -> Tensor | None:
        concept, latent = self.concepts[number], (x.shape[-2], x.shape[-1])
        if not concept.edit.needs_attention:
            return None
        if concept.seen_map is not None:
            return concept.seen_map.to(x.device).expand(len(x), -1, -1)
        assert recorder is not None
        size = recorder.size(*latent)
        # A concept may be asked in several places of the picture; its maps are composed as ComfyUI composes the predictions.
        entries = []
        for cond in self.conds[_name(number)]:
            name = number, cond["uuid"]
            if name in recorder.sums:
                words = word_maps(recorder.maps(name, x.device), concept.prompt)
                if "area" in cond:
                    words = on_the_picture(words, cond["area"], *latent, size)
                entries.append((_share(cond, latent, words), words))
        if not entries:
            raise RuntimeError(
                f"LEDITS++ found no cross-attention for the concept {concept.text!r} at maps of {size[1]}x{size[0]} cells. "
                "Allow more parts or another resolution in the Attention Store node, or use mask_mode 'noise'."
            )
        now, record = weighted_mean(entries), self._record.words[number]
        record.add(now)
        return merge_words(record.mean() if self.settings.average_steps else now, concept.words)


def _name(number: int) -> str:
    return f"concept {number + 1}"


def _to_latent(mask: Tensor | None, latent: Tensor, device: torch.device) -> Tensor | None:
    """U at the latent's size, [B or 1, 1, H, W]."""
    if mask is None:
        return None
    return F.interpolate(mask[:, None].to(device, torch.float32), size=tuple(latent.shape[-2:]), mode="area").clamp(0, 1)


def _in_place_of(negative: Conditioning, concept: Conditioning) -> Conditioning:
    """The concept asked wherever, whenever and however the negative prompt is: the same masks, ranges, hooks, ControlNets, in another text."""
    places: list[dict[str, Any]] = []
    for _, options in negative:
        place = {key: value for key, value in options.items() if key not in _TEXT_KEYS}
        if not any(_equal(place, other) for other in places):
            places.append(place)
    return [[encoding, place | own | _hooks(place, own)] for place in places for encoding, own in concept]


def _equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two conditionings' options are the same objects or the same numbers and names."""
    plain = int | float | str | tuple
    return one.keys() == other.keys() and all(
        value is other[key] or (isinstance(value, plain) and value == other[key]) for key, value in one.items()
    )


def _hooks(place: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """The hooks of a place and of a concept's own text encoder together."""
    there, mine = place.get("hooks"), own.get("hooks")
    if there is None or mine is None or there.is_subset_of(mine):
        return {}
    # One group for all, where it can be, runs in one call.
    return {"hooks": there if mine.is_subset_of(there) else there.clone_and_combine(mine)}


def _share(cond: dict[str, Any], latent: tuple[int, int], maps: Tensor) -> Tensor:
    """How much a conditioning's prediction counts beside others at each cell of the maps, [B or 1, h, w, 1]."""
    strength = cond.get("strength", 1.0)
    if "default" in cond:
        strength = 1e-6  # only what the others leave
    mask = maps.new_ones(1, *latent)
    if "mask" in cond:
        mask = cond["mask"][: len(maps)].to(maps) * cond.get("mask_strength", 1.0)
    if "area" in cond:
        rows, columns, top, left = cond["area"]
        inside = torch.zeros_like(mask)
        inside[:, top : top + rows, left : left + columns] = 1
        mask = mask * inside
    share = F.interpolate(strength * mask[:, None], size=tuple(maps.shape[1:3]), mode="area")
    return share.movedim(1, -1).repeat(len(maps) // len(mask), 1, 1, 1)
