"""Values to start from, one set for each task of a concept."""

PRESETS: dict[str, dict[str, str | float]] = {
    "replace": {"scale": 12.0, "threshold": 0.0, "mask_mode": "attention", "warmup": 0.04, "cooldown": 0},
    "add": {"direction": "add", "scale": 7.0, "threshold": 0.0, "mask_mode": "intersect", "warmup": 0.04, "cooldown": 0},
    "remove": {"direction": "remove", "scale": 5.0, "threshold": 0.0, "mask_mode": "attention", "warmup": 0.1, "cooldown": 0},
    "restyle": {"scale": 7.0, "threshold": 0.5, "mask_mode": "noise", "warmup": 0.04, "cooldown": 0},
    "face detail": {"scale": 5.0, "threshold": 0.95, "mask_mode": "intersect", "warmup": 0.04, "cooldown": 0},
    "few steps": {"scale": 1.5, "threshold": 0.0, "mask_mode": "attention", "warmup": 0.0, "cooldown": 0},
    "as published": {"scale": 7.0, "threshold": 0.9, "mask_mode": "intersect", "warmup": 0.04, "cooldown": 0},
}
"""Of the inputs of LEDITS++ Concept; the warmup is a share of the steps. A task that is neither to add nor to remove leaves the direction."""
