"""Save Inversion and Load Inversion: the same bits and network calls in another process, and what a user reads."""

import dataclasses
import gc
import importlib
import os
import subprocess
import sys
import time
import types
from pathlib import Path

from scripts.host.in_comfy import load_checkpoint, nodes, pack, run
from scripts.host.networks import SD15_SHAPE, family, patcher

import folder_paths
import pytest
import torch

from scripts.paths import CHECKPOINT

SUFFIX = ".inversion.safetensors"
SAVED = f"photo_00001_{SUFFIX}"

ELSEWHERE = """
import sys, torch
from scripts.host.in_comfy import load_checkpoint, run
import folder_paths
folder_paths.set_input_directory(sys.argv[1])
model, clip, _ = load_checkpoint()
calls = []
model.model.diffusion_model.register_forward_pre_hook(lambda module, inputs: calls.append(len(inputs[0])))
inversion = run("LEDITS_LoadInversion", file=sys.argv[2])[0]
replayed = run("LEDITS_Edit", model=model, inversion=inversion)[0]["samples"]
assert calls == []
concepts = run("LEDITS_Concept", clip=clip, text="a green circle", scale=4.0, threshold=0.8, warmup=2)[0]
edited = run("LEDITS_Edit", model=model, inversion=inversion, concepts=concepts)[0]["samples"]
torch.save({"replayed": replayed, "edited": edited, "calls": calls}, sys.argv[3])
"""


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """ComfyUI's input and output folders, both new."""
    for kind in ("input", "output"):
        (tmp_path / kind).mkdir()
        monkeypatch.setattr(folder_paths, f"{kind}_directory", str(tmp_path / kind))
    return tmp_path / "input", tmp_path / "output"


def execute(node_id, **inputs):
    with torch.inference_mode():
        return nodes()[node_id].execute(**inputs)


def save(inversion, prefix="photo"):
    return execute("LEDITS_SaveInversion", inversion=inversion, filename_prefix=prefix).ui


def load(file=f"{SAVED} [output]"):
    return run("LEDITS_LoadInversion", file=file)[0]


@pytest.fixture
def network_calls(model):
    """The batch size of each network call, counted on the network itself: a wrapper would change the fingerprint."""
    sizes = []
    hook = model.model.diffusion_model.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    yield sizes
    hook.remove()


def options():
    return next(item for item in nodes()["LEDITS_LoadInversion"].GET_SCHEMA().inputs if item.id == "file").options


def note(result):
    return None if result.ui is None else result.ui["text"][0]


def fingerprint(model):
    return importlib.import_module(f"{pack().__name__}.nodes.comfyui.storage.fingerprint").fingerprint(model)


def test_another_process_gives_the_same_bits_with_the_same_calls(model, inversion, concept, network_calls, folders, tmp_path):
    saved = save(inversion)
    assert saved["inversions"] == [{"filename": SAVED, "subfolder": "", "type": "output"}]
    assert saved["text"] == (f"Saved {SAVED}",)
    os.rename(folders[1] / SAVED, folders[0] / SAVED)
    replayed = run("LEDITS_Edit", model=model, inversion=inversion)[0]["samples"]
    edited = run("LEDITS_Edit", model=model, inversion=inversion, concepts=concept("a green circle"))[0]["samples"]
    script, result = tmp_path / "elsewhere.py", tmp_path / "result.pt"
    script.write_text(ELSEWHERE)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, str(script), str(folders[0]), SAVED, str(result)], check=True, env=environment, timeout=250)
    other = torch.load(result)
    assert torch.equal(other["replayed"], replayed)
    assert torch.equal(other["edited"], edited)
    assert other["calls"] == network_calls == [2, 2, 2, 2]


@pytest.mark.parametrize("cfg", [1.0, 3.0])
def test_a_source_prompt_and_a_noise_mask_come_back(model, latent, sigmas, encode, concept, network_calls, cfg):
    mask = torch.zeros(1, 256, 256)
    mask[:, :, :128] = 1
    inputs = {
        "latent": latent | {"noise_mask": mask},
        "sigmas": sigmas,
        "negative": encode(""),
        "positive": encode("a red circle"),
        "cfg": cfg,
    }
    inversion = run("LEDITS_Invert", model=model, seed=2**63, **inputs)[0]
    save(inversion)
    loaded = load()
    assert (loaded.seed, loaded.base.cfg) == (2**63, cfg)
    results, counts = [], []
    for made in (inversion, loaded):
        network_calls.clear()
        results.append(run("LEDITS_Edit", model=model, inversion=made, concepts=concept("a green circle"))[0])
        counts.append(list(network_calls))
    assert torch.equal(results[0]["samples"], results[1]["samples"])
    assert torch.equal(results[1]["noise_mask"], mask)
    assert counts[0] == counts[1]


