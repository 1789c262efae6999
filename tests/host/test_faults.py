"""What goes wrong in the middle of a run: nothing of the run is left, and the next one is right to the last bit."""

import gc
import threading
from collections import Counter

from scripts.host.in_comfy import pack, run

import comfy.model_management
import comfy.utils
import pytest
import torch
from comfy.patcher_extension import WrappersMP

STEPS = 6
TEXT = "a red circle"


class Fault:
    """A model of its own, into whose runs a fault can be put: at a network call, or at the end of a step."""

    def __init__(self, model, monkeypatch):
        self.model = model.clone()
        # Around the network, as a caching pack would be; and inside it, as an attention pack would.
        self.model.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "another pack", self._around_network)
        self.model.set_model_attn2_patch(self._inside_network)
        monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", self._after_step)
        self.disarm()

    def disarm(self):
        self.kind, self.call, self.step, self.calls, self.struck = None, None, None, 0, False

    def _around_network(self, executor, *args, **kwargs):
        self.calls += 1
        if self.calls == self.call and self.kind != "exception":
            self._strike()
        return executor(*args, **kwargs)

    def _inside_network(self, query, key, value, options):
        if self.calls == self.call and self.kind == "exception":
            self._strike()
        return query, key, value

    def _after_step(self, value, total, preview, node_id=None):
        # As ComfyUI's own hook: a press on Cancel is seen here too.
        if value == self.step:
            self._strike()
        comfy.model_management.throw_exception_if_processing_interrupted()

    def _strike(self):
        self.struck = True
        if self.kind == "interrupt":
            comfy.model_management.interrupt_current_processing()
        elif self.kind == "out of memory":
            raise comfy.model_management.OOM_EXCEPTION("out of memory: tried to allocate 40 GiB")
        else:
            raise RuntimeError("the patch of another pack failed")


ERRORS = {
    "interrupt": comfy.model_management.InterruptProcessingException,
    "exception": RuntimeError,
    "out of memory": comfy.model_management.OOM_EXCEPTION,
}


@pytest.fixture(scope="module")
def fault(model):
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield Fault(model, monkeypatch)


@pytest.fixture(scope="module")
def actions(fault, latent, sigmas, encode, clip):
    """Every kind of run with the faulty model: a function that gives the tensors it ends with, and what those are without a fault."""
    import nodes

    def chained(*entries):
        concepts = ()
        for text, direction, warmup in entries:
            settings = {"scale": 4.0, "threshold": 0.8, "direction": direction, "warmup": warmup}
            concepts = run("LEDITS_Concept", clip=clip, text=text, concepts=concepts, **settings)[0]
        return concepts

    concepts = chained((TEXT, "remove", 2), ("a green circle", "add", 4))
    model = fault.model
    inputs = {"model": model, "latent": latent, "sigmas": sigmas, "negative": encode("")}
    inversion = run("LEDITS_Invert", **inputs)[0]
    patched, store = run("LEDITS_AttentionStore", model=model)

    def invert():
        walk = run("LEDITS_Invert", **inputs)[0].trajectory
        return walk.x_T, walk.denoised, walk.noise_maps

    def edit():
        edited, attention, mask, _ = run("LEDITS_Edit", model=model, inversion=inversion, concepts=concepts)
        return edited["samples"], mask, *(words.mean() for words in attention.prompts)

    def probe():
        return (run("LEDITS_ProbeAttention", model=model, latent=latent, clip=clip, text=TEXT)[0].prompts[0].mean(),)

    def capture():
        forget(store)
        with torch.inference_mode():
            sampled = nodes.common_ksampler(patched, 1, STEPS, 4.0, "euler", "normal", encode(TEXT), encode(""), latent)[0]
        maps = run("LEDITS_CaptureAttention", store=store, latent=sampled, clip=clip, text=TEXT)[0].prompts[0].mean()
        return sampled["samples"], maps

    return {action.__name__: (action, action()) for action in (invert, edit, probe, capture)}, store


# What is run; the network call or the end of the step at which the fault strikes.
PLACES = [
    ("invert", "call", 1),
    ("invert", "call", 3),
    ("invert", "call", STEPS),
    ("edit", "step", 1),  # before the first concept acts, where no network is called
    ("edit", "call", 1),  # the first step in which one acts
    ("edit", "call", 3),  # the second concept begins
    ("edit", "call", 4),
    ("edit", "step", STEPS),
    ("probe", "call", 1),
    ("capture", "call", 1),
    ("capture", "call", 3),
    ("capture", "step", STEPS),
]


def forget(store):
    store._runs.clear()


@pytest.fixture(scope="module")
def leftovers(actions):
    """A function that tells what runs have left in the process since: the pack's own objects by kind, and threads."""
    gc.collect()
    gc.freeze()  # what is there now is not looked at again
    threads = set(threading.enumerate())

    def look():
        gc.collect()
        own = pack().__name__
        kinds = Counter(type(item).__name__ for item in gc.get_objects() if str(type(item).__module__).startswith(own))
        return kinds, set(threading.enumerate()) - threads

    yield look
    gc.unfreeze()


