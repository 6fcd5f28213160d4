"Self-distillation against independent oracles, interrupted and resumed, and in two processes"
import copy
import dataclasses
import math
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sdf_dino.core.errors import ParameterError, SdfDinoError
from sdf_dino.core.files import load_tensors
from sdf_dino.distill.activations import ActivationCache, write_cache
from sdf_dino.distill.dino import (
    DINOConfig, DINOTrainer, schedules, train_head, train_head_files)
from sdf_dino.distill.head import HeadConfig, load_head
from sdf_dino.distill.losses import DINOLoss
from sdf_dino.distill.views import ViewConfig, ViewSampler
from sdf_dino.distill.visibility_cache import write_visibility
from sdf_dino.field.decoder import Backbone, DecoderConfig, DeepSDF
from sdf_dino.field.distributed import launch_processes, rank_and_world_size
from sdf_dino.field.training_log import read_log
from sdf_dino.geometry.sampling import Sampler, sample_files, sample_sdf
from sdf_dino.geometry.shapes import probe_shapes

NAMES = ("snowman", "table", "mushroom")     # three, so that two processes have unequal shares
VIEWS = ViewConfig(shapes=3, points=40, local=10)
HEAD = HeadConfig(32, (24, 16), 8, 6, attend=1)
PLAIN_HEAD = HeadConfig(32, (24, 16), 8, 6)
TRAINING = DINOConfig(steps=12, lr=1e-3, save_every=4, log_every=2, affinity=1., diversity=.1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "A folder with samples, backbone, activation cache and visibility"
    folder = tmp_path_factory.mktemp("dino")
    torch.manual_seed(0)
    for name in NAMES:
        samples = sample_sdf(probe_shapes()[name], Sampler(256, 120), 0)
        samples.save(folder / "samples" / f"{name}.safetensors")
    latents = {name: torch.randn(8) for name in NAMES}
    backbone = Backbone(DeepSDF(DecoderConfig(8, 16, 2)), latents).save(folder / "backbone")
    cache = write_cache(backbone, sample_files(folder / "samples"), folder / "cache", 120)
    write_visibility(backbone, cache, folder / "visibility", 50)
    return folder


def sampler(folder, affinity=True):
    visibility = folder / "visibility" if affinity else None
    backbone = Backbone.load(folder / "backbone")
    return ViewSampler(ActivationCache(folder / "cache"), backbone, VIEWS, visibility)


def test_loss_and_center_equal_the_published_code():
    "As `dino_loss.py` of facebookresearch/dino, with crops of images in place of views of points"
    torch.manual_seed(1)
    n, k, all_points = 7, 5, torch.arange(7)
    crops, loss_fn = torch.randn(3 * n, k, requires_grad=True), DINOLoss(k, .1)
    center = torch.zeros(1, k)
    for temperature in (.04, .06):
        teacher = torch.randn(2 * n, k)
        student_out = (crops / .1).chunk(3)
        teacher_out = F.softmax((teacher - center) / temperature, dim=-1).chunk(2)
        terms = []
        for i, q in enumerate(teacher_out):
            for v in range(3):
                if v == i: continue
                terms.append(torch.sum(-q * F.log_softmax(student_out[v], dim=-1), dim=-1).mean())
        published = sum(terms) / len(terms)
        expected, = torch.autograd.grad(published, crops)
        views = [(crop, all_points) for crop in crops.chunk(3)]
        loss, _ = loss_fn(views, list(teacher.chunk(2)), temperature)
        gradient, = torch.autograd.grad(loss, crops)
        assert torch.isclose(loss, published, atol=1e-6)
        assert torch.allclose(gradient, expected, atol=1e-7)
        center = center * .9 + teacher.mean(0, keepdim=True) * .1
        assert torch.allclose(loss_fn.center, center[0], atol=1e-7), "it moves after the loss"


class StepByHand:
    "One training of a plain head, written without the trainer"
    def __init__(self, trainer):
        self.student = copy.deepcopy(trainer.student)
        self.teacher = copy.deepcopy(trainer.teacher)
        self.center = torch.zeros(6)
        matrices = [p for p in self.student.parameters() if p.ndim > 1]
        vectors = [p for p in self.student.parameters() if p.ndim == 1]
        self.optimizer = torch.optim.AdamW([{"params": matrices}, {"params": vectors}], lr=1e-3)

    def loss(self, batch, temperature):
        activations = [v.activations.flatten(0, 1) for v in batch.views]
        first_index = 40 * torch.arange(3)[:, None]
        index = [(v.targets + first_index).flatten() for v in batch.views]
        raw = [self.teacher(x)[1].detach() for x in activations[:2]]
        targets = [F.softmax((r - self.center) / temperature, -1) for r in raw]
        terms = []
        for i in range(2):
            for j in range(3):
                if i == j: continue
                log_probability = F.log_softmax(self.student(activations[j])[1] / .1, -1)
                terms.append(-(targets[i][index[j]] * log_probability).sum(-1).mean())
        self.center = .9 * self.center + .1 * torch.cat(raw).mean(0)
        return sum(terms) / 4

    def step(self, step, batch, steps=20, freeze=False):
        cosine = .5 * (1 + math.cos(math.pi * step / (steps - 1)))
        loss = self.loss(batch, .04 + .03 * min(1, 3 * step / (steps - 1)))
        self.optimizer.zero_grad()
        loss.backward()
        if freeze: self.student.prototypes.weight.grad = None
        lr = 1e-3
        if step >= 1: lr *= .5 * (1 + math.cos(math.pi * (step - 1) / (steps - 1)))
        for group, decay in zip(self.optimizer.param_groups, (.4 - .36 * cosine, 0.)):
            group["lr"], group["weight_decay"] = lr, decay
        self.optimizer.step()
        momentum = 1 - .004 * cosine
        with torch.no_grad():
            for t, s in zip(self.teacher.parameters(), self.student.parameters()):
                t.copy_(momentum * t + (1 - momentum) * s)
        return loss


def test_a_step_is_adam_on_that_loss_and_then_the_teacher_follows(folder):
    "Weights after two steps; in the first the prototypes are fixed"
    config = DINOConfig(steps=20, lr=1e-3, clip=0.)
    trainer = DINOTrainer(sampler(folder, affinity=False), PLAIN_HEAD, config)
    by_hand = StepByHand(trainer)
    for step in range(2):
        loss = by_hand.step(step, trainer.views.draw(step), freeze=step == 0)
        trainer.one_step()
        student, teacher = trainer.student.prototypes.weight, trainer.teacher.prototypes.weight
        assert torch.equal(student, teacher) == (step == 0)
    for a, b in zip(trainer.student.parameters(), by_hand.student.parameters()):
        assert torch.allclose(a, b, atol=2e-6)
    for a, b in zip(trainer.teacher.parameters(), by_hand.teacher.parameters()):
        assert torch.allclose(a, b, atol=1e-6)
    assert torch.allclose(trainer.loss.center, by_hand.center, atol=1e-5)
    assert np.isclose(trainer.pending["loss"][1].item(), loss.item(), atol=1e-5)


def test_schedules_reach_their_ends():
    config = DINOConfig(steps=300)
    first, last = schedules(0, config), schedules(299, config)
    assert first["momentum"] == .996 and last["momentum"] == 1.
    assert (first["teacher_temp"], last["teacher_temp"]) == (.04, .07)
    assert schedules(100, config)["teacher_temp"] == .07, "after a third"
    assert math.isclose(first["weight_decay"], .04) and math.isclose(last["weight_decay"], .4)
    rates = [schedules(step, config)["lr"] for step in range(300)]
    assert max(rates) == config.lr == rates[14], "warm-up takes a twentieth"
    assert rates[-1] < 1e-3 * config.lr


def test_weight_decay_rises_from_zero_on_matrices_alone(folder, monkeypatch):
    monkeypatch.setattr("sdf_dino.distill.dino.WEIGHT_DECAY", (0., .4))
    trainer = DINOTrainer(sampler(folder, affinity=False), PLAIN_HEAD, DINOConfig(steps=3))
    decays = []
    for _ in range(3):
        trainer.one_step()
        decays.append([group["weight_decay"] for group in trainer.optim.param_groups])
    matrices, vectors = zip(*decays)
    assert matrices[0] == 0 and 0 < matrices[1] < matrices[2] == .4 and set(vectors) == {0.}


@pytest.mark.parametrize("unit", [True, False])
def test_the_balanced_answers_of_either_head_use_all_prototypes_equally(folder, unit):
    head = dataclasses.replace(PLAIN_HEAD, unit=unit)
    loss = DINOTrainer(sampler(folder, affinity=False), head, DINOConfig(sinkhorn=True)).loss
    logits = .125 * torch.randn(600, 6, generator=torch.Generator().manual_seed(0))
    if not unit: logits[:, 0] += 3      # the answers of unit features differ by less
    share = loss.targets([logits], .04)[0].mean(0) * 6
    assert (share - 1).abs().max() < .05


def test_settings_are_given_by_name():
    with pytest.raises(TypeError): DINOConfig(101, 1e-3)


@pytest.mark.parametrize("settings", [{"affinity": 1.}, {"target_sharpening": 2.}])
def test_an_affinity_term_without_an_affinity_is_refused(folder, settings):
    with pytest.raises(ParameterError, match="06_visibility"):
        DINOTrainer(sampler(folder, affinity=False), PLAIN_HEAD, DINOConfig(**settings))


def train_until(folder, step, *args):
    "Train, but die in the given step"
    one_step = DINOTrainer.one_step
    def dying(self):
        if self.step == step: sys.exit("killed")
        one_step(self)
    DINOTrainer.one_step = dying
    try: train_head(sampler(folder), *args)
    except SystemExit: pass
    finally: DINOTrainer.one_step = one_step


def train_interrupt_and_resume(folder, out):
    "Run in each of two processes: an undisturbed training, one that stops in step 10; then fail"
    train_head(sampler(folder), out / "two", HEAD, TRAINING)
    train_until(folder, 10, out / "resumed", HEAD, TRAINING)
    assert load_tensors(out / "resumed" / "state.safetensors")[1]["step"] == 8
    train_head(sampler(folder), out / "resumed", HEAD, TRAINING)
    raise RuntimeError(f"failed on purpose in one of {rank_and_world_size()[1]}")


def test_a_killed_training_resumes_to_the_same_bits(folder, tmp_path):
    undisturbed, history = train_head(sampler(folder), tmp_path / "undisturbed", HEAD, TRAINING)
    train_until(folder, 10, tmp_path / "killed", HEAD, TRAINING)
    resumed, resumed_history = train_head(sampler(folder), tmp_path / "killed", HEAD, TRAINING)
    assert resumed_history == history
    assert all(torch.equal(a, b) for a, b in zip(undisturbed.parameters(), resumed.parameters()))


@pytest.mark.slow
def test_two_processes_give_the_loss_of_one_and_resume_exactly(folder, tmp_path):
    from test_dino import train_interrupt_and_resume   # by a name that the children can import
    one, history = train_head_files(
        folder / "cache", folder / "backbone", tmp_path / "one", VIEWS, HEAD, TRAINING,
        folder / "visibility", stream=True)
    with pytest.raises(SdfDinoError, match="on purpose in one of 2"):
        launch_processes(2, train_interrupt_and_resume, folder, tmp_path)
    two = load_tensors(tmp_path / "two" / "state.safetensors")[0]
    resumed = load_tensors(tmp_path / "resumed" / "state.safetensors")[0]
    for name, values in history.items():
        assert np.allclose(two[f"history.{name}"], values, rtol=2e-3, atol=1e-4), name
    assert all(np.array_equal(two[k], resumed[k]) for k in two), "resumed to the bit"
    pairs = zip(one.parameters(), load_head(tmp_path / "two").parameters())
    assert all(torch.allclose(a, b, atol=1e-3) for a, b in pairs)
    log = read_log(tmp_path / "resumed" / "log.jsonl")
    assert [line["step"] for line in log] == [*range(2, 13, 2)]


def test_more_processes_than_shapes_are_refused(folder, monkeypatch):
    monkeypatch.setattr("sdf_dino.distill.dino.rank_and_world_size", lambda: (0, 4))
    with pytest.raises(SdfDinoError, match="4 for 3 shapes"):
        DINOTrainer(sampler(folder), HEAD, TRAINING)


def test_a_report_goes_to_the_log_and_changes_nothing(folder, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    config = DINOConfig(steps=4, log_every=2, report_every=4)
    silent, history = train_head(sampler(folder), tmp_path / "silent", HEAD, config)
    reported, same = train_head(
        sampler(folder), tmp_path / "reported", HEAD, config, lambda teacher: {"ari": .25})
    assert history == same
    assert all(torch.equal(a, b) for a, b in zip(silent.parameters(), reported.parameters()))
    log = read_log(tmp_path / "reported" / "log.jsonl")
    assert [line["step"] for line in log if "ari" in line] == [4]
    assert all(0 <= line["data_wait_share"] <= 1 for line in log)
    events = EventAccumulator(str(tmp_path / "reported" / "events")).Reload()
    monitored = {"loss", "kl", "entropy", "mean_entropy", "prototypes_used",
                 "prototypes_per_shape", "feature_spread", "lr", "data_wait_share", "ari"}
    assert monitored <= set(events.Tags()["scalars"])
