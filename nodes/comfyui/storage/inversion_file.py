"""An inversion as one file: safetensors, written whole or not at all, and checked in every part before any of it is used.

Beside the tensors the file's metadata hold three texts: the format's version, the content (JSON: all that is no tensor, with the
places of those that are), and a checksum over both. Nothing in a file is ever executed.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import math
import os
import secrets
import stat
import time
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Any, BinaryIO, TypeGuard

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from .inversion import Inversion
from .schedule import check_falling
from .tensor_tree import KINDS, BrokenTreeError, TreeWriter, UnstorableError, parse, read_tree

SUFFIX = ".inversion.safetensors"
VERSION = 1
VERSION_KEY, CONTENT_KEY, CHECKSUM_KEY = "ledits_inversion", "ledits_content", "ledits_checksum"

# An inversion of many pictures with long prompts stays far below each of these.
MAX_FILE = 8 << 30
MAX_HEADER = 1 << 20
MAX_TENSORS = 1024
MAX_DIMENSIONS = 8

ABANDONED_AFTER = 3600.0
"""Seconds without a change after which an unfinished file is nobody's."""

_WALK = ("original", "sigmas", "start", "denoised", "corrections")
_DAMAGED = "so it is damaged, or no inversion: save it again, or copy it again"


class InversionFileError(ValueError):
    """A file that cannot be read as an inversion. The text continues "the file ...": what is wrong and what to do."""


@dataclass(frozen=True)
class NetworkFingerprint:
    """A network as another process can recognise it.

    Attributes:
        family: which latents and prompts it understands, readable.
        checkpoint: a hash of its weights; None where they could not be read.
        changes: a hash of what is patched onto them; None where that cannot be compared between processes.
    """

    family: str
    checkpoint: str | None
    changes: str | None


@dataclass(frozen=True)
class StoredInversion:
    """What a file holds. Conditionings, latent: trees of dicts, lists, tuples, numbers, texts, None and tensors.

    Attributes:
        latent: with "samples" of the walk's shape, in the range that other nodes work in.
        negative, positive, cfg: the base that the inversion was walked with; a conditioning is a list of (encoding, options).
    """

    walk: Inversion
    seed: int
    latent: dict[str, Any]
    negative: list[Any]
    positive: list[Any] | None
    cfg: float
    network: NetworkFingerprint


def save(stored: StoredInversion, folder: Path, name: str) -> Path:
    """Writes folder/name, which appears only when it is complete and has been read back.

    Raises:
        UnstorableError: the inversion holds something that a file cannot.
        OSError: the disk does not take it.
    """
    walk = stored.walk
    tensors = {key: getattr(walk, key).detach().cpu().contiguous() for key in _WALK}
    extra = TreeWriter()
    content = {
        "flow": walk.flow,
        "seed": stored.seed,
        "cfg": stored.cfg,
        "network": asdict(stored.network),
        "latent": extra.encode(stored.latent, "latent"),
        "negative": extra.encode(stored.negative, "negative conditioning"),
        "positive": extra.encode(stored.positive, "positive conditioning"),
    }
    tensors |= extra.tensors
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    # A little room for the table of tensors itself.
    if len(tensors) > MAX_TENSORS or len(text) > MAX_HEADER - 256 * (len(tensors) + 1):
        raise UnstorableError(f"has conditionings of {len(tensors)} tensors, more than a file holds: invert with fewer or shorter prompts")
    metadata = {VERSION_KEY: str(VERSION), CONTENT_KEY: text, CHECKSUM_KEY: checksum(text, tensors)}
    target, unfinished = folder / name, folder / f".{name}.{secrets.token_hex(4)}.tmp"
    _sweep(folder)
    try:
        safetensors.torch.save_file(tensors, unfinished, metadata)
        with open(unfinished, "rb+") as file:
            read(file)
            os.fsync(file.fileno())
        os.replace(unfinished, target)
    except InversionFileError as error:
        raise UnstorableError(f"would make a file that {error}") from error
    except safetensors.SafetensorError as error:
        raise OSError(str(error)) from error
    finally:
        unfinished.unlink(missing_ok=True)
    return target


