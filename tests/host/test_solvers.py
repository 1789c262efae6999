"""The solvers that LEDITS++ Invert offers: each gives the photo back, and is the inversion's own to the end."""

import re
from dataclasses import asdict, replace

from scripts.host.in_comfy import run

import pytest
import torch
from comfy.samplers import CFGGuider

from ledits.schedule import FEW_STEPS
from ledits.solver import AUTOMATIC, SOLVERS
from scripts.paths import CHECKOUT
from support.few_steps import second_order
from support.transformers import TRANSFORMERS

STEPS = 4

every_solver = pytest.mark.parametrize("solver", SOLVERS)
every_shift = pytest.mark.parametrize("path_shift", [0, 1])


@pytest.fixture
def latent(latent):
    """A corner of the photo, which is enough."""
    return {"samples": latent["samples"][..., :16, :16]}


@pytest.fixture
def photo_of(request, part, latent, encode):
    """What is inverted: MODEL, LATENT, the base, and another prompt as a concept of a chosen scale."""

    def make(name):
        settings = part("ledits.guidance").EditSettings(scale=1.0, mask_mode="none", warmup=0)
        if name == "small checkpoint":
            model, samples, base, other = request.getfixturevalue("model"), latent, encode(""), encode("a green circle")
        else:
            family = TRANSFORMERS[name]
            model, samples = family.model(), {"samples": family.latent(*family.size)}
            base, other = family.prompt(1), family.prompt(3)
        prompt = part("ledits.prompt").Prompt("a green circle", ("a", "green", "circle"), ((0,), (1,), (2,)), 3)

        def concept(scale):
            return (part("nodes.comfyui.types").Concept(replace(settings, scale=scale), prompt, (), other),)

        return model, samples, base, concept

    return make


def invert(model, latent, base, steps=STEPS, **inputs):
    sigmas = run("LEDITS_Schedule", model=model, steps=steps, skip=0.1)[0]
    return run("LEDITS_Invert", model=model, latent=latent, sigmas=sigmas, negative=base, **inputs)[0]


# A table of eps- and v-models, a flow, and the flow that has an eps-model's latents with a frame.
@pytest.mark.parametrize("name", ["small checkpoint", "Flux.1 schnell", "Cosmos-Predict2"])
@every_solver
@every_shift
def test_the_photo_comes_back(photo_of, name, solver, path_shift):
    """With every step predicted again, by a concept that is too weak to change it; a stronger one changes it."""
    model, latent, base, concept = photo_of(name)
    inversion = invert(model, latent, base, solver=solver, path_shift=path_shift)
    assert asdict(inversion.trajectory.solver) == asdict(SOLVERS[solver]) | {"path_shift": path_shift}

    def edited(scale):
        return run("LEDITS_Edit", model=model, inversion=inversion, concepts=concept(scale))[0]["samples"]

    # The latent's standard deviation is about 1.
    assert (edited(1e-12) - latent["samples"]).abs().max() <= 1e-5
    assert (edited(2.0) - latent["samples"]).abs().max() > 1e-3


@pytest.mark.parametrize(("steps", "solver"), [(FEW_STEPS, "first order"), (FEW_STEPS + 1, "LEDITS++")])
def test_the_first_choice_knows_few_steps(model, latent, encode, steps, solver):
    """In more of them it is what there was before."""
    with second_order(FEW_STEPS):
        plain = invert(model, latent, encode(""), steps)
    chosen = invert(model, latent, encode(""), steps, solver=solver, path_shift=0)
    assert plain.trajectory.solver == chosen.trajectory.solver
    for name in ("x_T", "denoised", "noise_maps"):
        assert torch.equal(getattr(plain.trajectory, name), getattr(chosen.trajectory, name))


@every_solver
@every_shift
def test_the_network_is_told_more_noise_than_the_photo_has(model, latent, encode, solver, path_shift):
    inversion = invert(model, latent, encode(""), solver=solver, path_shift=path_shift).trajectory
    told, has = inversion.sigmas[0], inversion.sigmas[path_shift]
    scale = ((1 + told**2) / (1 + has**2)) ** 0.5
    noise = (inversion.x_T / scale - inversion.x0) / has
    assert noise.std().item() == pytest.approx(1, abs=0.1)


