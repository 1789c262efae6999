"""The words of a prompt and their columns in what the network reads, with each of ComfyUI's tokenizers."""

from __future__ import annotations

import copy
import functools
import importlib
import re

from scripts.host.in_comfy import run

import pytest
import torch
import transformers
from safetensors.torch import save_file

from support.text_encoders import FAMILIES, MISREAD, NoVision, network_columns, text_encoder

LONG = "a red circle and a blue square, " * 90 + "a yellow house"
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
CHINESE = "\u9ed1\u7eff\u9e1f\u6865\u9738\u9f3b\u5c71\u6d77\u6708\u5927\u4e0a\u672c\u795e"
EMOJI = ("\U00105a5a", "\U000f1234", "\U00101f77", "qz", "qzx", "zqxj", "qjzxk", "zqjvwk")  # the first three share no byte with one
MARKS = ("?", ":", ",", '"', "%", "&", "]", "?!", "--")


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
    try:
        return text_encoder(FAMILIES[name])
    except TypeError as error:
        if "MistralConverter" not in str(error) or name not in MISREAD:
            raise
        pytest.skip(f"ComfyUI cannot load Mistral's vocabulary with transformers {transformers.__version__}")


@pytest.fixture
def words_of(part):
    return part("nodes.comfyui.text.words").words_of


def others(word):
    """Words of the same kind to put in place of one."""
    if not any(letter.isalnum() for letter in word) and word.isascii():
        return tuple(other for other in MARKS if other != word)
    if word.isdigit():
        return ("1987", "3456", "9041", "5710")
    if "\u3000" < word[0] < "\ua000":
        return tuple("".join(CHINESE[(start + 5 * index) % len(CHINESE)] for index in range(len(word))) for start in range(len(CHINESE)))
    if word[0] > "\uffff":
        return EMOJI
    shifts = (1, 67, 2, 134, 3, 201, *range(4, 25))  # of those far away the first of two bytes is another too
    turned = tuple("".join(turn(letter, shift) for letter in word.lower()) for shift in shifts)
    return tuple(other for other in (*LATIN, *turned) if other != word.lower())


def turn(letter, shift):
    """Another letter of the same script."""
    if letter.isascii():
        return chr((ord(letter) - 97 + shift) % 26 + 97)
    return chr(ord(letter) + shift)


def is_unspaced(letter):
    """Whether the letters around this one may be joined to tokens in another way when it changes."""
    return letter > "\u3000"


def count_tokens(clip, text):
    """How many tokens each encoder has for a text, padding and template included, but for the padding that says so."""
    return {
        key: sum(token[2:] != (0,) for chunk in chunks for token in chunk)
        for key, chunks in clip.tokenize(text, return_word_ids=True).items()
    }


def has_all_and_only(clip, text, begin, end, before, indices):
    """Whether one word in this place or another changes each of these columns, and one changes no more; None where too few are known."""
    counts, changed, is_enough, tried = count_tokens(clip, text), set(), is_unspaced(text[begin]), 0
    for other in others(text[begin:end]):
        otherwise = text[:begin] + other + text[end:]
        if tried < 9 and count_tokens(clip, otherwise) == counts:
            tried += 1
            columns = set((before != network_columns(clip, otherwise)).any(1).nonzero()[:, 0].tolist())
            changed |= columns
            is_enough = is_enough or columns <= indices
            if is_enough and indices <= changed:
                return True
    return False if tried > 2 else None


def places(text, words):
    """Where each word stands in the text."""
    end = 0
    for word in words:
        begin = text.index(word, end)
        end = begin + len(word)
        yield begin, end


def prompts():
    for family in FAMILIES:
        for text in PROMPTS if family in ONE_OF_EACH_TOKENIZER else (PROMPTS[4], PROMPTS[6]):
            yield pytest.param(family, text, id=f"{family}-{PROMPTS.index(text)}")


@pytest.mark.parametrize(("family", "text"), prompts())
def test_a_word_has_the_columns_that_change_with_it(family, text, words_of):
    clip = clip_of(family)
    prompt = words_of(clip, text)
    if family in MISREAD and transformers.__version__ >= "5":
        assert prompt == type(prompt)(text)  # ComfyUI's Llama joins words there
        return
    before = network_columns(clip, text)
    assert prompt.length == len(before)
    columns = [column for columns in prompt.token_indices for column in columns]
    assert len(set(columns)) == len(columns)
    checked = 0
    words = zip(prompt.words, prompt.token_indices, places(text, prompt.words), strict=True)
    for word, indices, (begin, end) in words:
        found = has_all_and_only(clip, text, begin, end, before, set(indices))
        assert found is not False, word
        checked += found is True
    assert checked or not text.isascii()


