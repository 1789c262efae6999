"""The inversion's file: the same bits come back, and whatever else is in a file is refused in words."""

import copy
import json
import math
import os
import random
import struct
import sys

import pytest
import safetensors.torch
import torch

from ledits import inversion_file
from ledits.inversion import Inversion, invert, path, replay
from ledits.inversion_file import (
    CHECKSUM_KEY,
    CONTENT_KEY,
    MAX_HEADER,
    SUFFIX,
    VERSION_KEY,
    InversionFileError,
    NetworkFingerprint,
    StoredInversion,
    checksum,
    load,
    names,
    save,
    state,
)
from ledits.tensor_tree import UnstorableError

NAME = "photo_00001_" + SUFFIX
MUTATIONS = 10_000


def denoise(x, i):
    return torch.tanh(1.7 * x.roll(1, -1)) + 0.1 * i


def make(steps=2, shape=(1, 2, 3, 5), flow=False, seed=2**64 - 1, **changes):
    generator = torch.Generator().manual_seed(1)
    picture = torch.randn(shape, generator=generator)
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
    stored = StoredInversion(
        walk=invert(picture, sigmas, denoise, flow=flow, seed=3),
        seed=seed,
        latent={"samples": picture / 0.18215, "noise_mask": torch.ones(1, 24, 40), "batch_index": [0]},
        negative=[[encoding, options]],
        positive=[[encoding, {}], (encoding[:, :2], {"pooled_output": None})],
        cfg=2.5,
        network=NetworkFingerprint("BaseModel, context_dim 768", "0a1b", None),
    )
    for name, value in changes.items():
        object.__setattr__(stored, name, value)
    return stored


def with_walk(stored, **parts):
    walk = Inversion(
        **({name: getattr(stored.walk, name) for name in ("original", "sigmas", "flow", "start", "denoised", "corrections")} | parts)
    )
    return StoredInversion(**{**{name: getattr(stored, name) for name in StoredInversion.__dataclass_fields__}, "walk": walk})


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


@pytest.fixture
def raw(tmp_path):
    return save(make(), tmp_path, NAME).read_bytes()


@pytest.fixture
def opened(raw):
    """The file's content and tensors, to be changed and signed again."""
    return json.loads(parts_of(raw)[0]["__metadata__"][CONTENT_KEY]), safetensors.torch.load(raw)


def refused(folder, raw, message):
    (folder / NAME).write_bytes(raw)
    with pytest.raises(InversionFileError, match=message):
        load(folder, NAME)


@pytest.mark.parametrize("flow", [False, True])
@pytest.mark.parametrize("positive", [False, True])
def test_the_same_bits_come_back(tmp_path, flow, positive):
    stored = make(steps=5, shape=(2, 4, 9, 13), flow=flow)
    if not positive:
        object.__setattr__(stored, "positive", None)
    save(stored, tmp_path, NAME)
    back = load(tmp_path, NAME)
    assert same(back, stored)
    assert torch.equal(replay(back.walk, denoise), replay(stored.walk, denoise))
    assert os.listdir(tmp_path) == [NAME]


def test_every_kind_of_tensor_comes_back(tmp_path):
    kinds = [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]
    values = {str(kind): torch.tensor([[0, 1, 1]]).to(kind) for kind in kinds}
    values |= {
        "scalar": torch.tensor(1.5),
        "infinite": torch.tensor([[-math.inf]]),
        "empty": torch.zeros(0, 3),
        "slice": torch.arange(24.0).view(4, 6)[:, ::2].T,
    }
    stored = make(negative=[[torch.ones(1, 1, 3), values]])
    save(stored, tmp_path, NAME)
    assert same(load(tmp_path, NAME), stored)


def test_a_file_of_another_precision_of_sigmas_keeps_it(tmp_path):
    stored = make()
    stored = with_walk(stored, sigmas=stored.walk.sigmas.double())
    save(stored, tmp_path, NAME)
    assert load(tmp_path, NAME).walk.sigmas.dtype == torch.float64


