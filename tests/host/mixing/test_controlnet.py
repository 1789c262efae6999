"""ControlNets on the neutral prompt, the source prompt and whatever concept is asked beside them."""

from __future__ import annotations

from scripts.host.in_comfy import run
from scripts.host.networks import control_net

import pytest
import torch

import nodes


@pytest.fixture(scope="module")
def net(model):
    return control_net(model)


@pytest.fixture(scope="module")
def hints():
    """Two pictures to steer by."""
    return torch.rand(2, 256, 256, 3, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def controlled(net, hints):
    """Applies the ControlNet to one or more conditionings, as the stock node does to two."""

    def apply(*conditionings, strength=0.5, start=0.0, end=1.0, hint=hints[:1]):
        both = nodes.ControlNetApplyAdvanced().apply_controlnet(conditionings[0], conditionings[-1], net, hint, strength, start, end)
        return both if len(conditionings) > 1 else both[0]

    return apply


@pytest.fixture
def base_of(invert, model):
    return lambda negative: model.model.process_latent_out(invert(model, negative=negative).trajectory.denoised)


def close(one, other):
    return torch.allclose(one, other, atol=1e-4)


def test_on_the_neutral_prompt(assert_mixing, plain, model, clip, controlled):
    mixed = assert_mixing(model, clip, lambda e: controlled(e("")))
    weaker = assert_mixing(model, clip, lambda e: controlled(e(""), strength=0.1))
    far, near = ((one.base - plain.base).abs().mean() for one in (mixed, weaker))
    assert far > 2 * near > 1e-3


def test_for_the_first_half_of_the_steps(assert_mixing, base_of, plain, model, clip, encode, controlled):
    mixed = assert_mixing(model, clip, lambda e: controlled(e(""), end=0.5))
    always = base_of(controlled(encode("")))
    assert close(mixed.base, torch.cat([always[:2], plain.base[2:]]))
    assert not close(always[2:], plain.base[2:])


def test_two_in_a_row(assert_mixing, base_of, model, clip, encode, controlled, hints):
    mixed = assert_mixing(model, clip, lambda e: controlled(controlled(e("")), hint=hints[1:], end=0.5))
    assert close(mixed.base[2:], base_of(controlled(encode("")))[2:])
    assert not close(mixed.base[:2], base_of(controlled(encode("")))[:2])


def test_on_half_the_picture(assert_mixing, plain, model, clip, controlled):
    """Two neutral prompts, of which one has the ControlNet: a concept has it there too, and not elsewhere."""
    mask = torch.zeros(1, 256, 256)
    mask[..., :128] = 1

    def set_mask(conditioning, place):
        return nodes.ConditioningSetMask().append(conditioning, place, "default", 1.0)[0]

    mixed = assert_mixing(model, clip, lambda e: [*set_mask(controlled(e("")), mask), *set_mask(e(""), 1 - mask)])
    with_it = assert_mixing(model, clip, lambda e: controlled(e("")))
    for name in ("base", "guidance"):
        assert close(getattr(mixed, name), torch.cat([getattr(with_it, name)[..., :16], getattr(plain, name)[..., 16:]], -1))
    assert close(mixed.maps, torch.cat([with_it.maps[:, :, :4], plain.maps[:, :, 4:]], 2))
    assert not close(with_it.guidance, plain.guidance)


def test_on_the_source_prompt_and_the_neutral_one(assert_mixing, model, clip, encode, controlled):
    positive, negative = controlled(encode("a red circle"), encode(""))
    assert positive[0][1]["control"] is negative[0][1]["control"]
    mixed = assert_mixing(model, clip, lambda e: negative, asked=lambda e: controlled(e("a green circle")), positive=positive, cfg=2.0)
    plain = assert_mixing(model, clip, lambda e: e(""), positive=encode("a red circle"), cfg=2.0)
    assert not close(mixed.base, plain.base)
    assert not close(mixed.guidance, plain.guidance)


def test_the_old_node_steers_every_prompt_from_the_source_prompt(
    assert_mixing, invert, edit, model, clip, encode, controlled, net, hints, concept, unchanged
):
    by_both = controlled(encode("a red circle"), encode(""))
    (positive,) = nodes.ControlNetApply().apply_controlnet(encode("a red circle"), net, hints[:1], 0.5)
    concepts = concept("a green circle", warmup=1)
    with unchanged(model):
        new, old = (
            edit(model, invert(model, positive=source, negative=neutral, cfg=2.0), concepts)
            for source, neutral in (by_both, (positive, encode("")))
        )
    assert close(new.samples, old.samples)
    plain = edit(model, invert(model, positive=encode("a red circle"), cfg=2.0), concepts)
    assert not torch.allclose(plain.samples, old.samples, atol=1e-2)


def test_each_picture_of_a_batch_has_its_own_hint(invert, edit, model, latent, encode, controlled, hints, concept):
    concepts = concept("a green circle", warmup=1, mask_mode="none")
    samples = torch.cat([latent["samples"], latent["samples"].flip(3)])

    def edited(place):
        negative = controlled(encode(""), hint=hints[place])
        return edit(model, invert(model, latent={"samples": samples[place]}, negative=negative), concepts).samples

    together = edited(slice(2))
    assert close(together, torch.cat([edited(slice(1)), edited(slice(1, 2))]))


def test_many_concepts_share_it_in_one_call(calls, latent, sigmas, encode, controlled, concept):
    """Nothing that could run beside the neutral prompt runs alone."""
    counted, sizes = calls
    negative = controlled(encode(""))
    inversion = run("LEDITS_Invert", model=counted, latent=latent, sigmas=sigmas, negative=negative)[0]
    sizes.clear()
    run("LEDITS_Edit", model=counted, inversion=inversion, concepts=concept("a green circle", concepts=concept("a blue square")))
    assert sizes == [3, 3]
