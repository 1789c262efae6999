import pytest
import torch

from ledits import attention
from ledits.attention import attention_probabilities, middle_third, parse_blocks

SEEN = (torch.arange(11) < 8).expand(2, 1, 1, 11)
MASKS = {
    "none": None,
    "hidden keys": SEEN,
    "added to the scores": torch.randn(2, 1, 11, generator=torch.Generator().manual_seed(0)),
    "for each query": torch.randn(6, 11, generator=torch.Generator().manual_seed(1)),
    "for each head": torch.randn(1, 4, 6, 11, generator=torch.Generator().manual_seed(2)),
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("key_heads", [4, 2, 1])
@pytest.mark.parametrize("scores", [1 << 24, 50, 1])
def test_probabilities_over_all_keys_at_some_of_them(monkeypatch, mask, key_heads, scores):
    """Against PyTorch's attention on one-hot values, however few scores may be held at once."""
    monkeypatch.setattr(attention, "MAX_SCORES", scores)
    query, key = torch.randn(2, 4, 6, 8), torch.randn(2, key_heads, 11, 8)
    bias = MASKS[mask] if mask != "added to the scores" else MASKS[mask][:, None]
    keys = key.repeat_interleave(4 // key_heads, 1)
    known = torch.nn.functional.scaled_dot_product_attention(query, keys, torch.eye(11).expand(2, 4, 11, 11), bias, scale=0.5).sum(1)
    found = attention_probabilities(query, key, [[slice(2, 5)], [slice(7, 9)]], 0.5, MASKS[mask])
    assert torch.allclose(found, known[..., [2, 3, 4, 7, 8]], atol=1e-5)


def test_copies_are_added_and_half_precision_is_compared_in_float32():
    query, key = torch.randn(1, 2, 6, 8).half(), torch.randn(1, 2, 9, 8).half()
    apart = attention_probabilities(query, key, [[slice(0, 2)], [slice(4, 6)]])
    assert apart.dtype == torch.float32
    assert torch.allclose(attention_probabilities(query, key, [[slice(0, 2), slice(4, 6)]]), apart[..., :2] + apart[..., 2:])
    assert torch.allclose(attention_probabilities(query.float(), key.float(), [[slice(0, 9)]]).sum(-1), torch.tensor(2.0))


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("", ()),
        ("  ", ()),
        ("3", (3,)),
        ("8-12, 15", (8, 9, 10, 11, 12, 15)),
        ("15,8 - 9", (8, 9, 15)),
        ("2 2-3", (2, 3)),
        ("0", (0,)),
        ("8，9、12", (8, 9, 12)),
    ],
)
def test_blocks_as_they_are_written(text, blocks):
    assert parse_blocks(text) == blocks


@pytest.mark.parametrize(
    ("text", "wrong"), [("a", "a"), ("1-", "1-"), ("4-2", "4-2"), ("1, -2", "-2"), ("1..3", "1..3"), ("10000", "10000")]
)
def test_what_is_no_block_is_named(text, wrong):
    with pytest.raises(ValueError, match=f"'{wrong}'.*'8-12, 15'"):
        parse_blocks(text)


@pytest.mark.parametrize(
    ("depth", "most", "blocks"),
    [(60, 3, (23, 30, 36)), (30, 1, (15,)), (30, 30, tuple(range(10, 20))), (3, 3, (1,)), (1, 1, (0,)), (2, 9, (1,)), (28, 1, (14,))],
)
def test_blocks_in_the_middle_third(depth, most, blocks):
    assert middle_third(depth, most) == blocks


def test_the_middle_third_is_never_left():
    for depth in range(1, 100):
        for most in range(1, depth + 1):
            blocks = middle_third(depth, most)
            assert len(set(blocks)) == len(blocks) <= most
            assert all(int(depth / 3) <= block < max(1, 2 * depth / 3) for block in blocks)
