"""Seconds that the pack takes to be loaded by a ComfyUI that is up: python benchmarks/speed/importing.py"""

from __future__ import annotations

import time

from scripts.host import in_comfy

import comfy_api.latest  # noqa: F401
import latent_preview  # noqa: F401

import nodes  # noqa: F401 (ComfyUI's own)

started = time.perf_counter()
in_comfy.nodes()
print(time.perf_counter() - started)
