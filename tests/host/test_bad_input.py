"""What a user can get wrong: each error names the node, the input and the value, and says what to do.

The errors' sentences may change: the tests ask for the value, and for at most one word of what to do.
"""

import inspect
import re
from types import SimpleNamespace

from scripts.host.in_comfy import nodes, run
from scripts.host.networks import SD15_LEVELS, SD15_SHAPE, family, patcher

import comfy.latent_formats
import comfy.samplers
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


def wide_text_encoder(clip):
    """A text encoder of another family: its prompts are 128 wide."""

    class Wide:
        tokenize = staticmethod(clip.tokenize)
        tokenizer = clip.tokenizer
        cond_stage_model = clip.cond_stage_model

        @staticmethod
        def encode_from_tokens_scheduled(tokens):
            encoded = clip.encode_from_tokens_scheduled(tokens)
            return [[encoding.repeat(1, 1, 2), options] for encoding, options in encoded]

    return Wide()


def other_text_encoder(clip):
    """A text encoder of another pack: what its model does with the tokens is not known."""

    class Other:
        cond_stage_model = torch.nn.Sequential(torch.nn.Linear(2, 2))
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
    w.flow = patcher(flow)
    # Both have the small model's family name: one differs only in its noise, the other only in its number of channels.
    w.turned_to_flow = model.clone()
    w.turned_to_flow.add_object_patch("model_sampling", w.flow.get_model_object("model_sampling"))
    latents = type(type(model.get_model_object("latent_format")).__name__, (comfy.latent_formats.SD3,), {})
    sixteen = type("Sixteen", (comfy.supported_models.SD15,), {"latent_format": latents})
    w.wide = patcher(family(SD15_SHAPE | {"context_dim": 128}, comfy.supported_models.SD15))
    w.sixteen = patcher(family(SD15_SHAPE | {"in_channels": 16, "out_channels": 16}, sixteen))
    w.blind = model.clone()
    w.blind.add_object_patch("diffusion_model", torch.nn.Linear(2, 2))
    w.unknown = model.clone()
    w.unknown.add_object_patch("model_sampling", UnknownNoise())
    w.broken = model.clone()
    w.broken.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "broken", lambda executor, *args, **kwargs: executor(*args, **kwargs) * NAN)
    w.cached = model.clone()
    w.cached.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "shortcut", lambda executor, x, *args, **kwargs: 0.1 * x)
    w.store, w.sampled = sample_with_store(w)
    w.resolution = lambda cells: run("LEDITS_AttentionStore", model=model, resolution=cells)[0]
    return w


def sample_with_store(w, cfg=4.0, model=None):
    import nodes

    patched, store = run("LEDITS_AttentionStore", model=model or w.model)
    empty = {"samples": torch.zeros(1, 4, 32, 32)}
    with torch.inference_mode():
        result = nodes.common_ksampler(patched, 1, 2, cfg, "euler", "normal", w.encode("a red circle"), w.encode("a " * 100), empty)[0]
    return store, result