def state(model):
    """Everything that is set on a model, and every hook and replaced function in its network."""
    network = model.model.diffusion_model
    return (
        tree(model.model_options),
        tree(model.wrappers),
        tree(model.callbacks),
        tree(model.object_patches),
        tree(model.object_patches_backup),
        tree(model.hook_patches),
        tree(model.attachments),
        tree(model.injections),
        list(model.patches),
        model.patches_uuid,
        sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in network.modules()),
        [name for name, module in network.named_modules() if "forward" in vars(module)],
        sorted(vars(model.model)),
    )


def tree(value):
    if isinstance(value, dict):
        return {key: tree(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [tree(inner) for inner in value]
    return value if isinstance(value, int | float | str | bool | None) else id(value)


def fails(action):
    """Which error a run ends with. Keeps neither the error nor its frames, which hold everything that was under way."""
    try:
        action()
    except BaseException as error:
        return type(error), str(error)
    return None, ""


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize(("what", "place", "number"), PLACES)
def test_the_next_run_is_right_and_nothing_is_left(fault, actions, leftovers, what, place, number, kind):
    runs, store = actions
    action, good = runs[what]
    forget(store)
    set_before = state(fault.model)

    fault.disarm()
    fault.kind = kind
    setattr(fault, place, number)
    error, message = fails(action)
    assert fault.struck
    assert error is ERRORS[kind]
    # What others raise arrives as it was, so that ComfyUI treats it as it always does.
    assert "LEDITS" not in message
    fault.disarm()
    assert not comfy.model_management.processing_interrupted()
    assert not store._runs, "an unfinished run entered the store"
    assert state(fault.model) == set_before
    assert leftovers() == (Counter(), set())

    if kind == "out of memory":
        comfy.model_management.unload_all_models()  # as ComfyUI does
    assert all(torch.equal(*pair) for pair in zip(action(), good, strict=True))


def test_a_guider_that_was_interrupted_samples_again(fault, inversion, concept):
    """A GUIDER is an output that ComfyUI keeps: what a broken run set on it must not reach the next."""
    guider = run("LEDITS_MaskedGuider", model=fault.model, inversion=inversion, concepts=concept("a green circle"))[0]
    sampler, sigmas, latent, _ = run("LEDITS_ReplaySampler", inversion=inversion)

    def sample():
        with torch.inference_mode():
            return guider.sample(torch.zeros_like(latent["samples"]), latent["samples"], sampler, sigmas)

    fault.disarm()
    good, own = sample(), set(vars(guider))
    for kind in ERRORS:
        fault.disarm()
        fault.kind, fault.call = kind, 2
        assert fails(sample)[0] is ERRORS[kind]
        fault.disarm()
        assert set(vars(guider)) - own <= {"inner_model", "loaded_models", "conds"}  # ComfyUI's own, which it sets anew
        assert torch.equal(sample(), good)


# The same picture, however it is made


def pixels(vae, latent):
    with torch.inference_mode():
        return vae.decode(latent["samples"]).mul(255).round()


def test_a_picture_is_the_same_alone_and_in_a_batch(model, vae, photo, sigmas, encode, concept):
    with torch.inference_mode():
        latents = vae.encode(torch.cat([photo, photo.flip(2)]))
    concepts = concept("a green circle", mask_mode="intersect")

    def edit(samples):
        inversion = run("LEDITS_Invert", model=model, latent={"samples": samples}, sigmas=sigmas, negative=encode(""), seed=7)[0]
        edited, _, mask, _ = run("LEDITS_Edit", model=model, inversion=inversion, concepts=concepts)
        return pixels(vae, edited), mask

    together, masks = edit(latents)
    for place in range(2):
        alone, mask = edit(latents[place : place + 1])
        assert torch.equal(mask[0], masks[place])
        assert (alone[0] - together[place]).abs().max() <= 1


@pytest.mark.parametrize("method", ["none", "auto", "latent2rgb", "taesd"])
def test_previews_change_no_bit(model, latent, sigmas, encode, inversion, concept, monkeypatch, method):
    import latent_preview

    seen = []
    plain = run("LEDITS_Edit", model=model, inversion=inversion, concepts=concept("a green circle"))[0]["samples"]
    walk = inversion.trajectory
    monkeypatch.setattr(latent_preview.args, "preview_method", latent_preview.LatentPreviewMethod.from_string(method))
    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", lambda value, total, preview, **options: seen.append(preview))
    again = run("LEDITS_Invert", model=model, latent=latent, sigmas=sigmas, negative=encode(""))[0]
    assert torch.equal(again.trajectory.noise_maps, walk.noise_maps)
    assert torch.equal(run("LEDITS_Edit", model=model, inversion=again, concepts=concept("a green circle"))[0]["samples"], plain)
    assert any(preview is not None for preview in seen) == (method != "none")
