"""What a person can get wrong, input by input, and the message: node, input, value, what to do."""

from types import SimpleNamespace

from scripts.host.in_comfy import nodes, run
from scripts.host.networks import SD15_SHAPE, family, patcher

import comfy.latent_formats
import comfy.supported_models
import numpy as np
import pytest
import torch
from comfy.model_base import ModelType
from comfy.patcher_extension import WrappersMP

NAN, INF = float("nan"), float("inf")


class UnknownNoise(torch.nn.Module):
    """A kind of noise that the solver does not know."""

    sigma_max = torch.tensor(1.0)


def kept_by(clip):
    """A text encoder of another family: its prompts are 128 wide."""

    class Wide:
        tokenize = staticmethod(clip.tokenize)
        tokenizer = clip.tokenizer

        @staticmethod
        def encode_from_tokens_scheduled(tokens):
            encoded = clip.encode_from_tokens_scheduled(tokens)
            return [[encoding.repeat(1, 1, 2), options] for encoding, options in encoded]

    return Wide()


def no_clip_tokens(clip):
    """A text encoder that is not CLIP, such as T5: its tokens have no place that the pack knows."""

    class Other:
        tokenize = staticmethod(lambda text, **options: {"t5xxl": [[(1, 1.0, 1)]]} if options else clip.tokenize(text))
        encode_from_tokens_scheduled = staticmethod(clip.encode_from_tokens_scheduled)

    return Other()


@pytest.fixture(scope="module")
def world(model, clip, vae, latent, sigmas, encode, inversion, photo):
    """Everything that goes into a node, good and bad."""
    w = SimpleNamespace(model=model, clip=clip, vae=vae, latent=latent, sigmas=sigmas, encode=encode, inversion=inversion, photo=photo)
    w.samples = latent["samples"]
    w.attention = run("LEDITS_ProbeAttention", model=model, latent=latent, clip=clip, text="a red circle")[0]
    w.concept = lambda **inputs: run("LEDITS_Concept", **({"clip": clip, "text": "a red circle"} | inputs))[0]
    w.concepts = w.concept()

    flow = family(SD15_SHAPE, comfy.supported_models.SD15, ModelType.FLOW)
    sixteen = type("Sixteen", (comfy.supported_models.SD15,), {"latent_format": comfy.latent_formats.SD3})
    w.flow = patcher(flow)
    w.wide = patcher(family(SD15_SHAPE | {"context_dim": 128}, comfy.supported_models.SD15))
    w.sixteen = patcher(family(SD15_SHAPE | {"in_channels": 16, "out_channels": 16}, sixteen))
    w.blind = model.clone()
    w.blind.add_object_patch("diffusion_model", torch.nn.Linear(2, 2))
    w.unknown = model.clone()
    w.unknown.add_object_patch("model_sampling", UnknownNoise())
    w.broken = model.clone()
    w.broken.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "broken", lambda executor, *args, **kwargs: executor(*args, **kwargs) * NAN)
    w.store, w.sampled = sample_with_store(w)
    w.resolution = lambda cells: run("LEDITS_AttentionStore", model=model, resolution=cells)[0]
    return w


def sample_with_store(w, cfg=4.0):
    import nodes

    patched, store = run("LEDITS_AttentionStore", model=w.model)
    empty = {"samples": torch.zeros(1, 4, 32, 32)}
    with torch.inference_mode():
        result = nodes.common_ksampler(patched, 1, 2, cfg, "euler", "normal", w.encode("a red circle"), w.encode("a " * 100), empty)[0]
    return store, result


