"""Inversion files: the same bits come back, and a file that is not a valid inversion is refused."""

import base64
import copy
import dataclasses
import importlib
import json
import math
import os
import random
import struct
import sys
import zlib

from scripts.host.in_comfy import pack

import pytest
import safetensors.torch
import torch


def module(name):
    return importlib.import_module(f"{pack().__name__}.{name}")


files, inversion_file = module("nodes.comfyui.storage.files"), module("nodes.comfyui.storage.inversion_file")
tensor_tree, types, method = module("nodes.comfyui.storage.tensor_tree"), module("nodes.comfyui.types"), module("ledits.inversion")
solvers = module("ledits.solver")
NoiseKind, LEDITS_SOLVER, SOLVERS = solvers.NoiseKind, solvers.LEDITS_SOLVER, solvers.SOLVERS
InversionFileError, SUFFIX, names, state = files.InversionFileError, files.SUFFIX, files.names, files.state
MAX_HEADER, checksum, load, save = inversion_file.MAX_HEADER, inversion_file.checksum, inversion_file.load, inversion_file.save
VERSION_KEY, CONTENT_KEY, CHECKSUM_KEY = inversion_file.VERSION_KEY, inversion_file.CONTENT_KEY, inversion_file.CHECKSUM_KEY
UnstorableError = tensor_tree.UnstorableError

NAME = "photo_00001_" + SUFFIX
MUTATIONS = 10_000


def denoise(x, i):
    return torch.tanh(1.7 * x.roll(1, -1)) + 0.1 * i


def make(steps=2, shape=(1, 2, 3, 5), flow=False, seed=2**64 - 1, trajectory=None, **changes):
    generator = torch.Generator().manual_seed(1)
    x0 = torch.randn(shape, generator=generator)
    sigmas = torch.linspace(1.0 if flow else 9.0, 0, steps + 1)
    encoding = torch.randn(1, 4, 6, generator=generator)
    options = {
        "pooled_output": torch.randn(1, 6, generator=generator).half(),
        "width": 1024,
        "area": (4, 8, 0, 0),
        "strength": 0.1 + 0.2,
        "mask": torch.ones(1, 8, 8),
        "nothing": None,
        "deep": {"list": [True, ("a", "é\n")]},
    }
    parts = {
        "latent": {"samples": x0 / 0.18215, "noise_mask": torch.ones(1, 24, 40), "batch_index": [0]},
        "negative": [[encoding, options]],
        "positive": [[encoding, {}], (encoding[:, :2], {"pooled_output": None})],
        "cfg": 2.5,
    } | changes
    return types.ImageInversion(
        trajectory=dataclasses.replace(method.invert(x0, sigmas, denoise, noise=NoiseKind(flow), seed=3), **trajectory or {}),
        latent=parts["latent"],
        base=types.Base(parts["negative"], parts["positive"], parts["cfg"]),
        seed=seed,
        fingerprint=types.NetworkFingerprint("BaseModel, context_dim 768", "0a1b", None),
    )


def make_tiny():
    """The smallest inversion that has all parts."""
    encoding = torch.tensor([[[0.5, -1.0]]])
    options = {"pooled_output": torch.ones(1, 2).half(), "area": (4, 8), "deep": {"list": [True, ("a", None, 0.3)]}}
    latent = {"samples": torch.ones(1, 1, 2, 2), "noise_mask": torch.ones(1, 1, 1)}
    return make(steps=1, shape=(1, 1, 2, 2), latent=latent, negative=[[encoding, options]], positive=[(encoding, {})])


def same(a, b):
    """Equal to the last bit, of the same kinds all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if hasattr(a, "__dataclass_fields__"):
        return all(same(getattr(a, name), getattr(b, name)) for name in a.__dataclass_fields__)
    return a == b


def parts_of(raw):
    """(header, data) of a safetensors file."""
    length = struct.unpack("<Q", raw[:8])[0]
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def whole(header, data):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def signed(content, tensors, version="1"):
    """A file with any content, whose checksum is right."""
    text = content if isinstance(content, str) else json.dumps(content)
    return safetensors.torch.save(tensors, {VERSION_KEY: version, CONTENT_KEY: text, CHECKSUM_KEY: checksum(text, tensors)})


def to_bytes(inversion, folder):
    save(inversion, folder, NAME)
    return (folder / NAME).read_bytes()


@pytest.fixture
def raw(tmp_path):
    return to_bytes(make(), tmp_path)


@pytest.fixture
def opened(raw):
    """The file's content and tensors, to be changed and signed again."""
    return json.loads(parts_of(raw)[0]["__metadata__"][CONTENT_KEY]), safetensors.torch.load(raw)


