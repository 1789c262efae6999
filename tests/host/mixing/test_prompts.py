"""Texts in every form that ComfyUI's text encoding knows: weights, more than 77 tokens, embeddings."""

from __future__ import annotations

from scripts.host.in_comfy import run

import pytest
import torch
from safetensors.torch import save_file

LONG = "a red circle and " * 20
LONGER = "a red circle and " * 40


def neutral(encode):
    return encode("")


def close(one, other):
    return torch.allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("text", ["a (green:1.5) circle", "a ((green)) circle", "(a green circle:0.7)", "a (green:1.0) circle"])
def test_weights_change_how_strongly_a_word_counts_and_not_which_words_there_are(assert_mixing, plain, model, clip, text):
    weighted = assert_mixing(model, clip, neutral, text=text)
    (concept,) = run("LEDITS_Concept", clip=clip, text=text, words="green")[0]
    assert concept.prompt.words == ("a", "green", "circle")
    assert concept.words == (1,)
    assert close(weighted.guidance, plain.guidance) == (text == "a (green:1.0) circle")


RED = "\u7ea2\u8272"
CIRCLE = "\u5706"
"""In Chinese, the first of two letters."""


@pytest.mark.parametrize(
    ("text", "words", "wanted", "found"),
    [
        ("a café table", ("a", "café", "table"), "café", (1,)),
        ("красный круг", ("красный", "круг"), "Круг", (1,)),
        (f"{RED}\uff0c{CIRCLE}", (*RED, "\uff0c", CIRCLE), RED, (0, 1)),
        (f"{RED}{CIRCLE}", (*RED, CIRCLE), f"{CIRCLE}\u3001{RED[0]}", (0, 2)),
        ("\u062f\u0627\u0626\u0631\u0629 \u062d\u0645\u0631\u0627\u0621", None, "\u062d\u0645\u0631\u0627\u0621", (1,)),
        ("\ube68\uac04 \uc6d0", None, "\uc6d0", (1,)),
        ("a \U0001f436 dog", ("a", "\U0001f436", "dog"), "\U0001f436", (1,)),
        ("red\uff0ccircle", ("red", "\uff0c", "circle"), "red\uff0ccircle", (0, 2)),
        ("a red circle", ("a", "red", "circle"), "-red", (0, 2)),
    ],
)
def test_words_of_every_script_are_read_and_found(clip, text, words, wanted, found):
    (concept,) = run("LEDITS_Concept", clip=clip, text=text, words=wanted)[0]
    assert concept.prompt.words == (words or tuple(text.split()))
    assert concept.words == found
    assert sum(map(len, concept.prompt.token_indices)) == len([1 for _, _, word in tokens_of(clip, text) if word])


def tokens_of(clip, text):
    return [token for chunk in clip.tokenize(text, return_word_ids=True)["l"] for token in chunk]


def test_a_word_left_out_is_left_out_of_the_mask(model, latent, clip):
    attention = run("LEDITS_ProbeAttention", model=model, latent=latent, clip=clip, text="a red circle")[0]
    without, named = (run("LEDITS_ExtractMask", attention=attention, words=words) for words in ("-red", "a, circle"))
    assert all(map(torch.equal, without, named))


@pytest.mark.parametrize(("text", "beside"), [(LONG, ""), ("a green circle", LONG), (LONG, LONGER), (LONGER, LONG)])
def test_prompts_of_unequal_length_in_one_call(assert_mixing, calls, clip, text, beside):
    """A context is repeated to a common length with the others; its maps and predictions are those of the prompt alone."""
    counted, sizes = calls
    mixed = assert_mixing(counted, clip, lambda e: e(beside), text=text, asked=lambda e: e(text))
    assert 2 in sizes
    assert mixed.maps.shape[-1] == len(text.split())


def test_three_lengths_at_once(model, invert, edit, concept, encode):
    inversion = invert(model, negative=encode(LONG))
    texts = ["a green circle", LONGER, LONG]

    def maps(*texts):
        concepts = ()
        for text in texts:
            concepts = concept(text, warmup=3, concepts=concepts)
        return [prompt.mean() for prompt in edit(model, inversion, concepts).attention.prompts]

    for together, text in zip(maps(*texts), texts, strict=True):
        assert torch.allclose(together, maps(text)[0], atol=1e-6)
        assert together.shape[-1] == len(text.split())


@pytest.fixture
def embeddings(clip, tmp_path, monkeypatch):
    """A folder of embeddings, one of them made of the vectors of two words."""
    table = clip.cond_stage_model.clip_l.transformer.get_input_embeddings().weight
    tokens = [token for token, _ in clip.tokenize("red circle")["l"][0][1:3]]
    save_file({"emb_params": table[tokens].float()}, tmp_path / "rouge.safetensors")
    save_file({"emb_params": table[tokens[:1]].float()}, tmp_path / "vermeil.safetensors")
    monkeypatch.setattr(clip.tokenizer.clip_l, "embedding_directory", str(tmp_path))


@pytest.mark.parametrize(
    ("text", "same_as", "words"),
    [
        ("a embedding:rouge", "a red circle", ("a", "rouge")),
        ("a embedding:vermeil circle", "a red circle", ("a", "vermeil", "circle")),
        ("a (embedding:rouge:1.3) here", "a (red circle:1.3) here", ("a", "rouge", "here")),
        ("embedding:rouge, embedding:vermeil square", "red circle, red square", ("rouge", ",", "vermeil", "square")),
    ],
)
def test_embeddings(assert_mixing, model, clip, embeddings, text, same_as, words):
    """An embedding of two words does what the words do, and is one word to the masks."""
    mixed, spelled = assert_mixing(model, clip, neutral, text=text), assert_mixing(model, clip, neutral, text=same_as)
    (concept,) = run("LEDITS_Concept", clip=clip, text=text)[0]
    assert concept.prompt.words == words
    assert close(mixed.guidance, spelled.guidance)
    assert torch.allclose(mixed.maps.sum(-1), spelled.maps.sum(-1), atol=1e-5)


def test_an_embedding_can_be_the_one_word_that_decides_where(edit, inversion, model, clip, concept, embeddings):
    by_name, by_words = (
        edit(model, inversion, concept(text, words=words, mask_mode="attention"))
        for text, words in (("a embedding:rouge", "rouge"), ("a red circle", "red circle"))
    )
    assert torch.equal(by_name.mask, by_words.mask)


def test_an_embedding_longer_than_a_chunk_begins_another(clip, tmp_path, monkeypatch):
    save_file({"emb_params": torch.randn(80, 64)}, tmp_path / "epic.safetensors")
    monkeypatch.setattr(clip.tokenizer.clip_l, "embedding_directory", str(tmp_path))
    (concept,) = run("LEDITS_Concept", clip=clip, text="a embedding:epic circle")[0]
    assert concept.prompt.length == 154
    assert concept.prompt.words == ("a", "epic", "circle")
    assert [len(columns) for columns in concept.prompt.token_indices] == [1, 80, 1]