GOOD = {
    "LEDITS_Schedule": lambda w: {"model": w.model},
    "LEDITS_Invert": lambda w: {"model": w.model, "latent": w.latent, "sigmas": w.sigmas, "negative": w.encode("")},
    "LEDITS_Concept": lambda w: {"clip": w.clip, "text": "a red circle"},
    "LEDITS_AttentionStore": lambda w: {"model": w.model},
    "LEDITS_CaptureAttention": lambda w: {"store": w.store, "latent": w.sampled, "clip": w.clip, "text": "a red circle"},
    "LEDITS_ProbeAttention": lambda w: {"model": w.model, "latent": w.latent, "clip": w.clip, "text": "a red circle"},
    "LEDITS_ExtractMask": lambda w: {"attention": w.attention},
    "LEDITS_Heatmap": lambda w: {"image": w.photo, "attention": w.attention},
    "LEDITS_MaskedGuider": lambda w: {"model": w.model, "inversion": w.inversion, "concepts": w.concepts},
    "LEDITS_Edit": lambda w: {"model": w.model, "inversion": w.inversion, "concepts": w.concepts},
    "LEDITS_ReplaySampler": lambda w: {"inversion": w.inversion},
    "LEDITS_SaveInversion": lambda w: {"inversion": w.inversion},
    "LEDITS_LoadInversion": lambda w: {"file": "photo_00001_.inversion.safetensors"},
    "LEDITS_Sweep": lambda w: {"model": w.model, "vae": w.vae, "inversion": w.inversion, "concepts": w.concepts},
}

