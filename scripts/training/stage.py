"""One stage of a training: its optimiser, its learning rate, the moving average of its weights, and how it goes on after a stop."""

from __future__ import annotations

import math
import signal
import time
from pathlib import Path

import torch
from torch import Tensor

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SAVE_SECONDS = 240


def set_up() -> None:
    """Tells ComfyUI, before more of it is imported, where the networks are trained."""
    import comfy.cli_args

    comfy.cli_args.args.cpu = DEVICE.type == "cpu"
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True


class Stopped(Exception):
    """A signal asked for the end; what was reached is saved."""


def say(message: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {message}", flush=True)


class Stage:
    """A stage ends after its steps, or when its time is over.

    Its learning rate rises over the first hundred steps and falls over the last 40 per cent, of the steps or of the time, whichever is
    nearer its end.

    Args:
        path: where its state lies; a stage whose state is there goes on from it.
        average: how much of the weights' moving average stays at each step.
        seconds: its time, that of earlier starts included; as long as the steps take by default.
    """

    def __init__(self, path: Path, module: torch.nn.Module, steps: int, rate: float, average: float, seconds: float = math.inf) -> None:
        self.path, self.module, self.steps, self.rate, self.average, self.seconds = path, module, steps, rate, average, seconds
        self.optimiser = torch.optim.AdamW(module.parameters(), rate, betas=(0.9, 0.99), weight_decay=1e-3, fused=True)
        self.weights = {key: value for key, value in module.state_dict().items() if value.is_floating_point()}
        self.mean = {key: value.detach().clone() for key, value in module.state_dict().items()}
        self.step, self.losses, spent = 0, [], 0.0
        if path.exists():
            saved = torch.load(path, weights_only=True, map_location=DEVICE)
            module.load_state_dict(saved["module"])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.mean, self.step, spent = saved["mean"], saved["step"], saved["seconds"]
            say(f"{path.stem}: goes on at step {self.step}")
        self.began = self.saved = time.monotonic()
        self.first, self.spent_before = self.step, spent
        self.stop = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_to_stop)

    def _ask_to_stop(self, *_: object) -> None:
        self.stop = True

    @property
    def spent(self) -> float:
        """Seconds."""
        return self.spent_before + time.monotonic() - self.began

    @property
    def progress(self) -> float:
        return max(self.step / self.steps, 1.0 if self.spent >= self.seconds else self.spent / self.seconds)

    @property
    def finished(self) -> bool:
        return self.progress >= 1

    def update(self, loss: Tensor) -> None:
        """One step down the loss.

        Raises:
            Stopped: a signal asked for it.
        """
        fall = min(1.0, max(0.0, self.progress - 0.6) / 0.4)
        rate = self.rate * min(1, (self.step + 1) / 100) * max(0.01, 0.5 + 0.5 * math.cos(math.pi * fall))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        window = min(self.average, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_([self.mean[key] for key in self.weights], list(self.weights.values()), 1 - window)
        self.losses.append(loss.detach())
        if len(self.losses) == 50 or self.finished:
            self._report()
        if self.stop or self.finished or time.monotonic() - self.saved > SAVE_SECONDS:
            self.save()
        if self.stop:
            raise Stopped

    def _report(self) -> None:
        loss = torch.stack(self.losses).mean().item()
        pace = (time.monotonic() - self.began) / (self.step - self.first)
        say(f"{self.path.stem}: step {self.step}/{self.steps}, {self.progress:.0%}, loss {loss:.5f}, {pace:.3f} s a step")
        self.losses.clear()

    def save(self) -> None:
        partial = self.path.with_suffix(".partial")
        torch.save(
            {
                "module": self.module.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "mean": self.mean,
                "step": self.step,
                "seconds": self.spent,
            },
            partial,
        )
        partial.rename(self.path)
        self.saved = time.monotonic()
