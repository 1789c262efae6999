"""What must hold for any masks, attention, schedules and inversions, not only for chosen ones."""

import itertools
import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from ledits.attention import (
    RunningMean,
    WordMaps,
    cross_attention_probabilities,
    downsampled_size,
    downsampling_steps,
    merge_repeated_context,
)
from ledits.guidance import EditSettings, apply_guidance, concept_guidance, guidance_mask
from ledits.inversion import invert, replay, trajectory
from ledits.masks import above_quantile, attention_mask, noise_mask, smooth
from ledits.prompt import Prompt, word_maps
from ledits.schedule import FEW_STEPS, check_falling, sigmas, timesteps
from ledits.solver import NoiseKind

# The same cases on every machine and in every run, however slow it is.
always = settings(derandomize=True, deadline=None, database=None, max_examples=200)

seeds = st.integers(0, 2**31)
sides = st.integers(1, 24)
shares = st.integers(0, 100).map(lambda percent: Fraction(percent, 100)) | st.fractions(0, 1, max_denominator=600)


def drawn(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def without_ties(seed, *shape):
    count = math.prod(shape)
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed)).view(shape).float()


# Masks


@always
@given(seeds, st.integers(2, 3000), st.data())
def test_how_many_cells_pass(seed, n, data):
    # Often a threshold whose rank is whole, where a rounding error would move the cut by a cell.
    threshold = data.draw(st.integers(0, n - 1).map(lambda rank: Fraction(rank, n - 1)) | shares)
    assert above_quantile(without_ties(seed, 1, 1, n), float(threshold)).sum() == n - math.ceil(threshold * (n - 1))


@always
@given(seeds, sides, sides, st.floats(0, 1))
def test_the_cut_is_the_interpolated_quantile(seed, height, width, threshold):
    maps = drawn(seed, 1, height, width)
    cut = maps.double().flatten().quantile(threshold)
    clear = (maps - cut).abs() > 1e-5
    assert torch.equal(above_quantile(maps, threshold)[clear], (maps >= cut).float()[clear])


@always
@given(seeds, sides, sides, shares.filter(bool), shares.filter(bool))  # 0 is not the lowest: it leaves the cut to the maps
def test_a_higher_threshold_passes_no_new_cell(seed, height, width, one, other):
    # Rounded, so that there are ties.
    guidance, word_map = drawn(seed, 2, 3, height, width).mul(2).round(), drawn(seed + 1, 2, height, width).abs()
    low, high = sorted((float(one), float(other)))
    assert (noise_mask(guidance, high) <= noise_mask(guidance, low)).all()
    assert (attention_mask(word_map, high, 4 * height, 4 * width) <= attention_mask(word_map, low, 4 * height, 4 * width)).all()


@always
@given(seeds, sides, sides, shares, st.floats(0, 1), st.sampled_from([True, False]))
def test_nothing_changes_outside_the_users_mask(seed, height, width, threshold, share, add):
    concept, empty = drawn(seed, 2, 2, 4, height, width)
    inside = (torch.rand(2, 1, height, width, generator=torch.Generator().manual_seed(seed)) < share).float()
    edit = EditSettings(add, 7.0, float(threshold), "noise")
    guidance = concept_guidance(concept, empty, edit, inside)
    mask = guidance_mask(guidance, edit, None)
    assert (mask <= inside).all()
    base = drawn(seed + 1, 2, 4, height, width)
    changed = apply_guidance(base, [guidance], [mask]) != base
    assert not (changed & (inside == 0)).any()
    if inside.flatten(1).any(1).all():
        assert mask.flatten(1).any(1).all(), "some room was left, but nothing may change"


@always
@given(seeds, sides, sides, shares, st.integers(-40, 40), st.sampled_from([-1.0, 1.0]))
def test_strength_and_direction_do_not_move_the_masks(seed, height, width, threshold, power, sign):
    guidance, word_map = drawn(seed, 1, 4, height, width), drawn(seed, 1, height, width).abs()
    assert torch.equal(noise_mask(guidance * sign * 2.0**power, float(threshold)), noise_mask(guidance, float(threshold)))
    size = (3 * height, 3 * width)
    assert torch.equal(attention_mask(word_map * 2.0**power, float(threshold), *size), attention_mask(word_map, float(threshold), *size))


@always
@given(seeds, st.integers(1, 4), sides, sides, shares)
def test_a_batch_of_masks_is_its_masks_alone(seed, batch, height, width, threshold):
    guidance, word_map = drawn(seed, batch, 4, height, width), drawn(seed, batch, height, width).abs()
    for whole, alone in (
        (noise_mask(guidance, float(threshold)), [noise_mask(one[None], float(threshold)) for one in guidance]),
        (
            attention_mask(word_map, float(threshold), 32, 40),
            [attention_mask(one[None], float(threshold), 32, 40) for one in word_map],
        ),
    ):
        assert torch.equal(whole, torch.cat(alone))


