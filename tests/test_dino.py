"Self-distillation against independent oracles, in two processes, and sweeps that are killed"
import copy
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sdf_dino.distill.activations import write_cache
from sdf_dino.core.errors import SdfDinoError
from sdf_dino.core.files import load_tensors
from sdf_dino.field.decoder import Backbone, DecoderConfig, DeepSDF
from sdf_dino.distill.dino import DINOConfig, DINOTrainer, schedules, train_head, train_head_files
from sdf_dino.distill.head import DINOLoss, HeadConfig, load_head
from sdf_dino.distill.views import ViewConfig
from sdf_dino.distill.visibility_cache import write_visibility
from sdf_dino.geometry.sampling import Sampler, sample_files, sample_sdf
from sdf_dino.geometry.shapes import probe_shapes
from sdf_dino.field.training_log import read_log
from sdf_dino.field.processes import rank_and_world_size
from sdf_dino.field.processes import launch_processes
from sdf_dino.distill.views import ViewSampler

LOOK = ViewConfig(shapes=3, points=40, local=10)
HEAD = HeadConfig(32, (24, 16), 8, 6, attend=1)
HOW = DINOConfig(steps=12, lr=1e-3, save_every=4, log_every=2, affinity=1., diversity=.1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    "Three shapes, so that two processes have unequal shares"
    folder, names = tmp_path_factory.mktemp("dino"), ("snowman", "table", "mushroom")
    torch.manual_seed(0)
    for name in names: sample_sdf(probe_shapes()[name], Sampler(256, 120), 0).save(folder / "set" / f"{name}.safetensors")
    backbone = Backbone(DeepSDF(DecoderConfig(8, 16, 2)), {n: torch.randn(8) for n in names}).save(folder / "backbone")
    write_visibility(backbone, write_cache(backbone, sample_files(folder / "set"), folder / "cache", 120), folder / "relations", 50)
    return folder


def views(folder, look=LOOK, relations=True):
    from sdf_dino.distill.activations import ActivationCache
    return ViewSampler(ActivationCache(folder / "cache"), Backbone.load(folder / "backbone"), look, folder / "relations" if relations else None)


def test_the_loss_is_that_of_the_paper_s_own_code():
    "Loss and centre as `dino_loss.py` of facebookresearch/dino computes them, crops of whole images in place of views of all points"
    torch.manual_seed(1)
    n, k, every = 7, 5, torch.arange(7)
    crops, ours = torch.randn(3 * n, k, requires_grad=True), DINOLoss(k, .1)
    center = torch.zeros(1, k)
    for temp in (.04, .06):
        teacher = torch.randn(2 * n, k)
        student_out, teacher_out = (crops / .1).chunk(3), F.softmax((teacher - center) / temp, dim=-1).chunk(2)
        terms = [torch.sum(-q * F.log_softmax(student_out[v], dim=-1), dim=-1).mean()
                 for i, q in enumerate(teacher_out) for v in range(3) if v != i]
        want, = torch.autograd.grad(sum(terms) / len(terms), crops)
        loss, _, pairs = ours([(c, every) for c in crops.chunk(3)], list(teacher.chunk(2)), temp)
        got, = torch.autograd.grad(loss, crops)
        assert pairs == len(terms) == 4 and torch.isclose(loss, sum(terms) / 4, atol=1e-6) and torch.allclose(got, want, atol=1e-7)
        center = center * .9 + teacher.mean(0, keepdim=True) * .1
        assert torch.allclose(ours.center, center[0], atol=1e-7), "the centre moves after the loss"


def test_a_step_is_adam_on_that_loss_and_then_the_teacher_follows(made):
    "Weights after two steps, from the views alone, with nothing of the trainer but its starting point; the first leaves the prototypes alone"
    how = DINOConfig(steps=20, lr=1e-3, freeze=.05, clip=0.)
    trainer = DINOTrainer(views(made, relations=False), HeadConfig(32, (24, 16), 8, 6), how)
    student, teacher, center = copy.deepcopy(trainer.student), copy.deepcopy(trainer.teacher), torch.zeros(6)
    matrices, vectors = ([p for p in student.parameters() if (p.ndim > 1) == m] for m in (True, False))
    optim = torch.optim.AdamW([{"params": matrices}, {"params": vectors}], lr=1e-3)
    for step in range(2):
        batch = trainer.views.draw(step)
        warm, turn = 1, .5 * (1 + math.cos(math.pi * step / 19))
        temp = .04 + .03 * min(1, 3 * step / 19)
        seen = [v.flatten(0, 1) for v, _, _ in batch.views]
        at = [(i + 40 * torch.arange(3)[:, None]).flatten() for _, i, _ in batch.views]
        raw = [teacher(v)[1].detach() for v in seen[:2]]
        q = [F.softmax((r - center) / temp, -1) for r in raw]
        loss = sum(-(q[i][at[j]] * F.log_softmax(student(seen[j])[1] / .1, -1)).sum(-1).mean() for i in range(2) for j in range(3) if i != j) / 4
        optim.zero_grad()
        loss.backward()
        if step == 0: student.prototypes.weight.grad = None
        for g, decay in zip(optim.param_groups, (.4 - .36 * turn, 0.)):
            g["lr"], g["weight_decay"] = 1e-3 * .5 * (1 + math.cos(math.pi * (step - warm) / 19)) if step >= warm else 1e-3 / warm, decay
        optim.step()
        center = .9 * center + .1 * torch.cat(raw).mean(0)
        momentum = 1 - .004 * turn
        with torch.no_grad():
            for t, s in zip(teacher.parameters(), student.parameters()): t.copy_(momentum * t + (1 - momentum) * s)
        trainer.one_step()
        frozen = torch.equal(trainer.student.prototypes.weight, trainer.teacher.prototypes.weight)
        assert frozen == (step == 0)
    assert all(torch.allclose(a, b, atol=2e-6) for a, b in zip(trainer.student.parameters(), student.parameters()))
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(trainer.teacher.parameters(), teacher.parameters()))
    assert torch.allclose(trainer.loss.center, center, atol=1e-5) and np.isclose(trainer.pending["loss"][1].item(), loss.item(), atol=1e-5)


