import pytest
import torch

from ledits.attention import (
    RunningMean,
    WordMaps,
    cross_attention_probabilities,
    downsampled_size,
    downsampling_steps,
    merge_repeated_context,
    paste_area,
    weighted_mean,
)
from ledits.prompt import find_words, group_subwords, merge_words, word_maps


def test_probabilities_against_torch():
    query, key = torch.randn(2, 6, 8), torch.randn(2, 5, 8)
    ours = cross_attention_probabilities(query, key, heads=2)
    q, k = (x.view(2, -1, 2, 4).transpose(1, 2) for x in (query, key))
    known = torch.nn.functional.scaled_dot_product_attention(q, k, torch.eye(5).expand(2, 2, 5, 5)).sum(1)
    assert torch.allclose(ours, known, atol=1e-6)
    assert torch.allclose(ours.sum(-1), torch.tensor(2.0))


def test_the_mean_over_layers_and_heads():
    layers = [(torch.rand(1, 6, 5), 2), (torch.rand(1, 6, 5), 8)]
    total = RunningMean()
    for layer, heads in layers:
        total.add(layer, heads)
    assert torch.allclose(total.mean(), (layers[0][0] + layers[1][0]) / 10)


def test_repeated_contexts_fold_back():
    """A context beside a longer one is repeated; each copy of a token then holds its share of the probability."""
    query, key = torch.randn(1, 4, 8), torch.randn(1, 7, 8)
    alone = cross_attention_probabilities(query, key, 2)
    repeated = cross_attention_probabilities(query, key.repeat(1, 3, 1), 2)
    assert torch.allclose(merge_repeated_context(repeated, 7), alone, atol=1e-6)
    with pytest.raises(ValueError, match=r"\b21\b.*\b8\b"):
        merge_repeated_context(repeated, 8)


def test_an_area_is_pasted_where_it_is():
    maps = torch.rand(2, 2, 4, 3)
    pasted = paste_area(maps, (8, 16, 4, 12), 32, 32, (8, 8))
    assert pasted.shape == (2, 8, 8, 3)
    assert torch.allclose(pasted[:, 1:3, 3:7], maps)
    assert pasted.sum().item() == pytest.approx(maps.sum().item(), rel=1e-5)


def test_cells_that_an_area_covers_in_part_keep_its_values():
    pasted = paste_area(torch.ones(1, 2, 2, 1), (6, 5, 2, 3), 16, 16, (4, 4))[0, ..., 0]
    covered = torch.zeros(4, 4)
    covered[:2, :2] = 1
    assert torch.allclose(pasted, covered)


def test_the_weighted_mean():
    one, other = torch.rand(2, 2, 3, 4), torch.rand(2, 2, 3, 4)
    left, everywhere = torch.zeros(1, 2, 3, 1), torch.full((2, 2, 3, 1), 3.0)
    left[:, :, 0] = 1
    mean = weighted_mean([(left, one), (everywhere, other)])
    assert torch.allclose(mean[:, :, 0], (one + 3 * other)[:, :, 0] / 4)
    assert torch.allclose(mean[:, :, 1:], other[:, :, 1:])
    assert torch.equal(weighted_mean([(left, one)])[:, :, 1:], torch.zeros(2, 2, 2, 4))


@pytest.mark.parametrize(
    ("latent", "resolution", "size"),
    [
        ((64, 64), 0, (16, 16)),
        ((128, 128), 0, (32, 32)),
        ((33, 47), 0, (9, 12)),
        ((8, 64), 0, (2, 16)),
        ((64, 96), 32, (32, 48)),
        ((1, 1), 0, (1, 1)),
    ],
)
def test_map_sizes(latent, resolution, size):
    assert downsampled_size(*latent, downsampling_steps(*latent, resolution, range(4))) == size


@pytest.mark.parametrize(
    ("resolution", "levels", "named"),
    [
        (20, {0, 1, 2}, r"\b20\b.*\b64, 32, 16\b"),
        (8, {2, 1}, r"\b8\b.*\b32, 16\b"),
        (0, {3}, r"\b16\b.*\b8\b"),
        (0, (), r"\b16\b.*no size"),
    ],
)
def test_an_impossible_resolution_names_those_of_the_layers(resolution, levels, named):
    with pytest.raises(ValueError, match=named) as caught:
        downsampling_steps(64, 64, resolution, levels)
    assert ("64," in str(caught.value)) == (0 in levels)


def test_the_mean_over_steps():
    words = WordMaps("x", ("x",))
    words.add(torch.zeros(1, 2, 2, 1))
    words.add(torch.full((1, 2, 2, 1), 6.0), count=2)
    assert torch.equal(words.mean(), torch.full((1, 2, 2, 1), 2.0))
    elsewhere = words.to(torch.device("cpu"))
    elsewhere.add(torch.zeros(1, 2, 2, 1))
    assert (words.steps, elsewhere.steps) == (3, 4)


