"A training that is killed, diverges or is clipped, on a linear layer"
import io

import pytest
import torch
from torch import nn
from tqdm import tqdm

from sdf_dino.core.errors import MismatchError, SdfDinoError
from sdf_dino.core.files import load_tensors
from sdf_dino.field import training
from sdf_dino.field.training import (
    LoopConfig, TrainingLoop, load_state, pack_weights, save_state, train_loop)
from sdf_dino.field.training_log import TrainingLog, read_log

CONFIG = LoopConfig(steps=100, save_every=30, log_every=10, ema=.9)


class PlaneFit(TrainingLoop):
    "Fits a linear layer to points near a plane; `act` is called before each step"
    def __init__(self, config=CONFIG, name="plane", act=None):
        torch.manual_seed(0)
        net = nn.Linear(3, 1)
        optim = torch.optim.Adam(net.parameters(), lr=.03)
        super().__init__({"net": net}, optim, config, {"data": {"name": name}})
        self.act = act
        self.gradient_norms = []

    def one_step(self):
        if self.act: self.act(self)
        x = torch.randn(64, 3, generator=torch.Generator().manual_seed(self.step))
        target = x.sum(1) + .1 * x[:, 0]**2
        loss = (self.modules["net"](x)[:, 0] - target).square().mean()
        loss.backward()
        self.record(loss=loss.detach())
        self.apply_gradients()

    def before_update(self):
        norm = nn.utils.get_total_norm([p.grad for p in self.params])
        self.gradient_norms.append(float(norm))


class Killed(Exception): "Stands for a kill"


def kill_at_55(loop):
    if loop.step == 55: raise Killed


def test_a_killed_training_ends_with_the_same_bits_and_logs_each_step_once(tmp_path):
    whole, killed, resumed = PlaneFit(), PlaneFit(act=kill_at_55), PlaneFit()
    assert train_loop(whole, tmp_path / "whole") == "all steps taken"
    with pytest.raises(Killed): train_loop(killed, tmp_path / "killed")
    assert read_log(tmp_path / "killed" / "log.jsonl")[-1]["step"] == 50, "beyond the state of step 30"
    train_loop(resumed, tmp_path / "killed")
    for expected, found in zip(whole.params + whole.average, resumed.params + resumed.average):
        assert torch.equal(expected, found)
    assert whole.history == resumed.history
    rows = [read_log(tmp_path / folder / "log.jsonl") for folder in ("whole", "killed")]
    assert [row["step"] for row in rows[0]] == [*range(10, 101, 10)]
    assert [row["loss"] for row in rows[0]] == [row["loss"] for row in rows[1]]


def test_the_update_sees_the_clipped_gradient():
    norms = {}
    for clip in (.1, 0.):
        loop = PlaneFit(LoopConfig(steps=1, clip=clip))
        loop.one_step()
        norms[clip] = loop.gradient_norms[0]
    assert norms[.1] <= .1 + 1e-6 < 1 < norms[0.]


def test_a_loss_that_is_not_finite_stops_before_anything_is_saved(tmp_path):
    def break_loss(loop):
        if loop.step == 7: loop.pending["loss"][-1] = torch.tensor(float("nan"))
    with pytest.raises(SdfDinoError, match="weights: the loss is not finite at step 7"):
        train_loop(PlaneFit(act=break_loss), tmp_path)
    assert not (tmp_path / "state.safetensors").exists()


def test_weights_broken_by_the_last_update_are_not_handed_over(tmp_path):
    class Burst(PlaneFit):
        def one_step(self):
            super().one_step()
            if self.step == 100: self.params[0].data[0, 1] = float("inf")    # no loss will see it
    with pytest.raises(SdfDinoError, match="net: has weights that are not finite after step 100"):
        train_loop(Burst(), tmp_path)
    assert load_tensors(tmp_path / "state.safetensors")[1]["step"] == 90, "the last state is sound"


def test_a_state_of_another_key_is_refused_with_the_difference(tmp_path):
    save_state(PlaneFit(), tmp_path / "state.safetensors")
    with pytest.raises(MismatchError, match="data.name 'plane' there, 'sphere' here"):
        load_state(PlaneFit(name="sphere"), tmp_path / "state.safetensors")


def test_progress_shows_description_rate_and_loss(tmp_path, monkeypatch):
    screen = io.StringIO()
    def bar(**kwargs): return tqdm(file=screen, mininterval=0, miniters=1, **kwargs)
    monkeypatch.setattr(training, "progress", bar)
    train_loop(PlaneFit(), tmp_path, "plane")
    assert all(word in screen.getvalue() for word in ("plane:", "it/s", "loss 0."))


def test_a_torn_last_line_of_a_log_is_left_out(tmp_path):
    log = TrainingLog(tmp_path, 0)
    log.write(10, loss=.1, names=["a"])
    log.file.write('{"step": 20, "lo')
    log.close()
    assert [row["step"] for row in read_log(tmp_path / "log.jsonl")] == [10]
    TrainingLog(tmp_path, 10).close()
    assert len(list((tmp_path / "events").iterdir())) == 1


def test_a_part_that_is_too_large_is_not_packed(tmp_path):
    with open(tmp_path / "model.safetensors", "wb") as f: f.truncate(11_000_000)
    with pytest.raises(SdfDinoError, match="11.0 MB"): pack_weights("large", "net", tmp_path, {})
