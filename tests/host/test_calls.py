"""How often the network is asked, and for how many rows: never for what is known, never for what does not count."""

from __future__ import annotations

from dataclasses import dataclass

from scripts.host.in_comfy import run

import pytest
import torch

from ledits.inversion import trajectory

STEPS = 6
NEVER = (STEPS, 0)


@dataclass(frozen=True)
class Windows:
    """An edit's concepts, each as (warmup, cooldown), and the rows that each call must have, without a source prompt and with one."""

    concepts: tuple[tuple[int, int], ...]
    plain: list[int]
    with_source: list[int]


# With a source prompt at cfg 1 the base is the source prompt's prediction, and the empty prompt is predicted beside the concepts that are
# measured against it.
WINDOWS = {
    "no concept": Windows((), [], []),
    "from the first step": Windows(((0, 0),), [2, 2, 2, 2, 2, 2], [3, 3, 3, 3, 3, 3]),
    "only the last step": Windows(((5, 0),), [2], [3]),
    "a window in the middle": Windows(((2, 4),), [2, 2, 1, 1], [3, 3, 1, 1]),
    "one after the other": Windows(((1, 2), (3, 4)), [2, 1, 2, 1, 1], [3, 1, 3, 1, 1]),
    "both, then one": Windows(((2, 4), (2, 0)), [3, 3, 2, 2], [4, 4, 3, 3]),
    "begins after the end": Windows((NEVER,), [], []),
    "one of two begins after the end": Windows((NEVER, (4, 0)), [2, 2], [3, 3]),
}

every_window = pytest.mark.parametrize("name", WINDOWS)


@pytest.fixture
def walked(calls, latent, sigmas, encode):
    """Inverts with the counted model and forgets those calls."""
    model, sizes = calls

    def make(batch=1, **inputs):
        samples = latent["samples"].repeat(batch, 1, 1, 1)
        inversion = run("LEDITS_Invert", model=model, latent={"samples": samples}, sigmas=sigmas, negative=encode(""), **inputs)[0]
        found = list(sizes)
        sizes.clear()
        return inversion, found

    return make


def chain(concept, windows, **settings):
    concepts: tuple = ()
    for warmup, cooldown in windows:
        concepts = concept("a green circle", warmup=warmup, cooldown=cooldown, concepts=concepts, **settings)
    return concepts


@every_window
@pytest.mark.parametrize("batch", [1, 2])
def test_steps_ask_for_what_they_need(calls, walked, concept, name, batch):
    model, sizes = calls
    inversion, asked = walked(batch)
    assert asked == [batch] * STEPS
    run("LEDITS_Edit", model=model, inversion=inversion, concepts=chain(concept, WINDOWS[name].concepts))
    assert sizes == [batch * rows for rows in WINDOWS[name].plain]


@every_window
def test_a_source_prompt_asks_for_one_row_more(calls, walked, encode, concept, name):
    model, sizes = calls
    inversion, asked = walked(positive=encode("a red circle"), cfg=1.0)
    assert asked == [1] * STEPS
    run("LEDITS_Edit", model=model, inversion=inversion, concepts=chain(concept, WINDOWS[name].concepts))
    assert sizes == WINDOWS[name].with_source


@pytest.mark.parametrize("cfg", [0.0, 0.5, 3.5])
def test_guidance_by_a_source_prompt_costs_two_rows_in_one_call(calls, walked, encode, concept, cfg):
    model, sizes = calls
    inversion, asked = walked(positive=encode("a red circle"), cfg=cfg)
    base = 1 if cfg == 0 else 2
    assert asked == [base] * STEPS
    run("LEDITS_Edit", model=model, inversion=inversion, concepts=concept("a green circle", warmup=3))
    assert sizes == [base + 1] * 3


def test_a_strength_of_zero_asks_nothing(calls, walked, concept):
    model, sizes = calls
    inversion, _ = walked()
    run("LEDITS_Edit", model=model, inversion=inversion, concepts=concept("a green circle", scale=0.0, warmup=0))
    assert sizes == []


def test_another_base_is_asked_from_the_first_step(calls, walked, encode, concept):
    """What the inversion predicted is then nobody's base, and its path is left at once."""
    model, sizes = calls
    inversion, _ = walked()
    run("LEDITS_Edit", model=model, inversion=inversion, concepts=concept("a green circle", warmup=4), negative=encode("blurred"))
    assert sizes == [1, 1, 1, 1, 2, 2]


@pytest.mark.parametrize("first", [0, 3])
def test_the_first_edited_step_starts_from_the_inversions_own_state(model, latent, sigmas, encode, concept, first):
    """To the last bit, and the network predicts the same base there."""
    from comfy.patcher_extension import WrappersMP

    states = []

    def around(executor, x, *arguments, **options):
        states.append(x.clone())
        return executor(x, *arguments, **options)

    watched = model.clone()
    watched.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "watched", around)
    inversion = run("LEDITS_Invert", model=watched, latent=latent, sigmas=sigmas, negative=encode(""))[0]
    inverting = list(states)
    states.clear()
    run("LEDITS_Edit", model=watched, inversion=inversion, concepts=concept("a green circle", warmup=first))
    assert torch.equal(states[0], inverting[first].expand_as(states[0]))

    # Predicted again at that state, with a concept that never acts.
    guider = run("LEDITS_MaskedGuider", model=watched, inversion=inversion, concepts=concept("a green circle", warmup=STEPS))[0]
    predicted = []

    class Once:
        def max_denoise(self, *arguments):
            return False

        def sample(self, network, levels, extra, callback, noise, *arguments, **options):
            state = inversion.trajectory.x_T if first == 0 else list(trajectory(inversion.trajectory))[first]
            predicted.append(network(state, levels[first].expand(1), **extra))
            return state

    import comfy.samplers

    once = type("Once", (Once, comfy.samplers.Sampler), {})()
    with torch.inference_mode():
        guider.sample(torch.zeros_like(latent["samples"]), latent["samples"], once, inversion.trajectory.sigmas, disable_pbar=True)
    assert torch.equal(predicted[0], inversion.trajectory.denoised[first])


def test_a_first_edit_in_four_steps_takes_nine_calls(calls, latent, clip, encode, concept):
    """As for a Turbo checkpoint: four inverted steps, one look at the photo, four edited steps of source and target in one call."""
    model, sizes = calls
    sigmas = run("LEDITS_Schedule", model=model, steps=4, skip=0.2)[0]
    base, text = encode("a red circle and a blue square"), "a green circle and a blue square"
    inputs = {"model": model, "latent": latent, "sigmas": sigmas, "negative": base}
    inversion = run("LEDITS_Invert", **inputs, solver="first order", path_shift=1)[0]
    attention = run("LEDITS_ProbeAttention", model=model, latent=latent, clip=clip, text="a red circle")[0]
    run("LEDITS_Edit", model=model, inversion=inversion, concepts=concept(text, scale=1.5, warmup=0, attention=attention))
    assert sizes == [1] * 4 + [1] + [2] * 4
