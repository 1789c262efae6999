"""Prompts in every form that ComfyUI's nodes give them: in places, at times, mixed, weighted, long, with ControlNets."""

from __future__ import annotations

import functools

import pytest
import torch
from comfy_extras.nodes_hooks import ConditioningSetDefaultAndCombine

import nodes

HERE, THERE = "a red circle", "a green triangle and a yellow square"


def left(share=0.5):
    mask = torch.zeros(1, 256, 256)
    mask[..., : int(256 * share)] = 1
    return mask


def masked(conditioning, mask, bounds="default"):
    return nodes.ConditioningSetMask().append(conditioning, mask, bounds, 1.0)[0]


def set_default(conditioning, elsewhere):
    return ConditioningSetDefaultAndCombine().set_default_and_combine(conditioning, elsewhere)[0]


def area(conditioning, *place):
    return nodes.ConditioningSetAreaPercentage().append(conditioning, *place, 1.0)[0]


def during(conditioning, start, end):
    return nodes.ConditioningSetTimestepRange().set_range(conditioning, start, end)[0]


def combined(*conditionings):
    return functools.reduce(lambda one, other: nodes.ConditioningCombine().combine(one, other)[0], conditionings)


LEFT, RIGHT = slice(0, 16), slice(16, 32)
ALL = slice(0, 32)
EARLY, LATE = slice(0, 2), slice(2, 4)

# The neutral prompt, the same one without the feature, and the steps and columns in which the feature must show, and no others.
PLACED = {
    "mask": (lambda e: combined(masked(e(HERE), left()), masked(e(""), 1 - left())), lambda e: e(""), ALL, LEFT),
    "soft mask": (lambda e: combined(masked(e(HERE), left() * 0.3), e("")), lambda e: e(""), ALL, LEFT),
    "mask with bounds": (lambda e: combined(masked(e(HERE), left(), "mask bounds"), e("")), lambda e: e(""), ALL, LEFT),
    "default": (lambda e: set_default(masked(e(HERE), left()), e("")), lambda e: e(""), ALL, LEFT),
    "area": (lambda e: combined(area(e(HERE), 0.5, 1.0, 0.0, 0.0), e("")), lambda e: e(""), ALL, LEFT),
    "area in cells": (lambda e: combined(nodes.ConditioningSetArea().append(e(HERE), 128, 256, 0, 0, 2.0)[0], e("")), lambda e: e(""), ALL, LEFT),
    "two areas": (
        lambda e: combined(area(e(HERE), 0.5, 1.0, 0.0, 0.0), area(e(THERE), 0.5, 1.0, 0.5, 0.0)),
        lambda e: combined(area(e(HERE), 0.5, 1.0, 0.0, 0.0), area(e(""), 0.5, 1.0, 0.5, 0.0)),
        ALL,
        RIGHT,
    ),
    "timestep range": (lambda e: combined(during(e(HERE), 0.0, 0.5), during(e(""), 0.5, 1.0)), lambda e: e(""), EARLY, ALL),
    "timestep range, late": (lambda e: combined(during(e(""), 0.0, 0.5), during(e(HERE), 0.5, 1.0)), lambda e: e(""), LATE, ALL),
    "combined": (lambda e: combined(e(HERE), e("")), lambda e: e(""), ALL, ALL),
}  # fmt: skip

# Another text, which a concept does not take over.
TEXTS = {
    "averaged": (lambda e: nodes.ConditioningAverage().addWeighted(e(HERE), e(""), 0.5)[0], lambda e: e("")),
    "concatenated": (lambda e: nodes.ConditioningConcat().concat(e(HERE), e(THERE))[0], lambda e: e(HERE)),
    "zeroed": (lambda e: nodes.ConditioningZeroOut().zero_out(e(HERE))[0], lambda e: e(HERE)),
    "weighted": (lambda e: e("a (red:1.6) circle"), lambda e: e("a red circle")),
    "three times as long": (lambda e: e("a red circle and " * 40), lambda e: e("a red circle")),
}


def shows(mixed, plain, steps, columns):
    """Asserts that the predictions differ from those without the feature at these steps and columns, and nowhere else."""
    other = torch.ones(len(mixed.base), 32, dtype=torch.bool)
    other[steps, columns] = False
    difference = (mixed.base - plain).abs().amax((1, 2, 3))
    assert difference[~other].min() > 1e-4
    assert not other.any() or difference[other].max() <= 1e-5


@pytest.fixture
def base_of(invert, model, encode):
    """The predictions of an inversion with another neutral prompt. The path of an inversion does not depend on them."""
    return lambda place: model.model.process_latent_out(invert(model, negative=place(encode)).trajectory.denoised)


@pytest.mark.parametrize("name", PLACED)
def test_places_and_times_hold_for_the_base_and_for_a_concept_in_it(assert_mixing, base_of, model, clip, name):
    place, without, steps, columns = PLACED[name]
    shows(assert_mixing(model, clip, place), base_of(without), steps, columns)


@pytest.mark.parametrize("name", TEXTS)
def test_a_neutral_prompt_in_any_form(assert_mixing, base_of, model, clip, name):
    text, without = TEXTS[name]
    shows(assert_mixing(model, clip, text, asked=lambda e: e("a green circle")), base_of(without), ALL, ALL)
