"""Where things lie in this checkout."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
OUTPUT = CHECKOUT / "output"
RESULTS = CHECKOUT / "benchmarks" / "results"
RELEASES = CHECKOUT / "tests" / "releases"
SMALL_MODEL = CHECKOUT / "scripts" / "small_model"
CHECKPOINT = SMALL_MODEL / "ledits-tiny.safetensors"
TRANSFORMER_FILE = SMALL_MODEL / "ledits-tiny-transformer.safetensors"
FEW_STEPS_FILE = SMALL_MODEL / "ledits-tiny-few-steps.safetensors"
SCENES_CHECKPOINT = CHECKOUT / "scripts" / "scenes" / "ledits-scenes.safetensors"
SCENES_CLASSIFIER = CHECKOUT / "scripts" / "scenes" / "classifier.safetensors"
