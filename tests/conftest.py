import os
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "tests"), os.environ["COMFYUI_PATH"]]

import torch  # noqa: E402

# Two threads on a busy machine are many times slower than one.
torch.set_num_threads(1)
