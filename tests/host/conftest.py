import functools
import importlib

from scripts.host import in_comfy
from scripts.host.in_comfy import load_checkpoint, run

import pytest
import torch

from scripts.small_model.drawings import TWO_SHAPES
from support.few_steps import second_order


@pytest.fixture(scope="session", autouse=True)
def few_steps_at_second_order():
    with second_order():
        yield


@pytest.fixture(scope="session")
def part():
    """A module of the pack."""
    return lambda name: importlib.import_module(f"{in_comfy.pack().__name__}.{name}")


@pytest.fixture(scope="session")
def checkpoint():
    return load_checkpoint()


@pytest.fixture(scope="session")
def model(checkpoint):
    return checkpoint[0]


@pytest.fixture(scope="session")
def clip(checkpoint):
    return checkpoint[1]


@pytest.fixture(scope="session")
def vae(checkpoint):
    return checkpoint[2]


@pytest.fixture(scope="session")
def encode(clip):
    return functools.partial(in_comfy.encode, clip)


@pytest.fixture(scope="session")
def scene():
    return TWO_SHAPES


@pytest.fixture(scope="session")
def photo():
    return in_comfy.to_image(TWO_SHAPES.image())


@pytest.fixture(scope="session")
def latent(vae, photo):
    with torch.inference_mode():
        return {"samples": vae.encode(photo)}


@pytest.fixture(scope="session")
def sigmas(model):
    return run("LEDITS_Schedule", model=model, steps=6, skip=0.1)[0]


@pytest.fixture(scope="session")
def inversion(model, latent, sigmas, encode):
    return run("LEDITS_Invert", model=model, latent=latent, sigmas=sigmas, negative=encode(""))[0]


@pytest.fixture
def concept(clip):
    def make(text, **settings):
        defaults = {"scale": 4.0, "threshold": 0.8, "warmup": 2}
        return run("LEDITS_Concept", clip=clip, text=text, **(defaults | settings))[0]

    return make


@pytest.fixture
def calls(model):
    """A model whose network calls are counted, and the batch size of each."""
    from comfy.patcher_extension import WrappersMP

    sizes = []

    def around(executor, x, *args, **kwargs):
        sizes.append(len(x))
        return executor(x, *args, **kwargs)

    counted = model.clone()
    counted.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "count", around)
    return counted, sizes
