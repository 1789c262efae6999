"""The slots of the advanced workflow: what its API form becomes when a user switches their nodes on."""

from __future__ import annotations

import copy
from typing import Any

LORA, CONTROL_NET = "your_lora.safetensors", "your_controlnet.safetensors"
SLOTS: dict[str, tuple[int, ...]] = {"lora": (30,), "control_net": (31, 33)}
"""Their nodes."""


def switched_on(workflow: dict[str, Any], slot: str) -> tuple[dict[str, Any], str]:
    """The workflow with one slot's nodes, and the node that has its strength."""
    made = copy.deepcopy(workflow)
    if slot == "lora":
        for node in made.values():
            for name, value in node["inputs"].items():
                if value in (["1", 0], ["1", 1]):
                    node["inputs"][name] = ["30", value[1]]
        strengths = {"strength_model": 1, "strength_clip": 1}
        made["30"] = {"class_type": "LoraLoader", "inputs": {"lora_name": LORA, "model": ["1", 0], "clip": ["1", 1]} | strengths}
        return made, "30"
    made["6"]["inputs"]["negative"] = ["33", 1]
    made["31"] = {"class_type": "ControlNetLoader", "inputs": {"control_net_name": CONTROL_NET}}
    steered = {"positive": ["4", 0], "negative": ["4", 0], "control_net": ["31", 0], "image": ["32", 0]}
    made["33"] = {
        "class_type": "ControlNetApplyAdvanced",
        "inputs": steered | {"strength": 0.5, "start_percent": 0, "end_percent": 1},
    }
    made.setdefault("32", {"class_type": "Canny", "inputs": {"image": ["2", 0], "low_threshold": 0.2, "high_threshold": 0.5}})
    return made, "33"
