"""torch.compile, through the wrapper that ComfyUI's node sets, with a compiler that needs no C++."""

from __future__ import annotations

from scripts.host.in_comfy import run

import pytest
import torch
from comfy_api.torch_helpers import set_torch_compile_wrapper
from comfy_extras.nodes_torch_compile import skip_torch_compile_dict


@pytest.fixture
def compiled(model):
    """A model with a compiled layer, and the graphs that the compiler was given."""
    parts = []

    def backend(graph, example, **options):
        parts.append(graph)
        return graph.forward

    patched = model.clone()
    # One of the layers that are recorded: enough to lose its share of the maps, and a whole network takes minutes to trace.
    set_torch_compile_wrapper(
        model=patched,
        backend=backend,
        options={"guard_filter_fn": skip_torch_compile_dict},
        keys=["diffusion_model.input_blocks.5.1.transformer_blocks.0"],
    )
    yield patched, parts
    torch._dynamo.reset()


def test_masks_of_a_compiled_network_are_those_of_the_network(
    compiled, model, clip, concept, invert, edit, small, assert_photo_returns, unchanged
):
    """Compiled code keeps the patches it was compiled with: it was compiled while nothing listened, and must not be asked for maps."""
    patched, parts = compiled
    concepts = concept("a green circle", mask_mode="attention", warmup=0)
    with unchanged(patched, model):
        inversion = invert(patched, **small)
        assert parts, "the inversion was compiled"
        assert torch.allclose(inversion.trajectory.denoised, invert(model, **small).trajectory.denoised, atol=1e-5)
        assert_photo_returns(patched, inversion)
        for _ in range(2):
            edited, known = edit(patched, inversion, concepts), edit(model, invert(model, **small), concepts)
            (found,), (expected,) = edited.attention.prompts, known.attention.prompts
            assert found.steps == expected.steps
            assert torch.allclose(found.mean(), expected.mean(), atol=1e-5)
            assert torch.equal(edited.mask, known.mask)
            assert torch.allclose(edited.samples, known.samples, atol=1e-4)
        seen = run("LEDITS_ProbeAttention", model=patched, latent=small["latent"], clip=clip, text="a red circle")[0].prompts[0]
        known = run("LEDITS_ProbeAttention", model=model, latent=small["latent"], clip=clip, text="a red circle")[0].prompts[0]
        assert torch.allclose(seen.mean(), known.mean(), atol=1e-5)
    assert torch.compiler.is_compiling() is False