# node, input, a value or a function of the world that gives it, what the message says after naming both; and other inputs.
CASES = [
    ("Schedule", "model", lambda w: w.unknown, "noise is of the kind 'UnknownNoise', but only eps-, v- and flow-prediction"),
    ("Schedule", "steps", 0, "is 0, but must be a whole number from 1 to 1000"),
    ("Schedule", "steps", 2.5, "is 2.5, but must be a whole number"),
    ("Schedule", "skip", 1.5, "is 1.5, but must be a number from 0.0 to 0.95"),
    ("Schedule", "skip", NAN, "is nan, but must be a number"),
    ("Invert", "model", lambda w: w.unknown, "UnknownNoise"),
    ("Invert", "model", lambda w: w.broken, "prediction at step 0 that is not finite.*another precision"),
    ("Invert", "latent", {}, "is an empty dict, but must be a latent: connect VAE Encode"),
    ("Invert", "latent", lambda w: w.samples, r"is a tensor of shape \[1, 4, 32, 32\], but must be a latent"),
    ("Invert", "latent", {"samples": torch.zeros(1, 4, 8, 8)}, "is empty.*connect an encoded picture"),
    ("Invert", "latent", {"samples": torch.zeros(0, 4, 8, 8)}, r"holds no picture \(shape \[0, 4, 8, 8\]\)"),
    ("Invert", "latent", {"samples": torch.ones(1, 4, 0, 8)}, "holds no picture"),
    ("Invert", "latent", {"samples": torch.ones(1, 16, 8, 8)}, "has 16 channels, but this model works on 4: encode"),
    ("Invert", "latent", {"samples": torch.ones(1, 4, 2, 8, 8)}, r"of shape \[1, 4, 2, 8, 8\], but LEDITS\+\+ edits pictures.*video"),
    ("Invert", "latent", {"samples": torch.ones(4, 8, 8)}, r"of shape \[4, 8, 8\]"),
    ("Invert", "latent", {"samples": torch.full((1, 4, 8, 8), NAN)}, "not finite.*check the picture"),
    ("Invert", "latent", {"samples": torch.full((1, 4, 8, 8), INF)}, "not finite.*check the picture"),
    ("Invert", "latent", lambda w: w.latent | {"noise_mask": torch.full((1, 256, 256), NAN)}, "noise mask with values that are not finite"),
    ("Invert", "sigmas", torch.tensor([1.0, 2.0, 0.0]), "must fall.*entry 0 is 1 and entry 1 is 2"),
    ("Invert", "sigmas", torch.tensor([1.0, 1.0, 0.0]), "must fall"),
    ("Invert", "sigmas", torch.tensor([1.0]), "has 1 entries; at least two"),
    ("Invert", "sigmas", torch.tensor([]), "has 0 entries; at least two"),
    ("Invert", "sigmas", torch.tensor([1.0, NAN]), "not finite"),
    ("Invert", "sigmas", torch.tensor([1.0, -1.0]), "not negative"),
    ("Invert", "sigmas", torch.tensor([[1.0, 0.0]]), r"shape \[1, 2\], but must be one list"),
    ("Invert", "sigmas", torch.tensor([14.6, 0.0]), "begin at 14.6, but the noise of a flow model ends at 1", {"model": lambda w: w.flow}),
    ("Invert", "negative", [], "is an empty conditioning: connect a CLIP Text Encode"),
    ("Invert", "negative", lambda w: w.encode("")[0], "is a list, but must be a conditioning"),
    ("Invert", "negative", lambda w: [[torch.zeros(1, 77, 768), {}]], "encoded 768 wide, but this model reads prompts 64 wide"),
    ("Invert", "negative", lambda w: [[torch.full((1, 77, 64), NAN), {}]], "not finite.*text encoder in another precision"),
    ("Invert", "positive", lambda w: [[torch.zeros(1, 77, 2048), {}]], "encoded 2048 wide"),
    ("Invert", "cfg", 3.0, "is 3, which has no effect without a prompt: connect 'positive'"),
    ("Invert", "cfg", NAN, "is nan, but must be a number from 0.0 to 30.0"),
    ("Invert", "seed", -1, "is -1, but must be a whole number from 0"),
    ("Invert", "seed", 2**64, "is 18446744073709551616, but must be a whole number"),
    ("Concept", "clip", None, r"is not there \(None\), but must be a text encoder: connect"),
    ("Concept", "text", " \n ", "is empty: write what to add or remove"),
    ("Concept", "direction", "sideways", "is 'sideways', but must be one of add, remove"),
    ("Concept", "scale", NAN, "is nan, but must be a number from 0.0 to 50.0"),
    ("Concept", "scale", -2.0, "is -2.0, but must be"),
    ("Concept", "threshold", 1.01, "is 1.01, but must be a number from 0.0 to 1.0"),
    ("Concept", "threshold", NAN, "is nan"),
    ("Concept", "mask_mode", "magic", "is 'magic', but must be one of intersect, attention, noise, none"),
    ("Concept", "warmup", -1, "is -1, but must be a whole number from 0"),
    ("Concept", "cooldown", 3, "is 3, but the concept only begins at warmup 5: raise it", {"warmup": 5}),
    ("Concept", "words", "hat", "'hat' is not a word of the prompt; its words are: a, red, circle"),
    ("Concept", "mask", torch.full((1, 256, 256), NAN), "not finite.*mend the node"),
    ("Concept", "mask", torch.ones(256, 256), r"a tensor of shape \[256, 256\], but must be a mask, \[batch, height, width\]"),
    ("Concept", "mask", torch.ones(0, 256, 256), r"a tensor of shape \[0, 256, 256\]"),
    ("Concept", "concepts", lambda w: w.inversion, "is of the kind PictureInversion, but must be concepts: connect LEDITS"),
    ("AttentionStore", "model", lambda w: w.blind, "is a Linear without cross-attention"),
    ("AttentionStore", "resolution", 4096, "is 4096, but must be a whole number from 0 to 512"),
    ("AttentionStore", "up", False, "is off, and so are 'down' and 'mid': switch at least one", {"down": False}),
    ("AttentionStore", "mid", "yes", "is 'yes', but must be on or off"),
    ("CaptureAttention", "latent", lambda w: w.latent, "was not made by a sampler that used this store's model"),
    ("CaptureAttention", "latent", lambda w: {"samples": torch.full((1, 4, 32, 32), NAN)}, "was not made by a sampler"),
    ("CaptureAttention", "text", "", "has no words"),
    ("CaptureAttention", "text", "a " * 200, "does not fit what was recorded.*exactly as it was sampled"),
    ("CaptureAttention", "text", "x", "encoded by a text encoder that is not CLIP", {"clip": lambda w: no_clip_tokens(w.clip)}),
    ("CaptureAttention", "branch", "middle", "is 'middle', but must be one of positive, negative"),
    ("CaptureAttention", "branch", "negative", "nothing was recorded.*cfg 1 has no negative prompt", lambda w: alone(w)),
    ("CaptureAttention", "store", lambda w: w.model, "is of the kind ModelPatcher, but must be a store"),
    ("Sweep", "column_values", "3, x", "holds 'x', which is no number: write numbers with commas"),
    ("Sweep", "column_values", " , ", "holds no number: write the values to try"),
    ("Sweep", "column_values", "3, 99", "holds 99, but scale must be a number from 0 to 50"),
    ("Sweep", "column_values", "nan", "holds nan, but scale must be a number"),
    ("Sweep", "column_values", "1.5", "holds 1.5, but warmup must be a whole number", {"columns": "warmup"}),
    ("Sweep", "column_values", "0, 1", "cooldown 1 and warmup 2, in which the concept would never act", {"columns": "cooldown"}),
    ("Sweep", "column_values", ",".join(map(str, range(51))), "51 pictures, but a sheet holds 50: write fewer"),
    ("Sweep", "rows", "scale", "is 'scale' like columns: choose another setting, or none", {"row_values": "3"}),
    ("Sweep", "row_values", "", "holds no number", {"rows": "threshold"}),
    ("Sweep", "concept", 1, "is 1, but the chain has 1, counted from 0"),
    ("Sweep", "concepts", (), "is empty: connect LEDITS"),
    ("ProbeAttention", "text", "embedding:gone dog", "names the embedding 'gone', which is not in ComfyUI's models/embeddings: put it there"),
    ("Concept", "text", "a dog, (embedding:gone:1.2)", "names the embedding 'gone'"),
    ("ProbeAttention", "clip", lambda w: kept_by(w.clip), "'a red circle' was encoded 128 wide, but this model reads prompts 64 wide"),
    ("ProbeAttention", "model", lambda w: w.blind, "is a Linear without cross-attention"),
    ("ProbeAttention", "model", lambda w: w.unknown, "UnknownNoise"),
    ("ProbeAttention", "latent", {"samples": torch.zeros(1, 4, 8, 8)}, "is empty"),
    ("ProbeAttention", "latent", {"samples": torch.ones(1, 16, 8, 8)}, "has 16 channels"),
    ("ProbeAttention", "latent", {"samples": torch.full((1, 4, 8, 8), NAN)}, "not finite"),
    ("ProbeAttention", "text", "", "is empty: write the words to look for"),
    ("ProbeAttention", "noise_level", 0.0, "is 0.0, but must be a number from 0.01 to 1.0"),
    ("ProbeAttention", "noise_level", NAN, "is nan"),
    ("ProbeAttention", "seed", -5, "is -5"),
    ("ExtractMask", "attention", lambda w: w.store, "is of the kind AttentionStore, but must be attention maps: connect"),
    ("ExtractMask", "attention", lambda w: nan_maps(w), "maps that are not finite"),
    ("ExtractMask", "concept", 3, "is 3, but the attention holds 1, counted from 0"),
    ("ExtractMask", "concept", -1, "is -1, but must be a whole number from 0 to 63"),
    ("ExtractMask", "concept", 0, "is 0 .*has no maps: its mask_mode used no attention", lambda w: {"attention": unseen(w)}),
    ("ExtractMask", "words", "dog", "'dog' is not a word of the prompt; its words are: a, red, circle"),
    ("ExtractMask", "smoothing", NAN, "is nan, but must be a number from 0.0 to 16.0"),
    ("ExtractMask", "quantile", 1.5, "is 1.5, but must be a number from 0.0 to 1.0"),
    ("ExtractMask", "width", -8, "is -8, but must be a whole number from 0 to 16384"),
    ("ExtractMask", "height", 10**6, "is 1000000, but must be a whole number from 0 to 16384"),
    ("Heatmap", "image", lambda w: w.photo.repeat(3, 1, 1, 1), "holds 3 pictures, but the attention is of 1: connect the same batch"),
    ("Heatmap", "image", torch.full((1, 64, 64, 3), NAN), "not finite"),
    ("Heatmap", "image", torch.ones(1, 64, 64, 1), r"a tensor of shape \[1, 64, 64, 1\], but must be pictures in colour"),
    ("Heatmap", "image", torch.ones(0, 64, 64, 3), r"a tensor of shape \[0, 64, 64, 3\]"),
    ("Heatmap", "concept", 1, "is 1, but the attention holds 1"),
    ("Heatmap", "opacity", NAN, "is nan"),
    ("Edit", "image", torch.ones(1, 256, 200, 3), "is 200x256 pixels, but the photo that was inverted is 256x256: connect the picture that went into VAE Encode"),
    ("Edit", "image", torch.ones(1, 256, 264, 3), "is 264x256 pixels"),
    ("Edit", "image", lambda w: w.photo.repeat(3, 1, 1, 1), "holds 3 pictures, but the inversion is of 1: connect the batch that was inverted"),
    ("Edit", "image", torch.full((1, 256, 256, 3), NAN), "not finite.*mend the node"),
    ("Edit", "image", torch.ones(1, 256, 256, 1), r"a tensor of shape \[1, 256, 256, 1\], but must be pictures in colour"),
    ("Edit", "image", torch.ones(1, 0, 256, 3), r"a tensor of shape \[1, 0, 256, 3\]"),
    ("SaveInversion", "inversion", None, r"is not there \(None\), but must be an inverted photo: connect"),
    ("SaveInversion", "filename_prefix", "../away", "'../away' leads out of the output folder"),
    ("LoadInversion", "file", "away.inversion.safetensors", "'away.inversion.safetensors' is not there any more: refresh"),
    ("LoadInversion", "file", "../away.inversion.safetensors", "is not the name of a file below its folder"),
    ("LoadInversion", "file", None, r"is not there \(None\), but must be an entry of the list"),
    ("ReplaySampler", "inversion", lambda w: w.latent, "is a dict, but must be an inverted photo"),
]  # fmt: skip

