"Budgets of a fit, the choice of a start among many codes, fits that are not finite, and fits that are kept"
import copy
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import sdf_dino.field.fitting
from sdf_dino.core.errors import CheckpointError, InputError, SdfDinoError
from sdf_dino.field.decoder import Backbone
from sdf_dino.field.fitting import (
    FitConfig, cached_fit, count_loaded_fits, fine_tune_decoder, fit_shape, nearest_codes, optimise_code)
from sdf_dino.geometry.sampling import Sampler, sample_sdf
from sdf_dino.geometry.shapes import probe_shapes


@pytest.fixture(scope="module")
def backbone():
    return Backbone.load(Path(sdf_dino.__file__).parent / "weights" / "probe9" / "backbone")


@pytest.fixture(scope="module")
def table():
    return sample_sdf(probe_shapes()["table"], Sampler(4096, 512), seed=5)


def tensors(samples): return torch.from_numpy(samples.points), torch.from_numpy(samples.sdf)


@pytest.mark.parametrize("name", ["snowman", "barbell", "chair"])
def test_new_samples_of_a_training_shape_find_its_code(backbone, name):
    samples = sample_sdf(probe_shapes()[name], Sampler(4096, 512), seed=5)
    assert nearest_codes(backbone, samples, 1) == [name]


def test_the_right_code_is_found_among_hundreds(backbone, table):
    torch.manual_seed(0)
    codes = {f"{name}_{i}": code + .3 * (i > 0) * torch.randn(len(code))
             for name, code in backbone.latents.items() for i in range(60)}
    crowd = Backbone(backbone.decoder, codes)
    assert nearest_codes(crowd, table, 2, precision="float32")[0] == "table_0"
    assert all(len(nearest_codes(crowd, table, n)) == n for n in (5, 80))


def test_a_backbone_without_codes_is_refused(backbone, table):
    with pytest.raises(CheckpointError, match="no latent codes"):
        nearest_codes(Backbone(backbone.decoder, {}), table)


def test_no_step_is_taken_after_the_deadline(backbone, table):
    _, losses = optimise_code(backbone.decoder, backbone.latents["chair"], *tensors(table), deadline=0)
    assert len(losses) == 1


def test_fine_tuning_does_not_change_the_backbone(backbone, table):
    before = backbone.decoder.out.weight.clone()
    tuned = fit_shape(backbone, table, FitConfig(2, finetune_steps=20, finetune_points=256))
    assert 20 < tuned.steps <= 22 and tuned.decoder is not backbone.decoder
    assert torch.equal(before, backbone.decoder.out.weight)


def test_a_fit_ends_when_its_time_is_over(backbone, table):
    fit = fit_shape(backbone, table, FitConfig(finetune_steps=10_000, max_seconds=.5))
    assert fit.seconds < 3 and fit.timed_out


def test_fine_tuning_is_annealed_before_its_time_is_over(backbone, table, monkeypatch):
    "On a clock that each step moves by a millisecond, whatever the machine is doing"
    rates = []
    class WatchedAdam(torch.optim.Adam):
        def step(self, *args, **kwargs):
            rates.append(self.param_groups[0]["lr"])
            return super().step(*args, **kwargs)
    monkeypatch.setattr(torch.optim, "Adam", WatchedAdam)
    clock = SimpleNamespace(time=lambda: 1e-3 * len(rates))     # other threads keep the true one
    monkeypatch.setattr(sdf_dino.field.fitting, "time", clock)
    config = FitConfig(finetune_steps=10_000, finetune_points=64)
    code = backbone.latents["table"]
    fine_tune_decoder(backbone.decoder, code, *tensors(table), config, deadline=.3)
    assert 250 < len(rates) < 310
    assert rates[-1] < .2 * max(rates)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_fine_tuning_that_diverges_is_an_error(backbone, table, bad):
    points, sdf = tensors(table)
    def burst(predicted, target, clamp): return bad * predicted.sum(-1)
    config = FitConfig(finetune_steps=3, finetune_points=64)
    with pytest.raises(SdfDinoError, match="decoder fine-tuning: ends with weights that are not finite, after 3"):
        fine_tune_decoder(backbone.decoder, backbone.latents["table"], points, sdf, config, loss=burst)


@pytest.mark.parametrize("name", ["points", "sdf"])
def test_samples_that_are_not_finite_are_refused_by_name(backbone, table, name):
    broken = copy.deepcopy(table)
    getattr(broken, name)[3] = float("nan")
    with pytest.raises(InputError, match="table: has samples that are not finite"): fit_shape(backbone, broken)


def test_codes_and_weights_that_are_not_finite_are_no_start(backbone, table):
    codes = {**backbone.latents, "tower": backbone.latents["tower"] * torch.nan}
    with pytest.raises(CheckpointError, match="not finite, of tower"):
        nearest_codes(Backbone(backbone.decoder, codes), table)
    with pytest.raises(SdfDinoError, match="begins at a loss that is not finite"):
        optimise_code(backbone.decoder, codes["tower"], *tensors(table))


QUICK = FitConfig(1, code_points=256, starts=1, precision="float32")


def n_fits(folder): return len(list(folder.iterdir()))


def test_a_kept_fit_is_loaded_and_its_seconds_counted_in_its_block_alone(backbone, table, tmp_path):
    first = cached_fit(tmp_path, backbone, table, QUICK)
    with count_loaded_fits() as outer:
        with count_loaded_fits() as inner: again = cached_fit(tmp_path, backbone, table, QUICK)
    assert inner == [first.seconds] and outer == [] and n_fits(tmp_path) == 1
    assert torch.equal(first.latent, again.latent)


def test_a_fit_of_another_precision_network_or_code_is_another_fit(backbone, table, tmp_path, monkeypatch):
    cached_fit(tmp_path, backbone, table, QUICK)
    auto = FitConfig(1, code_points=256, starts=1)
    for dtype in (None, torch.bfloat16):        # of two machines that share the folder
        monkeypatch.setattr("sdf_dino.field.fitting.autocast_dtype", lambda *_, dtype=dtype: dtype)
        cached_fit(tmp_path, backbone, table, auto)
    assert n_fits(tmp_path) == 3, "auto came to two precisions"
    monkeypatch.undo()
    others = [Backbone(backbone.decoder, {"only": backbone.latents["table"] + 1}, backbone.info, backbone.hash),
              Backbone(copy.deepcopy(backbone.decoder), backbone.latents, backbone.info, backbone.hash)]
    others[1].decoder.out.bias.add_(.01)
    for other in others: cached_fit(tmp_path, other, table, QUICK)
    assert n_fits(tmp_path) == 5, "other codes, other weights"
    monkeypatch.setattr("sdf_dino.field.fitting.code_revision", lambda *_: {"modules": {"field.decoder": "new"}})
    cached_fit(tmp_path, backbone, table, QUICK)
    assert n_fits(tmp_path) == 6, "other code of the network"