GOOD = {
    "LEDITS_FitPhoto": lambda w: {"model": w.model, "image": w.photo},
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


def display_name(node_id):
    return nodes()[node_id].GET_SCHEMA().display_name


def refusal(node_id, inputs, name, raised_by=None):
    """What the error says after it has named the node and the input."""
    with pytest.raises(ValueError) as caught:
        run(node_id, **inputs)
    assert type(caught.value).__name__ == "LeditsInputError", repr(caught.value)
    opening = f"{raised_by or display_name(node_id)}, input '{name}': "
    assert str(caught.value).startswith(opening)
    return str(caught.value).removeprefix(opening)


def assert_names(message, *parts):
    """Each part stands in the message as a whole word or number: 1 is not named by 16, nor by 1.5."""
    for part in parts:
        assert re.search(rf"(?<![\w.]){re.escape(part)}(?!\w|\.\d)", message, re.IGNORECASE), (part, message)


def in_words(value):
    """How an error names a value of a wrong kind."""
    if isinstance(value, torch.Tensor):
        return str(list(value.shape))
    if isinstance(value, bool | int | float | str):
        return repr(value)
    return "None" if value is None else type(value).__name__


def sampled_with(w, **settings):
    store, sampled = sample_with_store(w, **settings)
    return {"store": store, "latent": sampled}


def edited_with(w, *concepts):
    patched, store = run("LEDITS_AttentionStore", model=w.model)
    return {"store": store, "latent": run("LEDITS_Edit", model=patched, inversion=w.inversion, concepts=concepts)[0]}


def attention_of_nan(w):
    return run("LEDITS_ProbeAttention", model=model_with_nan_queries(w), latent=w.latent, clip=w.clip, text="a red circle")[0]


def model_with_nan_queries(w):
    """A model whose queries become NaN, as they do where half precision overflows."""
    model = w.model.clone()
    model.set_model_attn2_patch(lambda query, key, value, options: (query * NAN, key, value))
    return model


def flow_inversion(w):
    sigmas = run("LEDITS_Schedule", model=w.turned_to_flow, steps=2, skip=0.1)[0]
    return run("LEDITS_Invert", model=w.turned_to_flow, latent=w.latent, sigmas=sigmas, negative=w.encode(""))[0]


def resolve(value, world):
    return value(world) if callable(value) and getattr(value, "__name__", "") == "<lambda>" else value


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    import folder_paths

    for kind in ("input", "output"):
        (tmp_path / kind).mkdir()
        monkeypatch.setattr(folder_paths, f"{kind}_directory", str(tmp_path / kind))


# One rule for each kind of input

ANYTHING = [None, object(), np.zeros(3), torch.zeros(2, 2), {"a": 1}, ("x",)]
"""What an untyped node may pass on."""

# A kind of input: a node and an input that has it, a word of what to do, and more that is wrong there.
KINDS = {
    "MODEL": ("Schedule", "model", "checkpoint", lambda w: [w.latent, w.clip]),
    "CLIP": ("Concept", "clip", "CLIP", lambda w: [w.model]),
    "VAE": ("Sweep", "vae", "VAE", lambda w: [w.model]),
    "LATENT": ("Invert", "latent", "VAE Encode", lambda w: [{}, {"samples": None}, w.samples]),
    "SIGMAS": ("Invert", "sigmas", "Schedule", lambda w: [[1.0, 0.0]]),
    "CONDITIONING": ("Invert", "negative", "CLIP Text Encode", lambda w: [w.encode("")[0], [("x", {})], [(w.samples, None)]]),
    "MASK": ("Concept", "mask", "mask", lambda w: [torch.ones(256, 256), torch.ones(0, 256, 256), torch.ones(1, 1, 256, 256)]),
    "IMAGE": ("Edit", "image", "Load Image", lambda w: [torch.ones(1, 256, 256, 1), torch.ones(1, 0, 256, 3), torch.ones(256, 256, 3)]),
    "STRING": ("Concept", "text", None, lambda w: [3, True]),
    "BOOLEAN": ("AttentionStore", "mid", None, lambda w: ["yes", 1]),
    "COMBO": ("Concept", "mask_mode", "intersect", lambda w: ["magic", "NONE", 0]),
    "COMBO of files": ("LoadInversion", "file", None, lambda w: [0]),
    "INT": ("Schedule", "steps", "1000", lambda w: [0, 1001, -1, 2.5, NAN, INF, "5"]),
    "FLOAT": ("Schedule", "skip", "0.95", lambda w: [-0.01, 0.96, NAN, INF, "0.5"]),
    "LEDITS_INVERSION": ("ReplaySampler", "inversion", "Invert", lambda w: [w.latent, w.concepts]),
    "LEDITS_CONCEPTS": ("Edit", "concepts", "Concept", lambda w: [w.inversion, "glasses", [*w.concepts]]),
    "LEDITS_STORE": ("CaptureAttention", "store", "Attention Store", lambda w: [w.model]),
    "LEDITS_ATTENTION": ("ExtractMask", "attention", "Probe Attention", lambda w: [w.store, w.concepts]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_of_another_kind_is_refused(kind, world):
    node, name, remedy, others = KINDS[kind]
    node_id = f"LEDITS_{node}"
    item = next(item for item in nodes()[node_id].GET_SCHEMA().inputs if item.id == name)
    assert item.get_io_type() == kind.split()[0]
    for value in [*ANYTHING, *others(world)]:
        if (value is None and item.optional) or (kind == "SIGMAS" and isinstance(value, torch.Tensor)):
            continue
        said = refusal(node_id, GOOD[node_id](world) | {name: value}, name)
        assert_names(said, in_words(value), *([remedy] if remedy else []))


def test_every_kind_of_input_has_its_rule():
    assert {kind.split()[0] for kind in KINDS} == {item.get_io_type() for node in nodes().values() for item in node.GET_SCHEMA().inputs}


@pytest.mark.parametrize(
    ("node", "name", "shape"), [("Invert", "sigmas", [3]), ("Concept", "mask", [1, 256, 256]), ("Edit", "image", [1, 256, 256, 3])]
)
@pytest.mark.parametrize("value", [NAN, INF])
def test_a_tensor_with_values_that_are_not_finite_is_refused(node, name, shape, value, world):
    node_id = f"LEDITS_{node}"
    assert_names(refusal(node_id, GOOD[node_id](world) | {name: torch.full(shape, value)}, name), "NaN")


def wrong_values(item):
    """Values that this input must refuse."""
    kind = item.get_io_type()
    if kind in ("INT", "FLOAT"):
        return [object(), item.min - 1, item.max + 1, NAN]
    if kind == "COMBO":
        return [object(), "something else"]
    shape = {"SIGMAS": [3], "MASK": [1, 256, 256], "IMAGE": [1, 256, 256, 3]}.get(kind)
    return [object()] if shape is None else [object(), torch.full(shape, NAN)]


@pytest.mark.parametrize("node_id", nodes())
def test_every_node_checks_each_of_its_inputs(node_id, world):
    good = GOOD[node_id](world)
    for item in nodes()[node_id].GET_SCHEMA().inputs:
        for value in wrong_values(item):
            refusal(node_id, good | {item.id: value}, item.id)


def test_nothing_at_an_optional_input_counts_as_not_connected(world):
    optional = [item.id for item in nodes()["LEDITS_Concept"].GET_SCHEMA().inputs if item.optional]
    assert {"words", "where", "mask", "attention", "concepts"} == set(optional)
    assert len(world.concept(**dict.fromkeys(optional))) == 1


# What only a node can know

# A node, an input, a value or a function of the world that gives it, what the error names, and other inputs.
# Of a value it names what can be read of it: its number, its shape, its text, its class.
CASES = [
    ("Schedule", "model", lambda w: w.unknown, ["UnknownNoise"]),
    ("Invert", "model", lambda w: w.unknown, ["UnknownNoise"]),
    ("ProbeAttention", "model", lambda w: w.unknown, ["UnknownNoise"]),
    ("Invert", "model", lambda w: w.broken, ["0", "NaN", "--force-fp32"]),
    ("AttentionStore", "model", lambda w: w.blind, ["Linear"]),
    ("ProbeAttention", "model", lambda w: w.blind, ["Linear"]),
    ("Invert", "latent", {"samples": torch.zeros(1, 4, 8, 8)}, ["Empty Latent Image"]),
    ("Invert", "latent", {"samples": torch.zeros(0, 4, 8, 8)}, ["[0, 4, 8, 8]"]),
    ("Invert", "latent", {"samples": torch.ones(1, 4, 0, 8)}, ["[1, 4, 0, 8]"]),
    ("Invert", "latent", {"samples": torch.ones(1, 16, 8, 8)}, ["16", "4", "VAE"]),
    ("Invert", "latent", {"samples": torch.ones(1, 4, 2, 8, 8)}, ["[1, 4, 2, 8, 8]", "video"]),
    ("Invert", "latent", {"samples": torch.ones(4, 8, 8)}, ["[4, 8, 8]"]),
    ("Invert", "latent", {"samples": torch.full((1, 4, 8, 8), NAN)}, ["NaN", "VAE"]),
    ("Invert", "latent", {"samples": torch.full((1, 4, 8, 8), INF)}, ["NaN", "VAE"]),
    ("Invert", "latent", lambda w: w.latent | {"noise_mask": torch.full((1, 256, 256), NAN)}, ["NaN", "mask"]),
    ("ProbeAttention", "latent", {"samples": torch.zeros(1, 4, 8, 8)}, ["Empty Latent Image"]),
    ("ProbeAttention", "latent", {"samples": torch.ones(1, 16, 8, 8)}, ["16", "4", "VAE"]),
    ("ProbeAttention", "latent", {"samples": torch.full((1, 4, 8, 8), NAN)}, ["NaN", "VAE"]),
    ("Invert", "sigmas", torch.tensor([3.5, 7.25, 0.0]), ["3.5", "7.25"]),
    ("Invert", "sigmas", torch.tensor([2.5, 2.5, 0.0]), ["2.5"]),
    ("Invert", "sigmas", torch.tensor([1.0]), ["1"]),
    ("Invert", "sigmas", torch.tensor([]), ["0"]),
    ("Invert", "sigmas", torch.tensor([1.0, -1.0]), ["negative"]),
    ("Invert", "sigmas", torch.tensor([[1.0, 0.0]]), ["[1, 2]"]),
    ("Invert", "sigmas", torch.tensor([14.6, 0.0]), ["14.6", "Schedule"], {"model": lambda w: w.flow}),
    ("Invert", "negative", [], ["empty", "CLIP Text Encode"]),
    ("Invert", "negative", lambda w: [[torch.zeros(1, 77, 768), {}]], ["768", "64", "text encoder"]),
    ("Invert", "negative", lambda w: [[torch.full((1, 77, 64), NAN), {}]], ["NaN", "text encoder"]),
    ("Invert", "positive", lambda w: [[torch.zeros(1, 77, 2048), {}]], ["2048", "64", "text encoder"]),
    ("Invert", "cfg", 3.0, ["3", "positive"]),
    ("Concept", "text", " \n ", ["no words"]),
    ("Concept", "text", "()", ["'()'", "no words"]),
    ("Concept", "text", "a dog, (embedding:gone:1.2)", ["'gone'", "models/embeddings"]),
    ("Concept", "cooldown", 3, ["3", "warmup 5"], {"warmup": 5}),
    ("Concept", "words", "hat", ["'hat'", "a, red, circle"]),
    ("Concept", "words", "-hat", ["hat'", "a, red, circle"]),
    ("Concept", "words", "-a -red, -circle", ["'-a -red, -circle'", "a, red, circle"]),
    ("Concept", "words", "red", ["'red'", "text encoder"], {"clip": lambda w: other_text_encoder(w.clip)}),
    ("AttentionStore", "up", False, ["down", "mid"], {"down": False}),
    ("CaptureAttention", "latent", lambda w: w.latent, ["store"]),
    ("CaptureAttention", "latent", lambda w: {"samples": torch.full((1, 4, 32, 32), NAN)}, ["store"]),
    ("CaptureAttention", "text", "", ["no words"]),
    ("CaptureAttention", "text", "(())", ["'(())'", "no words"]),
    ("CaptureAttention", "text", "a " * 200, ["sampled"]),
    ("CaptureAttention", "text", "x", ["text encoder"], {"clip": lambda w: other_text_encoder(w.clip)}),
    ("CaptureAttention", "text", "embedding:gone dog", ["'gone'", "models/embeddings"]),
    ("CaptureAttention", "branch", "negative", ["'negative'", "cfg 1"], lambda w: sampled_with(w, cfg=1.0)),
    ("CaptureAttention", "branch", "positive", ["no concepts"], lambda w: edited_with(w)),
    ("CaptureAttention", "branch", "positive", ["'a red circle'"], lambda w: edited_with(w, *w.concepts) | {"text": "a dog"}),
    ("ProbeAttention", "text", "", ["no words"]),
    ("ProbeAttention", "text", "()", ["'()'", "no words"]),
    ("ProbeAttention", "text", "embedding:gone dog", ["'gone'", "models/embeddings"]),
    ("ProbeAttention", "clip", lambda w: wide_text_encoder(w.clip), ["'a red circle'", "128", "64", "text encoder"]),
    ("ExtractMask", "attention", lambda w: attention_of_nan(w), ["NaN", "precision"]),
    ("ExtractMask", "words", "dog", ["'dog'", "a, red, circle"]),
    ("Edit", "image", torch.ones(1, 256, 200, 3), ["200x256", "256x256", "VAE Encode"]),
    ("Edit", "image", torch.ones(1, 256, 264, 3), ["264x256", "256x256", "VAE Encode"]),
    ("Edit", "image", lambda w: w.photo.repeat(3, 1, 1, 1), ["3", "1", "batch"]),
    ("Sweep", "column_values", "3, x", ["'x'"]),
    ("Sweep", "column_values", " , ", ["3, 5, 8"]),
    ("Sweep", "column_values", "3, 99", ["99", "scale", "50"]),
    ("Sweep", "column_values", "nan", ["nan", "scale"]),
    ("Sweep", "column_values", "1.5", ["1.5", "warmup"], {"columns": "warmup"}),
    ("Sweep", "column_values", "0, 1", ["cooldown 1", "warmup 2"], {"columns": "cooldown"}),
    ("Sweep", "column_values", ",".join(map(str, range(51))), ["51", "50"]),
    ("Sweep", "rows", "scale", ["'scale'", "columns"], {"row_values": "3"}),
    ("Sweep", "row_values", "", ["3, 5, 8"], {"rows": "threshold"}),
    ("Sweep", "concept", 2, ["2", "1"]),
    ("Sweep", "concepts", (), ["empty", "Concept"]),
    ("Sweep", "inversion", lambda w: w.inversion, ["64", "128", "invert"], {"model": lambda w: w.wide}),
    ("SaveInversion", "filename_prefix", "../away", ["'../away'"]),
    ("LoadInversion", "file", "away.inversion.safetensors", ["'away.inversion.safetensors'"]),
    ("LoadInversion", "file", "../away.inversion.safetensors", ["'../away.inversion.safetensors'"]),
]  # fmt: skip

# Both nodes that edit one inversion say the same.
for editor in ("Edit", "MaskedGuider"):
    CASES += [
        (editor, "inversion", lambda w: w.inversion, ["64", "128", "invert"], {"model": lambda w: w.wide}),
        (editor, "inversion", lambda w: w.inversion, ["invert"], {"model": lambda w: w.turned_to_flow}),
        (editor, "inversion", lambda w: w.inversion, ["invert"], {"model": lambda w: w.sixteen}),
        (editor, "inversion", lambda w: flow_inversion(w), ["invert"]),
        (editor, "concepts", lambda w: w.concept(mask=torch.ones(1, 100, 256)), ["concept 0", "'a red circle'", "256x100", "256x256"]),
        (editor, "concepts", lambda w: w.concept(mask=torch.ones(3, 256, 256)), ["concept 0", "'a red circle'", "3", "1"]),
        (editor, "concepts", lambda w: w.concept(clip=wide_text_encoder(w.clip)), ["concept 0", "'a red circle'", "128", "64"]),
        (editor, "concepts", lambda w: w.concept(clip=other_text_encoder(w.clip)), ["concept 0", "text encoder", "'noise'"]),
        (editor, "positive", [], ["empty", "CLIP Text Encode"]),
        (editor, "positive", lambda w: [[torch.zeros(1, 77, 128), {}]], ["128", "64", "text encoder"]),
        (editor, "negative", lambda w: [[torch.full((1, 77, 64), NAN), {}]], ["NaN", "text encoder"]),
        (editor, "model", lambda w: w.blind, ["Linear", "concept 0", "'a red circle'", "'intersect'", "'noise'"]),
        (editor, "cfg", 4.0, ["4", "positive"]),
    ]  # fmt: skip


@pytest.mark.parametrize("number", range(len(CASES)), ids=["-".join([node, name, *named]) for node, name, _, named, *_ in CASES])
def test_the_error_names_node_input_and_value_and_says_what_to_do(number, world):
    node, name, value, named, *others = CASES[number]
    node_id = f"LEDITS_{node}"
    inputs = GOOD[node_id](world) | {name: resolve(value, world)}
    for other in others:
        inputs |= {key: resolve(inner, world) for key, inner in resolve(other, world).items()}
    assert_names(refusal(node_id, inputs, name), *named)


def test_the_good_inputs_are_of_every_node():
    assert set(GOOD) == set(nodes())


@pytest.mark.parametrize("node_id", ["LEDITS_Edit", "LEDITS_MaskedGuider", "LEDITS_Sweep", "LEDITS_ProbeAttention"])
def test_an_impossible_map_resolution_is_the_stores_fault(node_id, world):
    said = refusal(node_id, GOOD[node_id](world) | {"model": world.resolution(20)}, "resolution", "LEDITS++ Attention Store")
    assert_names(said, "20", "32x32", "16, 8", display_name(node_id))
    assert "32, 16" not in said, "the finest maps of this network are half as large as its latents"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"resolution": 4}, ["4", "32, 16, 8"]),  # only the middle block has these
        ({"mid": True, "up": False, "down": False}, ["0", "8", "4"]),
        ({"mid": True, "up": False, "down": False, "resolution": 16}, ["16", "4"]),
    ],
)
@pytest.mark.parametrize("node_id", ["LEDITS_Edit", "LEDITS_ProbeAttention"])
def test_only_maps_of_the_layers_that_are_on_are_offered(node_id, settings, named, world):
    deep = patcher(family(SD15_LEVELS, comfy.supported_models.SD15))
    model = run("LEDITS_AttentionStore", model=deep, **settings)[0]
    inputs = GOOD[node_id](world)
    if "inversion" in inputs:
        inputs["inversion"] = run("LEDITS_Invert", **GOOD["LEDITS_Invert"](world) | {"model": deep})[0]
    assert_names(refusal(node_id, inputs | {"model": model}, "resolution", "LEDITS++ Attention Store"), *named, "32x32", "mid")
    model = run("LEDITS_AttentionStore", model=deep, **settings | {"mid": True, "resolution": 4})[0]
    attention = run(node_id, **inputs | {"model": model})[node_id == "LEDITS_Edit"]
    assert attention.prompts[0].mean().shape[1:3] == (4, 4)