def test_what_a_killed_process_left_is_swept_away(tmp_path):
    left = {name: tmp_path / name for name in (f".{NAME}.0123abcd.tmp", f".{NAME}.89abcdef.tmp", ".other.0123abcd.tmp", f"{NAME}.tmp")}
    for place in left.values():
        place.write_bytes(b"half")
        os.utime(place, (0, 0))
    young = left.pop(f".{NAME}.89abcdef.tmp")
    os.utime(young)
    (tmp_path / f".{NAME}.fedcba98.tmp").symlink_to(left.pop(f".{NAME}.0123abcd.tmp"))
    save(make(), tmp_path, NAME)
    kept = {NAME, young.name, ".other.0123abcd.tmp", f"{NAME}.tmp", f".{NAME}.fedcba98.tmp"}
    assert set(os.listdir(tmp_path)) == kept


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        (
            "negative",
            [[torch.ones(1, 2, 3), {"control": object()}]],
            "has 'control' in its negative conditioning \\(object\\), which a file cannot",
        ),
        ("positive", [[torch.ones(1, 2, 3), {"hooks": [print]}]], "has 'hooks' in its positive conditioning \\(builtin"),
        ("negative", [[torch.ones(1, 2, 3), {"strength": math.inf}]], "has 'strength' in its negative conditioning \\(inf\\)"),
        ("negative", [[torch.ones(1, 2, 3), {"x": torch.ones(2, dtype=torch.complex64)}]], "has 'x' in .*complex64"),
        ("negative", [[torch.ones(1, 2, 3), {"x": {1: 2}}]], "has 'x' in .*\\(dict\\)"),
        ("negative", [[torch.ones(1, 2, 3), {"note": "x" * MAX_HEADER}]], "more than a file holds"),
        ("latent", {"samples": torch.ones(1, 2, 3, 5), "model": object()}, "has 'model' in its latent \\(object\\)"),
        ("latent", {"samples": torch.full((1, 2, 3, 5), math.nan)}, "would make a file that holds values in its latent that are"),
    ],
)
def test_what_a_file_cannot_hold_is_named(tmp_path, part, value, message):
    with pytest.raises(UnstorableError, match=message):
        save(make(**{part: value}), tmp_path, NAME)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("moment", ["save_file", "read", "fsync", "replace"])
def test_an_exception_leaves_no_half_written_file(tmp_path, monkeypatch, moment):
    save(make(), tmp_path, NAME)
    before = (tmp_path / NAME).read_bytes()

    def fail(*args, **kwargs):
        if moment == "save_file":
            args[1].write_bytes(b"half")
        raise OSError("the disk is full")

    place = {"save_file": safetensors.torch, "read": inversion_file}.get(moment, os)
    monkeypatch.setattr(place, moment, fail)
    with pytest.raises(OSError, match="the disk is full"):
        save(make(seed=5), tmp_path, NAME)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == [NAME]
    assert (tmp_path / NAME).read_bytes() == before


def test_a_file_appears_complete(tmp_path, monkeypatch):
    seen = []
    complete = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (seen.append((names(tmp_path), os.path.getsize(a))), complete(a, b)))
    target = save(make(), tmp_path, NAME)
    assert seen == [([], target.stat().st_size)]
    assert names(tmp_path) == [NAME]


def test_every_truncation_is_refused(tmp_path, raw):
    for length in [*range(0, 64), *range(64, len(raw), 97), len(raw) - 1]:
        refused(tmp_path, raw[:length], "damaged")
    refused(tmp_path, raw + b"\0", "does not have the size that its header says")


def test_every_flipped_byte_is_refused(tmp_path, raw):
    for place in range(0, len(raw), 29):
        refused(tmp_path, raw[:place] + bytes([raw[place] ^ 0x10]) + raw[place + 1 :], "damaged|update the pack|holds no inversion")