@pytest.mark.parametrize("family", ["SDXL", "SD3", "Flux", "Z-Image", "Lumina 2"])
def test_words_behind_512_others(family, words_of):
    clip = clip_of(family)
    prompt = words_of(clip, LONG)
    before = network_columns(clip, LONG)
    assert prompt.length == len(before) > 512
    assert prompt.words == tuple(re.findall(r"\w+|,", LONG))
    begin, indices = LONG.index("house"), prompt.token_indices[prompt.words.index("house")]
    assert has_all_and_only(clip, LONG, begin, len(LONG), before, set(indices))


def test_words_that_were_cut_off_are_none(words_of):
    prompt = words_of(clip_of("PixelDiT"), LONG)
    assert "house" not in prompt.words
    assert prompt.words[:3] == ("a", "red", "circle")
    assert all(column < prompt.length for columns in prompt.token_indices for column in columns)


@pytest.mark.parametrize("family", ["Flux", "SD3", "Qwen-Image", "SDXL", "HunyuanDiT"])
@pytest.mark.parametrize(("text", "wanted"), [(PROMPTS[7], "\u6c7d\u8f66"), (PROMPTS[7], "\u7ea2"), (PROMPTS[8], "\u8eca\u3068")])
def test_a_chinese_word_is_found_by_typing_it(family, text, wanted, words_of, part):
    """T5 has no Chinese; beside it CLIP has, byte by byte."""
    prompt, find_words = words_of(clip_of(family), text), part("ledits.prompt").find_words
    if family == "Flux":
        assert not any(is_chinese(letter) for letter in "".join(prompt.words))
    else:
        found = "".join(prompt.words[index] for index in find_words(prompt.words, wanted))
        assert wanted in found
        assert len(found) <= len(wanted) + 1


def is_chinese(letter):
    return "\u4e00" <= letter <= "\u9fff"


def test_a_text_of_unknown_words_is_refused():
    with pytest.raises(ValueError, match=r"input 'text': is .*knows no word: write it in another language"):
        run("LEDITS_Concept", clip=clip_of("Flux"), text=PROMPTS[7])


def test_quoted_words_have_their_glyphs_too(words_of):
    """Hunyuan-Image's byT5 reads them byte by byte, each quote behind a heading of seven."""
    clip, text = clip_of("Hunyuan-Image"), 'a red "red" sign, \u201cGr\u00f6\u00dfe\u201d, "car"'
    prompt, encoded = words_of(clip, text), clip.encode_from_tokens_scheduled(clip.tokenize(text))[0]
    start = encoded[0].shape[1]
    assert prompt.length == start + encoded[1]["conditioning_byt5small"].shape[1]
    glyphs = [[column - start for column in columns if column >= start] for columns in prompt.token_indices]
    quoted = dict(zip(zip(prompt.words, range(20), strict=False), glyphs, strict=False))
    assert [found for found in quoted.items() if found[1]] == [
        (("red", prompt.words.index("red", 2)), [6, 7, 8]),
        (("Gr\u00f6\u00dfe", prompt.words.index("Gr\u00f6\u00dfe")), [30, 31, 32, 33, 34, 35, 36]),
        (("car", prompt.words.index("car")), [18, 19, 20]),
    ]


@pytest.mark.parametrize("family", ["SDXL", "SD3", "Flux"])
def test_an_embedding_is_a_word_where_the_network_reads_it(family, words_of, tmp_path, monkeypatch):
    """SD3's T5 is given CLIP's vectors too, and drops them: what is behind moves to the front."""
    clip = clip_of(family)
    save_file({"clip_l": torch.ones(3, 32), "clip_g": torch.ones(3, 32)}, tmp_path / "thing.safetensors")
    for tokenizer in vars(clip.tokenizer).values():
        monkeypatch.setattr(tokenizer, "embedding_directory", str(tmp_path), raising=False)
    text = "a embedding:thing in red"
    prompt = words_of(clip, text)
    assert prompt.length == len(network_columns(clip, text))
    assert prompt.words == ("a", "thing", "in", "red")
    assert prompt.token_indices[1] == (2, 3, 4)
    begin = text.index("red")
    assert has_all_and_only(clip, text, begin, len(text), network_columns(clip, text), set(prompt.token_indices[3]))


def test_an_unknown_text_model_is_not_guessed(words_of):
    clip = copy.copy(clip_of("SD 1.x"))
    clip.cond_stage_model = torch.nn.Sequential(torch.nn.Linear(2, 2))
    assert words_of(clip, "a red car") == type(words_of(clip, ""))("a red car")


def test_a_tokenizer_that_joins_words_is_not_trusted(words_of, monkeypatch):
    """As Llama's does in ComfyUI with transformers 5.23."""
    clip = clip_of("Z-Image")
    library = clip.tokenizer.qwen3_4b.tokenizer
    monkeypatch.setattr(clip.tokenizer.qwen3_4b, "tokenizer", lambda text, **options: library(text.replace(" ", ""), **options))
    assert words_of(clip, "a red car").length == 0
