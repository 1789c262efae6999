"""The second subject: a transformer, here with random weights. Its methods run, and its settings and results are apart from the UNet's."""

import json
from dataclasses import fields, replace

import pytest
import torch

from benchmarks.quality import checkpoint, report, settings
from benchmarks.quality.checkpoint import encoded, latent_of, loaded, model_of
from benchmarks.quality.drawings import KINDS, make_edit
from benchmarks.quality.edits import TUNING, kinds_of
from benchmarks.quality.methods import FLOWEDIT, FOUND, IMG2IMG, METHODS, OURS, PUBLISHED, TRUE_MASK, method
from benchmarks.quality.settings import MASK_MODES, STARTS, Setting, load, save
from benchmarks.quality.store import USED
from benchmarks.quality.subjects import FILES, SUBJECTS
from benchmarks.quality.tune import CHOICES, FIELDS
from benchmarks.quality.work import Job, make
from scripts.small_model.networks import export_checkpoint
from scripts.small_model.train import new_denoiser

SETTING = replace(STARTS["transformer"], steps=3)
EDIT = make_edit(TUNING, "colour", 0)


@pytest.fixture(scope="module", autouse=True)
def transformer(tmp_path_factory):
    """As the training exports it, with weights that are not zero anywhere and the same in half precision."""
    path = tmp_path_factory.mktemp("transformer") / "transformer.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        denoiser = new_denoiser("transformer")
        for parameter in denoiser.network.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.05)
    denoiser.network.half().float()
    export_checkpoint(path, denoiser.state_dict(), None, {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FILES, "transformer", (*FILES["unet"], path))
        yield denoiser.eval()
    checkpoint.model_of.cache_clear()


@torch.inference_mode()
def test_comfyui_takes_the_file_for_what_it_is(transformer):
    """It predicts what the training saw, on the checkpoint's latents and texts."""
    model, (unet, clip, _) = model_of("transformer").model, loaded()
    assert type(model.latent_format) is type(unet.model.latent_format)
    assert torch.allclose(model.diffusion_model.pos_embed.float(), transformer.network.pos_embed, atol=1e-3)
    x0, noise = torch.randn(2, 1, 4, 32, 32, generator=torch.Generator().manual_seed(1)).unbind(0)
    state, level, *_ = transformer.add_noise(x0, noise, torch.tensor([0.3]))
    tokens = torch.tensor([[token for token, _ in clip.tokenizer.clip_l.tokenize_with_weights("a red circle")[0]]])
    velocity, _ = transformer(state, level, tokens)
    denoised = model.apply_model(state, level / 1000, c_crossattn=encoded("a red circle")[0][0])
    wanted = state - level / 1000 * velocity
    assert (denoised - wanted).std() < 1e-4 * velocity.std()


@pytest.mark.parametrize("name", METHODS["transformer"])
def test_a_method_changes_the_picture(name):
    result = method(name)(EDIT, SETTING, full=True)
    original = latent_of(EDIT)["samples"]
    assert result.samples.shape == original.shape
    assert torch.isfinite(result.samples).all()
    assert (result.samples - original).abs().max() > 1e-3
    if name in (FOUND, PUBLISHED, FLOWEDIT):
        assert result.replay_error < 1e-5
    if name == PUBLISHED:
        assert set(result.masks) == set(MASK_MODES)
        assert result.grid == (16, 16)
        # A cell for each token: the masks are the same in every 2 x 2 of the latent.
        cells = result.masks["attention"].unfold(-2, 2, 2).unfold(-2, 2, 2).flatten(-2)
        assert (cells == cells[..., :1]).all()
        assert result.masks["attention"].float().mean() == pytest.approx(0.1, abs=0.02)


def test_flowedit_goes_from_one_prompt_to_the_other():
    """With the guidance of the photo's prompt for both, and the same prompt, it gives back the photo."""
    same = replace(EDIT, changes=())
    result = method(FLOWEDIT)(same, replace(SETTING, target_cfg=SETTING.source_cfg))
    assert (result.samples - latent_of(EDIT)["samples"]).abs().max() < 1e-4


def test_jobs_carry_their_subject_to_the_results(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.quality.store.FOLDER", tmp_path)
    job = Job(EDIT, SETTING, (IMG2IMG,))
    other = replace(job, setting=replace(SETTING, subject="unet"))
    assert job.place(IMG2IMG) != other.place(IMG2IMG)
    make(job, [job.place(IMG2IMG)])
    assert job.missing(set()).methods == ()
    assert other.missing(set()) == other
    (retrained := tmp_path / "retrained.safetensors").write_bytes(b"other weights")
    monkeypatch.setitem(FILES, "transformer", (*FILES["unet"], retrained))
    assert job.missing(set()) == job


def test_each_subject_has_settings_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "settings_file", lambda subject: tmp_path / f"{subject}.json")
    for subject in SUBJECTS:
        assert load(subject) == dict.fromkeys(kinds_of(subject), STARTS[subject])
        assert STARTS[subject].subject == subject
    save(dict.fromkeys(KINDS, replace(SETTING, scale=5.0)), "transformer")
    assert list(json.loads((tmp_path / "transformer.json").read_text())) == ["all"]
    assert load("transformer") == dict.fromkeys(KINDS, replace(SETTING, scale=5.0))
    assert load() == dict.fromkeys(KINDS, Setting())


def test_the_transformer_has_one_setting_for_all_kinds():
    assert len(set(load("transformer").values())) == 1
    assert {setting.subject for setting in load("transformer").values()} == {"transformer"}
    assert SETTING.of_any_kind == SETTING


def test_a_result_depends_on_what_is_tuned_for_it():
    names = {field.name for field in fields(Setting)}
    for subject, tuned in FIELDS.items():
        used = {name for method in METHODS[subject] for name in USED[method]}
        assert set(tuned) <= used & set(CHOICES)
        assert used <= names


def test_what_the_transformer_shall_reach():
    def one(success, overlap, kept=0.0, psnr=0.0):
        scores = {"other_object_kept": kept, "background_psnr_db": psnr}
        return scores | {"success": {"all": success}, "iou": {"attention": overlap}, "iou_ceiling": {"attention": 0.9}}

    def reached(*scores):
        found = {"methods": {FOUND: one(*scores), TRUE_MASK: one(0.9, None), PUBLISHED: one(0, 0)}}
        return [yes for _, yes in report.targets(found, "transformer")]

    assert reached(0.82, 0.73, 0.95, 30.0) == [True] * 4
    assert reached(0.80, 0.71, 0.94, 29.9) == [False] * 4
    assert OURS not in METHODS["transformer"]