def test_the_advanced_nodes_take_a_loaded_inversion(model, inversion, concept):
    from comfy_extras.nodes_custom_sampler import SamplerCustomAdvanced

    save(inversion)
    results = []
    for made in (inversion, load()):
        answer = execute("LEDITS_MaskedGuider", model=model, inversion=made, concepts=concept("a green circle"))
        sampler, sigmas, latent, noise = run("LEDITS_ReplaySampler", inversion=made)
        with torch.inference_mode():
            results.append(SamplerCustomAdvanced.execute(noise, answer.result[0], sampler, sigmas, latent).result[0]["samples"])
    assert "made with this checkpoint" in note(answer)
    assert torch.equal(*results)


def test_a_list_without_files_says_what_to_do(folders):
    (only,) = options()
    with pytest.raises(ValueError, match=r"^LEDITS\+\+ Load Inversion, input 'file': .*Save Inversion"):
        load(only)


def test_numbers_subfolders_and_the_list(inversion, folders):
    assert options() == ["no inversion saved yet"]
    for prefix, name in (("a/b", "a/b_00001_"), ("a/b", "a/b_00002_"), ("%width%x", "32x_00001_")):
        assert save(inversion, prefix)["text"] == (f"Saved {name}{SUFFIX}",)
    os.rename(folders[1] / f"32x_00001_{SUFFIX}", folders[0] / f"32x_00001_{SUFFIX}")
    (folders[0] / "other.safetensors").touch()
    assert options() == [f"32x_00001_{SUFFIX}", f"a/b_00001_{SUFFIX} [output]", f"a/b_00002_{SUFFIX} [output]"]
    assert load(f"a/b_00002_{SUFFIX} [output]").seed == inversion.seed


@pytest.mark.parametrize("prefix", ["a/.b/c", ".b/c", "a/ .photo", "..photo/x", "a/./b", "a//b", "a/", "%year%.", "café/\u5706"])
def test_whatever_is_saved_is_listed_and_loads(inversion, prefix):
    (saved,) = save(inversion, prefix)["inversions"]
    (listed,) = options()
    assert listed == f"{Path(saved['subfolder'], saved['filename']).as_posix()} [output]"
    assert load(listed).seed == inversion.seed


def test_a_subfolder_that_would_not_be_listed_is_refused(inversion, folders, tmp_path):
    (folders[1] / "real").mkdir()
    (tmp_path / "disk").mkdir()
    for name, target in (("near", folders[1] / "real"), ("away", tmp_path / "disk")):
        (folders[1] / name).symlink_to(target)
        for prefix in (f"{name}/photo", f"{name}/deep/photo"):
            with pytest.raises(ValueError, match=rf"Save Inversion, input 'filename_prefix': '{prefix}' leads"):
                save(inversion, prefix)
    assert options() == ["no inversion saved yet"]


@pytest.mark.parametrize("prefix", ["../photo", "a/../../photo", "/tmp/photo", "", " ", "a\0b", ".photo", "a/.photo", "a/..", "./"])
def test_a_prefix_that_leads_elsewhere_or_hides_the_file(inversion, prefix, folders):
    with pytest.raises(ValueError, match="Save Inversion, input 'filename_prefix'"):
        save(inversion, prefix)
    assert list(folders[1].iterdir()) == []


@pytest.mark.parametrize(
    "file",
    [f"../output/{SAVED}", f"../input/{SAVED} [output]", "{output}/" + SAVED, f"link{SUFFIX}", f"link{SUFFIX} [output]", f"away/{SAVED}"],
)
def test_names_and_links_that_lead_elsewhere(inversion, folders, file):
    save(inversion)
    for folder in folders:
        (folder / f"link{SUFFIX}").symlink_to(folders[1] / SAVED)
    (folders[0] / "away").symlink_to(folders[1])
    assert options() == [f"{SAVED} [output]"]
    with pytest.raises(ValueError, match=r"Load Inversion, input 'file': .*below its folder"):
        load(file.format(output=folders[1]))
    assert nodes()["LEDITS_LoadInversion"].fingerprint_inputs(file=f"link{SUFFIX}") != 0


def test_a_damaged_file_is_named(inversion, folders):
    save(inversion)
    file = folders[1] / SAVED
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match=rf"Load Inversion, input 'file': '{SAVED} \[output\]' cannot be read"):
        load()


def test_a_changed_file_is_loaded_again(inversion, folders):
    read_state = nodes()["LEDITS_LoadInversion"].fingerprint_inputs
    save(inversion)
    first = read_state(file=f"{SAVED} [output]")
    assert read_state(file=f"{SAVED} [output]") == first
    (folders[1] / SAVED).write_bytes((folders[1] / SAVED).read_bytes())
    assert read_state(file=f"{SAVED} [output]") != first
    (folders[1] / SAVED).unlink()
    gone = read_state(file=f"{SAVED} [output]")
    assert gone != gone