def assert_refused(folder, raw, word):
    (folder / NAME).write_bytes(raw)
    with pytest.raises(InversionFileError, match=word):
        load(folder, NAME)


@pytest.mark.parametrize("flow", [False, True])
@pytest.mark.parametrize("positive", [False, True])
def test_the_same_bits_come_back(tmp_path, flow, positive):
    inversion = make(steps=5, shape=(2, 4, 9, 13), flow=flow, **({} if positive else {"positive": None}))
    save(inversion, tmp_path, NAME)
    loaded = load(tmp_path, NAME)
    assert same(loaded, inversion)
    assert torch.equal(method.replay(loaded.trajectory, denoise), method.replay(inversion.trajectory, denoise))
    assert os.listdir(tmp_path) == [NAME]


RELEASED = """
eNqdlM1u00AQgH3hxAX1jlSt1AtaBXu9/osgSTkgegAeII7Mxl4nVv0TeTdtqipSrxU9IO5IiGP7AJUq0XKAh6j6AkXiwCMwawc1gSSHOrIyOzvzzc+O99UDrXoOURBkXLKI
SRYEqHmIUh4lUgRJvsdLkRQ5aiID4b/qsMglzyUoD30Up8W+j5oxSwXHPhKcR7A0XEpth1LdMR3dsyzDNizYDeMBbJKGknMu94tyF9aKwrIkPQDZRy+Y4K+LiKd4swo0kUGU
ZJuO7fpIIYY83B0VSS4ra50Z/Zme5QMuQJmP03QKmpSpLGt+lIQzSbBslFZ2sAADUZQVCOKUrKH7SLnmRSJ4kDGxu8LOqO36TIZDaFPEJ7DZ1XvTypsPmEz2uFJ1l3kT5b2Q
1agooLlBMZajsVwR06xjspKzmcUYKlFBKHaxjiG6OgBZ8nwgh6DXG6a++NCqNjlM8sGsUVgFmtS99P2xrnPP93OINO31sMpLJGtLof+Uovymc6OiTkuMM5iViOge0YllWcQi
pG97Ho/c2KCmSR3KWGhzZpl2SB0ntvox5GpRy4qMKAa9F1MX4qCwKEseSphIocY0kgcjDuiXJoGQYsjUqkuwAT+CSQ+jaqSLOBZcCnVA2CTQJRTx6oSje0FMgm2qKLORWQ1Z
ibDhxPQ7hLEOsRTg6tiz7wBkPcD8H+DZ2CBzKdD1VSwhgDs26nYWZTJIcpbeoxNAwAZ1FUUkA/jiVjOW5UBdbNhVGUKyUt4nARvKcOZ6aS5ADHsBsiwHB1rpQh+mcJUenTQu
vp40mpc/v7y/BPny6cUtyA+vLm7Rlbprt3Y2Wls7H1vn2Q38b7TzG7t9nnXb4Nqub+NvHU3rbGvah+1aN/9q2vXxp+fXx49bP96kLZBbb399b9V+1X5HSWenp62z0yczn9+g
+zxjH0EOR7B+BOx38GrPtM4fAfXbqQ==
"""
"""A small file that the 0.1.0 release wrote, compressed."""


def test_a_file_of_the_first_release_loads_bit_for_bit(tmp_path):
    def count(*shape):
        return torch.arange(math.prod(shape), dtype=torch.float32).view(shape)

    (tmp_path / NAME).write_bytes(zlib.decompress(base64.b64decode(RELEASED)))
    options = {
        "pooled_output": count(1, 3).half(),
        "area": (4, 8, 0, 0),
        "strength": 0.1 + 0.2,
        "nothing": None,
        "text": "é\n",
    }
    trajectory = method.Inversion(
        x0=count(1, 1, 2, 2) / 3,
        sigmas=torch.tensor([7.5, 1.25, 0.0]),
        noise=NoiseKind(flow=False),
        x_T=count(1, 1, 2, 2) * 5 - 1,
        denoised=count(2, 1, 1, 2, 2) / 7,
        noise_maps=-count(2, 1, 1, 2, 2) / 11,
    )
    assert same(
        load(tmp_path, NAME),
        types.ImageInversion(
            trajectory=trajectory,
            latent={"samples": count(1, 1, 2, 2) * 6, "noise_mask": torch.ones(1, 2, 2), "batch_index": [0]},
            base=types.Base([[count(1, 2, 3) / 13, options]], [[count(1, 1, 3), {}]], 2.5),
            seed=2**64 - 1,
            fingerprint=types.NetworkFingerprint("BaseModel, context_dim 768", "0a1b", None),
        ),
    )
    # The format is written as it was, so that the release can read what is saved today.
    released = (tmp_path / NAME).read_bytes()
    assert parts_of(to_bytes(load(tmp_path, NAME), tmp_path)) == parts_of(released)


