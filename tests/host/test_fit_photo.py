"""A photo comes in the size that its model draws best."""

from scripts.host.in_comfy import run

import comfy.supported_models as kinds
import pytest
import torch
from comfy.model_base import ModelType
from comfy.model_patcher import ModelPatcher


def model(kind, model_type=ModelType.EPS):
    """Stands in for a checkpoint of gigabytes; its configuration is ComfyUI's own."""
    base = torch.nn.Module()
    base.model_config, base.model_type = kind(dict(kind.unet_config)), model_type
    return ModelPatcher(base, torch.device("cpu"), torch.device("cpu"))


@pytest.mark.parametrize(
    ("given", "side"),
    [
        (model(kinds.SD15), 512),
        (model(kinds.SD20), 512),
        (model(kinds.SD20, ModelType.V_PREDICTION), 768),
        (model(kinds.SDXL), 1024),
        (model(kinds.SDXLRefiner), 1024),
        (model(kinds.SD3, ModelType.FLOW), 1024),
        (model(kinds.Flux, ModelType.FLUX), 1024),
    ],
    ids=["SD 1.5", "SD 2", "SD 2.1 v", "SDXL", "SDXL refiner", "SD 3", "Flux"],
)
def test_the_size_is_what_the_model_was_trained_at(given, side):
    fitted = run("LEDITS_FitPhoto", model=given, image=torch.rand(2, 40, 40, 3))[0]
    assert fitted.shape == (2, side, side, 3)


@pytest.mark.parametrize(
    ("height", "width", "megapixels", "size"),
    [(640, 960, 0.25, (448, 640)), (3000, 4000, 1.0, (896, 1152)), (1, 1, 0.0625, (256, 256)), (10, 5000, 0.25, (64, 11456))],
)
def test_proportions_stay_and_sides_are_multiples_of_64(height, width, megapixels, size):
    fitted = run("LEDITS_FitPhoto", model=model(kinds.SD15), image=torch.rand(1, height, width, 3), megapixels=megapixels)[0]
    assert fitted.shape == (1, *size, 3)


def test_a_photo_that_fits_is_the_same():
    photo = torch.randint(0, 256, (1, 512, 512, 3)) / 255
    assert torch.equal(run("LEDITS_FitPhoto", model=model(kinds.SD15), image=photo)[0], photo)