def test_what_cannot_be_saved_is_named(model, latent, sigmas, encode, folders):
    class ControlNet:
        pass

    inversion = run("LEDITS_Invert", model=model, latent=latent, sigmas=sigmas, negative=encode(""))[0]
    options = inversion.base.negative[0][1]
    negative = [[inversion.base.negative[0][0], options | {"control": ControlNet()}]]
    other = dataclasses.replace(inversion, base=dataclasses.replace(inversion.base, negative=negative))
    with pytest.raises(ValueError, match=r"Save Inversion, input 'inversion': .*'control'.*ControlNet"):
        save(other)
    assert list(folders[1].iterdir()) == []


def test_another_family_is_refused(inversion):
    import comfy.supported_models

    save(inversion)
    wide = patcher(family(SD15_SHAPE | {"context_dim": 128}, comfy.supported_models.SD15))
    for made in (inversion, load()):
        with pytest.raises(ValueError, match=r"Edit, input 'inversion': .*context_dim 64.*context_dim 128"):
            run("LEDITS_Edit", model=wide, inversion=made)


def test_another_checkpoint_gives_a_warning(inversion, concept, tmp_path):
    from safetensors.torch import load_file, save_file

    save(inversion)
    weights = load_file(CHECKPOINT)
    key = next(key for key in weights if key.endswith("attn2.to_k.weight"))
    weights[key] = weights[key] * 1.01
    save_file(weights, tmp_path / "tuned.safetensors")
    tuned = load_checkpoint(tmp_path / "tuned.safetensors")[0]
    answer = execute("LEDITS_Edit", model=tuned, inversion=load(), concepts=concept("a green circle"))
    assert note(answer).startswith("Warning")
    assert "another checkpoint" in note(answer)
    # Also without a file between them.
    assert note(execute("LEDITS_Edit", model=tuned, inversion=inversion)) == note(answer)


@pytest.fixture
def with_lora(model):
    from comfy.weight_adapter.lora import LoRAAdapter

    def make(strength):
        changed = model.clone()
        key = next(key for key in model.model.state_dict() if key.endswith("attn2.to_k.weight"))
        rows, columns = model.model.state_dict()[key].shape
        generator = torch.Generator().manual_seed(4)
        up, down = torch.randn(rows, 2, generator=generator), torch.randn(2, columns, generator=generator)
        # Made anew each time, as another process would.
        changed.add_patches({key: LoRAAdapter(set(), (up, down, 1.0, None, None, None))}, strength)
        return changed

    return make


def free_u(model):
    from comfy_extras.nodes_freelunch import FreeU

    return FreeU.execute(model, 1.3, 1.4, 0.9, 0.2).result[0]


def merged(model):
    from comfy_extras.nodes_model_merging import ModelMergeSimple

    other = load_checkpoint()[0]
    other.add_patches({key: (weight * 0.1,) for key, weight in other.model_state_dict().items() if key.endswith("to_k.weight")})
    return ModelMergeSimple().merge(model, other, 0.5)[0]


def other_sampling(model):
    from comfy_extras.nodes_model_advanced import RescaleCFG

    return RescaleCFG().patch(model, 0.7)[0]


@pytest.fixture
def notes(latent, sigmas, encode, concept, vae):
    """What each node that edits says of an edit with one model of what another inverted."""

    def read(maker, model, **base):
        inversion = run("LEDITS_Invert", model=maker, latent=latent, sigmas=sigmas[-3:], negative=encode(""))[0]
        inputs = {"model": model, "inversion": inversion}
        guided = {note(execute(f"LEDITS_{node}", **inputs, **base)) for node in ("Edit", "MaskedGuider")}
        sweep = {"concepts": concept("a green circle", mask_mode="none", warmup=0), "vae": vae, "column_values": "3"}
        return guided | (set() if base else {(execute("LEDITS_Sweep", **SWEEP | inputs | sweep).ui.get("text") or [None])[0]})

    return read


SWEEP = {"concept": 0, "columns": "scale", "rows": "none", "row_values": ""}


@pytest.mark.parametrize("change", [free_u, merged, other_sampling])
def test_what_other_nodes_change_on_one_of_the_two_models_is_noted(model, notes, change):
    changed = change(model)
    for maker, connected in ((model, changed), (changed, model), (changed, change(changed))):
        (said,) = notes(maker, connected)
        assert "other nodes" in said


def test_a_lora_on_one_of_the_two_models_is_noted(model, notes, with_lora):
    for maker, connected in ((model, with_lora(0.5)), (with_lora(0.5), with_lora(0.25))):
        (said,) = notes(maker, connected)
        assert "other nodes" in said