def test_a_header_that_asks_for_too_much(tmp_path, raw):
    header, data = parts_of(raw)
    refused(tmp_path, struct.pack("<Q", 2**63) + raw[8:], "ends before its header does")
    refused(tmp_path, struct.pack("<Q", MAX_HEADER + 1) + b" " * (MAX_HEADER + 1), "has a header of 1048577 bytes")
    refused(tmp_path, struct.pack("<Q", 500_000) + b"[" * 500_000, "no JSON")
    many = {f"t{i}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for i in range(2000)}
    refused(tmp_path, whole(header | many, data), "lists 20.. tensors")
    for shape in ([2**40, 2**40], [2**47, 0, 2**47], [-1], [1.5], [1] * 500, "3", [True], [2**4000]):
        refused(tmp_path, whole({**header, "original": header["original"] | {"shape": shape}}, data), "damaged")
    for span in ([0, 2**47], [120, 0], [0], [-8, 112], None):
        refused(tmp_path, whole({**header, "original": header["original"] | {"data_offsets": span}}, data), "damaged")
    # Two tensors over one another, and a hole where one was.
    overlap = {**header, "start": header["start"] | {"data_offsets": header["original"]["data_offsets"]}}
    refused(tmp_path, whole(overlap, data), "does not have the size")
    for kind in ("F32x", "F8_E4M3", "C64", 3, None):
        refused(tmp_path, whole({**header, "original": header["original"] | {"dtype": kind}}, data), "damaged")
    doubled = json.dumps(header)[:-1] + ', "start": ' + json.dumps(header["start"]) + "}"
    refused(tmp_path, struct.pack("<Q", len(doubled)) + doubled.encode() + data, "no JSON")


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    with open(tmp_path / NAME, "wb") as file:
        file.truncate(9 << 30)  # holes only
    with pytest.raises(InversionFileError, match=r"is 9\.0 GiB"):
        load(tmp_path, NAME)


def test_other_formats(tmp_path, opened):
    content, tensors = opened
    refused(tmp_path, signed(content, tensors, version="2"), "is of format '2', but this LEDITS\\+\\+ reads format 1: update the pack")
    refused(tmp_path, safetensors.torch.save({"weight": torch.ones(3)}), "wrong form|holds no inversion")
    refused(tmp_path, safetensors.torch.save({"weight": torch.ones(3)}, {"format": "pt"}), "holds no inversion")
    refused(tmp_path, b"\x80\x04\x95" + b"pickle" * 30, "damaged")
    refused(tmp_path, b"", "ends before its header does")


WRONG_TENSORS = {
    "not finite state": (lambda t: t["start"].__setitem__((0, 0, 0, 0), math.inf), "values in its start that are not finite"),
    "not finite prompt": (lambda t: t["extra.2"].fill_(math.nan), "values in its conditioning that are not finite"),
    "rank": (lambda t: t.update(original=t["original"][0]), "shape .* instead of"),
    "empty": (lambda t: t.update(original=t["original"][:0]), "shape .* instead of"),
    "start of another size": (lambda t: t.update(start=t["start"][..., :4].contiguous()), "shapes disagree"),
    "a step less": (lambda t: t.update(denoised=t["denoised"][:1]), "shapes disagree"),
    "a sigma more": (lambda t: t.update(sigmas=torch.tensor([9.0, 5.0, 1.0, 0.0])), "shapes disagree"),
    "one sigma": (lambda t: t.update(sigmas=torch.tensor([9.0])), "at least two sigmas"),
    "sigmas as a table": (lambda t: t.update(sigmas=torch.ones(3, 1)), "at least two sigmas"),
    "whole sigmas": (lambda t: t.update(sigmas=torch.tensor([9, 5, 0])), "at least two sigmas"),
    "sigmas that rise": (lambda t: t.update(sigmas=torch.tensor([5.0, 9.0, 0.0])), "must fall .*entry 0 is 5"),
    "sigmas below zero": (lambda t: t.update(sigmas=torch.tensor([5.0, 1.0, -1.0])), "not negative"),
    "half precision": (lambda t: t.update(corrections=t["corrections"].half()), "not float32"),
    "lacking": (lambda t: t.pop("corrections"), "lacks a part"),
    "more than it needs": (lambda t: t.update(more=torch.ones(1)), "belong to nothing"),
}


@pytest.mark.parametrize("case", WRONG_TENSORS)
def test_wrong_tensors_with_a_right_checksum(tmp_path, opened, case):
    content, tensors = opened
    change, message = WRONG_TENSORS[case]
    change(tensors)
    refused(tmp_path, signed(content, tensors), message)


def bottomless(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


WRONG_CONTENT = {
    "flow": ({"flow": 0}, "wrong kind"),
    "flow sigmas": ({"flow": True}, "begin above 1"),
    "seed": ({"seed": True}, "wrong kind"),
    "negative seed": ({"seed": -1}, "out of range"),
    "huge seed": ({"seed": 2**64}, "out of range"),
    "cfg": ({"cfg": "1"}, "wrong kind"),
    "negative cfg": ({"cfg": -1.0}, "out of range"),
    "no negative": ({"negative": None}, "no list of encodings"),
    "empty negative": ({"negative": []}, "no list of encodings"),
    "encoding": ({"negative": [["text", {"dict": {}}]]}, "no list of encodings"),
    "options": ({"positive": [[{"tensor": "extra.2"}, []]]}, "no list of encodings"),
    "missing tensor": ({"negative": [[{"tensor": "extra.99"}, {"dict": {}}]]}, "does not hold"),
    "part of the walk as a prompt": ({"negative": [[{"tensor": "start"}, {"dict": {}}]]}, "does not hold"),
    "unknown tag": ({"latent": {"pickle": "x"}}, "does not hold"),
    "latent": ({"latent": {"dict": {}}}, "does not have the picture's shape"),
    "latent of another shape": ({"latent": {"dict": {"samples": {"tensor": "extra.2"}}}}, "does not have the picture's shape"),
    "mask": ({"latent": {"dict": {"samples": {"tensor": "extra.0"}, "noise_mask": 3}}}, "noise mask"),
    "deep": ({"latent": bottomless(40)}, "levels deep"),
    "very deep": ({"latent": bottomless(900)}, "levels deep|no JSON"),
    "network": ({"network": None}, "wrong form"),
    "family": ({"network": {"family": "\x1b[31m"}}, "which model"),
    "checkpoint": ({"network": {"family": "x", "checkpoint": 3}}, "which model"),
}


@pytest.mark.parametrize("case", WRONG_CONTENT)
def test_wrong_content_with_a_right_checksum(tmp_path, opened, case):
    content, tensors = opened
    change, message = WRONG_CONTENT[case]
    refused(tmp_path, signed(content | change, tensors), message)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"a": NaN}', '{"a": 1e999}', '{"a": 1, "a": 2}', "[" * 100_000, "1" * 5000])
def test_content_that_is_no_content(tmp_path, opened, text):
    refused(tmp_path, signed(text, opened[1]), "damaged")


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
    ("name", "message"),
    [
        (f"../outside/{NAME}", "not the name of a file below"),
        (f"sub/../../outside/{NAME}", "not the name of a file below"),
        ("{folder}/sub/" + NAME, "not the name of a file below"),
        ("{folder}/../outside/" + NAME, "not the name of a file below"),
        (f"sub/{NAME}\0", "not the name of a file below"),
        ("", "not the name of a file below"),
        (".", "not the name of a file below"),
        ("/etc/passwd", "not the name of a file below"),
        ("sub", "does not end in"),
        ("sub/other.safetensors", "does not end in"),
        (f"missing{SUFFIX}", "not there any more"),
        ("x" * 5000 + SUFFIX, "cannot be opened"),
    ],
)
def test_names_that_lead_elsewhere(folder, name, message):
    with pytest.raises(InversionFileError, match=message):
        load(folder, name.format(folder=folder))