@pytest.mark.parametrize(
    ("node_id", "name", "inputs"),
    [
        ("LEDITS_ProbeAttention", "model", lambda w: {"model": w.cached}),
        ("LEDITS_Edit", "model", lambda w: {"model": w.cached}),
        ("LEDITS_CaptureAttention", "store", lambda w: sampled_with(w, model=w.cached)),
    ],
)
def test_all_say_the_same_where_nothing_could_be_recorded(node_id, name, inputs, world):
    """Another node answered in place of the network."""
    assert_names(refusal(node_id, GOOD[node_id](world) | inputs(world), name), "no attention maps", "cache", "'noise'")


# What only shows while sampling


def test_an_impossible_map_resolution_under_a_plain_sampler(world):
    import nodes

    inputs = (1, 2, 4.0, "euler", "normal", world.encode("a red circle"), world.encode(""), world.latent)
    with pytest.raises(ValueError, match=r"^LEDITS\+\+ Attention Store, input 'resolution': ") as caught, torch.inference_mode():
        nodes.common_ksampler(world.resolution(20), *inputs)
    assert_names(str(caught.value), "20", "16, 8")


def sample(guider, sampler, sigmas, samples):
    with torch.inference_mode():
        return guider.sample(torch.zeros_like(samples), samples, sampler, sigmas)


