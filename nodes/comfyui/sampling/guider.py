"""Masked semantic guidance inside ComfyUI's sampling."""

import math
from typing import Any

import comfy.samplers
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ....ledits.guidance import apply_guidance, concept_guidance, first_active_step, guidance_mask
from ....ledits.prompt import merge_words
from ...errors import PACK, named
from ..attention.adapters import make_adapter
from ..attention.concept_map import concept_word_maps
from ..attention.recorder import Recorder
from ..attention.store import keep_edits, store_settings
from ..types import Base, Concept, Conds, EditRecord, ImageInversion
from .conditioning import resize_mask, with_options_of
from .predictions import predict_conds

_CHANGED_OPTIONS = {"disable_cfg1_optimization", "sampler_cfg_function", "sampler_calc_cond_batch_function"}  # by `_predict`


class MaskedGuider(comfy.samplers.CFGGuider):
    """Predicts D' = D_base + sum of M_c G_c; without concepts just D_base.

    Steps are counted by the noise levels of the inversion that is edited; None while inverting. Sampling fills the record.
    """

    owner = PACK  # the node that errors name

    def __init__(
        self,
        model: ModelPatcher,
        base: Base,
        inversion: ImageInversion | None = None,
        concepts: tuple[Concept, ...] = (),
        record: EditRecord | None = None,
    ):
        # ComfyUI registers the conditionings' hooks on the patcher that samples; the incoming one stays as it is.
        super().__init__(model.clone())
        self.base, self.inversion, self.concepts, self._observer = base, inversion, concepts, record
        self.settings = store_settings(model)
        self._sigmas = [] if inversion is None else inversion.trajectory.sigmas.tolist()
        self.set_cfg(base.cfg)
        conds = {"negative": base.negative}
        if base.positive is not None and base.cfg != 0:
            conds["positive"] = base.positive
        conds |= {_name(number): with_options_of(base.negative, concept.conditioning) for number, concept in enumerate(concepts)}
        self.inner_set_conds(conds)

    @property
    def first_step(self) -> int:
        """The first step to predict: where a concept begins to act; 0 on another base, and beside guidance of other nodes."""
        if self.inversion is None or self.base is not self.inversion.base:
            return 0
        steps = self.inversion.trajectory.steps
        first = first_active_step((concept.settings for concept in self.concepts), steps)
        # What such guidance remembers from step to step (momentum) it must gather in all of them, as while inverting.
        return 0 if first < steps and any(key.startswith("sampler_") for key in self.model_options) else first

    def inner_sample(self, noise: Tensor, latent_image: Tensor, device: torch.device, *args: Any, **kwargs: Any) -> Tensor:
        self._record = self._observer or EditRecord.from_concepts(self.concepts)
        keep_edits(self.model_options, self._record)
        self._user_masks = [resize_mask(concept.mask, latent_image, device) for concept in self.concepts]
        self._next_step = 0
        try:
            return super().inner_sample(noise, latent_image, device, *args, **kwargs)
        finally:
            del self._record, self._user_masks, self._next_step

    def predict_noise(self, x: Tensor, timestep: Tensor, model_options: dict = {}, seed: int | None = None) -> Tensor:
        sigma = float(timestep.flatten()[0]) * (1 + 1e-6)
        step = sum(level > sigma for level in self._sigmas[:-1])
        self._advance_hooks(step, timestep, model_options)
        active = [number for number, concept in enumerate(self.concepts) if concept.settings.is_active(step)]
        with named(self.owner):
            recorder = self._make_recorder(x, active)
            base, predictions = self._predict(x, timestep, active, recorder, model_options)
        guidances, masks = [], []
        for number in active:
            concept, user_mask = self.concepts[number], self._user_masks[number]
            guidance = concept_guidance(predictions[_name(number)], predictions["negative"], concept.settings, user_mask)
            mask = guidance_mask(guidance, concept.settings, self._word_map(recorder, number, x), concept.smoothing)
            self._record.masks[number] = mask if user_mask is None else mask * user_mask
            guidances.append(guidance)
            masks.append(mask)
        return apply_guidance(base, guidances, masks)

    def _advance_hooks(self, step: int, timestep: Tensor, model_options: dict) -> None:
        """Keyframed hooks count steps: lets them pass the steps that a replay skips, as they did in the inversion."""
        groups = {cond["hooks"] for conds in self.conds.values() for cond in conds if cond.get("hooks") is not None}
        for sigma in self._sigmas[self._next_step : step]:
            for hooks in groups:
                self.model_patcher.prepare_hook_patches_current_keyframe(torch.full_like(timestep, sigma), hooks, model_options)
        self._next_step = step + 1

    def _predict(
        self, x: Tensor, timestep: Tensor, active: list[int], recorder: Recorder | None, model_options: dict
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """D_base by ComfyUI's own guidance, and the predictions of its one calc_cond_batch, which also has D_empty and each D_c."""
        options = dict(model_options)
        cond, uncond, scale = "positive", "negative", self.cfg
        # Some nodes want the negative prompt's prediction even where it has no weight.
        without_cfg = math.isclose(self.cfg, 1.0) and not options.get("disable_cfg1_optimization", False)
        if without_cfg or "positive" not in self.conds:
            # Pass the single prediction as both cond and uncond so post-CFG patches still work.
            cond = uncond = "positive" if "positive" in self.conds else "negative"
            scale = 1.0
            options["disable_cfg1_optimization"] = True
            options.pop("sampler_cfg_function", None)
        asked = [name for name in ("negative", "positive") if name in (cond, uncond) or (active and name == "negative")]
        conds: dict[str, Conds] = {name: self.conds[name] for name in [*asked, *map(_name, active)]}
        found: dict[str, Tensor] = {}

        def calc_cond_batch(arguments: dict[str, Any]) -> list[Tensor]:
            # Only this first call is ours: CFG functions that predict something themselves get what was there before.
            del options["sampler_calc_cond_batch_function"]
            options.update({key: value for key, value in model_options.items() if key == "sampler_calc_cond_batch_function"})
            found.update(predict_conds(conds, arguments | {"model_options": model_options}, recorder))
            return [found[cond].clone(), found[uncond].clone()]  # CFG functions may write into them

        options["sampler_calc_cond_batch_function"] = calc_cond_batch
        base = comfy.samplers.sampling_function(
            self.inner_model, x, timestep, self.conds[uncond], self.conds[cond], scale, model_options=options
        )
        # Guidance with a momentum keeps it there from step to step.
        model_options.update({key: value for key, value in options.items() if key not in _CHANGED_OPTIONS})
        return base, found

    def _make_recorder(self, x: Tensor, active: list[int]) -> Recorder | None:
        names = {_name(number) for number in active if self.concepts[number].records_attention}
        if not names:
            return None
        adapter = make_adapter(self.model_patcher.get_model_object("diffusion_model"), self.settings, x.shape[-2], x.shape[-1])
        return Recorder(adapter, lambda key: key[0] in names)

    def _word_map(self, recorder: Recorder | None, number: int, x: Tensor) -> Tensor | None:
        """The attention of a concept's words that its mask is made from, [B, h, w]."""
        concept = self.concepts[number]
        if not concept.settings.needs_attention:
            return None
        if concept.source_map is not None:
            return concept.source_map.to(x.device).expand(len(x), -1, -1)
        assert recorder is not None
        maps, words = concept_word_maps(recorder, _name(number), self.conds[_name(number)], concept.prompt, x), self._record.words[number]
        words.add(maps)
        return merge_words(words.mean() if self.settings.average_steps else maps, concept.words)


def _name(number: int) -> str:
    """Of a concept's prompt among the guider's conditionings."""
    return f"concept {number + 1}"