# Whatever edits says the same.
for editor in ("Edit", "MaskedGuider"):
    CASES += [
        (editor, "inversion", None, r"is not there \(None\), but must be an inverted photo"),
        (editor, "model", lambda w: w.latent, "is a dict, but must be a model"),
        (editor, "inversion", lambda w: w.inversion, "another kind of model .*context_dim 64.*context_dim 128.*invert again", {"model": lambda w: w.wide}),
        (editor, "inversion", lambda w: w.inversion, "another kind of model", {"model": lambda w: w.flow}),
        (editor, "inversion", lambda w: w.inversion, "another kind of model", {"model": lambda w: w.sixteen}),
        (editor, "inversion", lambda w: flow_inversion(w), "another kind of model"),
        (editor, "concepts", "glasses", "is 'glasses', but must be concepts"),
        (editor, "concepts", lambda w: w.concept(mask=torch.ones(1, 100, 256)), "mask of concept 1 .*is 256x100 pixels, but the picture is 256x256"),
        (editor, "concepts", lambda w: w.concept(mask=torch.ones(3, 256, 256)), "holds 3 masks for 1 pictures: give one"),
        (editor, "concepts", lambda w: w.concept(clip=kept_by(w.clip)), r"concept 1 \('a red circle'\) was encoded 128 wide, but this model reads prompts 64 wide"),
        (editor, "concepts", lambda w: w.concept(clip=no_clip_tokens(w.clip)), "not CLIP.*choose mask_mode 'noise' or 'none'"),
        (editor, "positive", [], "is an empty conditioning"),
        (editor, "positive", lambda w: [[torch.zeros(1, 77, 128), {}]], "encoded 128 wide"),
        (editor, "negative", lambda w: [[torch.full((1, 77, 64), NAN), {}]], "not finite"),
        (editor, "model", lambda w: w.blind, r"so concept 1 \('a red circle'\) cannot use mask_mode 'intersect': choose 'noise' or 'none'"),
        (editor, "cfg", 4.0, "is 4, which has no effect without a prompt"),
        (editor, "cfg", NAN, "is nan, but must be a number from 0.0 to 30.0"),
        (editor, "cfg", -1.0, "is -1.0, but must be"),
    ]  # fmt: skip