def _sweep(folder: Path) -> None:
    """Removes what a process that was killed while it wrote here has left; what is young may still be written by another."""
    for left in folder.glob(f".*{SUFFIX}.????????.tmp"):
        with contextlib.suppress(OSError):
            if left.is_file() and not left.is_symlink() and time.time() - left.stat().st_mtime > ABANDONED_AFTER:
                left.unlink()


def names(folder: Path) -> list[str]:
    """The inversions in a folder and its subfolders, as `load` takes them; symbolic links are left out."""
    found = []
    for place, _, files in os.walk(folder):
        for file in files:
            path = Path(place, file)
            if file.endswith(SUFFIX) and not file.startswith(".") and not path.is_symlink():
                found.append(path.relative_to(folder).as_posix())
    return sorted(found)


def load(folder: Path, name: str) -> StoredInversion:
    """Reads folder/name on the CPU.

    Raises:
        InversionFileError: it is not there, leads out of the folder, or is no sound inversion.
    """
    with open_inside(folder, name) as file:
        return read(file)


def state(folder: Path, name: str) -> str:
    """A text that changes whenever the file does."""
    with open_inside(folder, name) as file:
        found = os.fstat(file.fileno())
        return f"{found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"


def open_inside(folder: Path, name: str) -> BinaryIO:
    """Opens a plain file below a folder for reading. The folder itself may be a link; nothing below it may.

    Raises:
        InversionFileError: the name leads elsewhere, or what it names is not a file.
    """
    pure = PurePath(name)
    if not pure.parts or "\0" in name or pure.is_absolute() or pure.drive or ".." in pure.parts:
        raise InversionFileError("is not the name of a file below its folder: choose one from the list")
    if not name.endswith(SUFFIX):
        raise InversionFileError(f"does not end in {SUFFIX}: choose a file that LEDITS++ Save Inversion wrote")
    root = Path(os.path.realpath(folder))
    path = root / pure
    try:
        # A link anywhere on the way makes the two differ. The last part is checked again by the opening itself.
        if Path(os.path.realpath(path)) != path:
            raise InversionFileError("is, or lies behind, a symbolic link: put the file itself there")
        # Without blocking: a pipe would wait for a writer.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise InversionFileError("is not there any more: refresh the list (press R) and choose again") from None
    except (OSError, ValueError) as error:
        if isinstance(error, InversionFileError):
            raise
        raise InversionFileError(f"cannot be opened ({error}): choose another") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InversionFileError("is not a plain file: choose another")
    return os.fdopen(descriptor, "rb")


def read(file: BinaryIO) -> StoredInversion:
    """Reads an open file from its beginning; every size is checked before memory is taken for it.

    Raises:
        InversionFileError: it is no sound inversion of this format.
    """
    try:
        return _read(file)
    except BrokenTreeError as error:
        raise InversionFileError(f"{error}, {_DAMAGED}") from error


def _read(file: BinaryIO) -> StoredInversion:
    size = os.fstat(file.fileno()).st_size
    if size > MAX_FILE:
        raise InversionFileError(
            f"is {size / (1 << 30):.1f} GiB, more than the {MAX_FILE >> 30} GiB that an inversion may take, {_DAMAGED}"
        )
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > size - 8:
        raise InversionFileError(f"ends before its header does, {_DAMAGED}")
    if length > MAX_HEADER:
        raise InversionFileError(f"has a header of {length} bytes, more than {MAX_HEADER}, {_DAMAGED}")
    table, metadata = _header(file.read(length), size - 8 - length)
    _check_shapes(table)
    content = parse(metadata[CONTENT_KEY])
    file.seek(0)
    try:
        tensors = safetensors.torch.load(file.read(size))
    except (safetensors.SafetensorError, ValueError, KeyError, RuntimeError, MemoryError) as error:
        raise InversionFileError(f"cannot be read ({type(error).__name__}: {error}), {_DAMAGED}") from error
    # The library parses the bytes a second time; both must have seen the same.
    if {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()} != table:
        raise InversionFileError(f"changed while it was read, {_DAMAGED}")
    if checksum(metadata[CONTENT_KEY], tensors) != metadata[CHECKSUM_KEY]:
        raise InversionFileError(f"does not match its checksum, {_DAMAGED}")
    return _stored(content, tensors)