def with_frame(inversion):
    return dataclasses.replace(inversion, latent=inversion.latent | {"samples": inversion.latent["samples"][:, :, None]})


def with_scaled_noise(inversion):
    trajectory = dataclasses.replace(inversion.trajectory, noise=NoiseKind(flow=True, scale=8.0))
    return dataclasses.replace(inversion, trajectory=trajectory)


@pytest.mark.parametrize("change", [with_frame, with_scaled_noise])
def test_what_the_first_release_would_misread_is_of_another_version(tmp_path, change):
    inversion = change(make(flow=True))
    version = parts_of(to_bytes(inversion, tmp_path))[0]["__metadata__"][VERSION_KEY]
    assert version == "2"
    assert same(load(tmp_path, NAME), inversion)


@pytest.mark.parametrize("path_shift", [0, 1])
@pytest.mark.parametrize("name", SOLVERS)
def test_a_file_has_its_solver(tmp_path, name, path_shift):
    solver = dataclasses.replace(SOLVERS[name], path_shift=path_shift)
    inversion = make(steps=4, trajectory={"solver": solver})
    version = parts_of(to_bytes(inversion, tmp_path))[0]["__metadata__"][VERSION_KEY]
    assert version == ("1" if solver == LEDITS_SOLVER else "3"), "the first release reads what it can replay"
    loaded = load(tmp_path, NAME)
    assert same(loaded, inversion)
    assert torch.equal(method.replay(loaded.trajectory, denoise), method.replay(inversion.trajectory, denoise))


def test_a_frame_comes_back_beside_a_solver(tmp_path):
    inversion = with_frame(make(flow=True, trajectory={"solver": SOLVERS["ODE"], "noise": NoiseKind(flow=True, scale=8.0)}))
    save(inversion, tmp_path, NAME)
    assert same(load(tmp_path, NAME), inversion)


ODE = {"eta": 0.0, "order": 1, "path_shift": 0}


@pytest.mark.parametrize(
    ("version", "solver", "word"),
    [
        ("1", ODE, "format 1 has a solver"),
        ("2", ODE, "format 2 has a solver"),
        ("3", None, "format 3 has no solver"),
        *(("3", ODE | {"eta": eta}, "solver is not valid") for eta in (-0.5, "1", 1, True, math.nan)),
        *(("3", ODE | {"order": order}, "solver is not valid") for order in (0, 3, 1.0, True)),
        *(("3", ODE | {"path_shift": shift}, "solver is not valid") for shift in (-1, 0.5, None, False)),
        ("3", ODE | {"name": "ODE"}, "damaged"),
        ("3", [0.0, 1, 0], "damaged"),
    ],
)
def test_a_solver_that_would_replay_another_image_is_refused(tmp_path, opened, version, solver, word):
    content, tensors = opened
    changed = content if solver is None else content | {"solver": solver}
    assert_refused(tmp_path, signed(changed, tensors, version), word)


def test_every_kind_of_tensor_comes_back(tmp_path):
    kinds = [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]
    values = {str(kind): torch.tensor([[0, 1, 1]]).to(kind) for kind in kinds}
    values |= {
        "scalar": torch.tensor(1.5),
        "infinite": torch.tensor([[-math.inf]]),
        "empty": torch.zeros(0, 3),
        "slice": torch.arange(24.0).view(4, 6)[:, ::2].T,
    }
    inversion = make(negative=[[torch.ones(1, 1, 3), values]])
    save(inversion, tmp_path, NAME)
    assert same(load(tmp_path, NAME), inversion)


def test_tensors_that_share_memory_come_back(tmp_path):
    inversion = make()
    samples = inversion.trajectory.x0
    shared = make(latent={"samples": samples, "again": samples, "part": samples[..., :2]}, trajectory={"x0": samples, "x_T": samples})
    save(shared, tmp_path, NAME)
    assert same(load(tmp_path, NAME), shared)


def test_a_file_of_another_precision_of_sigmas_keeps_it(tmp_path):
    save(make(trajectory={"sigmas": torch.tensor([9.0, 1.0, 0.0], dtype=torch.float64)}), tmp_path, NAME)
    assert load(tmp_path, NAME).trajectory.sigmas.dtype == torch.float64


