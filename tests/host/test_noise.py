"""How each kind of model mixes image and noise, against ComfyUI's own model_sampling classes."""

import re
from pathlib import Path
from types import SimpleNamespace

import comfy.model_base
import comfy.model_sampling
import comfy.text_encoders
import pytest
import torch
from comfy.model_base import ModelType

X0, NOISE = torch.randn((2, 2, 4, 6, 5), generator=torch.Generator().manual_seed(0)).unbind()

# By kind: its settings, and what a perfect network would answer at a state x of the noise level sigma.
KINDS = {
    "EPS": ({}, lambda x, sigma: NOISE),
    "STABLE_CASCADE": ({}, lambda x, sigma: NOISE),
    "V_PREDICTION": ({}, lambda x, sigma: (NOISE - sigma * X0) / (1 + sigma**2) ** 0.5),
    "V_PREDICTION_EDM": ({}, lambda x, sigma: (NOISE - sigma * X0) / (1 + sigma**2) ** 0.5),
    "V_PREDICTION_CONTINUOUS": ({}, lambda x, sigma: (NOISE - sigma * X0) / (1 + sigma**2) ** 0.5),
    "EDM": ({"sigma_data": 0.5}, lambda x, sigma: (X0 - x * 0.25 / (sigma**2 + 0.25)) * (sigma**2 + 0.25) ** 0.5 / (0.5 * sigma)),
    "FLOW": ({"shift": 3.0}, lambda x, sigma: NOISE - X0),
    "FLUX": ({"shift": 1.15}, lambda x, sigma: NOISE - X0),
    "FLOW_COSMOS": ({"sigma_max": 80.0}, lambda x, sigma: NOISE - X0),
    "FLOW of scaled noise": ({"shift": 3.0, "noise_scale": 8.0}, lambda x, sigma: 8 * NOISE - X0),
}


def model(name, **settings):
    """A MODEL of a kind, as far as its noise goes."""
    sampling = comfy.model_base.model_sampling(SimpleNamespace(sampling_settings=settings), ModelType[name.split()[0]])
    return SimpleNamespace(get_model_object=lambda _: sampling), sampling


@pytest.fixture(scope="module")
def noise(part):
    return part("nodes.comfyui.sampling.noise")


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.98])
def test_every_kind_mixes_as_comfyui_does(noise, name, share):
    settings, answer = KINDS[name]
    of, sampling = model(name, **settings)
    if "noise_scale" in settings and not hasattr(sampling, "noise_scale"):
        pytest.skip("this ComfyUI does not scale noise")
    sigma = sampling.sigmas[int(share * len(sampling.sigmas))]
    level = noise.noise_kind(of).level(sigma.item())
    x = sampling.noise_scaling(sigma, NOISE.clone(), X0)
    assert torch.allclose(level.alpha * X0 + level.sigma * NOISE, x, rtol=1e-5, atol=1e-6)
    assert torch.allclose(sampling.inverse_noise_scaling(sigma, level.alpha * X0), X0, rtol=1e-5, atol=1e-6)
    assert torch.allclose(sampling.calculate_denoised(sigma, answer(x, sigma), x), X0, rtol=1e-4, atol=1e-5 * (1 + x.abs().max()))


@pytest.mark.parametrize("name", KINDS)
def test_the_network_sees_latents_at_comfyuis_scale(noise, name):
    of, sampling = model(name, **KINDS[name][0])
    for sigma in sampling.sigmas[[20, 500, 990]]:
        assert torch.allclose(noise.noise_kind(of).input_scale(sigma.item()) * X0, sampling.calculate_input(sigma, X0), rtol=1e-5)


@pytest.mark.parametrize("name", ["IMG_TO_IMG_FLOW", "V_PREDICTION_DDPM"])
def test_other_kinds_are_unknown(noise, name):
    if name not in ModelType.__members__:
        pytest.skip("this ComfyUI does not have it")
    assert noise.noise_kind(model(name)[0]) is None


def test_the_reference_is_sd15s_table(part):
    sigmas = comfy.model_sampling.ModelSamplingDiscrete().sigmas
    kappa = part("ledits.schedule").reference_kappa
    assert torch.allclose(torch.tensor([kappa(t) for t in range(1000)]), sigmas, rtol=1e-5)
    assert kappa(400.25) == pytest.approx(comfy.model_sampling.ModelSamplingDiscrete().sigma(torch.tensor(400.25)).item(), rel=1e-5)


@pytest.mark.parametrize("name", [name for name in KINDS if "FL" in name])
def test_the_steps_of_a_flow_model_are_equal_in_its_own_time(noise, name):
    settings, _ = KINDS[name]
    of, _ = model(name, **settings)
    sigmas = noise.schedule(of, 10, 0.2).double()
    flow = sigmas / (1 + sigmas) if name == "FLOW_COSMOS" else sigmas
    shift = {"FLUX": 2.718281828**1.15, "FLOW_COSMOS": 1.0}.get(name, 3.0)
    times = flow / (shift - (shift - 1) * flow)
    assert times == pytest.approx(torch.linspace(times[0].item(), 0, 11).double(), abs=1e-5)


@pytest.mark.parametrize("name", ["EPS", "V_PREDICTION", "STABLE_CASCADE", "EDM"])
def test_other_models_keep_their_own_table(noise, part, name):
    of, sampling = model(name)
    assert torch.equal(noise.schedule(of, 10, 0.2), part("ledits.schedule").sigmas(sampling.sigmas, 10, 0.2))
    assert noise.level_sigma(of, 0.4) == sampling.percent_to_sigma(0.6)


@pytest.mark.parametrize("name", ["EPS", "EDM"])
def test_all_of_the_noise_is_the_top_of_the_range(noise, name):
    of, sampling = model(name)
    assert noise.level_sigma(of, 1.0) == pytest.approx(sampling.sigma_max.item())


@pytest.mark.parametrize("level", [0.2, 0.5, 1.0])
def test_a_probe_sees_the_same_noise_in_every_model(noise, part, level):
    kappa = part("ledits.schedule").reference_kappa(999 * level)
    assert noise.level_sigma(model("FLOW_COSMOS")[0], level) == pytest.approx(kappa)
    for name in ("FLOW", "FLUX"):
        sigma = noise.level_sigma(model(name)[0], level)
        assert sigma / (1 - sigma) == pytest.approx(kappa)


def test_nothing_that_a_text_encoder_makes_is_copied_to_another_text(part):
    """Every key that ComfyUI's text encoders put beside an encoding, as far as their sources show it."""
    sources = "\n".join(
        path.read_text() for path in Path(comfy.text_encoders.__path__[0]).glob("*.py") if path.stem not in VIDEO_AND_OTHERS
    )
    keys = set(re.findall(r'(?:extra|extra_out|out\[2\])\["(\w+)"\] =[^=]', sources))
    for made in re.findall(r"(?:return \w+(?:\[\d\])?, \w+(?:\[\d\])?, |extra = )\{(.*)\}", sources):
        keys |= set(re.findall(r'"(\w+)": ', made))
    assert {"attention_mask", "conditioning_byt5small", "conditioning_llama3", "conditioning_mt5xl", "t5xxl_ids"} <= keys
    options = dict.fromkeys(keys, torch.ones(1)) | {"guidance": 2.5}
    ((_, carried),) = part("nodes.comfyui.sampling.conditioning").with_options_of([[X0, options]], [[X0, {"pooled_output": None}]])
    assert carried == {"guidance": 2.5, "pooled_output": None}


VIDEO_AND_OTHERS = {"minimax", "lt", "sam3_clip"}