def checksum(content: str, tensors: dict[str, Tensor]) -> str:
    """BLAKE2b over the content and each tensor's name, kind and bytes (CPU, contiguous), in the order of their names."""
    digest = hashlib.blake2b(content.encode(), digest_size=32)
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        if tensor.numel():
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


Table = dict[str, tuple[torch.dtype, tuple[int, ...]]]


def _header(raw: bytes, data: int) -> tuple[Table, dict[str, str]]:
    """The tensors' types and shapes, and the metadata; refuses a header that does not describe exactly `data` bytes."""
    header = _object(parse(raw))
    metadata = _object(header.pop("__metadata__", None))
    version = metadata.get(VERSION_KEY)
    if version is None:
        raise InversionFileError("holds no inversion: choose one that LEDITS++ Save Inversion wrote")
    if version != str(VERSION):
        raise InversionFileError(
            f"is of format {str(version)[:20]!r}, but this LEDITS++ reads format {VERSION}: update the pack, or invert again and save that"
        )
    if not all(isinstance(metadata.get(key), str) for key in (CONTENT_KEY, CHECKSUM_KEY)):
        raise InversionFileError(f"has no content or no checksum, {_DAMAGED}")
    if len(header) > MAX_TENSORS:
        raise InversionFileError(f"lists {len(header)} tensors, more than {MAX_TENSORS}, {_DAMAGED}")
    table: Table = {}
    spans = []
    for name, entry in header.items():
        entry = _object(entry)
        kind, shape, span = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
        if not isinstance(kind, str) or kind not in KINDS or not _counts(shape) or not _counts(span) or len(span) != 2:
            raise InversionFileError(f"describes a tensor in a way that none is stored, {_DAMAGED}")
        if len(shape) > MAX_DIMENSIONS or math.prod(shape) * KINDS[kind].itemsize != span[1] - span[0]:
            raise InversionFileError(f"gives a tensor of shape {shape[:MAX_DIMENSIONS]} the wrong number of bytes, {_DAMAGED}")
        table[name] = KINDS[kind], tuple(shape)
        spans.append(tuple(span))
    ends = [0, *itertools.chain.from_iterable(sorted(spans)), data]
    # Sorted end to end: each begins where the one before ends, from the first byte to the last.
    if any(end != begin for end, begin in zip(ends[::2], ends[1::2], strict=True)):
        raise InversionFileError(f"does not have the size that its header says, {_DAMAGED}")
    return table, metadata


def _check_shapes(table: Table) -> None:
    if any(table.get(name, (None,))[0] != torch.float32 for name in _WALK if name != "sigmas"):
        raise InversionFileError(f"lacks a part of an inversion, or holds one that is not float32, {_DAMAGED}")
    shape, (kind, levels) = table["original"][1], table.get("sigmas", (None, ()))
    if len(shape) != 4 or 0 in shape:
        raise InversionFileError(f"holds a picture of shape {list(shape)} instead of [batch, channels, height, width], {_DAMAGED}")
    if kind is None or not kind.is_floating_point or len(levels) != 1 or levels[0] < 2:
        raise InversionFileError(f"holds no list of at least two sigmas, {_DAMAGED}")
    steps = (levels[0] - 1, *shape)
    if table["start"][1] != shape or table["denoised"][1] != steps or table["corrections"][1] != steps:
        raise InversionFileError(f"holds parts whose shapes disagree with its picture and its {levels[0] - 1} steps, {_DAMAGED}")