def test_a_model_that_predicts_the_same_is_not_noted(model, notes, encode, with_lora):
    patched = free_u(merged(model))
    for maker, connected in (
        (model, model.clone()),
        (model, load_checkpoint()[0]),
        (with_lora(0.5), with_lora(0.5)),
        (patched, patched.clone()),
        (patched, run("LEDITS_AttentionStore", model=patched)[0]),
        (run("LEDITS_AttentionStore", model=patched)[0], patched),
    ):
        assert notes(maker, connected) == {None}
    # Another base is the user's own choice.
    assert notes(model, model, positive=encode("a circle"), cfg=3.0) == {None}


def test_an_inversion_keeps_no_model_alive(latent, sigmas, encode):
    other = load_checkpoint()[0]
    inversion = run("LEDITS_Invert", model=other, latent=latent, sigmas=sigmas[-3:], negative=encode(""))[0]
    del other
    gc.collect()
    assert inversion.maker() is None
    assert note(execute("LEDITS_Edit", model=load_checkpoint()[0], inversion=inversion)) is None


def test_the_same_checkpoint_is_recognised_and_patches_are_compared(model, latent, sigmas, encode, with_lora):
    def read_note(with_model):
        return note(execute("LEDITS_Edit", model=with_model, inversion=load()))

    save(run("LEDITS_Invert", model=with_lora(0.5), latent=latent, sigmas=sigmas, negative=encode(""))[0])
    same = read_note(with_lora(0.5))
    assert "made with this checkpoint" in same
    assert "other nodes" not in same
    # The pack's own patches do not count.
    assert read_note(run("LEDITS_AttentionStore", model=with_lora(0.5))[0]) == same
    # What another pack sets may be anything: it never counts as the same.
    foreign = with_lora(0.5)
    foreign.set_model_sampler_post_cfg_function(lambda arguments: arguments["denoised"])
    for other in (model, with_lora(0.25), foreign):
        assert "other nodes" in read_note(other)


def test_weights_that_cannot_be_read_never_count_as_the_same(model, inversion):
    save(dataclasses.replace(inversion, fingerprint=dataclasses.replace(inversion.fingerprint, checkpoint=None)))
    assert "cannot be compared" in note(execute("LEDITS_Edit", model=model, inversion=load()))
    unreadable = model.clone()
    unreadable.model = type("Model", (), {"__getattr__": lambda self, name: getattr(model.model, name)})()
    unreadable.model.diffusion_model = type("Network", (), {})()
    assert fingerprint(unreadable).checkpoint is None


def test_a_fingerprint_is_that_of_the_weights_and_quick(model):
    alone = fingerprint(model)
    assert fingerprint(load_checkpoint()[0]) == alone
    assert fingerprint(load_checkpoint(dtype=torch.float16)[0]).checkpoint != alone.checkpoint
    started = time.perf_counter()
    for _ in range(3):
        fingerprint(model)
    assert time.perf_counter() - started < 3


def test_fingerprints_are_those_of_the_first_release():
    """Files of 0.1.0 hold its hashes, here of one model with every kind of weight, patch and option that can be compared."""
    from comfy.model_patcher import ModelPatcher
    from comfy.weight_adapter.lora import LoRAAdapter

    def count(*shape):
        return torch.arange(torch.Size(shape).numel(), dtype=torch.float32).view(shape) / 7

    model = torch.nn.Module()
    model.diffusion_model = torch.nn.Sequential(torch.nn.Linear(40, 3), torch.nn.Conv2d(4, 4, 3).half())
    for parameter in model.diffusion_model.parameters():
        parameter.data = count(*parameter.shape).to(parameter.dtype)
    model.diffusion_model.to(memory_format=torch.channels_last)
    model.model_sampling = torch.nn.Module()
    model.model_sampling.register_buffer("sigmas", count(20))
    model.latent_format, model.model_type = types.SimpleNamespace(), "EPS"
    model.model_config = types.SimpleNamespace(unet_config={"context_dim": 8})
    patched = ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))
    adapter = LoRAAdapter(set(), (count(3, 2), count(2, 40), 1.0, None, None, None))
    patched.add_patches({"diffusion_model.0.weight": adapter, "diffusion_model.0.bias": ("diff", (count(3),))}, 0.5)
    patched.model_options["transformer_options"] = {"scale": [0.25, ("x", None)], "on": True}
    patched.model_options["sampler_cfg_rate"] = 2
    patched.add_wrapper_with_key("diffusion_model", "ledits", print)
    assert dataclasses.astuple(fingerprint(patched)) == (
        "Module, Sequential, SimpleNamespace, context_dim 8",
        "b320a53d1bea0da55589c436d00deea7",
        "84dd553d0da073f6cf828f6be1d8e34a",
    )
    patched.add_wrapper_with_key("diffusion_model", "other", print)
    assert fingerprint(patched).changes is None
