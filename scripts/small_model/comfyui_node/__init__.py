"""Test-side custom nodes: teach `CheckpointLoaderSimple` the configurations of the small networks, and count network calls."""

import sys
from functools import partial

import comfy.latent_formats
import comfy.supported_models
from comfy import sd1_clip, supported_models_base
from comfy.model_base import ModelType
from comfy.patcher_extension import WrappersMP

CONTEXT_DIM = 64
LATENT_CHANNELS = 4
SCENES_LATENT_CHANNELS = 8

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
POSITIONS = 32
"""Patches along a side that the transformer has places for: pictures of up to 512 pixels."""
SCENES_UNET = UNET | {"in_channels": SCENES_LATENT_CHANNELS, "out_channels": SCENES_LATENT_CHANNELS}
TRANSFORMER = {
    "input_size": None,
    "pos_embed_max_size": POSITIONS,
    "num_patches": POSITIONS**2,
    "in_channels": LATENT_CHANNELS,
    "out_channels": LATENT_CHANNELS,
    "patch_size": 2,
    "depth": 4,  # of 64 channels each
    "num_blocks": 4,
    "context_embedder_config": {"target": "torch.nn.Linear", "params": {"in_features": CONTEXT_DIM, "out_features": 256}},
    "qk_norm": "rms",
    "pos_embed_scaling_factor": None,
    "x_block_self_attn_layers": [],
}
SCENES_TRANSFORMER = TRANSFORMER | {"in_channels": SCENES_LATENT_CHANNELS, "out_channels": SCENES_LATENT_CHANNELS}

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


class SmallLatent(comfy.latent_formats.LatentFormat):
    """The small autoencoder's latents, with a spread of about 0.8 in each channel."""

    scale_factor = 1.0
    latent_channels = LATENT_CHANNELS

    def __init__(self) -> None:
        # Least squares from latents to the mean colours of their 8 x 8 pixels; explains 0.92 of the variance.
        self.latent_rgb_factors = [[0.423, -0.004, -0.024], [0.136, 0.320, 0.041], [-0.009, 0.032, 0.312], [-0.203, 0.231, 0.013]]
        self.latent_rgb_factors_bias = [0.035, 0.009, 0.004]


class ScenesLatent(comfy.latent_formats.LatentFormat):
    """The latents of the scenes' autoencoder, with a spread of about 1 in each channel."""

    scale_factor = 1.0
    latent_channels = SCENES_LATENT_CHANNELS

    def __init__(self) -> None:
        # As above; explains 0.97 of the variance.
        self.latent_rgb_factors = [
            [0.412, 0.080, 0.033],
            [-0.012, 0.283, -0.033],
            [-0.019, 0.044, 0.430],
            [0.030, 0.046, 0.017],
            [0.036, 0.012, 0.027],
            [0.000, -0.050, -0.052],
            [-0.006, 0.020, 0.087],
            [-0.018, -0.014, 0.024],
        ]
        self.latent_rgb_factors_bias = [0.348, 0.309, 0.198]


class SmallTextEncoder(sd1_clip.SDClipModel):
    def __init__(self, device="cpu", dtype=None, model_options={}):
        super().__init__(device=device, dtype=dtype, textmodel_json_config=dict(TEXT_MODEL), model_options=model_options)


class SmallModel(supported_models_base.BASE):
    unet_config = {
        "context_dim": CONTEXT_DIM,
        "model_channels": UNET["model_channels"],
        "use_linear_in_transformer": False,
        "adm_in_channels": None,
        "use_temporal_attention": False,
    }
    unet_extra_config = {"num_heads": UNET["num_heads"], "num_head_channels": UNET["num_head_channels"]}
    latent_format = SmallLatent

    def model_type(self, state_dict, prefix=""):
        return ModelType.V_PREDICTION

    def process_clip_state_dict(self, state_dict):
        return comfy.utils.state_dict_prefix_replace(state_dict, {"cond_stage_model.": "clip_l."}, filter_keys=True)

    def process_clip_state_dict_for_saving(self, state_dict):
        return comfy.utils.state_dict_prefix_replace(state_dict, {"clip_l.": "cond_stage_model."})

    def clip_target(self, state_dict={}):
        return supported_models_base.ClipTarget(
            sd1_clip.SD1Tokenizer, partial(sd1_clip.SD1ClipModel, clip_name="l", clip_model=SmallTextEncoder)
        )


class ScenesModel(SmallModel):
    """The checkpoint that is trained on the scenes: the same network with more latent channels."""

    unet_config = SmallModel.unet_config | {"in_channels": SCENES_LATENT_CHANNELS}
    latent_format = ScenesLatent

    def inpaint_model(self):
        return False  # ComfyUI takes every UNet of more than 4 channels for one


class SmallTransformer(comfy.supported_models.SD3):
    """SD3's transformer, trained on the small model's latents and with its text model."""

    unet_config = comfy.supported_models.SD3.unet_config | {"in_channels": LATENT_CHANNELS}
    latent_format = SmallLatent


class ScenesTransformer(comfy.supported_models.SD3):
    """The same on the latents of the scenes."""

    unet_config = comfy.supported_models.SD3.unet_config | {"in_channels": SCENES_LATENT_CHANNELS}
    latent_format = ScenesLatent


for kind in (SmallTransformer, ScenesTransformer, ScenesModel, SmallModel):  # ScenesModel would match ScenesTransformer's file, too
    if not any(model.__name__ == kind.__name__ for model in comfy.supported_models.models):
        comfy.supported_models.models.append(kind)


class CountNetworkCalls:
    """Passes a MODEL through; every call of its network counts, and GET /ledits_test/calls tells how many there were."""

    calls = 0
    CATEGORY = "LEDITS++/test"
    FUNCTION = "count"
    RETURN_TYPES = ("MODEL",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",)}}

    def count(self, model):
        model = model.clone()
        model.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "ledits_test", self._around)
        return (model,)

    @staticmethod
    def _around(executor, *args, **kwargs):
        CountNetworkCalls.calls += 1
        return executor(*args, **kwargs)


NODE_CLASS_MAPPINGS = {"LEDITS_TEST_CountNetworkCalls": CountNetworkCalls}


def _serve_count() -> None:
    from aiohttp import web
    from server import PromptServer

    @PromptServer.instance.routes.get("/ledits_test/calls")
    async def calls(request):
        return web.json_response({"calls": CountNetworkCalls.calls})


if "server" in sys.modules and hasattr(sys.modules["server"].PromptServer, "instance"):
    _serve_count()