def _stored(content: Any, tensors: dict[str, Tensor]) -> StoredInversion:
    """The checked content, with its tensors in their places."""
    content = _object(content)
    walk = {name: tensors.pop(name) for name in _WALK}
    used: set[str] = set()
    flow, seed, cfg = content.get("flow"), content.get("seed"), content.get("cfg")
    if type(flow) is not bool or type(seed) is not int or type(cfg) not in (int, float):
        raise InversionFileError(f"has a flow, seed or cfg of the wrong kind, {_DAMAGED}")
    if not 0 <= seed < 1 << 64 or not (math.isfinite(cfg) and cfg >= 0):
        raise InversionFileError(f"has a seed or a cfg out of range, {_DAMAGED}")
    for name, tensor in walk.items():
        _check_finite(name, tensor)
    try:
        check_falling(walk["sigmas"])
    except ValueError as error:
        raise InversionFileError(f"cannot be replayed ({error}): invert again and save that") from error
    if flow and walk["sigmas"][0] > 1:
        raise InversionFileError("is of a flow model, but its sigmas begin above 1: invert again and save that")
    latent = read_tree(content.get("latent"), tensors, used)
    samples = latent.get("samples") if isinstance(latent, dict) else None
    if not isinstance(samples, Tensor) or samples.shape != walk["original"].shape or not samples.is_floating_point():
        raise InversionFileError(f"holds a latent that does not have the picture's shape, {_DAMAGED}")
    _check_finite("latent", samples)
    if not isinstance(latent.get("noise_mask", samples), Tensor):
        raise InversionFileError(f"holds a noise mask that is none, {_DAMAGED}")
    negative, positive = (read_tree(content.get(key), tensors, used) for key in ("negative", "positive"))
    _check_conditioning(negative)
    if positive is not None:
        _check_conditioning(positive)
    if used != set(tensors):
        raise InversionFileError(f"holds tensors that belong to nothing, {_DAMAGED}")
    network = _network(content.get("network"))
    return StoredInversion(Inversion(flow=flow, **walk), seed, latent, negative, positive, float(cfg), network)


def _check_conditioning(value: Any) -> None:
    pairs = value if isinstance(value, list) and value else [None]
    for pair in pairs:
        encoding, options = pair if isinstance(pair, list | tuple) and len(pair) == 2 else (None, None)
        if not isinstance(encoding, Tensor) or not encoding.is_floating_point() or encoding.ndim < 2 or not isinstance(options, dict):
            raise InversionFileError(f"holds a conditioning that is no list of encodings and options, {_DAMAGED}")
        # What is among the options may be infinite, as masks are, or garbage that the network does not read, as the pooled output
        # of a text encoder without weights for it.
        _check_finite("conditioning", encoding)


def _check_finite(name: str, tensor: Tensor) -> None:
    if not torch.isfinite(tensor).all():
        raise InversionFileError(f"holds values in its {name} that are not finite: invert again and save that")


def _network(value: Any) -> NetworkFingerprint:
    value = _object(value)
    family, others = value.get("family"), [value.get(name) for name in ("checkpoint", "changes")]
    # The family is shown to people.
    known = isinstance(family, str) and len(family) <= 200 and family.isascii() and family.isprintable()
    if not known or not all(other is None or isinstance(other, str) for other in others):
        raise InversionFileError(f"does not say which model it was made with, {_DAMAGED}")
    return NetworkFingerprint(family, *others)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InversionFileError(f"has a header of the wrong form, {_DAMAGED}")
    return value


def _counts(value: Any) -> TypeGuard[list[int]]:
    """Whether this is a list of sizes that a computer can count."""
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 1 << 48 for item in value)
