"""ComfyUI's text encoders in small, with its own tokenizers. Each token is encoded alone: a column changes with its token, and with no other."""

from __future__ import annotations

import functools
import importlib
import io
import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import comfy.sd
import comfy.supported_models_base
import sentencepiece
import tokenizers
import torch

CORPUS = [
    "a red car and a blue house on a road, a dog with a cat, a poster on a wall",
    "describe the image by detailing the color, shape, size, texture, quantity, text, spatial relationships of the objects and background",
    "Naïve café, größer; l'été! don't (touch): HELLO world [2023] \"quoted\" t-shirt.",
    "红色的汽车和一座房子 赤い車と猫 красная машина и дом سيارة حمراء 빨간 자동차",
]
"""What the stand-ins for vocabularies that come with a checkpoint have seen."""

CLIP = {"num_hidden_layers": 3, "num_attention_heads": 2, "hidden_size": 32, "intermediate_size": 32}
T5 = {"d_model": 32, "d_ff": 32, "d_kv": 16, "num_heads": 2, "num_layers": 2}


def llm(layers: int = 2) -> dict[str, int]:
    return {"hidden_size": 64, "intermediate_size": 32, "num_attention_heads": 1, "num_key_value_heads": 1, "num_hidden_layers": layers}


@dataclass(frozen=True)
class Family:
    """Where ComfyUI has a tokenizer and its text encoder, and the sizes that make this one small."""

    tokenizer: str
    encoder: str  # ending in () where a call makes the class
    sizes: dict[str, Any]
    vocabulary: Callable[[], dict[str, Any]] = dict

    @property
    def exists(self) -> bool:
        """Whether this ComfyUI has it."""
        return importlib.util.find_spec(self.tokenizer.rpartition(".")[0]) is not None


def _bytes(data: bytes) -> torch.Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


@functools.cache
def sentencepiece_model(**ids: int) -> torch.Tensor:
    """A vocabulary of SentencePiece, with the special tokens at these ids and bytes for characters that it lacks."""
    model = io.BytesIO()
    names = {f"{name}_id": number for name, number in ids.items()}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS),
        model_writer=model,
        vocab_size=450,
        hard_vocab_limit=False,
        byte_fallback=True,
        minloglevel=2,
        **names,
    )
    return _bytes(model.getvalue())


def gemma() -> dict[str, Any]:
    return {"spiece_model": sentencepiece_model(pad=0, eos=1, bos=2, unk=3)}


def umt5() -> dict[str, Any]:
    return {"spiece_model": sentencepiece_model(pad=0, eos=1, unk=2, bos=-1)}


def mt5() -> dict[str, Any]:
    return {"mt5xl.spiece_model": umt5()["spiece_model"]}


@functools.cache
def byte_level_bpe() -> tokenizers.Tokenizer:
    """As GPT's: bytes, and what often stands together in the corpus."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    special = ["<|start|>", "<|message|>", "<|channel|>", "<|end|>"]
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def gpt_oss() -> dict[str, Any]:
    return {"tokenizer_json": _bytes(byte_level_bpe().to_str().encode())}


def tekken() -> dict[str, Any]:
    """Mistral's format: all bytes, and a few pieces more."""
    special = [
        {"rank": rank, "token_str": name} for rank, name in enumerate(("<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]"))
    ]
    pieces = [bytes([byte]) for byte in range(256)] + [b" a", b"re", b"red", b" re", b" red", b"ca", b"car", b" ca", b" car"]
    vocab = [{"rank": rank, "token_bytes": b64encode(piece).decode()} for rank, piece in enumerate(pieces)]
    config = {"default_vocab_size": len(pieces) + len(special), "default_num_special_tokens": len(special)}
    return {"tekken_model": _bytes(json.dumps({"config": config, "vocab": vocab, "special_tokens": special}).encode())}


CLIPS = {"clip_l_model_config": CLIP, "clip_g_model_config": CLIP}
T5XXL = {"t5xxl_model_config": T5}
QWEN25 = {"qwen25_7b_model_config": llm(4)}

