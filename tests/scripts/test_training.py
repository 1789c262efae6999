"""What all trainings share: captions as tokens, the loss on attention, a stage that stops and goes on; and the distillation's target."""

import signal
from functools import partial

from scripts.host import in_comfy  # noqa: F401 (ComfyUI must be set to the CPU first)

import numpy as np
import pytest
import torch

from scripts.scenes.scenes import random_caption, random_scene
from scripts.small_model.autoencoder import Autoencoder
from scripts.small_model.distil import GUIDANCE, clean_from, contradicted_picture, end_of_path
from scripts.small_model.train import new_denoiser, training_scene, whole_picture
from scripts.training.denoising import Batches, View, attention_loss, batch_of, tokenize, tokenizer, train
from scripts.training.encoding import encode
from scripts.training.stage import Stage, Stopped


@pytest.fixture(autouse=True)
def own_signals():
    """A stage answers signals; afterwards they are the tests' again."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def pieces_of(caption):
    targets = [target for _, target in caption.pieces]
    return tuple((words, None if target is None else targets.index(target)) for words, target in caption.pieces)


def test_a_caption_has_the_tokens_that_comfyui_gives_it():
    for index in range(40):
        rng = np.random.default_rng((5, index))
        caption = random_caption(random_scene(rng), rng)
        tokens, spans = tokenize(pieces_of(caption))
        assert tokens == [token for token, _ in tokenizer().tokenize_with_weights(caption.text)[0]]
        for first, last, place in spans:
            words = caption.pieces[place][0].removeprefix("an ").removeprefix("a ")
            alone = [token for token, _ in tokenizer().tokenize_with_weights(words)[0]]
            assert tokens[first:last] == alone[1 : 1 + last - first]


def test_the_loss_is_least_where_words_look_at_their_own_things():
    regions = torch.zeros(2, 4, 4)
    regions[0, :, :2], regions[1, :, 2:] = 1, 1
    batch = batch_of([View(torch.zeros(4, 4, 4), (("a red circle", 0), ("and", None), ("a blue square", 1)), regions)])
    right = torch.zeros(1, 16, 77)
    right[0, :, 2:4] = regions[0].flatten()[:, None] / 2  # "red circle" is split evenly
    right[0, :, 6:8] = regions[1].flatten()[:, None] / 2
    wrong = right[:, :, [0, 1, 6, 7, 4, 5, 2, 3, *range(8, 77)]]
    weights = torch.ones(1)
    losses = [attention_loss([layer], batch, weights).item() for layer in (right, torch.full_like(right, 1 / 77), wrong)]
    assert losses[0] < 1e-3 < losses[1] < losses[2]
    assert attention_loss([wrong], batch, 0 * weights) == 0


def stage_of(path, steps=6, **more):
    torch.manual_seed(0)
    module = torch.nn.Linear(4, 4)
    return module, Stage(path, module, steps, 0.1, average=0.9, **more)


def descend(module, stage, until):
    while stage.step < until and not stage.finished:
        stage.update(module(torch.eye(4) * (1 + stage.step)).square().mean())


def test_a_stage_goes_on_as_if_it_had_not_stopped(tmp_path):
    module, stage = stage_of(tmp_path / "whole.pt")
    descend(module, stage, 6)
    module, first = stage_of(tmp_path / "parts.pt")
    descend(module, first, 2)
    first.stop = True
    with pytest.raises(Stopped):
        descend(module, first, 6)
    module, second = stage_of(tmp_path / "parts.pt")
    assert second.step == 3
    descend(module, second, 6)
    assert second.finished
    assert all(torch.equal(value, second.mean[key]) for key, value in stage.mean.items())


def test_a_stage_ends_in_its_time_with_a_rate_that_has_fallen(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    module, stage = stage_of(tmp_path / "timed.pt", steps=10**6, seconds=10)
    rates = []
    while not stage.finished:
        descend(module, stage, stage.step + 1)
        rates.append(stage.optimiser.param_groups[0]["lr"] / min(1, stage.step / 100))
        now[0] += 0.5
    assert len(rates) == 20
    assert max(rates[:12]) == pytest.approx(0.1)
    assert rates[-1] < 0.005


def test_a_stage_without_time_left_makes_no_step(tmp_path):
    _, stage = stage_of(tmp_path / "late.pt", seconds=-1)
    assert stage.finished
    batches = Batches(partial(whole_picture, torch.zeros(5, 4, 32, 32)), 1, (3, 1))
    train(stage, batches, lambda batch: pytest.fail("a step was made"))


def test_latents_are_kept_for_the_autoencoder_that_made_them(tmp_path):
    pictures = np.random.default_rng(0).integers(256, size=(3, 32, 32, 3), dtype=np.uint8)
    one, other = (Autoencoder(4, 8, spread=spread, centre=0.5).eval() for spread in (4.0, 5.0))
    first = encode(tmp_path, one, [pictures[:2], pictures[2:]], 3)
    assert first.shape == (3, 4, 4, 4)
    assert torch.equal(encode(tmp_path, one, iter(()), 3), first)
    assert torch.equal(encode(tmp_path, one.to(memory_format=torch.channels_last), iter(()), 3), first)
    assert not torch.equal(encode(tmp_path, other, [pictures], 3), first)


def test_a_batch_is_the_same_whoever_makes_it():
    latents = torch.zeros(50, 4, 32, 32)
    batches = Batches(partial(whole_picture, latents), 6, (3, 1))
    one, other = batches[4], batches[4]
    assert torch.equal(one.tokens, other.tokens)
    assert torch.equal(one.regions, other.regions)
    assert not torch.equal(one.tokens, batches[5].tokens)
    module, steps = torch.nn.Linear(1, 1), []

    class Counted:
        step, steps, finished = 0, 3, False

        def update(self, loss):
            steps.append(loss)

    train(Counted(), batches, lambda batch: batch.x0.sum() + module.weight.sum())
    assert len(steps) == 3
    assert training_scene(7) is training_scene(7)


def test_half_of_the_captions_contradict_their_picture():
    latents, wrong, named = torch.arange(50.0).view(-1, 1, 1, 1).expand(50, 4, 32, 32), 0, 0
    scenes = [training_scene(index) for index in range(50)]
    for index in range(200):
        view = contradicted_picture(latents, np.random.default_rng((1, index)))
        shown = {item.phrase for item in scenes[int(view.latent[0, 0, 0])].items}
        said = {words for words, thing in view.pieces if thing is not None}
        assert len(said - shown) <= 1
        named += bool(said)
        wrong += bool(said - shown)
    assert 0.35 < wrong / named < 0.65


@torch.no_grad()
def test_the_end_of_the_teachers_path_is_the_picture_that_it_sees():
    """A teacher that sees one picture with the words and another without is followed to the guided mixture of both."""
    worded, wordless = torch.randn(2, 1, 4, 8, 8).unbind()
    empty = torch.tensor([tokenize(())[0]])
    tokens = torch.cat([torch.tensor([tokenize((("a red circle", 0),))[0]]), empty])

    class Teacher:
        levels_at = new_denoiser().levels_at

        def __call__(self, x, level, read):
            alpha, sigma = self.levels_at(level)
            x0 = torch.where((read == empty).all(1).view(-1, 1, 1, 1), wordless, worded)
            noise = (x - alpha * x0) / sigma
            return alpha * noise - sigma * x0, []

    x, level = torch.randn(2, 4, 8, 8), torch.tensor([999, 499])
    alpha, sigma = Teacher.levels_at(level)
    assert torch.allclose(clean_from(alpha * x - sigma * worded, alpha * worded + sigma * x, alpha, sigma), worded, atol=1e-5)
    found = end_of_path(Teacher(), x, level, tokens, empty)
    assert torch.allclose(found[1:], wordless, atol=1e-4)
    assert torch.allclose(found[:1], wordless + GUIDANCE * (worded - wordless), atol=1e-3)