def alone(w):
    """Sampled without a negative prompt."""
    store, sampled = sample_with_store(w, cfg=1.0)
    return {"store": store, "latent": sampled}


def unseen(w):
    """The attention of an edit whose concept used none."""
    return run("LEDITS_Edit", model=w.model, inversion=w.inversion, concepts=w.concept(mask_mode="noise"))[1]


def nan_maps(w):
    return run("LEDITS_ProbeAttention", model=blurred(w), latent=w.latent, clip=w.clip, text="a red circle")[0]


def blurred(w):
    """A model whose queries become NaN, as they do where half precision overflows."""
    model = w.model.clone()
    model.set_model_attn2_patch(lambda query, key, value, options: (query * NAN, key, value))
    return model


def flow_inversion(w):
    sigmas = run("LEDITS_Schedule", model=w.flow, steps=2, skip=0.1)[0]
    return run("LEDITS_Invert", model=w.flow, latent=w.latent, sigmas=sigmas, negative=w.encode(""))[0]


def given(value, world):
    return value(world) if callable(value) and getattr(value, "__name__", "") == "<lambda>" else value


def refusal(node_id, inputs):
    """The message with which a node refuses its inputs, after the part that names node and input."""
    with pytest.raises(ValueError) as caught:
        run(node_id, **inputs)
    assert type(caught.value).__name__ == "LeditsInputError", repr(caught.value)
    return str(caught.value)


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    import folder_paths

    for kind in ("input", "output"):
        (tmp_path / kind).mkdir()
        monkeypatch.setattr(folder_paths, f"{kind}_directory", str(tmp_path / kind))