@always
@given(seeds, sides, sides, st.floats(0.1, 6))
def test_smoothing_stays_between_the_extremes_and_keeps_a_flat_map(seed, height, width, sigma):
    maps = drawn(seed, 1, height, width)
    smoothed = smooth(maps, sigma)
    assert smoothed.min() >= maps.min() - 1e-5
    assert smoothed.max() <= maps.max() + 1e-5
    assert torch.allclose(smooth(torch.full_like(maps, 3.0), sigma), torch.tensor(3.0))


# Attention store


@always
@given(seeds, st.lists(st.sampled_from([1, 2, 4, 8]), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_mean_knows_no_order_and_no_split(seed, heads, random):
    """Layers come in any order, and the heads of one may come in parts: the mean over all heads stays."""
    layers = [drawn(seed + place, count, 2, 6, 5).softmax(-1) for place, count in enumerate(heads)]
    known = torch.cat(layers).mean(0)
    parts = []
    for layer in layers:
        cut = random.randint(0, len(layer))
        parts += [part for part in (layer[:cut], layer[cut:]) if len(part)]
    random.shuffle(parts)
    total = RunningMean()
    for part in parts:
        total.add(part.sum(0), len(part))
    assert torch.allclose(total.mean(), known, atol=1e-6)


@always
@given(seeds, st.integers(1, 4), st.sampled_from([1, 2, 4]), st.integers(1, 12), st.integers(1, 9))
def test_a_picture_looks_the_same_alone_and_in_a_batch(seed, batch, heads, queries, tokens):
    query, key = drawn(seed, batch, queries, 8), 3 * drawn(seed + 1, batch, tokens, 8)
    together = cross_attention_probabilities(query, key, heads)
    for place in range(batch):
        alone = cross_attention_probabilities(query[place, None], key[place, None], heads)
        assert torch.allclose(together[place], alone[0], atol=1e-5)
    assert torch.allclose(together.sum(-1), torch.tensor(float(heads)), atol=1e-4)


@always
@given(seeds, st.integers(1, 6), st.integers(1, 9), st.sampled_from([1, 2]))
def test_a_repeated_context_folds_back_to_itself(seed, copies, tokens, heads):
    query, key = drawn(seed, 1, 5, 8), 3 * drawn(seed + 1, 1, tokens, 8)
    repeated = cross_attention_probabilities(query, key.repeat(1, copies, 1), heads)
    assert torch.allclose(merge_repeated_context(repeated, tokens), cross_attention_probabilities(query, key, heads), atol=1e-5)


@always
@given(seeds, st.integers(1, 30), st.integers(1, 9))
def test_columns_that_do_not_divide_are_refused(seed, columns, length):
    maps = drawn(seed, 1, 2, 2, columns)
    if columns % length:
        with pytest.raises(ValueError, match=rf"\b{columns}\b.*\b{length}\b"):
            merge_repeated_context(maps, length)
    else:
        assert torch.allclose(merge_repeated_context(maps, length).sum(-1), maps.sum(-1), atol=1e-4)


@always
@given(seeds, st.lists(st.booleans(), min_size=1, max_size=20))
def test_words_hold_all_that_their_pieces_hold(seed, ends):
    ends[-1] = True
    starts = [0, *(column + 1 for column, end in enumerate(ends[:-1]) if end), len(ends)]
    indices = tuple(tuple(range(start + 1, end + 1)) for start, end in itertools.pairwise(starts))
    prompt = Prompt("", ("x",) * len(indices), indices, 77)
    maps = drawn(seed, 1, 2, 3, 77).softmax(-1)
    by_word = word_maps(maps, prompt)
    assert by_word.shape[-1] == sum(ends) == len(prompt.words)
    assert torch.allclose(by_word.sum(-1), maps[..., 1 : len(ends) + 1].sum(-1), atol=1e-6)


@always
@given(seeds, st.integers(1, 6), st.randoms(use_true_random=False))
def test_the_mean_over_steps_knows_no_order(seed, steps, random):
    maps = list(drawn(seed, steps, 1, 2, 3, 4))
    shuffled = random.sample(maps, steps)
    means = []
    for order in (maps, shuffled):
        words = WordMaps("", ("",) * 4)
        for one in order:
            words.add(one)
        means.append(words.mean())
    assert torch.allclose(*means, atol=1e-6)


@always
@given(st.integers(1, 300), st.integers(1, 300))
def test_automatic_maps_are_a_quarter_rounded_up(height, width):
    rows, columns = downsampled_size(height, width, downsampling_steps(height, width, 0, range(9)))
    if min(height, width) > 2:
        assert (rows, columns) == (-(-height // 4), -(-width // 4))
    assert downsampled_size(height, width, downsampling_steps(height, width, min(height, width), range(9))) == (height, width)


# Schedule


@always
@given(st.integers(1, 1200), st.floats(0, 1, exclude_max=True), st.integers(2, 1500))
def test_a_schedule_falls_strictly_inside_the_table_and_ends_in_zero(steps, skip, table_size):
    levels = timesteps(steps, skip, table_size)
    assert all(high > low for high, low in itertools.pairwise(levels))
    assert 1 <= len(levels) <= steps
    assert levels[0] == int(max(table_size - skip * table_size - 1, 1)) < table_size
    assert levels[-1] >= 1
    assert steps <= FEW_STEPS or levels[-1] == 1
    table = torch.linspace(0.03, 14.6, table_size)
    walked = sigmas(table, steps, skip)
    assert walked[-1] == 0
    assert torch.equal(walked[:-1], table[levels])
    check_falling(walked)


@always
@given(st.lists(st.floats(0, 100, width=32), min_size=2, max_size=8))
def test_a_list_is_refused_exactly_where_it_does_not_fall(levels):
    falls = all(high > low for high, low in itertools.pairwise(levels))
    if falls:
        check_falling(torch.tensor(levels))
    else:
        with pytest.raises(ValueError, match="sigmas"):
            check_falling(torch.tensor(levels))


# Inversion and replay


def small_network(seed, channels):
    """A denoiser without any sense, deterministic and bounded."""
    inner, outer = drawn(seed, 6, channels, 3, 3), drawn(seed + 1, channels, 6, 3, 3)
    return lambda x, step: F.conv2d(F.conv2d(x, inner, padding=1).add(0.3 * step).tanh(), outer, padding=1).mul(0.3).sin()


@st.composite
def falling_levels(draw, flow):
    """Any list that falls, from coarse to fine, ending in 0 or not."""
    ratios = draw(st.lists(st.floats(0.05, 0.97), min_size=1, max_size=10))
    level = draw(st.just(1.0) | st.floats(0.2, 1.0) if flow else st.floats(0.2, 100.0))
    levels = [level]
    for ratio in ratios:
        levels.append(levels[-1] * ratio)
    return torch.tensor(levels + [0.0] * draw(st.booleans()))


@st.composite
def walks(draw):
    """An inversion of random pictures by a random network, its denoiser and how much rounding it can hold."""
    flow, seed, channels = draw(st.booleans()), draw(seeds), draw(st.integers(1, 4))
    picture = drawn(seed, draw(st.integers(1, 2)), channels, draw(st.integers(1, 7)), draw(st.integers(1, 7)))
    levels = draw(falling_levels(flow))
    denoise = small_network(seed + 2, channels)
    return invert(picture, levels, denoise, noise=NoiseKind(flow), seed=seed), denoise


@always
@given(walks())
def test_replay_without_an_edit_gives_the_picture_back(made):
    inversion, denoise = made
    end = 1 - inversion.sigmas[-1] if inversion.noise.flow else 1.0
    # The last sum, mean + correction, is all the rounding that there is.
    rounding = 4 * torch.finfo(torch.float32).eps * (1 + inversion.noise_maps[-1].abs().max())
    assert (replay(inversion, denoise) - end * inversion.x0).abs().max() <= rounding


@always
@given(walks(), st.data())
def test_replay_from_any_step_ends_in_the_same_bits(made, data):
    inversion, denoise = made
    own = list(trajectory(inversion))[-1]
    first = data.draw(st.integers(0, inversion.steps))
    calls = []
    end = replay(inversion, lambda x, step: calls.append(step) or denoise(x, step), first=first)
    assert torch.equal(end, own)
    assert calls == list(range(first, inversion.steps))


@always
@given(walks(), st.data())
def test_an_edit_stays_inside_its_keep_mask(made, data):
    inversion, denoise = made
    keep = (torch.rand(inversion.x0[:, :1].shape, generator=torch.Generator().manual_seed(data.draw(seeds))) < 0.5).float()
    edited = replay(
        inversion,
        lambda x, step: denoise(x, step) + 1,
        first=data.draw(st.integers(0, inversion.steps - 1)),
        denoise_mask=lambda step: keep,
    )
    own = list(trajectory(inversion))[-1]
    outside = (keep == 0).expand_as(own)
    assert torch.equal(edited[outside], own[outside])
    assert ((edited != own) | outside).all()