def edit_with_a_broken_model(world):
    return run("LEDITS_Edit", **GOOD["LEDITS_Edit"](world) | {"model": world.broken})


def sample_with_a_broken_model(world):
    guider = run("LEDITS_MaskedGuider", model=world.broken, inversion=world.inversion, concepts=world.concept(mask_mode="none"))[0]
    sampler, sigmas, latent, _ = run("LEDITS_ReplaySampler", inversion=world.inversion)
    return sample(guider, sampler, sigmas, latent["samples"])


@pytest.mark.parametrize(("make", "node"), [(edit_with_a_broken_model, "Edit"), (sample_with_a_broken_model, "Masked Guider")])
def test_a_model_that_gives_nan_makes_no_black_image(make, node, world):
    with pytest.raises(ValueError, match=rf"^LEDITS\+\+ [^:]*{node}.*, input 'model': ") as caught:
        make(world)
    assert_names(str(caught.value), "NaN", "--force-fp32")


@pytest.mark.parametrize(
    ("samples", "cut", "named"),
    [
        (torch.ones(1, 4, 16, 16), 0, ["16", "32", "latent"]),
        (torch.ones(2, 4, 32, 32), 0, ["2", "1", "latent"]),
        (torch.ones(1, 4, 32, 32), 1, ["sigmas"]),
    ],
)
def test_a_latent_or_sigmas_that_are_not_the_inversions(world, samples, cut, named):
    guider = run("LEDITS_MaskedGuider", model=world.model, inversion=world.inversion, concepts=world.concepts)[0]
    sampler, sigmas, _, _ = run("LEDITS_ReplaySampler", inversion=world.inversion)
    with pytest.raises(ValueError, match=r"^LEDITS\+\+ Replay Sampler") as caught:
        sample(guider, sampler, sigmas[cut:], samples)
    assert_names(str(caught.value), *named)


