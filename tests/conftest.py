import os
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
# ComfyUI has a module called `nodes` too, which must win; `python -m pytest` puts the checkout first.
sys.path = [path for path in sys.path if Path(path or ".").resolve() != CHECKOUT]
sys.path = [str(CHECKOUT / "tests"), os.environ["COMFYUI_PATH"], *sys.path, str(CHECKOUT)]

import torch  # noqa: E402 (after the path)

# Two threads on a busy machine are many times slower than one.
torch.set_num_threads(1)
