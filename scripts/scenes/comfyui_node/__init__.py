"""Custom node for tests: teaches `CheckpointLoaderSimple` the configuration of the checkpoint that is trained on the scenes."""

from functools import partial

import comfy.latent_formats
import comfy.supported_models
import comfy.utils
from comfy import sd1_clip, supported_models_base
from comfy.model_base import ModelType

CONTEXT_DIM = 64
LATENT_CHANNELS = 8

UNET = {
    "image_size": 32,
    "in_channels": LATENT_CHANNELS,
    "out_channels": LATENT_CHANNELS,
    "model_channels": 32,
    "num_res_blocks": [1, 1, 2],
    "channel_mult": [1, 2, 3],
    "transformer_depth": [0, 1, 1, 1],
    "transformer_depth_output": [0, 0, 1, 1, 1, 1, 1],
    "transformer_depth_middle": 1,
    "context_dim": CONTEXT_DIM,
    "use_spatial_transformer": True,
    "use_linear_in_transformer": False,
    "use_checkpoint": False,
    "legacy": False,
    "adm_in_channels": None,
    "num_heads": 4,
    "num_head_channels": -1,
}

TEXT_MODEL = {
    # Word and position alone: with layers above them the padding learns to carry the whole prompt, and words then attend to nothing.
    "num_hidden_layers": 0,
    "hidden_size": CONTEXT_DIM,
    "num_attention_heads": 4,
    "intermediate_size": 4 * CONTEXT_DIM,
    "hidden_act": "quick_gelu",
    "max_position_embeddings": 77,
    "bos_token_id": 49406,
    "eos_token_id": 49407,
    "vocab_size": 49408,
}


class ScenesLatent(comfy.latent_formats.LatentFormat):
    """The latents of the scenes' autoencoder, with a spread of about 1 in each channel."""

    scale_factor = 1.0
    latent_channels = LATENT_CHANNELS


class ScenesTextEncoder(sd1_clip.SDClipModel):
    def __init__(self, device="cpu", dtype=None, model_options={}):
        super().__init__(device=device, dtype=dtype, textmodel_json_config=dict(TEXT_MODEL), model_options=model_options)


class ScenesModel(supported_models_base.BASE):
    unet_config = {
        "context_dim": CONTEXT_DIM,
        "model_channels": UNET["model_channels"],
        "in_channels": LATENT_CHANNELS,
        "use_linear_in_transformer": False,
        "adm_in_channels": None,
        "use_temporal_attention": False,
    }
    unet_extra_config = {"num_heads": UNET["num_heads"], "num_head_channels": UNET["num_head_channels"]}
    latent_format = ScenesLatent

    def model_type(self, state_dict, prefix=""):
        return ModelType.V_PREDICTION

    def inpaint_model(self):
        return False  # ComfyUI takes every UNet of more than 4 channels for one

    def process_clip_state_dict(self, state_dict):
        return comfy.utils.state_dict_prefix_replace(state_dict, {"cond_stage_model.": "clip_l."}, filter_keys=True)

    def process_clip_state_dict_for_saving(self, state_dict):
        return comfy.utils.state_dict_prefix_replace(state_dict, {"clip_l.": "cond_stage_model."})

    def clip_target(self, state_dict={}):
        return supported_models_base.ClipTarget(
            sd1_clip.SD1Tokenizer, partial(sd1_clip.SD1ClipModel, clip_name="l", clip_model=ScenesTextEncoder)
        )


if not any(model.__name__ == ScenesModel.__name__ for model in comfy.supported_models.models):
    # First: it asks for more than the other small configuration, which would match, too.
    comfy.supported_models.models.insert(0, ScenesModel)

NODE_CLASS_MAPPINGS: dict = {}