PIECES = [
    (1, b"a", True),
    (2, b"t", True),
    (3, b"-", True),
    (4, b"shirt", True),
    (5, b"sun", False),
    (6, b"glasses", True),
    (7, b"a", True),
]


def test_words_from_pieces():
    prompt = group_subwords("a t-shirt sunglasses a", PIECES, 77)
    assert prompt.words == ("a", "t", "-", "shirt", "sunglasses", "a")
    assert prompt.token_indices == ((1,), (2,), (3,), (4,), (5, 6), (7,))


def test_finding_words():
    words = group_subwords("", PIECES, 77).words
    assert find_words(words, "") == (0, 1, 2, 3, 4, 5)
    assert find_words(words, "Sunglasses") == (4,)
    assert find_words(words, "t-shirt, sunglasses") == (1, 2, 3, 4)
    assert find_words(words, "a") == (0, 5)
    with pytest.raises(ValueError, match=r"'hat'.*: a, t, -, shirt, sunglasses, a"):
        find_words(words, "sunglasses hat")


RED = "\u7ea2\u8272"
"""In Chinese, of two letters."""


def test_subwords_that_split_a_letter():
    cafe, red = "café".encode(), RED.encode()
    pieces = [(1, cafe[:-1], False), (2, cafe[-1:], True), (3, red[:4], False), (4, red[4:], True), (5, b"\xff", True)]
    prompt = group_subwords("", pieces, 77)
    assert prompt.words == ("café", RED, "\ufffd")
    assert prompt.token_indices == ((1, 2), (3, 4), (5,))


def test_each_letter_is_a_word_in_scripts_without_spaces():
    pieces = [(1, RED[0].encode(), False), (2, RED[1].encode(), True), (3, "красный".encode(), True), (4, "\ube68\uac15".encode(), True)]
    words = group_subwords("", pieces, 77).words
    assert words == (*RED, "красный", "\ube68\uac15")
    assert find_words(words, RED) == (0, 1)


def test_an_embedding_of_any_name_is_one_word():
    prompt = group_subwords("", [(1, RED.encode(), False), (2, b"", False), (3, b"", True), (4, b"a", True)], 77)
    assert prompt.words == (RED, "a")
    assert prompt.token_indices == ((1, 2, 3), (4,))


@pytest.mark.parametrize(
    "separator", [",", " ", "\uff0c", "\u3001", "\uff64", "\u060c", "\u061b", "\uff1b", ";", "\u1363", "\u3000", ", ", " \u3001 "]
)
def test_words_are_separated_by_the_commas_of_any_script(separator):
    assert find_words(("a", "red", "circle"), f"red{separator}circle{separator}") == (1, 2)


@pytest.mark.parametrize("typed", ["CAFÉ", "cafe\u0301", "Cafe\u0301"])
def test_a_word_is_found_however_its_letters_are_typed(typed):
    assert find_words(("a", "café"), typed) == (1,)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("-red", (0, 2, 3, 4, 5)),
        ("-Red, -a", (2, 3, 4, 5)),
        ("a, shirt, -red", (0, 4)),
        ("-t-shirt", (0, 1, 5)),
        ("a, red, -red", (0,)),
        ("\uff0dred\u3001\u2212a", (2, 3, 4, 5)),
        # Words that begin with it.
        ("-_-", (5,)),
        ("--_-", (0, 1, 2, 3, 4)),
        ("-", (3,)),
        ("--", (0, 1, 2, 4, 5)),
    ],
)
def test_a_minus_leaves_a_word_out(wanted, found):
    assert find_words(("a", "red", "t", "-", "shirt", "-_-"), wanted) == found


@pytest.mark.parametrize(
    ("wanted", "named"), [("-hat", "'-hat'"), ("red, -red", "'red, -red'"), ("-a -red", "'-a -red'"), ("- red", "'-'")]
)
def test_a_minus_that_leaves_nothing_is_refused(wanted, named):
    with pytest.raises(ValueError, match=rf"{named}.*: a, red"):
        find_words(("a", "red"), wanted)


def test_words_sum_their_tokens():
    maps = torch.rand(1, 2, 2, 77)
    prompt = group_subwords("", PIECES, 77)
    by_word = word_maps(maps, prompt)
    assert torch.allclose(by_word[..., 4], maps[..., 5] + maps[..., 6])
    assert torch.allclose(merge_words(by_word, (0, 4)), maps[..., [1, 5, 6]].sum(-1))