def test_each_solver_edits_differently(photo_of):
    model, latent, base, concept = photo_of("small checkpoint")
    results = [
        run("LEDITS_Edit", model=model, inversion=invert(model, latent, base, solver=solver), concepts=concept(4.0))[0]["samples"]
        for solver in SOLVERS
    ]
    for number, one in enumerate(results):
        assert all((one - other).abs().max() > 1e-2 for other in results[:number])


@pytest.mark.parametrize("guided", [True, False])
def test_the_advanced_nodes_replay_with_the_inversions_own(photo_of, guided):
    """Guider and sampler of two inversions are refused; another node's guider replays with the inversion's solver."""
    from comfy_extras.nodes_custom_sampler import SamplerCustomAdvanced

    model, latent, base, _ = photo_of("small checkpoint")
    inversion = invert(model, latent, base, solver="ODE", path_shift=1)
    sampler, sigmas, image, noise = run("LEDITS_ReplaySampler", inversion=inversion)
    guider = CFGGuider(model)
    guider.set_conds(base, base)
    guider.set_cfg(1.0)
    if guided:
        guider = run("LEDITS_MaskedGuider", model=model, inversion=inversion)[0]
    with torch.inference_mode():
        assert torch.allclose(noise.generate_noise(image) * sigmas[0] + inversion.trajectory.x0, inversion.trajectory.x_T, atol=1e-5)
        replayed = SamplerCustomAdvanced.execute(noise, guider, sampler, sigmas, image).result[0]["samples"]
        assert (replayed - latent["samples"]).abs().max() <= 1e-5
        other = run("LEDITS_MaskedGuider", model=model, inversion=invert(model, latent, base))[0]
        with pytest.raises(ValueError, match="'sampler': has a different inversion than the guider"):
            SamplerCustomAdvanced.execute(noise, other, sampler, sigmas, image)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"solver": "Heun"}, r"input 'solver': is 'Heun', but must be one of automatic, LEDITS\+\+, first order, ODE, LCM"),
        ({"path_shift": -1}, "input 'path_shift': is -1, but must be a whole number from 0 to"),
        ({"path_shift": 0.5}, "input 'path_shift': is 0.5, but must be a whole number"),
        ({"path_shift": STEPS}, f"input 'path_shift': is {STEPS}, but 'sigmas' has {STEPS} steps"),
    ],
)
def test_other_values_are_refused(model, latent, encode, inputs, message):
    with pytest.raises(ValueError, match=rf"^LEDITS\+\+ Invert, {message}"):
        invert(model, latent, encode(""), **inputs)


def eta(solver):
    return "∞" if solver.eta == float("inf") else f"{solver.eta:g}"


@pytest.mark.parametrize("page", ["web/docs/LEDITS_Invert.md", "web/docs/LEDITS_Invert/zh.md"])
def test_the_help_pages_name_every_solver(page):
    rows = re.findall(r"^\| `([^`]+)` \| (\S+) \| (\S+) \| ", (CHECKOUT / page).read_text(encoding="utf-8"), re.MULTILINE)
    orders = {1: ("first", "\u4e00\u9636"), 2: ("second", "\u4e8c\u9636")}
    assert [row[:2] for row in rows] == [(name, eta(solver)) for name, solver in SOLVERS.items()]
    assert all(row[2] in orders[solver.order] for row, solver in zip(rows, SOLVERS.values(), strict=True))
    assert AUTOMATIC in (CHECKOUT / page).read_text(encoding="utf-8")


def test_the_other_pages_name_solvers_that_are_there():
    named = re.findall(r"\| `([^`]+)`: η (\w+)", (CHECKOUT / "docs" / "method.md").read_text(encoding="utf-8"))
    assert {name for name, _ in named} == set(SOLVERS)
    assert all(eta(SOLVERS[name]) == value.replace("infinite", "∞") for name, value in named)
    for page in ("README.md", "docs/guide.md"):
        text = (CHECKOUT / page).read_text(encoding="utf-8")
        chosen = re.findall(r"\*solver\*:? (?:of Invert )?(?:at )?`([^`]+)`(?:(?: or|, for LCM checkpoints) `([^`]+)`)?", text)
        assert chosen, page
        assert {name for names in chosen for name in names if name} <= {AUTOMATIC, *SOLVERS}
