"""Test-side custom node: puts faults into runs, over HTTP, and tells what runs have left in the process.

POST /ledits_test/arm {"kind": "wait" or "exception" or "out of memory", "place": "call", "step" or "save", "number": n}
arms the next run, GET /ledits_test/armed tells whether it waits or has struck, GET /ledits_test/left what is left. `wait` holds the run
until somebody cancels it, or ends the process.
"""

import ctypes
import gc
import sys
import threading
import time
from collections import Counter

import comfy.model_management
import comfy.utils
import psutil
import safetensors.torch
from comfy.patcher_extension import WrappersMP

IDLE = {"kind": None, "place": None, "number": 0, "calls": 0, "state": "idle"}
armed = dict(IDLE)

OF_ONE_RUN = {"MaskedGuider", "Recorder", "Job", "InversionSampler", "ReplaySampler", "ProbeSampler"}
"""Classes of the pack whose objects belong to one run."""


def strike() -> None:
    if armed["kind"] == "wait":
        armed["state"] = "waiting"
        deadline = time.monotonic() + 60
        while not comfy.model_management.processing_interrupted() and time.monotonic() < deadline:
            time.sleep(0.005)
    armed["state"] = "struck"
    kind, armed["kind"] = armed["kind"], None
    if kind == "exception":
        raise RuntimeError("the patch of another pack failed")
    if kind == "out of memory":
        raise comfy.model_management.OOM_EXCEPTION("Allocation of 40 GiB failed")


class Fault:
    """Passes a MODEL through, with patches like another pack's; they do nothing unless they are armed."""

    CATEGORY = "LEDITS++/test"
    FUNCTION = "patch"
    RETURN_TYPES = ("MODEL",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",)}}

    def patch(self, model):
        model = model.clone()
        model.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "ledits_fault", self._around_network)
        return (model,)

    @staticmethod
    def _around_network(executor, *args, **kwargs):
        armed["calls"] += 1
        if armed["kind"] and armed["place"] == "call" and armed["calls"] == armed["number"]:
            strike()
        return executor(*args, **kwargs)


def arm(order: dict) -> None:
    armed.update(IDLE | order)
    if order["place"] == "step" and not hasattr(comfy.utils.PROGRESS_BAR_HOOK, "of_the_test"):
        comfys = comfy.utils.PROGRESS_BAR_HOOK

        def hook(value, total, *args, **kwargs):
            if armed["kind"] and armed["place"] == "step" and value == armed["number"]:
                strike()
            return comfys(value, total, *args, **kwargs)

        hook.of_the_test = True
        comfy.utils.set_progress_bar_global_hook(hook)
    if order["place"] == "save":
        write = safetensors.torch.save_file

        def half_a_file(tensors, path, *args, **kwargs):
            write(tensors, path, *args, **kwargs)
            with open(path, "rb+") as file:
                file.truncate(file.seek(0, 2) // 2)
            strike()

        safetensors.torch.save_file = half_a_file


def left() -> dict:
    gc.collect()
    # glibc keeps freed memory for itself, tens of megabytes more or less; only what it cannot give back is in use.
    getattr(ctypes.CDLL(None), "malloc_trim", lambda _: None)(0)
    own = (type(item) for item in gc.get_objects() if "ledits-pp" in str(type(item).__module__))
    return {
        "objects": Counter(kind.__name__ for kind in own if kind.__name__ in OF_ONE_RUN),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "memory": psutil.Process().memory_info().rss,
    }


NODE_CLASS_MAPPINGS = {"LEDITS_TEST_Fault": Fault}


def _serve() -> None:
    from aiohttp import web
    from server import PromptServer

    routes = PromptServer.instance.routes

    @routes.post("/ledits_test/arm")
    async def post_arm(request):
        arm(await request.json())
        return web.json_response(armed)

    @routes.get("/ledits_test/armed")
    async def get_armed(request):
        return web.json_response(armed)

    @routes.get("/ledits_test/left")
    async def get_left(request):
        return web.json_response(left())


if "server" in sys.modules and hasattr(sys.modules["server"].PromptServer, "instance"):
    _serve()