@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{node}-{name}-{message[:30]}" for node, name, _, message, *_ in CASES])
def test_the_message_names_node_input_and_value_and_says_what_to_do(number, world):
    import re

    node, name, value, message, *others = CASES[number]
    node_id = f"LEDITS_{node}"
    inputs = GOOD[node_id](world) | {name: given(value, world)}
    for other in others:
        inputs |= {key: given(inner, world) for key, inner in given(other, world).items()}
    said = refusal(node_id, inputs)
    opening = f"{nodes()[node_id].GET_SCHEMA().display_name}, input '{name}': "
    assert said.startswith(opening)
    assert re.search(message, said.removeprefix(opening), re.DOTALL), said


INPUTS = [(node_id, item.id) for node_id, node in nodes().items() for item in node.GET_SCHEMA().inputs]


def test_the_table_knows_every_node():
    assert {f"LEDITS_{node}" for node, *_ in CASES} == set(nodes()) == set(GOOD)
    assert len(CASES) > 100


@pytest.mark.parametrize(("node_id", "name"), INPUTS)
@pytest.mark.parametrize(
    "value", [object(), np.zeros(3), torch.zeros(2, 2), {"a": 1}, ("x",)], ids=["object", "array", "tensor", "dict", "tuple"]
)
def test_what_an_untyped_node_passes_on_is_refused_by_name(node_id, name, value, world):
    if name == "sigmas" and isinstance(value, torch.Tensor):
        value = value[None]  # a tensor is the right kind there
    said = refusal(node_id, GOOD[node_id](world) | {name: value})
    assert said.startswith(f"{nodes()[node_id].GET_SCHEMA().display_name}, input '{name}': ")


@pytest.mark.parametrize("node_id", ["LEDITS_Edit", "LEDITS_MaskedGuider"])
def test_an_impossible_map_resolution_is_the_stores_fault(node_id, world):
    said = refusal(node_id, GOOD[node_id](world) | {"model": world.resolution(20)})
    assert said.startswith(
        "LEDITS++ Attention Store, input 'resolution': resolution is 20, but maps of this 32x32 latent can have 32, 16, 8"
    )


# What only shows while sampling


def test_an_impossible_map_resolution_under_a_plain_sampler(world):
    import nodes

    inputs = (1, 2, 4.0, "euler", "normal", world.encode("a red circle"), world.encode(""), world.latent)
    message = r"Attention Store, input 'resolution': resolution is 20, but .* can have 32, 16, 8"
    with pytest.raises(ValueError, match=message), torch.inference_mode():
        nodes.common_ksampler(world.resolution(20), *inputs)


def sample(guider, sampler, sigmas, samples):
    with torch.inference_mode():
        return guider.sample(torch.zeros_like(samples), samples, sampler, sigmas)


def test_a_model_that_gives_nan_makes_no_black_picture(world):
    said = refusal("LEDITS_Edit", GOOD["LEDITS_Edit"](world) | {"model": world.broken})
    assert "input 'model': gave predictions that are not finite" in said
    guider = run("LEDITS_MaskedGuider", model=world.broken, inversion=world.inversion, concepts=world.concept(mask_mode="none"))[0]
    sampler, sigmas, latent, _ = run("LEDITS_ReplaySampler", inversion=world.inversion)
    with pytest.raises(ValueError, match=r"not finite.*another precision"):
        sample(guider, sampler, sigmas, latent["samples"])


