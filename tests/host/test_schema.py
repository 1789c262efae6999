"""Every node says what it is and what turning each of its inputs does."""

from scripts.host.in_comfy import nodes

import pytest

CONTRACT = {
    "LEDITS_FitPhoto": (["model", "image", "megapixels"], ["IMAGE"]),
    "LEDITS_Schedule": (["model", "steps", "skip"], ["SIGMAS"]),
    "LEDITS_Invert": (["model", "latent", "sigmas", "negative", "positive", "cfg", "seed", "solver", "path_shift"], ["LEDITS_INVERSION"]),
    "LEDITS_Concept": (
        [
            *("clip", "text", "direction", "scale", "threshold", "mask_mode", "warmup", "cooldown", "words"),
            *("mask", "attention", "concepts", "where"),
        ],
        ["LEDITS_CONCEPTS"],
    ),
    "LEDITS_AttentionStore": (["model", "resolution", "up", "down", "mid", "average_steps", "blocks"], ["MODEL", "LEDITS_STORE"]),
    "LEDITS_CaptureAttention": (["store", "latent", "clip", "text", "branch"], ["LEDITS_ATTENTION"]),
    "LEDITS_ProbeAttention": (["model", "latent", "clip", "text", "noise_level", "seed"], ["LEDITS_ATTENTION"]),
    "LEDITS_ExtractMask": (["attention", "concept", "words", "smoothing", "quantile", "binary", "width", "height"], ["MASK", "IMAGE"]),
    "LEDITS_MaskedGuider": (
        ["model", "inversion", "concepts", "positive", "negative", "cfg", "keep_background", "margin"],
        ["GUIDER"],
    ),
    "LEDITS_ReplaySampler": (["inversion"], ["SAMPLER", "SIGMAS", "LATENT", "NOISE"]),
    "LEDITS_Edit": (
        ["model", "inversion", "concepts", "positive", "negative", "cfg", "image", "keep_background", "margin", "masks"],
        ["LATENT", "LEDITS_ATTENTION", "MASK", "MASK"],
    ),
    "LEDITS_Heatmap": (["image", "attention", "concept", "opacity"], ["IMAGE"]),
    "LEDITS_SaveInversion": (["inversion", "filename_prefix"], []),
    "LEDITS_LoadInversion": (["file"], ["LEDITS_INVERSION"]),
    "LEDITS_Sweep": (
        ["model", "vae", "inversion", "concepts", "concept", "columns", "column_values", "rows", "row_values"],
        ["IMAGE", "IMAGE"],
    ),
}
DEFAULTS = {
    "LEDITS_FitPhoto": {"megapixels": 0.0},
    "LEDITS_Schedule": {"steps": 50, "skip": 0.15},
    "LEDITS_Invert": {"cfg": 1.0, "seed": 0, "solver": "automatic", "path_shift": 0},
    "LEDITS_Concept": {
        "direction": "add",
        "scale": 7.0,
        "threshold": 0.9,
        "mask_mode": "intersect",
        "warmup": 2,
        "cooldown": 0,
        "words": "",
        "where": "",
    },
    "LEDITS_AttentionStore": {"resolution": 0, "up": True, "down": True, "mid": False, "average_steps": False, "blocks": ""},
    "LEDITS_CaptureAttention": {"branch": "positive"},
    "LEDITS_ProbeAttention": {"noise_level": 0.5, "seed": 0},
    "LEDITS_ExtractMask": {"concept": 0, "words": "", "smoothing": 0.7071, "quantile": 0.9, "binary": True, "width": 0, "height": 0},
    "LEDITS_MaskedGuider": {"cfg": 0.0, "keep_background": False, "margin": 1},
    "LEDITS_Edit": {"cfg": 0.0, "keep_background": False, "margin": 1, "masks": "all steps"},
    "LEDITS_Heatmap": {"concept": 0, "opacity": 0.6},
    "LEDITS_SaveInversion": {"filename_prefix": "inversions/photo"},
    "LEDITS_Sweep": {"concept": 0, "columns": "scale", "column_values": "3, 5, 8", "rows": "none", "row_values": ""},
}


@pytest.mark.parametrize("node_id", CONTRACT)
def test_sockets_and_defaults_are_the_contract(node_id):
    schema = nodes()[node_id].GET_SCHEMA()
    inputs, outputs = CONTRACT[node_id]
    assert [item.id for item in schema.inputs] == inputs
    assert [item.get_io_type() for item in schema.outputs] == outputs
    for name, default in DEFAULTS.get(node_id, {}).items():
        assert next(item.default for item in schema.inputs if item.id == name) == default


def test_the_page_resolves_choices_and_comments_in_every_text():
    texts = [item for node in nodes().values() for item in node.GET_SCHEMA().inputs if getattr(item, "multiline", False)]
    assert len(texts) == 3
    assert all(item.dynamic_prompts for item in texts)


@pytest.mark.parametrize("node_id", CONTRACT)
def test_everything_is_explained(node_id):
    schema = nodes()[node_id].GET_SCHEMA()
    assert schema.display_name.startswith("LEDITS++ ")
    assert len(schema.description) > 40
    assert schema.category.startswith("LEDITS++")
    for item in [*schema.inputs, *schema.outputs]:
        assert item.tooltip, f"{node_id}.{item.id} has no tooltip"


SEARCHES = {
    **dict.fromkeys(["remove object", "add object", "replace object", "erase", "recolor", "style transfer"], ("Concept",)),
    **dict.fromkeys(["edit photo", "image edit", "inpaint", "prompt to prompt"], ("Edit",)),
    **dict.fromkeys(["mask from text", "text to mask", "clipseg"], ("ExtractMask", "ProbeAttention")),
    "unsampler": ("Invert",),
    "\u53bb\u9664\u7269\u4f53": ("Concept",),  # remove object
    "\u7f16\u8f91\u7167\u7247": ("Edit",),  # edit photo
    "\u56fe\u50cf\u7f16\u8f91": ("Edit",),  # image edit
    "\u6587\u5b57\u906e\u7f69": ("ExtractMask", "ProbeAttention"),  # text mask
    "\u70ed\u56fe": ("Heatmap",),  # heatmap
}
"""What people search for, and the nodes that do it."""


@pytest.mark.parametrize("words", SEARCHES, ids=ascii)
def test_a_search_leads_to_the_node_that_does_it(words):
    found = [node_id for node_id, node in nodes().items() if words in node.GET_SCHEMA().search_aliases]
    assert sorted(found) == [f"LEDITS_{name}" for name in SEARCHES[words]]


ADVANCED = {
    "LEDITS_Invert": {"solver", "path_shift"},
    "LEDITS_Concept": {"cooldown"},
    "LEDITS_AttentionStore": {"up", "down", "mid"},
    "LEDITS_ExtractMask": {"smoothing", "width", "height"},
    "LEDITS_MaskedGuider": {"cfg", "margin"},
    "LEDITS_Edit": {"cfg", "margin", "masks"},
    "LEDITS_Heatmap": {"opacity"},
}
"""What most never touch: the page hides it until it is asked for."""


@pytest.mark.parametrize("node_id", CONTRACT)
def test_what_most_never_touch_is_advanced(node_id):
    info = nodes()[node_id].GET_NODE_INFO_V1()
    inputs = {name: spec for part in ("required", "optional") for name, spec in info["input"].get(part, {}).items()}
    assert {name for name, spec in inputs.items() if len(spec) > 1 and spec[1].get("advanced")} == ADVANCED.get(node_id, set())