def test_leftovers_of_a_killed_process_are_deleted(tmp_path):
    left = {name: tmp_path / name for name in (f".{NAME}.0123abcd.tmp", f".{NAME}.89abcdef.tmp", ".other.0123abcd.tmp", f"{NAME}.tmp")}
    for file in left.values():
        file.write_bytes(b"half")
        os.utime(file, (0, 0))
    young = left.pop(f".{NAME}.89abcdef.tmp")
    os.utime(young)
    (tmp_path / f".{NAME}.fedcba98.tmp").symlink_to(left.pop(f".{NAME}.0123abcd.tmp"))
    save(make(), tmp_path, NAME)
    kept = {NAME, young.name, ".other.0123abcd.tmp", f"{NAME}.tmp", f".{NAME}.fedcba98.tmp"}
    assert set(os.listdir(tmp_path)) == kept


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("negative", [[torch.ones(1, 2, 3), {"control": object()}]], "'control' in its negative conditioning .*object"),
        ("positive", [[torch.ones(1, 2, 3), {"hooks": [print]}]], "'hooks' in its positive conditioning .*builtin"),
        ("negative", [[torch.ones(1, 2, 3), {"strength": math.inf}]], "'strength' in its negative conditioning .*inf"),
        ("negative", [[torch.ones(1, 2, 3), {"x": torch.ones(2, dtype=torch.complex64)}]], "'x' in .*complex64"),
        ("negative", [[torch.ones(1, 2, 3), {"x": {1: 2}}]], "'x' in .*dict"),
        ("negative", [[torch.ones(1, 2, 3), {"note": "x" * MAX_HEADER}]], "more than a file holds"),
        ("negative", [[torch.ones(1, 2, 3), {"note": '"' * (MAX_HEADER // 2)}]], "more than a file holds"),
        ("negative", [[torch.ones(1, 2, 3), {"many": [torch.ones(1) for _ in range(1024)]}]], "more than a file holds"),
        ("latent", {"samples": torch.ones(1, 2, 3, 5), "model": object()}, "'model' in its latent .*object"),
        ("latent", {"samples": torch.full((1, 2, 3, 5), math.nan)}, "latent that are not finite"),
        ("latent", {"samples": torch.ones(1, 2, 3, 5), "noise_mask": None}, "noise mask"),
        ("trajectory", {"denoised": torch.full((2, 1, 2, 3, 5), math.inf)}, "denoised that are not finite"),
    ],
)
def test_what_a_file_cannot_hold_is_named(tmp_path, part, value, words):
    with pytest.raises(UnstorableError, match=words):
        save(make(**{part: value}), tmp_path, NAME)
    assert os.listdir(tmp_path) == []


def test_a_bottomless_tree_cannot_be_saved(tmp_path):
    with pytest.raises(UnstorableError, match="levels deep"):
        save(make(latent={"deep": make_deep(40)}), tmp_path, NAME)


@pytest.mark.parametrize("moment", ["save_file", "read", "fsync", "replace"])
def test_an_exception_leaves_no_half_written_file(tmp_path, monkeypatch, moment):
    save(make(), tmp_path, NAME)
    before = (tmp_path / NAME).read_bytes()

    def fail(*args, **kwargs):
        if moment == "save_file":
            args[1].write_bytes(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr({"save_file": safetensors.torch, "read": inversion_file}.get(moment, os), moment, fail)
    with pytest.raises(OSError, match="the disk is full"):
        save(make(seed=5), tmp_path, NAME)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == [NAME]
    assert (tmp_path / NAME).read_bytes() == before


def test_a_file_appears_complete(tmp_path, monkeypatch):
    before = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (before.append((names(tmp_path), os.path.getsize(a))), replace(a, b)))
    save(make(), tmp_path, NAME)
    assert before == [([], (tmp_path / NAME).stat().st_size)]
    assert names(tmp_path) == [NAME]


def test_a_file_may_be_read_by_whoever_may_read_others(tmp_path):
    save(make(), tmp_path, NAME)
    (tmp_path / "other").touch()
    assert (tmp_path / NAME).stat().st_mode == (tmp_path / "other").stat().st_mode


def test_every_truncation_is_refused(tmp_path, raw):
    for length in [*range(0, 64), *range(64, len(raw), 97), len(raw) - 1]:
        assert_refused(tmp_path, raw[:length], "damaged")
    assert_refused(tmp_path, raw + b"\0", "damaged")


def test_every_flipped_byte_is_refused(tmp_path, raw):
    for i in range(0, len(raw), 29):
        assert_refused(tmp_path, raw[:i] + bytes([raw[i] ^ 0x10]) + raw[i + 1 :], "damaged|update the pack|not an inversion")


def test_a_header_that_asks_for_too_much(tmp_path, raw):
    header, data = parts_of(raw)
    assert_refused(tmp_path, struct.pack("<Q", 2**63) + raw[8:], "header of 9223372036854775808")
    assert_refused(tmp_path, struct.pack("<Q", MAX_HEADER + 1) + b" " * (MAX_HEADER + 1), "header of 1048577")
    assert_refused(tmp_path, struct.pack("<Q", 500_000) + b"[" * 500_000, "damaged")
    many = {f"t{i}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for i in range(2000)}
    assert_refused(tmp_path, whole(header | many, data), "more than 1024 tensors")
    for shape in ([2**40, 2**40], [2**47, 0, 2**47], [-1], [1.5], [1] * 500, "3", [True], [2**4000], [2**63, 0]):
        assert_refused(tmp_path, whole({**header, "original": header["original"] | {"shape": shape}}, data), "damaged")
    for span in ([0, 2**47], [120, 0], [0], [-8, 112], None):
        assert_refused(tmp_path, whole({**header, "original": header["original"] | {"data_offsets": span}}, data), "damaged")
    # Two tensors over one another, and a hole where one was.
    overlap = {**header, "start": header["start"] | {"data_offsets": header["original"]["data_offsets"]}}
    assert_refused(tmp_path, whole(overlap, data), "damaged")
    for kind in ("F32x", "F8_E4M3", "C64", 3, None):
        assert_refused(tmp_path, whole({**header, "original": header["original"] | {"dtype": kind}}, data), "damaged")
    for name, other in (("__metadata__", {}), ("start", header["original"])):
        doubled = json.dumps(header)[:-1] + f', "{name}": {json.dumps(other)}' + "}"
        assert_refused(tmp_path, struct.pack("<Q", len(doubled)) + doubled.encode() + data, "damaged|not an inversion")


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    with open(tmp_path / NAME, "wb") as file:
        file.truncate(9 << 30)  # holes only
    with pytest.raises(InversionFileError, match=r"9\.0 GiB"):
        load(tmp_path, NAME)


def test_other_formats(tmp_path, opened):
    content, tensors = opened
    assert_refused(tmp_path, signed(content, tensors, version="4"), "update the pack")
    assert_refused(tmp_path, safetensors.torch.save({"weight": torch.ones(3)}), "not an inversion")
    assert_refused(tmp_path, safetensors.torch.save({"weight": torch.ones(3)}, {"format": "pt"}), "not an inversion")
    assert_refused(tmp_path, b"\x80\x04\x95" + b"pickle" * 30, "damaged")
    assert_refused(tmp_path, b"", "damaged")


WRONG_TENSORS = {
    "not finite state": (lambda t: t["start"].__setitem__((0, 0, 0, 0), math.inf), "x_T that are not finite"),
    "not finite noise map": (lambda t: t["corrections"].fill_(math.nan), "noise_maps that are not finite"),
    "not finite prompt": (lambda t: t["extra.2"].fill_(math.nan), "conditioning that are not finite"),
    "not finite latent": (lambda t: t["extra.0"].fill_(math.nan), "latent that are not finite"),
    "rank": (lambda t: t.update(original=t["original"][0]), "shape"),
    "empty": (lambda t: t.update(original=t["original"][:0]), "shape"),
    "start of another size": (lambda t: t.update(start=t["start"][..., :4].contiguous()), "shapes"),
    "a step less": (lambda t: t.update(denoised=t["denoised"][:1]), "shapes"),
    "a sigma more": (lambda t: t.update(sigmas=torch.tensor([9.0, 5.0, 1.0, 0.0])), "shapes"),
    "one sigma": (lambda t: t.update(sigmas=torch.tensor([9.0])), "at least two"),
    "sigmas as a table": (lambda t: t.update(sigmas=torch.ones(3, 1)), "sigmas"),
    "whole sigmas": (lambda t: t.update(sigmas=torch.tensor([9, 5, 0])), "sigmas"),
    "sigmas that rise": (lambda t: t.update(sigmas=torch.tensor([5.0, 9.0, 0.0])), "must fall"),
    "sigmas below zero": (lambda t: t.update(sigmas=torch.tensor([5.0, 1.0, -1.0])), "negative"),
    "half precision": (lambda t: t.update(corrections=t["corrections"].half()), "float32"),
    "lacking": (lambda t: t.pop("corrections"), "corrections"),
    "more than it needs": (lambda t: t.update(more=torch.ones(1)), "belong to nothing"),
    "other dtype": (lambda t: t.update({"extra.1": t["extra.1"].to(torch.float8_e4m3fn)}), "dtype"),
    "complex": (lambda t: t.update({"extra.1": t["extra.1"].to(torch.complex64)}), "dtype"),
}


@pytest.mark.parametrize("case", WRONG_TENSORS)
def test_wrong_tensors_with_a_right_checksum(tmp_path, opened, case):
    content, tensors = opened
    change, word = WRONG_TENSORS[case]
    change(tensors)
    assert_refused(tmp_path, signed(content, tensors), word)


def make_deep(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


FAMILY = {"family": "x", "checkpoint": None, "changes": None}
WRONG_CONTENT = {
    "flow": ({"flow": 0}, "flow"),
    "flow sigmas": ({"flow": True}, "above 1"),
    "noise scale": ({"noise_scale": "8"}, "noise scale"),
    "no noise": ({"noise_scale": 0.0}, "noise scale"),
    "not finite noise": ({"noise_scale": math.inf}, "damaged"),
    "seed": ({"seed": True}, "seed"),
    "negative seed": ({"seed": -1}, "seed"),
    "huge seed": ({"seed": 2**64}, "seed"),
    "cfg": ({"cfg": "1"}, "cfg"),
    "negative cfg": ({"cfg": -1.0}, "cfg"),
    "not finite cfg": ({"cfg": math.nan}, "cfg"),
    "huge cfg": ({"cfg": 10**400}, "damaged"),
    "no negative": ({"negative": None}, "conditioning"),
    "empty negative": ({"negative": []}, "conditioning"),
    "encoding": ({"negative": [["text", {"dict": {}}]]}, "damaged"),
    "encoding of one axis": ({"negative": [[{"tensor": "extra.0"}, []]]}, "damaged"),
    "options": ({"positive": [[{"tensor": "extra.2"}, []]]}, "conditioning"),
    "missing tensor": ({"negative": [[{"tensor": "extra.99"}, {"dict": {}}]]}, "does not hold"),
    "part of the trajectory as a prompt": ({"negative": [[{"tensor": "start"}, {"dict": {}}]]}, "does not hold"),
    "unknown tag": ({"latent": {"pickle": "x"}}, "does not hold"),
    "latent": ({"latent": {"dict": {}}}, "damaged"),
    "latent that is a tensor": ({"latent": {"tensor": "extra.0"}}, "damaged"),
    "latent of another shape": ({"latent": {"dict": {"samples": {"tensor": "extra.1"}, "x": {"tensor": "extra.0"}}}}, "latent"),
    "mask": ({"latent": {"dict": {"samples": {"tensor": "extra.0"}, "noise_mask": 3, "x": {"tensor": "extra.1"}}}}, "noise mask"),
    "number in the latent": ({"latent": {"dict": {"samples": {"tensor": "extra.0"}, "x": math.inf}}}, "not finite"),
    "deep": ({"latent": make_deep(40)}, "damaged"),
    "very deep": ({"latent": make_deep(900)}, "damaged"),
    "network": ({"network": None}, "damaged"),
    "family": ({"network": FAMILY | {"family": "\x1b[31m"}}, "model"),
    "long family": ({"network": FAMILY | {"family": "x" * 201}}, "model"),
    "family of another type": ({"network": FAMILY | {"family": ["x"]}}, "damaged"),
    "checkpoint": ({"network": FAMILY | {"checkpoint": 3}}, "model"),
}


@pytest.mark.parametrize("case", WRONG_CONTENT)
def test_wrong_content_with_a_right_checksum(tmp_path, opened, case):
    content, tensors = opened
    change, word = WRONG_CONTENT[case]
    assert_refused(tmp_path, signed(content | change, tensors), word)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"a": NaN}', '{"a": 1e999}', '{"a": 1, "a": 2}', "[" * 100_000, "1" * 5000])
def test_content_that_is_not_content(tmp_path, opened, text):
    assert_refused(tmp_path, signed(text, opened[1]), "damaged")


@pytest.fixture
def folder(tmp_path):
    """A folder with one good inversion in a subfolder, and beside it another, which must never be read."""
    inside = tmp_path / "inside"
    (inside / "sub").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    save(make(), inside / "sub", NAME)
    save(make(), tmp_path / "outside", NAME)
    return inside


def test_names_and_subfolders(folder):
    (folder / f".hidden{SUFFIX}").write_bytes(b"")
    (folder / "other.safetensors").write_bytes(b"")
    assert names(folder) == [f"sub/{NAME}"]
    assert names(folder / "none") == []
    assert same(load(folder, f"sub/{NAME}"), make())


@pytest.mark.parametrize(
    "name",
    [
        f"../outside/{NAME}",
        f"sub/../../outside/{NAME}",
        "{folder}/sub/" + NAME,
        "{folder}/../outside/" + NAME,
        f"sub/{NAME}\0",
        "",
        ".",
        "/etc/passwd",
        "sub",
        "sub/other.safetensors",
        f"missing{SUFFIX}",
        "x" * 5000 + SUFFIX,
    ],
)
def test_names_that_lead_elsewhere(folder, name):
    with pytest.raises(InversionFileError, match="below its folder"):
        load(folder, name.format(folder=folder))


def test_symbolic_links_are_refused(folder):
    outside = folder.parent / "outside"
    for link, target in (("a", outside / NAME), ("b", folder / "sub" / NAME), ("c", "nowhere"), ("d", "d" + SUFFIX)):
        (folder / (link + SUFFIX)).symlink_to(target)
    (folder / "away").symlink_to(outside)
    (folder / "near").symlink_to("sub")
    for name in ("a", "b", "c", "d"):
        with pytest.raises(InversionFileError, match="links are not followed"):
            load(folder, name + SUFFIX)
    for name in ("away/", "near/"):
        with pytest.raises(InversionFileError, match="links are not followed"):
            load(folder, name + NAME)
    assert names(folder) == [f"sub/{NAME}"]
    # The folder itself may be reached by one.
    (folder.parent / "door").symlink_to(folder)
    assert load(folder.parent / "door", f"sub/{NAME}").seed == make().seed


def test_what_is_not_a_plain_file(folder):
    (folder / ("folder" + SUFFIX)).mkdir()
    os.mkfifo(folder / ("pipe" + SUFFIX))
    for name in ("folder", "pipe"):
        with pytest.raises(InversionFileError, match="below its folder"):
            load(folder, name + SUFFIX)


def test_a_changed_file_has_another_state(folder):
    file = folder / "sub" / NAME
    first = state(folder, f"sub/{NAME}")
    assert state(folder, f"sub/{NAME}") == first
    times = file.stat()
    save(make(seed=3), folder / "sub", NAME)
    # Of the same size and with the same dates, as a copy may be.
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert state(folder, f"sub/{NAME}") != first


class OpenedPaths:
    """Every path that Python opens while it is on. An audit hook cannot be removed, so there is one for all tests."""

    paths: set[str] | None = None

    @classmethod
    def hook(cls, event, arguments):
        if cls.paths is not None and event == "open" and not isinstance(arguments[0], int):
            path, _, flags = arguments
            assert not flags & (os.O_WRONLY | os.O_RDWR), f"{path} is opened for writing"
            cls.paths.add(os.fspath(path))


sys.addaudithook(OpenedPaths.hook)


def recorded(read, opened):
    """What `read` returns and the reason of a refusal, one of them None; adds the paths it opens to `opened`."""
    OpenedPaths.paths = opened
    try:
        return read(), None
    except InversionFileError as error:
        return None, str(error)
    finally:
        OpenedPaths.paths = None


JUNK = [
    None,
    True,
    -1,
    0,
    1,
    2**63,
    2**200,
    1.5,
    1e308,
    "",
    "x",
    "\ud800",
    "../x",
    [],
    {},
    [[]],
    {"tensor": "start"},
    {"tuple": []},
    {"dict": {}},
]


class Mutator:
    """Damages a file at random, the way of a bad disk, a broken writer, and one who knows the format."""

    def __init__(self, raw, seed):
        self.random, self.raw = random.Random(seed), raw
        self.header, self.data = parts_of(raw)
        self.content, self.tensors = json.loads(self.header["__metadata__"][CONTENT_KEY]), safetensors.torch.load(raw)
        self.kinds = [self.truncated, self.flipped, self.spliced, self.resized, self.edited, self.rewritten, self.recast]

    def __call__(self):
        return self.random.choice(self.kinds)()

    def truncated(self):
        return self.raw[: self.random.randrange(len(self.raw))]

    def flipped(self):
        changed = bytearray(self.raw)
        for _ in range(self.random.choice([1, 1, 2, 8, 64])):
            changed[self.random.randrange(len(changed))] ^= 1 << self.random.randrange(8)
        return bytes(changed)

    def spliced(self):
        a, b, c = (self.random.randrange(len(self.raw)) for _ in range(3))
        piece = self.random.choice([b"", self.raw[min(a, b) : max(a, b)], self.random.randbytes(self.random.randrange(100))])
        return self.raw[:c] + piece + self.raw[min(len(self.raw), c + self.random.choice([0, len(piece)])) :]

    def resized(self):
        length = self.random.choice(
            [0, 1, 2, 7, 2**31, 2**32, 2**63, 2**64 - 1, MAX_HEADER, MAX_HEADER + 1, self.random.randrange(len(self.raw))]
        )
        return struct.pack("<Q", length) + self.raw[8:]

    def edited(self):
        """The header, with the data as they are."""
        return whole(self._spoiled(self.header), self.data)

    def rewritten(self):
        """The content, signed again."""
        return whole_signed(self.header, self._spoiled(self.content), self.tensors, self.data)

    def recast(self):
        """The tensors, signed again."""
        tensors = dict(self.tensors)
        for _ in range(self.random.choice([1, 1, 2])):
            name = self.random.choice(sorted(tensors))
            tensor = tensors[name].clone()
            change = self.random.randrange(7)
            if change == 0:
                del tensors[name]
            elif change == 1:
                tensors[name] = tensor.reshape(-1)[: self.random.randrange(tensor.numel() + 1)].contiguous()
            elif change == 2:
                tensors[name] = tensor.to(self.random.choice([torch.float64, torch.float16, torch.int8, torch.bool]))
            elif change == 3 and tensor.numel():
                tensor.view(-1)[self.random.randrange(tensor.numel())] = self.random.choice([math.nan, math.inf, -1e38, 0.0, 1e-38])
                tensors[name] = tensor
            elif change == 4:
                tensors[name] = torch.stack([tensor] * self.random.choice([1, 2]))
            elif change == 5:
                tensors["new"] = tensor
            else:
                tensors[name] = tensors[self.random.choice(sorted(tensors))].clone()
        return signed(self.content, tensors)

    def _spoiled(self, tree):
        tree = json.loads(json.dumps(tree))
        for _ in range(self.random.choice([1, 1, 2, 4])):
            node = tree
            while True:
                keys = list(node) if isinstance(node, dict) else list(range(len(node)))
                if not keys:
                    break
                key = self.random.choice(keys)
                if isinstance(node[key], dict | list) and self.random.random() < 0.7:
                    node = node[key]
                    continue
                action = self.random.randrange(4)
                if action == 0:
                    del node[key]
                elif action == 1 and isinstance(node, dict):
                    node[self.random.choice(["", "start", "tensor", "dict", "__metadata__"])] = node[key]
                else:
                    node[key] = copy.deepcopy(self.random.choice(JUNK))
                break
        return tree


def whole_signed(header, content, tensors, data):
    text = json.dumps(content)
    sign = checksum(text.encode("utf-8", "replace").decode(), tensors)
    return whole({**header, "__metadata__": {VERSION_KEY: "1", CONTENT_KEY: text, CHECKSUM_KEY: sign}}, data)


def test_fuzz(tmp_path):
    """Each of many damaged files is refused, or is an inversion that can be replayed; no other file is opened."""
    mutate = Mutator(to_bytes(make_tiny(), tmp_path), seed=2024)
    valid, reasons, opened = 0, set(), set()
    with open(tmp_path / NAME, "rb+") as file:
        for _ in range(MUTATIONS):
            file.seek(0)
            file.write(mutate())
            file.truncate()
            inversion, reason = recorded(lambda: inversion_file.read(file), opened)
            if inversion is None:
                reasons.add(reason.split(",")[0][:40])
            else:
                valid += 1
                assert inversion.trajectory.x0.shape == inversion.latent["samples"].flatten(1, -3).shape
                assert len(list(method.trajectory(inversion.trajectory))) == inversion.trajectory.steps + 1
    # Every check was reached, and not everything was refused.
    assert valid > 100
    assert len(reasons) > 15, reasons
    assert not opened
    assert os.listdir(tmp_path) == [NAME]


def test_fuzz_of_names(folder):
    """Names made of everything that leads elsewhere open nothing outside the folder."""
    save(make(), folder, NAME)
    (folder / "away").symlink_to(folder.parent / "outside")
    (folder / ("link" + SUFFIX)).symlink_to(folder.parent / "outside" / NAME)
    words = [
        "..",
        ".",
        "",
        "sub",
        "away",
        "inside",
        "outside",
        "~",
        NAME,
        "link" + SUFFIX,
        "\0",
        "C:",
        "\\",
        "..\\",
        str(folder.parent),
        "%2e%2e",
    ]
    chance = random.Random(7)
    opened, loaded = set(), set()
    for _ in range(2000):
        name = chance.choice(["", "", "/"]) + "/".join(chance.choice(words) for _ in range(chance.randrange(1, 6)))
        if recorded(lambda name=name: load(folder, name), opened)[0] is not None:
            loaded.add(name)
    assert len(loaded) > 2
    reached = {os.path.realpath(path) for path in opened if os.path.exists(path)}
    assert reached == {str(folder / NAME), str(folder / "sub" / NAME)}
    assert all(path.startswith(str(folder) + os.sep) for path in opened)