@pytest.mark.parametrize(
    ("samples", "cut", "message"),
    [
        (torch.ones(1, 4, 16, 16), 0, "the latent is 1 x 4 channels x 16 x 16 cells, but the inversion holds 1 x 4 channels x 32 x 32"),
        (torch.ones(2, 4, 32, 32), 0, "the latent is 2 x 4 channels.*Connect the Replay Sampler's own latent"),
        (torch.ones(1, 4, 32, 32), 1, "these sigmas are not the inversion's. Connect the Replay Sampler's own sigmas"),
    ],
)
def test_a_latent_or_sigmas_that_are_not_the_inversions(world, samples, cut, message):
    guider = run("LEDITS_MaskedGuider", model=world.model, inversion=world.inversion, concepts=world.concepts)[0]
    sampler, sigmas, _, _ = run("LEDITS_ReplaySampler", inversion=world.inversion)
    with pytest.raises(ValueError, match=f"LEDITS\\+\\+ Replay Sampler: {message}"):
        sample(guider, sampler, sigmas[cut:], samples)


def test_two_inversions_in_one_graph_are_not_mixed_up(world):
    other = run("LEDITS_Invert", **GOOD["LEDITS_Invert"](world), seed=5)[0]
    guider = run("LEDITS_MaskedGuider", model=world.model, inversion=world.inversion, concepts=world.concepts)[0]
    sampler, sigmas, latent, _ = run("LEDITS_ReplaySampler", inversion=other)
    with pytest.raises(ValueError, match="different inversions"):
        sample(guider, sampler, sigmas, latent["samples"])


# What ComfyUI refuses by the nodes' schemas, before anything runs

SOURCES = {
    "MODEL": ["LEDITS_AttentionStore", 0], "LATENT": ["LEDITS_Edit", 0], "SIGMAS": ["LEDITS_Schedule", 0], "MASK": ["LEDITS_ExtractMask", 0],
    "IMAGE": ["LEDITS_Heatmap", 0], "LEDITS_INVERSION": ["LEDITS_Invert", 0], "LEDITS_CONCEPTS": ["LEDITS_Concept", 0],
    "LEDITS_STORE": ["LEDITS_AttentionStore", 1], "LEDITS_ATTENTION": ["LEDITS_ProbeAttention", 0],
}  # fmt: skip
"""An output of each kind, by node and place."""


def refused(node_id, monkeypatch, **wrong):
    """The names of the inputs that ComfyUI's own validation refuses, and why."""
    import asyncio

    import execution

    import nodes as comfy_nodes

    for name, node in nodes().items():
        monkeypatch.setitem(comfy_nodes.NODE_CLASS_MAPPINGS, name, node)
    graph = {name: {"class_type": name, "inputs": {}} for name in nodes()}
    graph["tested"] = {"class_type": node_id, "inputs": wrong}
    errors = asyncio.run(execution.validate_inputs("test", graph, "tested", {}))[1]
    return {error["extra_info"]["input_name"]: error["type"] for error in errors}


@pytest.mark.parametrize(("node_id", "name"), INPUTS)
def test_a_link_of_another_kind_is_refused(node_id, name, monkeypatch):
    item = next(item for item in nodes()[node_id].GET_SCHEMA().inputs if item.id == name)
    for kind, source in SOURCES.items():
        if kind != item.get_io_type():
            assert refused(node_id, monkeypatch, **{name: source})[name] == "return_type_mismatch", kind


@pytest.mark.parametrize(("node_id", "name"), INPUTS)
def test_what_is_missing_or_out_of_range_is_refused(node_id, name, monkeypatch):
    import comfy_api.latest._io as kinds

    item = next(item for item in nodes()[node_id].GET_SCHEMA().inputs if item.id == name)
    if not item.optional:
        assert refused(node_id, monkeypatch)[name] == "required_input_missing"
    if isinstance(item, kinds.Int.Input | kinds.Float.Input):
        assert refused(node_id, monkeypatch, **{name: item.min - 1})[name] == "value_smaller_than_min"
        assert refused(node_id, monkeypatch, **{name: item.max + 1})[name] == "value_bigger_than_max"
        assert refused(node_id, monkeypatch, **{name: "many"})[name] == "invalid_input_type"
    if isinstance(item, kinds.Combo.Input):
        assert refused(node_id, monkeypatch, **{name: "something else"})[name] == "value_not_in_list"