FAMILIES = {
    "SD 1.x": Family("comfy.sd1_clip.SD1Tokenizer", "comfy.sd1_clip.SD1ClipModel", CLIPS),
    "SD 2.x": Family(
        "comfy.text_encoders.sd2_clip.SD2Tokenizer", "comfy.text_encoders.sd2_clip.SD2ClipModel", {"clip_h_model_config": CLIP}
    ),
    "SDXL": Family("comfy.sdxl_clip.SDXLTokenizer", "comfy.sdxl_clip.SDXLClipModel", CLIPS),
    "Stable Cascade": Family("comfy.sdxl_clip.StableCascadeTokenizer", "comfy.sdxl_clip.StableCascadeClipModel", CLIPS),
    # SD3 makes CLIP's encodings as wide as T5's real ones.
    "SD3": Family(
        "comfy.text_encoders.sd3_clip.SD3Tokenizer",
        "comfy.text_encoders.sd3_clip.sd3_clip()",
        CLIPS | {"t5xxl_model_config": T5 | {"d_model": 4096}},
    ),
    "Flux": Family("comfy.text_encoders.flux.FluxTokenizer", "comfy.text_encoders.flux.flux_clip()", CLIPS | T5XXL),
    "PixArt, Chroma": Family("comfy.text_encoders.pixart_t5.PixArtTokenizer", "comfy.text_encoders.pixart_t5.pixart_te()", T5XXL),
    "Cosmos": Family("comfy.text_encoders.cosmos.CosmosT5Tokenizer", "comfy.text_encoders.cosmos.te()", T5XXL),
    "AuraFlow": Family(
        "comfy.text_encoders.aura_t5.AuraT5Tokenizer", "comfy.text_encoders.aura_t5.AuraT5Model", {"pile_t5xl_model_config": T5}
    ),
    "Wan": Family("comfy.text_encoders.wan.WanT5Tokenizer", "comfy.text_encoders.wan.te()", {"umt5xxl_model_config": T5}, umt5),
    "HunyuanDiT": Family(
        "comfy.text_encoders.hydit.HyditTokenizer",
        "comfy.text_encoders.hydit.HyditModel",
        {"mt5xl_model_config": T5, "hydit_clip_model_config": CLIP},
        mt5,
    ),
    "Lumina 2": Family(
        "comfy.text_encoders.lumina2.LuminaTokenizer", "comfy.text_encoders.lumina2.te()", {"gemma2_2b_model_config": llm(3)}, gemma
    ),
    "PixelDiT": Family(
        "comfy.text_encoders.pixeldit.PixelDiTGemma2Tokenizer",
        "comfy.text_encoders.pixeldit.pixeldit_te()",
        {"gemma2_2b_model_config": llm()},
        gemma,
    ),
    "Qwen-Image": Family("comfy.text_encoders.qwen_image.QwenImageTokenizer", "comfy.text_encoders.qwen_image.te()", QWEN25),
    # Hunyuan-Image's byT5 is not told its name.
    "Hunyuan-Image": Family(
        "comfy.text_encoders.hunyuan_image.HunyuanImageTokenizer", "comfy.text_encoders.hunyuan_image.te()", QWEN25 | {"_model_config": T5}
    ),
    "Kandinsky 5": Family("comfy.text_encoders.kandinsky5.Kandinsky5TokenizerImage", "comfy.text_encoders.kandinsky5.te()", QWEN25 | CLIPS),
    "LongCat-Image": Family("comfy.text_encoders.longcat_image.LongCatImageTokenizer", "comfy.text_encoders.longcat_image.te()", QWEN25),
    "Ovis-Image": Family("comfy.text_encoders.ovis.OvisTokenizer", "comfy.text_encoders.ovis.te()", {"qwen3_2b_model_config": llm()}),
    "OmniGen 2": Family(
        "comfy.text_encoders.omnigen2.Omnigen2Tokenizer", "comfy.text_encoders.omnigen2.te()", {"qwen25_3b_model_config": llm()}
    ),
    "Z-Image": Family("comfy.text_encoders.z_image.ZImageTokenizer", "comfy.text_encoders.z_image.te()", {"qwen3_4b_model_config": llm(3)}),
    "Flux.2 Klein": Family(
        "comfy.text_encoders.flux.KleinTokenizer", "comfy.text_encoders.flux.klein_te()", {"qwen3_4b_model_config": llm(28)}
    ),
    "Anima": Family("comfy.text_encoders.anima.AnimaTokenizer", "comfy.text_encoders.anima.te()", {"qwen3_06b_model_config": llm()}),
    "Boogu": Family("comfy.text_encoders.boogu.BooguTokenizer", "comfy.text_encoders.boogu.te()", {"qwen3vl_8b_model_config": llm()}),
    "Ideogram 4": Family(
        "comfy.text_encoders.ideogram4.Ideogram4Tokenizer", "comfy.text_encoders.ideogram4.te()", {"qwen3vl_8b_model_config": llm(36)}
    ),
    "Krea 2": Family("comfy.text_encoders.krea2.Krea2Tokenizer", "comfy.text_encoders.krea2.te()", {"qwen3vl_4b_model_config": llm(36)}),
    "Mage-Flow": Family(
        "comfy.text_encoders.mage_flow.MageFlowTokenizer", "comfy.text_encoders.mage_flow.te()", {"qwen3vl_4b_model_config": llm()}
    ),
    "JoyImage": Family(
        "comfy.text_encoders.joyimage.JoyImageTokenizer", "comfy.text_encoders.joyimage.te()", {"qwen3vl_8b_model_config": llm()}
    ),
    "HiDream-O1": Family("comfy.text_encoders.hidream_o1.HiDreamO1Tokenizer", "comfy.text_encoders.hidream_o1.HiDreamO1TE", {}),
    "Lens": Family(
        "comfy.text_encoders.gpt_oss.LensTokenizer",
        "comfy.text_encoders.gpt_oss.lens_te()",
        {"gpt_oss_config": llm() | {"num_local_experts": 2, "num_experts_per_tok": 1, "vocab_size": 1000}, "selected_layers": (0, 1)},
        gpt_oss,
    ),
    "HiDream": Family(
        "comfy.text_encoders.hidream.HiDreamTokenizer",
        "comfy.text_encoders.hidream.hidream_clip()",
        CLIPS | T5XXL | {"llama_model_config": llm(3)},
    ),
    "Flux.2 dev": Family(
        "comfy.text_encoders.flux.Flux2Tokenizer", "comfy.text_encoders.flux.flux2_te()", {"mistral3_24b_model_config": llm(31)}, tekken
    ),
    "Ernie-Image": Family(
        "comfy.text_encoders.ernie.ErnieTokenizer", "comfy.text_encoders.ernie.te()", {"ministral3_3b_model_config": llm(3)}, tekken
    ),
}


