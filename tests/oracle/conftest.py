from functools import partial

from scripts.host import in_comfy
from scripts.host.networks import SD15_SHAPE, family, patcher, randomise

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0

from benchmarks.reference.pipeline import Repaired, clip_tokenizer, reference_pipeline
from benchmarks.reference.unet import diffusers_unet, to_comfyui
from support.attention import with_torch_attention
from support.few_steps import second_order
from support.levels import LEVELS

TEXT = {
    "num_hidden_layers": 2,
    "hidden_size": SD15_SHAPE["context_dim"],
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "hidden_act": "quick_gelu",
    "max_position_embeddings": 77,
    "bos_token_id": 49406,
    "eos_token_id": 49407,
    "vocab_size": 49408,
}


@pytest.fixture(scope="session", autouse=True)
def few_steps_at_second_order():
    with second_order():
        yield


@pytest.fixture(scope="session")
def reference_unet():
    unet = diffusers_unet(SD15_SHAPE)
    randomise(unet, seed=3)
    return unet


@pytest.fixture(scope="session")
def text_encoder():
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(4)
    return CLIPTextModel(CLIPTextConfig(**TEXT)).eval()


@pytest.fixture(scope="session")
def tokenizer():
    return clip_tokenizer()


@pytest.fixture(scope="session")
def model(reference_unet):
    """The reference's network as a MODEL of ComfyUI."""
    import comfy.supported_models

    weights = to_comfyui(reference_unet.state_dict(), SD15_SHAPE)
    return with_torch_attention(patcher(family(SD15_SHAPE, comfy.supported_models.SD15), weights))


@pytest.fixture(scope="session")
def clip(text_encoder):
    """The reference's text model as a CLIP of ComfyUI."""
    import comfy.sd
    from comfy import sd1_clip, supported_models_base

    class TextModel(sd1_clip.SDClipModel):
        def __init__(self, device="cpu", dtype=None, model_options={}):
            super().__init__(device=device, dtype=dtype, textmodel_json_config=dict(TEXT), model_options=model_options)

    target = supported_models_base.ClipTarget(sd1_clip.SD1Tokenizer, partial(sd1_clip.SD1ClipModel, clip_name="l", clip_model=TextModel))
    clip = comfy.sd.CLIP(target, model_options={"dtype": torch.float32})
    weights = {f"text_model.{key.removeprefix('text_model.')}": value for key, value in text_encoder.state_dict().items()}
    missing, unexpected = clip.cond_stage_model.clip_l.transformer.load_state_dict(weights, strict=False)
    assert missing == ["text_projection.weight"]
    assert all("position_ids" in key for key in unexpected)
    return clip


@pytest.fixture(scope="session")
def encode(clip):
    return partial(in_comfy.encode, clip)


@pytest.fixture(scope="session")
def latents():
    """A smooth random picture at the model's scale, of two sides that differ."""
    coarse = torch.randn((1, 4, 4, 6), generator=torch.Generator().manual_seed(18))
    return torch.nn.functional.interpolate(coarse, size=(16, 24), mode="bicubic")


@pytest.fixture
def pipeline(reference_unet, text_encoder, tokenizer):
    """Makes a reference pipeline: `pipeline(Repaired)` visits the official levels."""

    def make(kind=Repaired, **settings):
        defaults = {"levels": LEVELS} if issubclass(kind, Repaired) else {}
        return reference_pipeline(kind, reference_unet, text_encoder, tokenizer, **(defaults | settings))

    yield make
    reference_unet.set_attn_processor(AttnProcessor2_0())


@pytest.fixture(scope="session")
def sigmas(reference_unet, text_encoder, tokenizer):
    """The official levels with the official end, table index 0: the reference's values, which float32 rounds otherwise than ComfyUI's."""
    scheduler = reference_pipeline(Repaired, reference_unet, text_encoder, tokenizer, levels=LEVELS).scheduler
    scheduler.set_timesteps()
    return scheduler.sigmas.clone()


@pytest.fixture(scope="session")
def inversion(model, latents, sigmas, encode):
    scaled = {"samples": model.model.process_latent_out(latents)}
    return in_comfy.run("LEDITS_Invert", model=model, latent=scaled, sigmas=sigmas, negative=encode(""), seed=5)[0]
