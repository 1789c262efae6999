"""Seconds that the pack takes to be loaded by a ComfyUI that is up: python tests/bench/importing.py"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import in_comfy

# isort: split
import comfy_api.latest  # noqa: F401
import latent_preview  # noqa: F401

import nodes  # noqa: F401 (ComfyUI's own)

started = time.perf_counter()
in_comfy.nodes()
print(time.perf_counter() - started)