def test_the_background_is_not_silently_given_up_under_another_sampler(world):
    guider = run("LEDITS_MaskedGuider", model=world.model, inversion=world.inversion, concepts=world.concepts, keep_background=True)[0]
    _, sigmas, latent, _ = run("LEDITS_ReplaySampler", inversion=world.inversion)
    with pytest.raises(ValueError, match=r"^LEDITS\+\+ Masked Guider") as caught:
        sample(guider, comfy.samplers.sampler_object("euler"), sigmas, latent["samples"])
    assert_names(str(caught.value), "keep_background", "Replay Sampler")


def test_two_inversions_in_one_graph_are_not_mixed_up(world):
    other = run("LEDITS_Invert", **GOOD["LEDITS_Invert"](world), seed=5)[0]
    guider = run("LEDITS_MaskedGuider", model=world.model, inversion=world.inversion, concepts=world.concepts)[0]
    sampler, sigmas, latent, _ = run("LEDITS_ReplaySampler", inversion=other)
    with pytest.raises(ValueError, match=r"^LEDITS\+\+") as caught:
        sample(guider, sampler, sigmas, latent["samples"])
    assert_names(str(caught.value), "Replay Sampler", "guider", "inversion")


# What ComfyUI refuses by the nodes' schemas, before anything runs