def test_symbolic_links_are_refused(folder):
    outside = folder.parent / "outside"
    for link, target in (("a", outside / NAME), ("b", folder / "sub" / NAME), ("c", "nowhere"), ("d", "d" + SUFFIX)):
        (folder / (link + SUFFIX)).symlink_to(target)
    (folder / "away").symlink_to(outside)
    (folder / "near").symlink_to("sub")
    for name in ("a", "b", "c", "d"):
        with pytest.raises(InversionFileError, match=r"symbolic link|cannot be opened"):
            load(folder, name + SUFFIX)
    for name in ("away/", "near/"):
        with pytest.raises(InversionFileError, match="symbolic link"):
            load(folder, name + NAME)
    assert names(folder) == [f"sub/{NAME}"]
    # The folder itself may be reached by one.
    (folder.parent / "door").symlink_to(folder)
    assert load(folder.parent / "door", f"sub/{NAME}").seed == make().seed


def test_what_is_no_plain_file(folder):
    (folder / ("folder" + SUFFIX)).mkdir()
    os.mkfifo(folder / ("pipe" + SUFFIX))
    for name in ("folder", "pipe"):
        with pytest.raises(InversionFileError, match="not a plain file"):
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


class Watch:
    """Every path that Python opens while it is on. An audit hook cannot be taken out again, so there is one for all tests."""

    seen: set[str] | None = None

    @classmethod
    def hook(cls, event, arguments):
        if cls.seen is not None and event == "open" and not isinstance(arguments[0], int):
            path, _, flags = arguments
            assert not flags & (os.O_WRONLY | os.O_RDWR), f"{path} is opened for writing"
            cls.seen.add(os.fspath(path))


