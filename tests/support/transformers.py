"""Every family of image transformers that ComfyUI has: its own classes with a few narrow random blocks, and random encodings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scripts.host.networks import patcher

import comfy.samplers
import torch
from comfy import supported_models
from comfy.ldm.chroma_radiance.model import ChromaRadianceParams
from comfy.model_patcher import ModelPatcher
from torch import Tensor

Conditioning = list[list[Any]]
Options = dict[str, Any]


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def mask_of(seed: int, tokens: int) -> Options:
    return {"attention_mask": torch.ones(1, tokens, dtype=torch.long)}


@dataclass(frozen=True)
class Transformer:
    """One family.

    Attributes:
        base: ComfyUI's configuration of it; the oldest supported host does not have all.
        width: of the encodings.
        starts: where text and image begin among the keys and among the queries, for so many columns and image tokens.
        mixes_text: whether the text's tokens see each other before they meet the image's.
        pads: whether a latent may end within a patch.
        grid: rows and columns of patches; a network may need more than these few.
        options: what a conditioning has beside the encoding.
        fixed_tokens: of the encoding, where the words are elsewhere too.
        columns: of the maps, for so many tokens of words.
        is_held_twice: whether the words' tokens, the last columns, are among the keys once more, right behind.
    """

    base: str
    config: Options
    channels: int
    blocks: int
    width: int = 48
    patch: int = 2
    starts: Callable[[int, int], tuple[int, int]] = lambda text, image: (0, text)
    mixes_text: bool = False
    pooled: int = 0
    has_frames: bool = False
    pads: bool = True
    grid: tuple[int, int] = (5, 3)
    options: Callable[[int, int], Options] = lambda seed, tokens: {}
    fixed_tokens: int = 0
    columns: Callable[[int], int] = lambda tokens: tokens
    is_held_twice: bool = False

    @property
    def is_there(self) -> bool:
        return hasattr(supported_models, self.base)

    def model(self) -> ModelPatcher:
        class Family(getattr(supported_models, self.base)):
            unet_extra_config: Options = {}
            supported_inference_dtypes = [torch.float32]

        config = Family(dict(self.config))
        config.set_inference_dtype(torch.float32, None)
        model = patcher(config, branches=0.5)
        if self.base == "SD3":
            positions = model.model.diffusion_model.pos_embed
            positions.copy_(noise(9, *positions.shape))  # no parameter, so it has no values yet
        return model

    @property
    def size(self) -> tuple[int, int]:
        """Of a latent whose last patches are not full."""
        rows, columns = self.grid
        less = self.patch // 2 if self.pads else 0
        return rows * self.patch - less, columns * self.patch - less

    def latent(self, height: int, width: int, batch: int = 1, seed: int = 0) -> Tensor:
        return noise(seed, batch, self.channels, *((1,) if self.has_frames else ()), height, width)

    def prompt(self, seed: int, tokens: int = 9) -> Conditioning:
        pooled = {"pooled_output": noise(seed + 7, 1, self.pooled) if self.pooled else None}
        return [[noise(seed, 1, self.fixed_tokens or tokens, self.width), pooled | self.options(seed, tokens)]]


def image_first(text: int, image: int) -> tuple[int, int]:
    return image, 0


def apart(text: int, image: int) -> tuple[int, int]:
    return 0, 0


FLUX: Options = {
    "image_model": "flux", "in_channels": 16, "out_channels": 16, "vec_in_dim": 24, "context_in_dim": 48, "hidden_size": 64,
    "mlp_ratio": 4.0, "num_heads": 4, "depth": 2, "depth_single_blocks": 2, "axes_dim": [4, 6, 6], "theta": 10000, "patch_size": 2,
    "qkv_bias": True, "guidance_embed": True, "txt_ids_dims": [],
}  # fmt: skip
CHROMA: Options = {key: value for key, value in FLUX.items() if key != "guidance_embed"} | {
    "image_model": "chroma", "in_channels": 64, "out_channels": 64, "in_dim": 64, "out_dim": 64, "hidden_dim": 64, "n_layers": 2,
}  # fmt: skip
LUMINA: Options = {
    "image_model": "lumina2", "patch_size": 2, "in_channels": 16, "dim": 64, "cap_feat_dim": 48, "n_layers": 3, "n_refiner_layers": 1,
    "qk_norm": True, "n_heads": 4, "n_kv_heads": 2, "axes_dims": [4, 6, 6], "axes_lens": [300, 512, 512], "rope_theta": 10000.0,
    "ffn_dim_multiplier": 4.0, "multiple_of": 16,
}  # fmt: skip
Z_IMAGE: Options = LUMINA | {
    "dim": 256, "axes_dims": [16, 24, 24], "n_kv_heads": 4, "z_image_modulation": True, "time_scale": 1000.0, "pad_tokens_multiple": 32,
    "rope_theta": 256.0,
}  # fmt: skip
COSMOS: Options = {
    "image_model": "cosmos_predict2", "max_img_h": 240, "max_img_w": 240, "max_frames": 128, "in_channels": 16, "out_channels": 16,
    "patch_spatial": 2, "patch_temporal": 1, "model_channels": 128, "concat_padding_mask": True, "crossattn_emb_channels": 48,
    "pos_emb_cls": "rope3d", "pos_emb_learnable": True, "pos_emb_interpolation": "crop", "min_fps": 1, "max_fps": 30,
    "use_adaln_lora": True, "adaln_lora_dim": 16, "num_blocks": 3, "num_heads": 4, "extra_per_block_abs_pos_emb": False,
    "rope_h_extrapolation_ratio": 4.0, "rope_w_extrapolation_ratio": 4.0, "rope_t_extrapolation_ratio": 1.0,
    "extra_h_extrapolation_ratio": 1.0, "extra_w_extrapolation_ratio": 1.0, "extra_t_extrapolation_ratio": 1.0,
    "rope_enable_fps_modulation": False,
}  # fmt: skip
PIXART: Options = {
    "num_heads": 4, "patch_size": 2, "hidden_size": 96, "in_channels": 4, "depth": 3, "caption_channels": 48, "model_max_length": 300,
}  # fmt: skip
HIDREAM_O1: Options = {
    "image_model": "hidream_o1",
    "text_config_overrides": {
        "vocab_size": 151936, "hidden_size": 128, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 1,
        "num_key_value_heads": 1,
    },
    "vision_config_overrides": {
        "hidden_size": 32, "num_heads": 2, "intermediate_size": 64, "depth": 1, "deepstack_visual_indexes": (),
    },
}  # fmt: skip


def t5_ids(seed: int, tokens: int) -> Options:
    ids = torch.randint(5, 30000, (tokens,), generator=torch.Generator().manual_seed(seed), dtype=torch.int)
    return {"t5xxl_ids": ids, "t5xxl_weights": torch.ones(tokens)}


def o1_ids(seed: int, tokens: int) -> Options:
    """A prompt in its template."""
    ids = torch.randint(100, 150000, (1, tokens), generator=torch.Generator().manual_seed(seed))
    before, after = [[151644, 872, 198]], [[151645, 198, 151644, 77091, 198, 151669, 151673]]
    return {"text_input_ids": torch.cat([torch.tensor(before), ids, torch.tensor(after)], 1)}


def mt5(seed: int, tokens: int) -> Options:
    seen = [(torch.arange(length) < tokens).long()[None] for length in (77, 256)]
    return {"conditioning_mt5xl": noise(seed + 3, 1, 256, 64), "attention_mask": seen[0], "attention_mask_mt5xl": seen[1]}


TRANSFORMERS: dict[str, Transformer] = {
    "SD3": Transformer(
        "SD3",
        {
            "in_channels": 16, "out_channels": 16, "depth": 2, "input_size": None, "patch_size": 2, "adm_in_channels": 40,
            "pos_embed_scaling_factor": None, "num_patches": 32 * 32, "pos_embed_max_size": 32, "qk_norm": "rms",
            "context_embedder_config": {"target": "torch.nn.Linear", "params": {"in_features": 48, "out_features": 128}},
            "x_block_self_attn_layers": [0], "num_blocks": 3,
        },
        channels=16, blocks=3, pooled=40,
    ),
    "AuraFlow": Transformer(
        "AuraFlow",
        {"dim": 64, "n_layers": 4, "n_double_layers": 2, "n_heads": 4, "global_conddim": 64, "cond_seq_dim": 48, "max_seq": 32 * 32},
        channels=4, blocks=4, starts=lambda text, image: (8, 8 + text),
    ),
    "Flux.1 dev": Transformer("Flux", FLUX, channels=16, blocks=4, pooled=24),
    "Flux.1 schnell": Transformer("FluxSchnell", FLUX | {"guidance_embed": False}, channels=16, blocks=4, pooled=24),
    "Flux.2": Transformer(
        "Flux2",
        FLUX | {
            "image_model": "flux2", "in_channels": 128, "out_channels": 128, "vec_in_dim": None, "axes_dim": [4, 4, 4, 4],
            "patch_size": 1, "global_modulation": True, "mlp_silu_act": True, "qkv_bias": False, "ops_bias": False,
            "default_ref_method": "index", "ref_index_scale": 10.0, "txt_ids_dims": [3],
        },
        channels=128, blocks=4, patch=1, starts=lambda text, image: (512 - text, 512),
    ),
    "LongCat-Image": Transformer(
        "LongCatImage", FLUX | {"vec_in_dim": None, "guidance_embed": False, "txt_ids_dims": [1, 2]}, channels=16, blocks=4
    ),
    "Ovis-Image": Transformer(
        "FluxSchnell",
        FLUX | {"vec_in_dim": None, "guidance_embed": False, "txt_ids_dims": [1, 2], "yak_mlp": True, "txt_norm": True},
        channels=16, blocks=4,
    ),
    "Chroma": Transformer("Chroma", CHROMA, channels=16, blocks=4),
    "Chroma Radiance": Transformer(
        "ChromaRadiance",
        CHROMA | {
            "image_model": "chroma_radiance", "in_channels": 3, "out_channels": 3, "patch_size": 8, "nerf_hidden_size": 16,
            "nerf_mlp_ratio": 2, "nerf_depth": 1, "nerf_max_freqs": 4, "nerf_tile_size": 512, "nerf_final_head_type": "conv",
            "nerf_embedder_dtype": torch.float32, "use_x0": False,
        } | {name: False for name in ("use_sequential_txt_ids",) if name in ChromaRadianceParams.__dataclass_fields__},
        channels=3, blocks=4, patch=8,
    ),
    "Qwen-Image": Transformer(
        "QwenImage",
        {
            "image_model": "qwen_image", "in_channels": 64, "num_layers": 3, "attention_head_dim": 16, "num_attention_heads": 4,
            "joint_attention_dim": 48, "axes_dims_rope": (4, 6, 6),
        },
        channels=16, blocks=3, has_frames=True, options=mask_of,
    ),
    "Mage-Flow": Transformer(
        "MageFlow",
        {
            "image_model": "mage_flow", "in_channels": 128, "num_layers": 3, "attention_head_dim": 16, "num_attention_heads": 4,
            "joint_attention_dim": 48, "axes_dims_rope": (4, 6, 6),
        },
        channels=128, blocks=3, patch=1,
    ),
    "Krea 2": Transformer(
        "Krea2",
        {
            "image_model": "krea2", "features": 64, "tdim": 256, "txtdim": 16, "heads": 2, "kvheads": 1, "multiplier": 4, "layers": 3,
            "patch": 2, "channels": 16, "txtlayers": 3, "txtheads": 2, "txtkvheads": 2,
        },
        channels=16, blocks=3, has_frames=True, mixes_text=True,
    ),
    "Lumina 2": Transformer("Lumina2", LUMINA, channels=16, blocks=3, mixes_text=True, options=mask_of),
    "Z-Image": Transformer(
        "ZImage", Z_IMAGE, channels=16, blocks=3, mixes_text=True, options=mask_of, starts=lambda text, image: (0, 32)
    ),
    "Z-Image in pixels": Transformer(
        "ZImagePixelSpace",
        Z_IMAGE | {
            "image_model": "zimage_pixel", "in_channels": 3, "patch_size": 8, "decoder_hidden_size": 32, "decoder_num_res_blocks": 1,
            "decoder_in_channels": 192, "decoder_max_freqs": 4,
        },
        channels=3, blocks=3, patch=8, mixes_text=True, options=mask_of, starts=lambda text, image: (0, 32),
    ),
    "OmniGen 2": Transformer(
        "Omnigen2",
        {
            "image_model": "omnigen2", "axes_dim_rope": [4, 6, 6], "axes_lens": [1024, 1664, 1664], "ffn_dim_multiplier": None,
            "hidden_size": 64, "in_channels": 16, "multiple_of": 16, "norm_eps": 1e-5, "num_attention_heads": 4, "num_kv_heads": 2,
            "num_layers": 3, "num_refiner_layers": 1, "out_channels": None, "patch_size": 2, "text_feat_dim": 48,
            "timestep_scale": 1000.0,
        },
        channels=16, blocks=3, mixes_text=True, options=mask_of,
    ),
    "Boogu": Transformer(
        "Boogu",
        {
            "image_model": "boogu", "hidden_size": 64, "num_layers": 2, "num_double_stream_layers": 2, "num_refiner_layers": 1,
            "instruction_feat_dim": 48, "num_attention_heads": 4, "num_kv_heads": 2, "axes_dim_rope": (4, 6, 6), "multiple_of": 16,
        },
        channels=16, blocks=4, mixes_text=True, options=mask_of,
    ),
    "Ideogram 4": Transformer(
        "Ideogram4",
        {
            "image_model": "ideogram4", "in_channels": 128, "num_layers": 3, "num_attention_heads": 1, "attention_head_dim": 256,
            "intermediate_size": 128, "adaln_dim": 32, "llm_features_dim": 48,
        },
        channels=128, blocks=3, patch=1,
    ),
    "JoyImage": Transformer(
        "JoyImage",
        {
            "image_model": "joyimage", "hidden_size": 64, "num_attention_heads": 4, "text_dim": 48, "num_layers": 3,
            "rope_dim_list": [4, 6, 6], "theta": 10000,
        },
        channels=16, blocks=3, has_frames=True, starts=image_first,
    ),
    "Ernie-Image": Transformer(
        "ErnieImage",
        {
            "image_model": "ernie", "hidden_size": 64, "num_attention_heads": 4, "num_layers": 3, "ffn_hidden_size": 128,
            "text_in_dim": 48, "rope_axes_dim": (4, 6, 6),
        },
        channels=128, blocks=3, patch=1, starts=image_first,
    ),
    "Lens": Transformer(
        "Lens",
        {
            "image_model": "lens", "in_channels": 128, "out_channels": 32, "num_layers": 3, "attention_head_dim": 16,
            "num_attention_heads": 4, "enc_hidden_dim": 24, "axes_dims_rope": (4, 6, 6), "selected_layer_index": (0, 1),
        },
        channels=128, blocks=3, patch=1, starts=image_first, options=mask_of,
    ),
    "PixelDiT": Transformer(
        "PixelDiTT2I",
        {
            "image_model": "pixeldit_t2i", "num_groups": 4, "hidden_size": 64, "pixel_hidden_size": 8, "pixel_attn_hidden_size": 32,
            "pixel_num_groups": 2, "patch_depth": 3, "pixel_depth": 1, "patch_size": 8, "txt_embed_dim": 48,
        },
        channels=3, blocks=3, patch=8,
    ),
    "Hunyuan-Image 2.1": Transformer(
        "HunyuanImage21",
        {
            "image_model": "hunyuan_video", "in_channels": 64, "patch_size": [1, 1], "out_channels": 64, "vec_in_dim": None,
            "axes_dim": [8, 8], "meanflow": False, "context_in_dim": 48, "hidden_size": 64, "mlp_ratio": 4.0, "num_heads": 4, "depth": 2,
            "depth_single_blocks": 2, "theta": 256, "qkv_bias": True, "byt5": True, "guidance_embed": False,
            "use_cond_type_embedding": False, "vision_in_dim": None, "meanflow_sum": False,
        },
        channels=64, blocks=4, patch=1, mixes_text=True, columns=lambda tokens: tokens + 6,
        options=lambda seed, tokens: {"conditioning_byt5small": noise(seed + 5, 1, 6, 1472)},
    ),
    "HiDream-I1": Transformer(
        "HiDream",
        {
            "image_model": "hidream", "attention_head_dim": 16, "axes_dims_rope": [4, 6, 6], "caption_channels": [48, 40],
            "max_resolution": [128, 128], "in_channels": 16, "llama_layers": [0, 1, 2, 2], "num_attention_heads": 4,
            "num_routed_experts": 2, "num_activated_experts": 1, "num_layers": 2, "num_single_layers": 2, "out_channels": 16,
            "patch_size": 2, "text_emb_dim": 24,
        },
        channels=16, blocks=4, pooled=24, fixed_tokens=16, starts=image_first, columns=lambda tokens: 16 + tokens, is_held_twice=True,
        options=lambda seed, tokens: {"conditioning_llama3": noise(seed + 2, 1, 3, tokens, 40)},
    ),
    "HiDream-O1": Transformer(
        "HiDreamO1", HIDREAM_O1, channels=3, blocks=3, width=8, patch=32, pads=False, fixed_tokens=1, options=o1_ids,
        columns=lambda tokens: tokens + 10, starts=lambda text, image: (0, 1),
    ),
    "Cosmos-Predict2": Transformer("CosmosT2IPredict2", COSMOS, channels=16, blocks=3, has_frames=True, starts=apart),
    "Anima": Transformer(
        "Anima", COSMOS | {"image_model": "anima", "crossattn_emb_channels": 1024}, channels=16, blocks=3, width=1024, has_frames=True,
        starts=apart, mixes_text=True, options=t5_ids, columns=lambda tokens: 512,
    ),
    "Wan 2.1": Transformer(
        "WAN21_T2V",
        {
            "image_model": "wan2.1", "model_type": "t2v", "dim": 64, "out_dim": 16, "num_heads": 4, "ffn_dim": 128, "num_layers": 3,
            "patch_size": (1, 2, 2), "freq_dim": 256, "window_size": (-1, -1), "qk_norm": True, "cross_attn_norm": True, "eps": 1e-6,
            "in_dim": 16, "text_dim": 48,
        },
        channels=16, blocks=3, has_frames=True, starts=apart,
    ),
    "Kandinsky 5": Transformer(
        "Kandinsky5Image",
        {
            "image_model": "kandinsky5", "model_dim": 64, "axes_dims": (4, 6, 6), "rope_scale_factor": (1.0, 1.0, 1.0), "time_dim": 32,
            "ff_dim": 128, "visual_embed_dim": 64, "num_text_blocks": 1, "num_visual_blocks": 3, "in_text_dim": 48, "in_text_dim2": 24,
        },
        channels=16, blocks=3, pooled=24, pads=False, starts=apart, mixes_text=True,
    ),
    "PixArt-alpha": Transformer(
        "PixArtAlpha", PIXART | {"image_model": "pixart_alpha", "micro_condition": True, "pe_interpolation": None}, channels=4, blocks=3,
        pads=False, grid=(18, 16), starts=apart,
    ),
    "PixArt-Sigma": Transformer(
        "PixArtSigma", PIXART | {"image_model": "pixart_sigma", "micro_condition": False, "pe_interpolation": 2}, channels=4, blocks=3,
        pads=False, grid=(18, 16), starts=apart,
    ),
    "Hunyuan-DiT": Transformer(
        "HunyuanDiT",
        {
            "image_model": "hydit", "depth": 4, "hidden_size": 64, "num_heads": 4, "text_states_dim": 48, "text_states_dim_t5": 64,
            "mlp_ratio": 4.0,
        },
        channels=4, blocks=4, pads=False, fixed_tokens=77, columns=lambda tokens: 77 + 256, starts=apart, options=mt5,
    ),
    "Stable Cascade": Transformer(
        "Stable_Cascade_C",
        {
            "stable_cascade_stage": "c", "c_in": 16, "c_out": 16, "c_r": 64, "patch_size": 1, "c_cond": 64, "c_hidden": [64, 64],
            "nhead": [4, 4], "blocks": [[1, 1], [1, 1]], "block_repeat": [[1, 1], [1, 1]], "c_clip_text": 48, "c_clip_text_pooled": 24,
            "c_clip_img": 768,
        },
        channels=16, blocks=4, patch=1, pooled=24, starts=lambda text, image: (image, 0),
    ),
}  # fmt: skip


class _Ask(comfy.samplers.Sampler):
    """A sampler that hands what ComfyUI prepared to a function, and keeps what that returns."""

    answer: Any

    def __init__(self, ask: Callable[..., Any]):
        self._ask = ask

    def sample(self, model_wrap, sigmas, extra_args, callback, noise, latent_image=None, denoise_mask=None, disable_pbar=False) -> Tensor:
        self.answer = self._ask(model_wrap, extra_args["model_options"])
        return latent_image


def ask_in_sampling(model: ModelPatcher, prompts: dict[str, Conditioning], latent: Tensor, ask: Callable[..., Any]) -> Any:
    """What `ask(guider, level, model_options)` returns while ComfyUI samples this model at half of its noise levels."""
    guider = comfy.samplers.CFGGuider(model)
    guider.inner_set_conds(prompts)
    table = model.get_model_object("model_sampling").sigmas
    sigmas = torch.tensor([float(table[len(table) // 2]), 0.0])
    sampler = _Ask(lambda _, options: ask(guider, sigmas[0], options))
    with torch.inference_mode():
        guider.sample(torch.zeros_like(latent), latent, sampler, sigmas, disable_pbar=True, seed=1)
    return sampler.answer
