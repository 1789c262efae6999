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


@pytest.mark.parametrize(("height", "width"), [(3000, 4000), (4000, 3000), (2000, 3000), (1080, 1920), (512, 512), (333, 500), (90, 700)])
@pytest.mark.parametrize("megapixels", [0.0625, 0.25, 1.0])
def test_a_fitted_size_is_known_again(part, height, width, megapixels):
    size = part("nodes.comfyui.images.size")
    fitted = size.fitted_size(height, width, megapixels)
    assert size.is_fitted(height, width, *fitted)
    assert not size.is_fitted(height, width, fitted[0], 2 * fitted[1])
    assert not size.is_fitted(height, width, fitted[0] + 8, fitted[1] + 8)


@pytest.mark.parametrize("size", [(300, 400), (400, 300)])
def test_a_mask_painted_on_the_photo_serves_its_fitted_copy(checkpoint, concept, encode, sigmas, photo, size):
    """Fit Photo rounds the sides of most photos to other proportions."""
    model, _, vae = checkpoint
    image = torch.nn.functional.interpolate(photo.movedim(-1, 1), size=size).movedim(1, -1)
    fitted = run("LEDITS_FitPhoto", model=model, image=image, megapixels=0.06)[0]
    height, width = fitted.shape[1:3]
    assert height / width != size[0] / size[1]
    with torch.inference_mode():
        latent = {"samples": vae.encode(fitted)}
    inversion = run("LEDITS_Invert", model=model, latent=latent, sigmas=sigmas, negative=encode(""))[0]
    painted = torch.zeros(1, *size)
    painted[:, : size[0] // 2] = 1
    concepts = concept("a green circle", mask=painted, mask_mode="none")
    _, _, used, _ = run("LEDITS_Edit", model=model, inversion=inversion, concepts=concepts)
    assert used.shape == (1, height, width)
    assert used[:, : height // 2 - 8].min() == 1
    assert used[:, height // 2 + 8 :].max() == 0
