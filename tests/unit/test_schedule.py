import pytest
import torch

from ledits.schedule import check_falling, sigmas, timesteps


def test_the_integers_of_twenty_steps():
    expected = [849, 804, 759, 715, 670, 625, 581, 536, 491, 447, 402, 358, 313, 268, 224, 179, 134, 90, 45, 1]
    assert timesteps(20, 0.15) == expected


@pytest.mark.parametrize("skip", [0.0, 0.1, 0.15, 0.25, 0.9])
@pytest.mark.parametrize("steps", [1, 2, 20, 50, 1000])
def test_falls_without_repeats(steps, skip):
    levels = timesteps(steps, skip)
    assert levels == sorted(set(levels), reverse=True)
    assert len(levels) <= steps
    assert levels[0] == int(1000 - skip * 1000 - 1)


def test_sigmas_are_the_models_own_and_end_in_zero():
    table = torch.linspace(0.03, 14.6, 1000)
    levels = sigmas(table, 20, 0.15)
    assert len(levels) == 21
    assert levels[-1] == 0
    assert torch.equal(levels[:-1], table[timesteps(20, 0.15)])
    check_falling(levels)


@pytest.mark.parametrize(
    ("levels", "named"),
    [
        ([2.5], r"\b1\b"),
        ([2.5, 2.5], r"2\.5.*2\.5"),
        ([2.5, 3.5], r"2\.5.*3\.5"),
        ([1.0, float("nan")], "finite"),
        ([1.0, -1.0], "negative"),
    ],
)
def test_refuses_what_cannot_be_walked(levels, named):
    with pytest.raises(ValueError, match=named):
        check_falling(torch.tensor(levels))


@pytest.mark.parametrize(("steps", "skip"), [(0, 0.1), (5, 1.0), (5, -0.1)])
def test_refuses_arguments_out_of_range(steps, skip):
    with pytest.raises(ValueError):
        timesteps(steps, skip)