SOURCES = {
    "MODEL": ["LEDITS_AttentionStore", 0], "LATENT": ["LEDITS_Edit", 0], "SIGMAS": ["LEDITS_Schedule", 0], "MASK": ["LEDITS_ExtractMask", 0],
    "IMAGE": ["LEDITS_Heatmap", 0], "LEDITS_INVERSION": ["LEDITS_Invert", 0], "LEDITS_CONCEPTS": ["LEDITS_Concept", 0],
    "LEDITS_STORE": ["LEDITS_AttentionStore", 1], "LEDITS_ATTENTION": ["LEDITS_ProbeAttention", 0],
}  # fmt: skip
"""An output of each kind, by node and place."""


def refused(node_id, monkeypatch, **wrong):
    """The names of the inputs that ComfyUI's own validation refuses, and why."""
    return {error["extra_info"]["input_name"]: error["type"] for error in errors_before_a_run(node_id, monkeypatch, wrong)}


def errors_before_a_run(node_id, monkeypatch, inputs):
    import asyncio

    import execution

    import nodes as comfy_nodes

    for name, node in nodes().items():
        monkeypatch.setitem(comfy_nodes.NODE_CLASS_MAPPINGS, name, node)
    graph = {name: {"class_type": name, "inputs": {}} for name in nodes()}
    graph["tested"] = {"class_type": node_id, "inputs": inputs}
    return asyncio.run(execution.validate_inputs("test", graph, "tested", {}))[1]