def test_schedules_end_where_the_tables_say():
    c = DINOConfig(steps=300)
    first, last = schedules(0, c), schedules(299, c)
    assert first["momentum"] == .996 and last["momentum"] == 1. and (first["teacher_temp"], last["teacher_temp"]) == (.04, .07)
    assert math.isclose(first["weight_decay"], .04) and math.isclose(last["weight_decay"], .4) and last["lr"] < 1e-3 * c.lr
    assert max(schedules(s, c)["lr"] for s in range(300)) == c.lr == schedules(14, c)["lr"], "the warm-up ends after a twentieth"


def falls(folder, at, *args, **kwargs):
    "Train, but die in step `at`"
    step_of = DINOTrainer.one_step
    DINOTrainer.one_step = lambda self: step_of(self) if self.step < at else sys.exit("killed")
    try: train_head(views(folder), *args, **kwargs)
    except SystemExit: pass
    finally: DINOTrainer.one_step = step_of


def train_fall_resume(folder, out):
    "In one launch, since processes start slowly: undisturbed, then stopped in step 10 and resumed from step 8; then fail"
    train_head(views(folder), out / "two", HEAD, HOW)
    falls(folder, 10, out / "fallen", HEAD, HOW)
    assert load_tensors(out / "fallen" / "state.safetensors")[1]["step"] == 8
    train_head(views(folder), out / "fallen", HEAD, HOW)
    raise RuntimeError(f"pulled the plug of {rank_and_world_size()[1]}")


def test_two_processes_give_the_loss_of_one_and_resume_exactly(made, tmp_path):
    one, log = train_head_files(made / "cache", made / "backbone", tmp_path / "one", LOOK, HEAD, HOW, made / "relations", stream=True)
    with pytest.raises(SdfDinoError, match="pulled the plug of 2"): launch_processes(2, train_fall_resume, made, tmp_path)
    two, fallen = (load_tensors(tmp_path / f / "state.safetensors")[0] for f in ("two", "fallen"))
    for name, values in log.items():
        assert np.allclose(two[f"history.{name}"], values, rtol=2e-3, atol=1e-4), f"{name}: the whole batch, not a share"
    assert all(np.array_equal(two[k], fallen[k]) for k in two), "resumed to the bit"
    assert all(torch.allclose(a, b, atol=1e-3) for a, b in zip(one.parameters(), load_head(tmp_path / "two").parameters()))
    assert [r["step"] for r in read_log(tmp_path / "fallen" / "log.jsonl")] == [*range(2, 13, 2)]


def test_more_processes_than_shapes_are_refused(made, monkeypatch):
    monkeypatch.setattr("sdf_dino.distill.dino.rank_and_world_size", lambda: (0, 4))
    with pytest.raises(SdfDinoError, match="4 for 3 shapes"): DINOTrainer(views(made), HEAD, HOW)


def test_tensorboard_shows_the_monitor(made, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    train_head(views(made), tmp_path, HEAD, DINOConfig(steps=4, log_every=2, report_every=2), lambda teacher: {"ari": .25})
    events = EventAccumulator(str(tmp_path / "events")).Reload()
    assert {"loss", "kl", "entropy", "mean_entropy", "used", "used_per_shape", "spread", "lr", "waiting", "ari"} <= set(events.Tags()["scalars"])
    assert [e.step for e in events.Scalars("ari")] == [2, 4]


def slow(label, setting, seed):
    time.sleep(.2)
    with open(os.environ["TRIED"], "a") as f: print(label, seed, file=f, flush=True)
    return {"unseen_kmeans": .5, "trained_kmeans": .5, "unseen_argmax": .1, "used": 2., "verdict": "healthy"}


def test_a_killed_sweep_goes_on_from_its_journal(tmp_path):
    "SIGKILL in mid-sweep: what was finished is not tried again, what was not is"
    from sdf_dino.sweep import read_settings, run_sweep
    settings, tried = read_settings("steps=1", "prototypes=2|3|4|5|6|7|8"), tmp_path / "tried"
    code = f"import test_dino as t; from sdf_dino.sweep import *; run_sweep({str(tmp_path / 'journal')!r}, read_settings('steps=1', 'prototypes=2|3|4|5|6|7|8'), 1, t.slow)"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parent, env={**os.environ, "TRIED": str(tried)})
    deadline, count = time.time() + 120, lambda: len(tried.read_text().splitlines()) if tried.exists() else 0
    while count() < 3 and time.time() < deadline: time.sleep(.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = tried.read_text().splitlines()
    rows = run_sweep(tmp_path / "journal", settings, 1, lambda label, *_: before.append(f"{label} 0") or {"unseen_kmeans": .5})
    assert 3 <= len(before) - len(rows) + len(settings) <= len(settings) + 1, "at most the trial at hand is tried twice"
    assert {r["setting"] for r in rows} == set(settings) and len(rows) == len(settings) and set(before) == {f"{s} 0" for s in settings}
