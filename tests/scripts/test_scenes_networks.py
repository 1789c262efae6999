"""What the training on the scenes writes, ComfyUI loads, and predicts with it what the training saw."""

from scripts.host import in_comfy

import comfy.sd
import pytest
import torch

from scripts.scenes.train import CHECKPOINT, METADATA, NETWORKS, new_autoencoder, new_denoiser
from scripts.small_model.autoencoder import Autoencoder
from scripts.small_model.comfyui_node import SCENES_LATENT_CHANNELS
from scripts.small_model.networks import export_checkpoint, import_checkpoint

TEXT = "a red teapot next to a camera on grass"


def randomised(denoiser, seed=0):
    """With weights that are not zero anywhere, so that every part counts."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in denoiser.network.parameters():
        if not parameter.any():
            parameter.data = 0.05 * torch.randn(parameter.shape, generator=generator)
    return denoiser.eval()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Both networks as the training leaves them, and their files as ComfyUI loads them: MODEL and, of the checkpoint, CLIP and VAE."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("trained")
    autoencoder = Autoencoder(SCENES_LATENT_CHANNELS, width=32, spread=4.0, centre=0.55)
    denoisers = {}
    for kind in NETWORKS:
        denoisers[kind] = randomised(new_denoiser(kind, folder / CHECKPOINT))
        path = folder / (CHECKPOINT if kind == "unet" else "transformer.safetensors")
        export_checkpoint(path, denoisers[kind].state_dict(), autoencoder if kind == "unet" else None, METADATA)
    unet, clip, vae = comfy.sd.load_checkpoint_guess_config(str(folder / CHECKPOINT), output_vae=True, output_clip=True)[:3]
    models = {"unet": unet, "transformer": comfy.sd.load_diffusion_model(str(folder / "transformer.safetensors"))}
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    return denoisers, models, clip, vae, sizes


@pytest.mark.parametrize("kind", NETWORKS)
@torch.inference_mode()
def test_comfyui_predicts_what_was_trained(trained, kind):
    denoisers, models, clip, *_ = trained
    denoiser, model = denoisers[kind], models[kind]
    x0, noise = torch.randn(2, 1, SCENES_LATENT_CHANNELS, 32, 32, generator=torch.Generator().manual_seed(1)).unbind(0)
    state, level, *_ = denoiser.add_noise(x0, noise, torch.tensor([0.3]))
    tokens = torch.tensor([[token for token, _ in clip.tokenizer.clip_l.tokenize_with_weights(TEXT)[0]]])
    prediction, layers = denoiser(state, level, tokens)
    host = model.model.diffusion_model(state, level.float(), in_comfy.encode(clip, TEXT)[0][0], transformer_options={})
    assert (host - prediction).std() < 0.02 * prediction.std()  # the file is in half precision
    assert layers
    assert all(layer.shape[2] == tokens.shape[1] for layer in layers)


def test_the_files_are_small(trained):
    *_, sizes = trained
    assert max(sizes.values()) < 20e6


@torch.inference_mode()
def test_the_latents_of_both_are_the_autoencoders(trained):
    _, models, _, vae, _ = trained
    latents = vae.encode(torch.rand(1, 64, 64, 3))
    assert latents.shape == (1, SCENES_LATENT_CHANNELS, 8, 8)
    assert {model.model.latent_format.latent_channels for model in models.values()} == {SCENES_LATENT_CHANNELS}


def test_training_goes_on_from_the_file(trained, tmp_path):
    """Every weight comes back, in the precision of the file."""
    denoiser = trained[0]["unet"]
    autoencoder = new_autoencoder()
    export_checkpoint(tmp_path / CHECKPOINT, denoiser.state_dict(), autoencoder, METADATA)
    again, weights = import_checkpoint(tmp_path / CHECKPOINT, new_autoencoder())
    assert all(torch.equal(value.half(), again.state_dict()[key].half()) for key, value in autoencoder.state_dict().items())
    other = new_denoiser("unet", tmp_path / CHECKPOINT)
    other.load_state_dict(weights)
    assert all(torch.equal(value.half(), other.state_dict()[key].half()) for key, value in denoiser.state_dict().items())
