import pytest
import torch

from ledits.guidance import EditSettings, apply_guidance, concept_guidance, first_active_step, guidance_mask
from ledits.masks import attention_mask


@pytest.fixture
def predictions():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 4, 12, 20, generator=generator) for _ in range(2)]


def test_windows():
    edit = EditSettings(warmup=2, cooldown=5)
    assert [edit.is_active(i) for i in range(7)] == [False, False, True, True, True, False, False]
    assert EditSettings(warmup=0).is_active(999)
    assert not EditSettings(scale=0).is_active(5)


def test_first_active_step():
    assert first_active_step([EditSettings(warmup=4), EditSettings(warmup=3)], 10) == 3
    assert first_active_step([], 10) == 10
    assert first_active_step([EditSettings(warmup=20), EditSettings(scale=0)], 10) == 10


def test_adding_and_removing_are_opposite(predictions):
    concept, empty = predictions
    add = concept_guidance(concept, empty, EditSettings(scale=5))
    assert torch.allclose(add, 5 * (concept - empty))
    assert torch.equal(add, -concept_guidance(concept, empty, EditSettings(add=False, scale=5)))


def test_masks_are_the_same_in_eps_v_and_x0(predictions):
    """x0-differences are noise differences times -kappa, which changes no mask."""
    concept, empty = predictions
    edit, word_map = EditSettings(threshold=0.8), torch.rand(2, 3, 5)
    in_x0 = guidance_mask(concept_guidance(concept, empty, edit), edit, word_map)
    in_eps = guidance_mask(concept_guidance(concept, empty, edit) * -0.37, edit, word_map)
    assert torch.equal(in_x0, in_eps)


def test_the_four_modes(predictions):
    word_map = torch.rand(2, 3, 5)
    masks = {}
    for mode in ("none", "noise", "attention", "intersect"):
        edit = EditSettings(threshold=0.7, mask_mode=mode)
        masks[mode] = guidance_mask(concept_guidance(*predictions, edit), edit, word_map if edit.needs_attention else None)
        assert masks[mode].shape == (2, 1, 12, 20)
    assert masks["none"].all()
    assert torch.equal(masks["intersect"], masks["noise"] * masks["attention"])
    assert 0 < masks["intersect"].mean() < min(masks["noise"].mean(), masks["attention"].mean())
    assert masks["noise"].flatten(1).sum(1).tolist() == [72, 72]


@pytest.mark.parametrize("smoothing", [0.0, 2.0])
def test_the_attention_is_smoothed_as_much_as_asked(predictions, smoothing):
    edit, word_map = EditSettings(threshold=0.7, mask_mode="attention"), torch.rand(2, 6, 10)
    mask = guidance_mask(concept_guidance(*predictions, edit), edit, word_map, smoothing)
    assert torch.equal(mask, attention_mask(word_map, 0.7, 12, 20, smoothing))


def test_attention_modes_want_a_map(predictions):
    edit = EditSettings(mask_mode="attention")
    with pytest.raises(ValueError, match="attention"):
        guidance_mask(concept_guidance(*predictions, edit), edit, None)


def test_concepts_add_and_the_rest_stays_to_the_bit(predictions):
    base, other = predictions
    mask = torch.zeros(2, 1, 12, 20)
    mask[..., :5] = 1
    result = apply_guidance(base, [other, other], [mask, mask])
    assert torch.equal(result[..., 5:], base[..., 5:])
    assert torch.allclose(result[..., :5], (base + 2 * other)[..., :5])
    assert apply_guidance(base, [], []) is base


def test_user_mask_applies_before_the_threshold(predictions):
    concept, empty = predictions
    user = torch.zeros(1, 1, 12, 20)
    user[..., :6, :6] = 1
    edit = EditSettings(threshold=0.5, mask_mode="noise")
    mask = guidance_mask(concept_guidance(concept, empty, edit, user), edit, None)
    assert mask.sum() > 0
    assert (mask * (1 - user)).sum() == 0
