import pytest
import torch

from ledits.schedule import check_falling, flow_sigmas, reference_kappa, sigmas, timesteps

SHIFT = 3.0
SHIFTED = torch.arange(1, 1001).double() / 1000
SHIFTED = SHIFT * SHIFTED / (1 + (SHIFT - 1) * SHIFTED)  # the table of SD 3


def test_the_integers_of_twenty_steps():
    expected = [849, 804, 759, 715, 670, 625, 581, 536, 491, 447, 402, 358, 313, 268, 224, 179, 134, 90, 45, 1]
    assert timesteps(20, 0.15) == expected


def test_few_steps_are_the_levels_that_few_step_checkpoints_know():
    assert timesteps(4, 0.0) == [999, 749, 499, 249]
    assert timesteps(8, 0.05) == [949, 830, 711, 593, 474, 355, 237, 118]


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


@pytest.mark.parametrize(("skip", "sigma"), [(0.15, 0.866), (0.2, 0.836), (0.3, 0.769)])
def test_a_flow_begins_where_sd15_has_as_much_noise(skip, sigma):
    start = flow_sigmas(SHIFTED, 20, skip)[0].item()
    assert start == pytest.approx(sigma, abs=5e-4)
    assert start / (1 - start) == pytest.approx(reference_kappa(timesteps(20, skip)[0]), rel=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 20, 1000])
def test_a_flow_falls_to_zero_in_equal_steps_of_its_own_time(steps):
    levels = flow_sigmas(SHIFTED, steps, 0.15)
    check_falling(levels)
    assert len(levels) == steps + 1
    assert levels[-1] == 0
    times = levels.double() / (SHIFT - (SHIFT - 1) * levels.double())
    assert times == pytest.approx(torch.linspace(times[0].item(), 0, steps + 1).double(), abs=2e-6)


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
    with pytest.raises(ValueError):
        flow_sigmas(SHIFTED, steps, skip)