@pytest.mark.parametrize("node_id", nodes())
def test_comfyui_refuses_what_the_schema_does_not_allow(node_id, monkeypatch):
    inputs = nodes()[node_id].GET_SCHEMA().inputs
    numbers = [item for item in inputs if item.get_io_type() in ("INT", "FLOAT")]
    choices = [item for item in inputs if item.get_io_type() == "COMBO"]

    for kind, source in SOURCES.items():
        others = [item.id for item in inputs if item.get_io_type() != kind]
        found = refused(node_id, monkeypatch, **dict.fromkeys(others, source))
        assert {name: found.get(name) for name in others} == dict.fromkeys(others, "return_type_mismatch"), kind

    assert refused(node_id, monkeypatch) == {item.id: "required_input_missing" for item in inputs if not item.optional}

    ours = inspect.signature(nodes()[node_id].validate_inputs).parameters

    def assert_refused(items, error, value):
        found = refused(node_id, monkeypatch, **{item.id: value(item) for item in items})
        wanted = {item.id: "custom_validation_failed" if item.id in ours else error for item in items}
        assert {item.id: found.get(item.id) for item in items} == wanted

    assert_refused(numbers, "value_smaller_than_min", lambda item: item.min - 1)
    assert_refused(numbers, "value_bigger_than_max", lambda item: item.max + 1)
    assert_refused(numbers, "invalid_input_type", lambda item: "many")
    assert_refused(choices, "value_not_in_list", lambda item: "something else")