MISREAD = ("HiDream", "Flux.2 dev", "Ernie-Image")
"""Those with a vocabulary of Llama or Mistral, which ComfyUI does not read with version 5 of transformers."""


class NoVision(torch.nn.Module):
    """In place of what a text encoder reads images with, which is large, and not asked here."""

    def __init__(self, *_: Any, **__: Any):
        super().__init__()


def _load(name: str) -> Any:
    module, _, attribute = name.removesuffix("()").rpartition(".")
    found = getattr(importlib.import_module(module), attribute)
    return found() if name.endswith("()") else found


def text_encoder(family: Family) -> comfy.sd.CLIP:
    """ComfyUI's CLIP of this family; its parts that read images must have been replaced by `NoVision` before."""

    class Small(_load(family.encoder)):
        def __init__(self, *args: Any, **kwargs: Any):
            super().__init__(*args, **kwargs)
            _encode_tokens_alone(self)

    target = comfy.supported_models_base.ClipTarget(_load(family.tokenizer), Small)
    return comfy.sd.CLIP(target, model_options=dict(family.sizes), tokenizer_data=family.vocabulary())


def _encode_tokens_alone(model: torch.nn.Module) -> None:
    """Random embeddings, and nothing that a layer would add to them."""
    for module in model.modules():
        if hasattr(module, "in_features") and getattr(module, "weight", None) is None:  # made only when a file is loaded
            shape = getattr(module, "_orig_shape", (module.out_features, module.in_features))
            module.weight = torch.nn.Parameter(torch.empty(shape), requires_grad=False)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.zero_()
            if parameter.dim() == 1 and name.endswith("weight"):
                parameter.fill_(1.0)
            elif name.endswith(("shared.weight", "embed_tokens.weight", "token_embedding.weight", "word_embeddings.weight")):
                parameter[:, :8] = torch.randn(len(parameter), 8, generator=generator)


def network_columns(clip: comfy.sd.CLIP, text: str) -> torch.Tensor:
    """What the network reads of a text, [columns, width]: one encoding after the other, or the tokens that it encodes itself."""
    with torch.inference_mode():
        encoding, options = clip.encode_from_tokens_scheduled(clip.tokenize(text))[0]
    if "text_input_ids" in options:
        return options["text_input_ids"][0, :, None]
    if "t5xxl_ids" in options:
        ids = options["t5xxl_ids"][:, None]
        return torch.nn.functional.pad(ids, (0, 0, 0, max(0, 512 - len(ids))))
    parts = [encoding, *(options[name] for name in options if name.startswith("conditioning_"))]
    flat = [part.transpose(0, -2).flatten(1) for part in parts]
    return torch.cat([torch.nn.functional.pad(part, (0, max(part.shape[1] for part in flat) - part.shape[1])) for part in flat])