sys.addaudithook(Watch.hook)


def watched_load(folder, name, seen):
    """`load`, with the paths it opens added to `seen`; None where it is refused."""
    Watch.seen = seen
    try:
        return load(folder, name), None
    except InversionFileError as error:
        return None, str(error)
    finally:
        Watch.seen = None


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
        tree = copy.deepcopy(tree)
        for _ in range(self.random.choice([1, 1, 2, 4])):
            node = tree
            while True:
                places = list(node) if isinstance(node, dict) else list(range(len(node)))
                if not places:
                    break
                place = self.random.choice(places)
                if isinstance(node[place], dict | list) and self.random.random() < 0.7:
                    node = node[place]
                    continue
                action = self.random.randrange(4)
                if action == 0:
                    del node[place]
                elif action == 1 and isinstance(node, dict):
                    node[self.random.choice(["", "start", "tensor", "dict", "__metadata__"])] = node[place]
                else:
                    node[place] = copy.deepcopy(self.random.choice(JUNK))
                break
        return tree


def whole_signed(header, content, tensors, data):
    text = json.dumps(content)
    sign = checksum(text.encode("utf-8", "replace").decode(), tensors)
    return whole({**header, "__metadata__": {VERSION_KEY: "1", CONTENT_KEY: text, CHECKSUM_KEY: sign}}, data)


def test_fuzz(folder):
    """Ten thousand damaged files: each is refused in words or is an inversion that can be walked; nothing outside is opened."""
    mutate = Mutator(save(make(), folder, NAME).read_bytes(), seed=2024)
    good, reasons, seen = 0, set(), set()
    for _ in range(MUTATIONS):
        (folder / NAME).write_bytes(mutate())
        stored, reason = watched_load(folder, NAME, seen)
        if stored is None:
            reasons.add(reason.split(",")[0][:30])
        else:
            good += 1
            assert stored.walk.original.shape == stored.latent["samples"].shape
            assert len(list(path(stored.walk))) == stored.walk.steps + 1
    # Every check was reached, and not everything was refused.
    assert good > 100
    assert len(reasons) > 15, reasons
    assert seen == {str(folder / NAME)}
    assert sorted(os.listdir(folder)) == [NAME, "sub"]


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
    seen, loaded = set(), set()
    for _ in range(2000):
        name = chance.choice(["", "", "/"]) + "/".join(chance.choice(words) for _ in range(chance.randrange(1, 6)))
        if watched_load(folder, name, seen)[0] is not None:
            loaded.add(name)
    assert len(loaded) > 2
    reached = {os.path.realpath(place) for place in seen if os.path.exists(place)}
    assert reached == {str(folder / NAME), str(folder / "sub" / NAME)}
    assert all(place.startswith(str(folder) + os.sep) for place in seen)