SWEPT = {"columns": "scale", "column_values": "3, 5, 8", "rows": "none", "row_values": ""}
# A node's widgets, the one that is wrong, and what is said of it before the run.
WIDGETS = [
    ("Concept", {"text": " \n "}, "text", ["no words"]),
    ("Concept", {"text": "a hat", "warmup": 5, "cooldown": 3}, "cooldown", ["3", "warmup 5"]),
    ("Concept", {"warmup": 1001}, "warmup", ["1001", "1000"]),
    ("Concept", {"mask_mode": "magic"}, "mask_mode", ["'magic'", "intersect"]),
    ("Concept", {"mask_mode": "noise", "where": "a dog"}, "where", ["'a dog'", "'noise'"]),
    ("ProbeAttention", {"text": ""}, "text", ["no words"]),
    ("CaptureAttention", {"text": ""}, "text", ["no words"]),
    ("AttentionStore", {"up": False, "down": False, "mid": False}, "up", ["'mid'"]),
    ("AttentionStore", {"blocks": "8-x"}, "blocks", ["'8-x'", "8-12, 15"]),
    ("Sweep", SWEPT | {"column_values": "3, x"}, "column_values", ["'x'"]),
    ("Sweep", SWEPT | {"column_values": ""}, "column_values", ["3, 5, 8"]),
    ("Sweep", SWEPT | {"column_values": "3, 99"}, "column_values", ["99", "50"]),
    ("Sweep", SWEPT | {"columns": "threshold", "column_values": "0,7, 0,9"}, "column_values", ["7", "0,7; 0,9"]),
    ("Sweep", SWEPT | {"rows": "scale", "row_values": "3"}, "rows", ["'scale'"]),
    ("Sweep", SWEPT | {"rows": "warmup", "row_values": "1,5; 2"}, "row_values", ["1.5", "warmup"]),
    ("Sweep", SWEPT | {"rows": "nothing"}, "rows", ["'nothing'"]),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(WIDGETS)), ids=["-".join([node, name, *named]) for node, _, name, named in WIDGETS])
def test_what_the_widgets_alone_can_tell_is_said_before_the_run(number, monkeypatch):
    node, widgets, name, named = WIDGETS[number]
    errors = errors_before_a_run(f"LEDITS_{node}", monkeypatch, widgets)
    (said,) = (error["details"] for error in errors if error["extra_info"]["input_name"] == name)
    opening = f"{name} - '{name}' "
    assert said.startswith(opening)
    assert_names(said.removeprefix(opening), *named)


@pytest.mark.parametrize("node", sorted({node for node, *_ in WIDGETS}))
def test_good_widgets_and_linked_ones_pass(node):
    """What comes over a link is not known yet, and is None."""
    validate = nodes()[f"LEDITS_{node}"].validate_inputs
    defaults = {
        item.id: item.default for item in nodes()[f"LEDITS_{node}"].GET_SCHEMA().inputs if getattr(item, "default", None) is not None
    }
    names = inspect.signature(validate).parameters
    good = {name: defaults.get(name, "a red circle") for name in names}
    assert validate(**good) is True
    for name in names:
        assert validate(**good | {name: None}) is True
