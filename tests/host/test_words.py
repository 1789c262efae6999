"""The words of a prompt and their columns in what the network reads, with each of ComfyUI's tokenizers."""

from __future__ import annotations

import functools
import importlib

import pytest
import torch

from tests.support.text_encoders import FAMILIES, NoVision, network_columns, text_encoder

LONG = "a red circle and a blue square, " * 90 + "a yellow zebra"
PROMPTS = [
    "a red car, and a t-shirt!",
    "don't touch: the antidisestablishmentarianism (2023) poster",
    "a ((red)) car by a (road:1.3) with [blue] dogs",
    "a red car beside a red house; the red one",
    'a sign that says "HELLO world" by a wall',
    "naïve café, größer Übung",
    "describe the image of a user, text: assistant",
    "红色的汽车和一座房子",
    "赤い車と猫 and a 红色 car",
    "a 🐱 on a 🚗, красная машина",
]
ONE_OF_EACH_TOKENIZER = ("SD 1.x", "Flux", "AuraFlow", "HunyuanDiT", "Lumina 2", "Wan", "Hunyuan-Image", "Lens", "HiDream", "Ernie-Image")
"""The other families have the same ones, and other templates, padding and encodings."""

LATIN = ("dog", "7", "tree", "x", "big", "zoo", "green", "house", "qz", "qzx", "zqxj")
CHINESE = ("\u9ed1", "\u7eff", "\u9e1f", "\u6865", "\u9738", "\u9f3b")
MARKS = ("?", ":", ",", "\"", "%", "&", "]", "?!", "--")


@pytest.fixture(scope="module", autouse=True)
def no_vision():
    """Text encoders without what they read images with."""
    patch = pytest.MonkeyPatch()
    for module, name in (("qwen_vl", "Qwen2VLVisionTransformer"), ("qwen3vl", "Qwen3VLVisionModel")):
        full = f"comfy.text_encoders.{module}"
        if importlib.util.find_spec(full):
            patch.setattr(importlib.import_module(full), name, NoVision)
    yield
    patch.undo()
    clip_of.cache_clear()


@functools.lru_cache(maxsize=1)
def clip_of(name):
    if not FAMILIES[name].exists:
        pytest.skip(f"this ComfyUI has no {name}")
    return text_encoder(FAMILIES[name])


@pytest.fixture
def words_of(part):
    return part("nodes.comfyui.text.words").words_of


def others(word):
    """Words of the same kind to put in place of one."""
    if not any(letter.isalnum() for letter in word) and word.isascii():
        return tuple(other for other in MARKS if other != word)
    if word.isdigit():
        return ("1987", "3456", "9041", "5710")
    letters = [chr(97 + index) for index in range(26)]
    turned = ["".join(letters[(ord(letter) + shift) % 26] for letter in word.lower()) for shift in range(1, 9)]
    same_kind = LATIN if word.isascii() else tuple(other * len(word) for other in CHINESE)
    return tuple(other for other in (*same_kind, *LATIN, *turned, *(letter + word[1:] for letter in "bdfkmprst")) if other != word.lower())


def count_tokens(clip, text):
    """How many tokens each encoder has for a text, padding and template included, but for the padding that says so."""
    return {key: sum(token[2:] != (0,) for chunk in chunks for token in chunk) for key, chunks in clip.tokenize(text, return_word_ids=True).items()}


def changed_columns(clip, text, begin, end):
    """The columns that change with a word, whichever other of as many tokens it is."""
    before, counts = network_columns(clip, text), count_tokens(clip, text)
    changed, seen = set(), 0
    for other in others(text[begin:end]):
        otherwise = text[:begin] + other + text[end:]
        if seen < 2 and count_tokens(clip, otherwise) == counts:
            after = network_columns(clip, otherwise)
            changed |= set((before != after).any(1).nonzero()[:, 0].tolist())
            seen += 1
    return changed if seen > 1 else None


def places(text, words):
    """Where each word stands in the text."""
    end = 0
    for word in words:
        begin = text.index(word, end)
        end = begin + len(word)
        yield begin, end


def prompts():
    for family in FAMILIES:
        for text in PROMPTS if family in ONE_OF_EACH_TOKENIZER else PROMPTS[4:9:2]:
            yield pytest.param(family, text, id=f"{family}-{PROMPTS.index(text)}")


@pytest.mark.parametrize(("family", "text"), prompts())
def test_a_word_has_the_columns_that_change_with_it(family, text, words_of):
    clip = clip_of(family)
    prompt = words_of(clip, text)
    assert prompt.length == len(network_columns(clip, text))
    columns = [column for columns in prompt.token_indices for column in columns]
    assert len(set(columns)) == len(columns)
    checked = 0
    for word, indices, (begin, end) in zip(prompt.words, prompt.token_indices, places(text, prompt.words), strict=True):
        changed = changed_columns(clip, text, begin, end)
        if changed is not None:
            assert set(indices) == changed, word
            checked += 1
    print(family, checked, list(zip(prompt.words, prompt.token_indices)))
