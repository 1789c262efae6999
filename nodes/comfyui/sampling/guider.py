"""Masked semantic guidance inside ComfyUI's sampling."""

from collections.abc import Iterable
from typing import Any

import comfy.samplers
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ....ledits.guidance import apply_guidance, concept_guidance, first_active_step, found_threshold, guidance_mask
from ....ledits.masks import dilate
from ....ledits.prompt import merge_words
from ...errors import PACK, LeditsInputError, named, require
from ..attention.adapters import make_adapter, make_place_adapters, prepare_recording
from ..attention.concept_map import concept_word_maps
from ..attention.recorder import AttentionNotSeenError, Recorder
from ..attention.store import keep_edits, store_settings
from ..types import Base, Concept, Conditioning, EditRecord, ImageInversion
from .base_prediction import predict_base
from .conditioning import resize_mask, with_options_of, with_own_keyframes
from .frames import drop_frame
from .noise import is_guidance_distilled
from .place_search import find_places, search_sigma


class MaskedGuider(comfy.samplers.CFGGuider):
    """Predicts D' = D_base + sum of M_c G_c; without concepts just D_base.

    Steps are counted by the noise levels of the inversion that is edited; None while inverting. Sampling fills the record.

    Args:
        margin: latent pixels around the masks beyond which the Replay Sampler keeps the photo; None: it keeps to no limit.
    """

    owner = PACK  # the node that errors name

    def __init__(
        self,
        model: ModelPatcher,
        base: Base,
        inversion: ImageInversion | None = None,
        concepts: tuple[Concept, ...] = (),
        record: EditRecord | None = None,
        margin: int | None = None,
    ):
        # ComfyUI registers the conditionings' hooks on the patcher that samples; the incoming one stays as it is.
        super().__init__(model.clone())
        self.base, self.inversion, self.concepts, self._observer, self.margin = base, inversion, concepts, record, margin
        self.settings = store_settings(model)
        self._sigmas = [] if inversion is None else inversion.trajectory.sigmas.tolist()
        if any(concept.records_attention for concept in concepts):
            prepare_recording(self.model_patcher)
        self.set_cfg(base.cfg)
        conds = {"negative": base.negative}
        if base.positive is not None and base.cfg != 0:
            conds["positive"] = base.positive
        # What concepts differ from: the neutral prompt. It means nothing to a network with distilled guidance: there the source prompt.
        self._reference = "positive" if "positive" in conds and is_guidance_distilled(model) else "negative"
        reference = conds[self._reference]
        conds |= {_name(number): with_options_of(reference, concept.conditioning) for number, concept in enumerate(concepts)}
        places = {number: concept.where for number, concept in enumerate(concepts) if concept.where is not None}
        self._searched = {number: f"place {number + 1}" for number in places}
        for number, name in self._searched.items():
            conds[name] = with_own_keyframes(with_options_of(reference, places[number].conditioning))
        self.inner_set_conds(conds)

    def set_conds(self, positive: Conditioning, negative: Conditioning) -> None:
        """Refused: some sampler nodes set their own prompts on a guider, and with those the photo would not stay."""
        problem = "comes with its own prompts, but another node sets others on the guider: connect them to this node instead"
        raise LeditsInputError("inversion", problem, self.owner)

    @property
    def first_step(self) -> int:
        """The first step to predict: where a concept begins to act; 0 on another base, and beside guidance of other nodes."""
        if self.inversion is None or self.base is not self.inversion.base:
            return 0
        steps = self.inversion.trajectory.steps
        first = first_active_step((concept.settings for concept in self.concepts), steps)
        # What such guidance remembers from step to step (momentum) it must gather in all of them, as while inverting.
        return 0 if first < steps and any(key.startswith("sampler_") for key in self.model_options) else first

    def inner_sample(self, noise, latent_image, device, sampler, sigmas, denoise_mask: Tensor | None, *args: Any, **kwargs: Any) -> Tensor:
        self._record = self._observer or EditRecord.from_concepts(self.concepts)
        keep_edits(self.model_options, self._record)
        user_masks = (resize_mask(concept.mask, latent_image, device) for concept in self.concepts)
        noise_mask = 1.0 if denoise_mask is None else drop_frame(denoise_mask)[:, :1]
        # U of each concept, and U times the latent's noise mask, outside which the sampler keeps the photo.
        self._user_masks = [(mask, noise_mask if mask is None else mask * noise_mask) for mask in user_masks]
        self._latest_maps: dict[int, Tensor] = {}
        self._places: dict[int, Tensor] = {}
        self._changed = torch.zeros(1, 1, *latent_image.shape[-2:], device=device)
        self._next_step = 0
        self.is_limited = self.margin is None
        try:
            return super().inner_sample(noise, latent_image, device, sampler, sigmas, denoise_mask, *args, **kwargs)
        finally:
            del self._record, self._user_masks, self._latest_maps, self._places, self._changed, self._next_step, self.is_limited

    def area_to_change(self) -> Tensor:
        """K, [B or 1, 1, H, W]: all that masks have covered since the first step, and the margin around it. A sampler that keeps to it sets
        `is_limited`."""
        assert self.margin is not None
        return dilate(self._changed, self.margin)

    def predict_noise(self, x: Tensor, timestep: Tensor, model_options: dict = {}, seed: int | None = None) -> Tensor:
        sigma = float(timestep.flatten()[0]) * (1 + 1e-6)
        step = sum(level > sigma for level in self._sigmas[:-1])
        self._advance_hooks(step, timestep, model_options)
        active = [number for number, concept in enumerate(self.concepts) if concept.settings.is_active(step)]
        with named(self.owner):
            problem = "needs LEDITS++ Replay Sampler, which alone knows the photo's own path: connect its sampler, or switch this off"
            require(self.is_limited, "keep_background", problem)
            recorder = self._make_recorder(x, active)
            base, predictions = predict_base(
                self.inner_model,
                x,
                timestep,
                {name: self.conds[name] for name in ("negative", "positive") if name in self.conds},
                self.cfg,
                {name: self.conds[name] for name in map(_name, active)},
                self._reference,
                [] if recorder is None else [recorder],
                model_options,
            )
            # After the step's own call, so that patches that draw random numbers draw the same there as while inverting.
            if not self._places and not self._searched.keys().isdisjoint(active):
                self._find_places(x, timestep, model_options)
        guidances, masks = [], []
        for number in active:
            concept, (user_mask, limit) = self.concepts[number], self._user_masks[number]
            reference = predictions.get("reference", predictions[self._reference])
            guidance = concept_guidance(predictions[_name(number)], reference, concept.settings, user_mask)
            # A place is smoothed already.
            smoothing = concept.smoothing if concept.where is None else 0.0
            word_map = self._word_map(recorder, number, x)
            mask = guidance_mask(guidance, concept.settings, word_map, smoothing)
            self._record.thresholds[number] = found_threshold(guidance, concept.settings, word_map, smoothing)
            used = mask * limit
            self._record.add_mask(number, used)
            self._changed = torch.maximum(self._changed, (used > 0).float())
            guidances.append(guidance)
            masks.append(mask)
        return apply_guidance(base, guidances, masks).reshape(x.shape)

    def _advance_hooks(self, step: int, timestep: Tensor, model_options: dict) -> None:
        """Keyframed hooks count steps: lets them pass the steps that a replay skips, as they did in the inversion."""
        names = self.conds.keys() - self._searched.values()
        self._pass_steps(self._sigmas[self._next_step : step], names, timestep, model_options)
        self._next_step = step + 1

    def _pass_steps(self, sigmas: list[float], names: Iterable[str], timestep: Tensor, model_options: dict) -> None:
        groups = {cond["hooks"] for name in names for cond in self.conds[name] if cond.get("hooks") is not None}
        for sigma in sigmas:
            for hooks in groups:
                self.model_patcher.prepare_hook_patches_current_keyframe(torch.full_like(timestep, sigma), hooks, model_options)

    def _find_places(self, x: Tensor, timestep: Tensor, model_options: dict) -> None:
        assert self.inversion is not None
        own, given = self.inversion.trajectory.x0.shape, drop_frame(x).shape
        problem = f"is {list(given)}, but 'where' is looked for in the inverted photo, {list(own)}: connect the latent that was inverted"
        require(given == own, "latent_image", problem)
        sigma = search_sigma(self.inversion.trajectory.noise)
        self._pass_steps([level for level in self._sigmas if level > sigma], self._searched.values(), timestep, model_options)
        concepts = {name: self.concepts[number] for number, name in self._searched.items()}
        conds = {name: self.conds[name] for name in concepts}
        network = self.model_patcher.get_model_object("diffusion_model")
        adapters = make_place_adapters(network, self.settings, x.shape[-2], x.shape[-1])
        found = find_places(self.inner_model, adapters, self.inversion, concepts, conds, x, timestep, model_options)
        for number, name in self._searched.items():
            maps, self._places[number] = found[name]
            self._record.words[number].add(maps)

    def _make_recorder(self, x: Tensor, active: list[int]) -> Recorder | None:
        names = {_name(number) for number in active if self.concepts[number].records_steps}
        if not names:
            return None
        adapter = make_adapter(self.model_patcher.get_model_object("diffusion_model"), self.settings, x.shape[-2], x.shape[-1])
        return Recorder(adapter, lambda key: key[0] in names)

    def _word_map(self, recorder: Recorder | None, number: int, x: Tensor) -> Tensor | None:
        """The attention of a concept's words that its mask is made from, [B, h, w]."""
        concept = self.concepts[number]
        if not concept.settings.needs_attention:
            return None
        if concept.where is not None:
            return self._places[number]
        if concept.source_map is not None:
            return concept.source_map.to(x.device).expand(len(x), -1, -1)
        assert recorder is not None
        words = self._record.words[number]
        try:
            self._latest_maps[number] = concept_word_maps(recorder, _name(number), self.conds[_name(number)], concept.prompt, x)
            words.add(self._latest_maps[number])
        except AttentionNotSeenError:
            if number not in self._latest_maps:
                raise
            self._record.notice = (
                "Another node left out the network's attention in some steps. Their masks use the attention of the step before."
            )
        return merge_words(words.mean() if self.settings.average_steps else self._latest_maps[number], concept.words)


def _name(number: int) -> str:
    """Of a concept's prompt among the guider's conditionings."""
    return f"concept {number + 1}"
