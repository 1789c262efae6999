"""Several inversions and edits in one graph, run by ComfyUI's own executor."""

from __future__ import annotations

import types

from scripts.host.in_comfy import nodes as pack_nodes

import execution
import pytest
import torch

import nodes

SERVER = types.SimpleNamespace(client_id=None, last_node_id=None, last_prompt_id=None, send_sync=lambda *args: None)
"""Nobody watches; the executor itself is the real one."""

GRAPH = {
    "given": ("GivenForTests", {}),
    "empty": ("CLIPTextEncode", {"clip": ["given", 1], "text": ""}),
    "source": ("CLIPTextEncode", {"clip": ["given", 1], "text": "a red circle"}),
    "sigmas": ("LEDITS_Schedule", {"model": ["given", 0], "steps": 3, "skip": 0.1}),
    "listening": ("LEDITS_AttentionStore", {"model": ["given", 0]}),
    "one": ("LEDITS_Invert", {"model": ["given", 0], "latent": ["given", 2], "sigmas": ["sigmas", 0], "negative": ["empty", 0], "seed": 1}),
    "two": (
        "LEDITS_Invert",
        {"model": ["listening", 0], "latent": ["given", 2], "sigmas": ["sigmas", 0], "negative": ["empty", 0], "positive": ["source", 0], "cfg": 2.0},
    ),
    "add": ("LEDITS_Concept", {"clip": ["given", 1], "text": "a green circle", "warmup": 1}),
    "remove": ("LEDITS_Concept", {"clip": ["given", 1], "text": "a red circle", "direction": "remove", "warmup": 1, "concepts": ["add", 0]}),
    "first edit": ("LEDITS_Edit", {"model": ["given", 0], "inversion": ["one", 0], "concepts": ["add", 0]}),
    "second edit": ("LEDITS_Edit", {"model": ["listening", 0], "inversion": ["one", 0], "concepts": ["remove", 0]}),
    "third edit": ("LEDITS_Edit", {"model": ["listening", 0], "inversion": ["two", 0], "concepts": ["add", 0]}),
    "maps": ("LEDITS_CaptureAttention", {"store": ["listening", 1], "latent": ["second edit", 0], "clip": ["given", 1], "text": "a green circle"}),
    "mask": ("LEDITS_ExtractMask", {"attention": ["maps", 0]}),
    "edits and a mask": (
        "KeptForTests",
        {"a": ["first edit", 0], "b": ["second edit", 0], "c": ["third edit", 0], "mask": ["mask", 0]},
    ),
}  # fmt: skip


@pytest.fixture
def executed(model, clip, latent, monkeypatch):
    """Runs a part of the graph: what the kept results lead back to."""
    results = {}

    class Given:
        RETURN_TYPES, FUNCTION, CATEGORY = ("MODEL", "CLIP", "LATENT"), "give", "tests"
        INPUT_TYPES = classmethod(lambda cls: {"required": {}})

        def give(self):
            return model, clip, {"samples": latent["samples"][..., 4:20, 2:18].contiguous()}

    class Kept:
        RETURN_TYPES, FUNCTION, CATEGORY, OUTPUT_NODE = (), "keep", "tests", True
        INPUT_TYPES = classmethod(lambda cls: {"optional": dict.fromkeys(("a", "b", "c"), ("LATENT",)) | {"mask": ("MASK",)}})

        def keep(self, **given):
            results.update({name: value["samples"] if isinstance(value, dict) else value for name, value in given.items()})
            return {}

    for name, node in {"GivenForTests": Given, "KeptForTests": Kept, **pack_nodes()}.items():
        monkeypatch.setitem(nodes.NODE_CLASS_MAPPINGS, name, node)

    def run(*kept):
        prompt = {name: {"class_type": kind, "inputs": _defaults(kind) | inputs} for name, (kind, inputs) in GRAPH.items()}
        sink = prompt["edits and a mask"]["inputs"]
        for name in set(sink) - set(kept):
            del sink[name]
        results.clear()
        executor = execution.PromptExecutor(
            SERVER, cache_type=execution.CacheType.CLASSIC, cache_args={"lru": 0, "ram": 0, "ram_inactive": 0}
        )
        executor.execute(prompt, "a prompt", {}, ["edits and a mask"])
        assert executor.success, executor.status_messages
        return dict(results)

    return run


def _defaults(kind):
    """What the canvas writes into a node's widgets."""
    inputs = pack_nodes()[kind].GET_SCHEMA().inputs if kind in pack_nodes() else []
    return {item.id: item.default for item in inputs if getattr(item, "default", None) is not None}


def test_two_inversions_and_three_edits_in_one_graph_equal_each_alone(executed):
    together = executed("a", "b", "c", "mask")
    assert set(together) == {"a", "b", "c", "mask"}
    for name in ("a", "b", "c"):
        assert torch.equal(executed(name)[name], together[name])
    assert torch.equal(executed("mask")["mask"], together["mask"])
    pictures = [together[name] for name in ("a", "b", "c")]
    assert all((one - other).abs().max() > 1e-3 for place, one in enumerate(pictures) for other in pictures[:place])
