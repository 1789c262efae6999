"""An inversion as one safetensors file, written whole or not at all, and checked in every part before it is used.

Beside the tensors, the metadata hold three texts: the format's version, the content (JSON: all that is not a tensor, with the names of
the tensors in it), and a checksum over both. Nothing in a file is executed.
"""

import hashlib
import json
import math
import os
import secrets
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, BinaryIO

import safetensors.torch
import torch
from torch import Tensor

from ....ledits.inversion import Inversion
from ....ledits.schedule import check_falling
from ....ledits.solver import LEDITS_SOLVER, NoiseKind, Solver
from ..types import Base, ImageInversion, NetworkFingerprint
from .files import InversionFileError, delete_leftovers, open_inside
from .tensor_tree import DTYPES, UnstorableError, decode, encode

# Version 1 knows latents without a frame and noise that is not scaled, versions before 3 only the solver of LEDITS++. A file that needs
# no more is written as the older version, so that LEDITS++ 0.1.0 reads it.
VERSIONS = ("1", "2", "3")
VERSION_KEY, CONTENT_KEY, CHECKSUM_KEY = "ledits_inversion", "ledits_content", "ledits_checksum"

# The trajectory's tensors: name in the file, name in memory.
TRAJECTORY = {"original": "x0", "sigmas": "sigmas", "start": "x_T", "denoised": "denoised", "corrections": "noise_maps"}

# An inversion of many images with long prompts stays far below each of these.
MAX_FILE = 8 << 30
MAX_HEADER = 1 << 20
MAX_TENSORS = 1024

# What reading a malformed file raises, here and in the libraries.
_MALFORMED = (safetensors.SafetensorError, ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def save(inversion: ImageInversion, folder: Path, name: str) -> None:
    """Writes folder/name, which appears only when it is complete and has been read back.

    UnstorableError where the inversion has something that a file cannot hold, OSError where the disk does not take it.
    """
    extra: dict[str, Tensor] = {}
    noise, solver = inversion.trajectory.noise, inversion.trajectory.solver
    content = {
        "flow": noise.flow,
        "seed": inversion.seed,
        "cfg": inversion.base.cfg,
        "network": asdict(inversion.fingerprint),
        "latent": encode(inversion.latent, extra, "latent"),
        "negative": encode(inversion.base.negative, extra, "negative conditioning"),
        "positive": encode(inversion.base.positive, extra, "positive conditioning"),
    }
    tensors = {key: getattr(inversion.trajectory, part) for key, part in TRAJECTORY.items()} | extra
    # Copies: safetensors refuses tensors that share memory.
    tensors = {key: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format) for key, value in tensors.items()}
    version = "3" if solver != LEDITS_SOLVER else "2" if noise.scale != 1 or inversion.latent["samples"].ndim != 4 else "1"
    if version != "1":
        content["noise_scale"] = noise.scale
    if version == "3":
        content["solver"] = asdict(solver) | {"eta": solver.eta if math.isfinite(solver.eta) else None}
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    # Leave room for the tensor table.
    if len(tensors) > MAX_TENSORS or len(json.dumps(text)) > MAX_HEADER - 256 * (len(tensors) + 1):
        raise UnstorableError(f"has conditionings of {len(tensors)} tensors, more than a file holds: invert with fewer or shorter prompts")
    metadata = {VERSION_KEY: version, CONTENT_KEY: text, CHECKSUM_KEY: checksum(text, tensors)}
    delete_leftovers(folder)
    temporary = folder / f".{name}.{secrets.token_hex(4)}.tmp"
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        safetensors.torch.save_file(tensors, temporary, metadata)
        temporary.chmod(mode)  # safetensors lets nobody else read it, unlike ComfyUI's other outputs
        with open(temporary, "rb+") as file:
            read(file)
            os.fsync(file.fileno())
        os.replace(temporary, folder / name)
    except InversionFileError as error:
        raise UnstorableError(f"would make a file that {error}") from error
    except safetensors.SafetensorError as error:
        raise OSError(str(error)) from error
    finally:
        temporary.unlink(missing_ok=True)


def load(folder: Path, name: str) -> ImageInversion:
    """Reads folder/name into RAM; InversionFileError where it is not there, leads out of the folder, or is not a valid inversion."""
    with open_inside(folder, name) as file:
        return read(file)


def read(file: BinaryIO) -> ImageInversion:
    """Reads an open file from its beginning."""
    try:
        return _read(file)
    except InversionFileError:
        raise
    except _MALFORMED as error:
        problem = f"cannot be read ({error}), so it is damaged, or not an inversion"
        raise InversionFileError(f"{problem}: save it again, or copy it again") from error


