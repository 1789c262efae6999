"""What travels over the pack's own sockets."""

import weakref
from dataclasses import dataclass, field, replace
from typing import Any

from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io
from torch import Tensor

from ...ledits.attention import WordMaps
from ...ledits.guidance import EditSettings
from ...ledits.inversion import Inversion
from ...ledits.masks import OFFICIAL_SMOOTHING
from ...ledits.prompt import Prompt, merge_words

Conditioning = list[list[Any]]  # ComfyUI's CONDITIONING: pairs of an encoding and its options
Conds = list[dict[str, Any]]  # a conditioning as ComfyUI's samplers hold it

InversionSocket = io.Custom("LEDITS_INVERSION")
ConceptsSocket = io.Custom("LEDITS_CONCEPTS")
StoreSocket = io.Custom("LEDITS_STORE")
AttentionSocket = io.Custom("LEDITS_ATTENTION")


@dataclass(frozen=True)
class Base:
    """The prediction that an inversion uses and an edit starts from: D_empty + cfg (D_source - D_empty)."""

    negative: Conditioning
    positive: Conditioning | None = None
    cfg: float = 1.0

    def override(self, negative: Conditioning | None, positive: Conditioning | None, cfg: float) -> "Base":
        """This base with what a user connected instead; None and a cfg of 0 keep what is there."""
        changes: dict[str, Any] = {"negative": negative, "positive": positive, "cfg": cfg or None}
        changes = {name: value for name, value in changes.items() if value is not None}
        return replace(self, **changes) if changes else self


@dataclass(frozen=True)
class NetworkFingerprint:
    """A network as another process can recognise it."""

    family: str  # which latents and prompts it understands, readable
    checkpoint: str | None  # a hash of its weights; None where they could not be read
    changes: str | None  # a hash of what is patched onto them; None where that cannot be compared between processes


@dataclass(frozen=True)
class ImageInversion:
    """LEDITS_INVERSION: the inversion of one LATENT, the base it replays with, and the network that made it."""

    trajectory: Inversion
    latent: dict[str, Any]  # as it came in; `trajectory.x0` is the same at the model's scale
    base: Base
    seed: int
    fingerprint: NetworkFingerprint
    maker: "weakref.ref[ModelPatcher] | None" = None  # the model that made it in this process; None from a file


def copy_latent(latent: dict[str, Any]) -> dict[str, Any]:
    """A LATENT with tensors of its own: some nodes write into those that they are given."""
    return {key: value.clone() if isinstance(value, Tensor) else value for key, value in latent.items()}


@dataclass(frozen=True)
class Attention:
    """LEDITS_ATTENTION: the word maps of one or more prompts over one batch of images of height x width pixels."""

    prompts: tuple[WordMaps, ...]
    height: int
    width: int


@dataclass(frozen=True)
class Where:
    """Words of a thing in the photo: an edit looks for it by itself, once."""

    prompt: Prompt
    conditioning: Conditioning
    beside: bool = False  # the change is to be anywhere but there; otherwise there


@dataclass(frozen=True)
class Concept:
    """One entry of LEDITS_CONCEPTS."""

    settings: EditSettings
    prompt: Prompt
    words: tuple[int, ...]  # whose attention counts: indices in the prompt, or in the text of `where` or of the source attention
    conditioning: Conditioning
    mask: Tensor | None = None
    source_attention: Attention | None = None  # captured beforehand, of one text, and used instead of the edit's own
    smoothing: float = OFFICIAL_SMOOTHING
    where: Where | None = None

    @property
    def text(self) -> str:
        return self.prompt.text

    @property
    def records_attention(self) -> bool:
        """Of the network, in a step or before the first."""
        return self.settings.needs_attention and self.source_attention is None

    @property
    def records_steps(self) -> bool:
        return self.records_attention and self.where is None

    @property
    def is_beside(self) -> bool:
        return self.where is not None and self.where.beside

    @property
    def recorded_prompt(self) -> Prompt:
        return self.prompt if self.where is None else self.where.prompt

    @property
    def source_map(self) -> Tensor | None:
        """The captured map of its words, [B or 1, h, w]."""
        return None if self.source_attention is None else merge_words(self.source_attention.prompts[0].mean(), self.words)


@dataclass
class EditRecord:
    """What an edit did: for each concept its word maps, the steps that it acted in and the share of them in which its mask had each pixel,
    [B, 1, H, W], and of its latest step that mask, and the threshold that was found for it, [B]; None before its first step, and where the
    threshold was given.
    """

    words: list[WordMaps] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    shares: list[Tensor | None] = field(default_factory=list)
    masks: list[Tensor | None] = field(default_factory=list)
    thresholds: list[Tensor | None] = field(default_factory=list)
    notice: str | None = None  # what a user should know of how the masks were made

    @classmethod
    def from_concepts(cls, concepts: tuple[Concept, ...]) -> "EditRecord":
        words = [WordMaps(concept.recorded_prompt.text, concept.recorded_prompt.words) for concept in concepts]
        count = len(words)
        return cls(words, [0] * count, [None] * count, [None] * count, [None] * count)

    def add_mask(self, number: int, mask: Tensor) -> None:
        """Of a concept's step: the n-th mask makes its share P_n = P_(n-1) + (M_n - P_(n-1)) / n."""
        self.steps[number] += 1
        share = self.shares[number]
        # A mean of equal masks is that mask to the bit, which a sum over n is not.
        self.shares[number] = mask if share is None else share.lerp(mask, 1 / self.steps[number])
        self.masks[number] = mask
