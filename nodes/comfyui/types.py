"""What travels over the pack's own sockets."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ...ledits.attention_store import WordMaps
from ...ledits.guidance import Edit
from ...ledits.inversion import Inversion
from ...ledits.inversion_file import NetworkFingerprint
from ...ledits.masks import OFFICIAL_SMOOTHING
from ...ledits.tokens import Prompt, merge_words
from .model import NetworkIdentity

Conditioning = list[list[Any]]
"""ComfyUI's CONDITIONING: pairs of an encoding and its options."""

InversionSocket = io.Custom("LEDITS_INVERSION")
ConceptsSocket = io.Custom("LEDITS_CONCEPTS")
StoreSocket = io.Custom("LEDITS_STORE")
AttentionSocket = io.Custom("LEDITS_ATTENTION")


@dataclass(frozen=True)
class Base:
    """The prediction that an inversion walks with and an edit starts from: D_empty + cfg (D_source - D_empty)."""

    negative: Conditioning
    positive: Conditioning | None = None
    cfg: float = 1.0


@dataclass(frozen=True)
class PictureInversion:
    """LEDITS_INVERSION: the inversion of one LATENT and the base it replays with.

    Attributes:
        network: the MODEL that made it; None when it comes from a file, where only the fingerprint is left.
    """

    walk: Inversion
    latent: dict[str, Any]
    base: Base
    seed: int
    fingerprint: NetworkFingerprint
    network: NetworkIdentity | None = None


@dataclass(frozen=True)
class Attention:
    """LEDITS_ATTENTION: the word maps of one or more prompts over one batch of pictures of height x width pixels."""

    prompts: tuple[WordMaps, ...]
    height: int
    width: int


@dataclass(frozen=True)
class Concept:
    """One entry of LEDITS_CONCEPTS.

    Attributes:
        words: places of the words whose attention counts, in the prompt or, where there is such, in the text of `seen`.
        seen: attention captured beforehand, of one text, that stands in for the edit's own.
    """

    edit: Edit
    prompt: Prompt
    words: tuple[int, ...]
    conditioning: Conditioning
    mask: Tensor | None = None
    seen: Attention | None = None
    smoothing: float = OFFICIAL_SMOOTHING

    @property
    def text(self) -> str:
        return self.prompt.text

    @property
    def looks(self) -> bool:
        """Whether the edit must record this concept's attention."""
        return self.edit.needs_attention and self.seen is None

    @property
    def seen_map(self) -> Tensor | None:
        """The captured map of its words, [B or 1, h, w]."""
        return None if self.seen is None else merge_words(self.seen.prompts[0].mean(), self.words)


@dataclass
class EditRecord:
    """What an edit did: for each concept its word maps and the mask of its latest step, [B, 1, H, W] or None before its first."""

    words: list[WordMaps] = field(default_factory=list)
    masks: list[Tensor | None] = field(default_factory=list)

    @classmethod
    def of(cls, concepts: tuple[Concept, ...]) -> EditRecord:
        return cls([WordMaps(concept.text, concept.prompt.words) for concept in concepts], [None] * len(concepts))


def overridden(base: Base, negative: Conditioning | None, positive: Conditioning | None, cfg: float) -> Base:
    """The inversion's base with what a user connected instead; cfg 0 keeps the inversion's."""
    changes: dict[str, Any] = {}
    if negative is not None:
        changes["negative"] = negative
    if positive is not None:
        changes["positive"] = positive
    if cfg > 0:
        changes["cfg"] = cfg
    return replace(base, **changes) if changes else base