def _read(file: BinaryIO) -> ImageInversion:
    size = os.fstat(file.fileno()).st_size
    # Check every size before memory is taken for it.
    _check(size <= MAX_FILE, f"its {size / (1 << 30):.1f} GiB are more than the {MAX_FILE >> 30} GiB that an inversion may take")
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    _check(length <= MAX_HEADER, f"its header of {length} bytes is longer than {MAX_HEADER}")
    header = json.loads(file.read(length))
    _check(len(header) <= MAX_TENSORS + 1, f"it lists more than {MAX_TENSORS} tensors")
    metadata = header.get("__metadata__", {})
    version = metadata.get(VERSION_KEY)
    if version is None:
        raise InversionFileError("is not an inversion: choose one that LEDITS++ Save Inversion wrote")
    if version not in VERSIONS:
        raise InversionFileError(
            f"is of format {str(version)[:20]!r}, but this LEDITS++ reads formats {', '.join(VERSIONS)}: update the pack, or invert again "
            "and save that"
        )
    file.seek(0)
    tensors = safetensors.torch.load(file.read(size))
    _check(all(tensor.dtype in DTYPES for tensor in tensors.values()), "it holds a tensor of a dtype that is never stored")
    _check(checksum(metadata[CONTENT_KEY], tensors) == metadata[CHECKSUM_KEY], "its checksum does not match")
    content = json.loads(metadata[CONTENT_KEY])
    # Another version would read the file without its solver, or with one that it does not have, and replay another image.
    _check(("solver" in content) == (version == "3"), f"a file of format {version} has {'a' if 'solver' in content else 'no'} solver")
    return _build(content, tensors)


def checksum(content: str, tensors: dict[str, Tensor]) -> str:
    """BLAKE2b over the content and each tensor's name, dtype, shape and bytes (CPU, contiguous), in the order of their names."""
    digest = hashlib.blake2b(content.encode(), digest_size=32)
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        if tensor.numel():
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _build(content: dict[str, Any], tensors: dict[str, Tensor]) -> ImageInversion:
    """The inversion of a content and its tensors, after checking both. What has the wrong type or is missing raises `_MALFORMED`."""
    flow, seed, cfg, scale = content["flow"], content["seed"], content["cfg"], content.get("noise_scale", 1.0)
    _check(type(flow) is bool and type(seed) is int and 0 <= seed < 1 << 64, "its flow or its seed is not valid")
    _check(type(cfg) in (int, float) and 0 <= cfg < math.inf, "its cfg is not valid")
    _check(type(scale) is float and 0 < scale < math.inf, "its noise scale is not valid")
    parts = {part: tensors.pop(key) for key, part in TRAJECTORY.items()}
    trajectory = _build_trajectory(
        parts, NoiseKind(flow, scale), _build_solver(content["solver"]) if "solver" in content else LEDITS_SOLVER
    )
    used: set[str] = set()
    latent, negative, positive = (decode(content[key], tensors, used) for key in ("latent", "negative", "positive"))
    samples = latent["samples"] if isinstance(latent, dict) else latent
    images = trajectory.x0.shape
    fits = samples.shape in (images, (*images[:2], 1, *images[2:]))
    _check(fits and samples.is_floating_point(), "its latent does not have the image's shape")
    _check_finite("latent", samples)
    if not isinstance(latent.get("noise_mask", samples), Tensor):
        raise InversionFileError("has an invalid noise mask: invert again and save that")
    for conditioning in (negative,) if positive is None else (negative, positive):
        _check(isinstance(conditioning, list) and len(conditioning) > 0, "its conditioning is not a list")
        for encoding, options in conditioning:
            fits = encoding.is_floating_point() and encoding.ndim >= 2 and isinstance(options, dict)
            _check(fits, "its conditioning is not a list of encodings and options")
            # Options may be infinite, like masks, or values that no network reads, like the pooled output of some text encoders.
            _check_finite("conditioning", encoding)
    _check(used == set(tensors), "it holds tensors that belong to nothing")
    network = NetworkFingerprint(**content["network"])
    hashes = (network.checkpoint, network.changes)
    _check(all(value is None or isinstance(value, str) for value in hashes), "its model's fingerprint is not valid")
    # The family is shown to people.
    _check(len(network.family) <= 200 and network.family.isascii() and network.family.isprintable(), "its model is not named")
    return ImageInversion(trajectory, latent, Base(negative, positive, float(cfg)), seed, network)


def _build_solver(values: dict[str, Any]) -> Solver:
    solver = Solver(**values)
    fits = type(solver.order) is int and 1 <= solver.order <= 2 and type(solver.path_shift) is int and solver.path_shift >= 0
    if solver.eta is None:
        solver = replace(solver, eta=math.inf)
    _check(fits and type(solver.eta) is float and solver.eta >= 0, "its solver is not valid")
    return solver


def _build_trajectory(parts: dict[str, Tensor], noise: NoiseKind, solver: Solver) -> Inversion:
    trajectory = Inversion(noise=noise, solver=solver, **parts)
    images, sigmas = trajectory.x0.shape, trajectory.sigmas
    _check(all(tensor.dtype == torch.float32 for name, tensor in parts.items() if name != "sigmas"), "a part of it is not float32")
    _check(len(images) == 4 and 0 not in images, f"its images have the shape {list(images)} instead of [batch, channels, height, width]")
    _check(sigmas.is_floating_point() and sigmas.ndim == 1, "its sigmas are not a list")
    check_falling(sigmas)
    _check(not noise.flow or float(sigmas[0]) <= 1, "the sigmas of a flow model begin above 1")
    steps = (len(sigmas) - 1, *images)
    fits = trajectory.x_T.shape == images and trajectory.denoised.shape == trajectory.noise_maps.shape == steps
    _check(fits, f"the shapes of its parts disagree with its images and its {len(sigmas)} sigmas")
    for name, tensor in parts.items():
        _check_finite(name, tensor)
    return trajectory


def _check_finite(part: str, tensor: Tensor) -> None:
    if not torch.isfinite(tensor).all():
        raise InversionFileError(f"holds values in its {part} that are not finite: invert again and save that")


def _check(fits: bool, problem: str) -> None:
    if not fits:
        raise ValueError(problem)
