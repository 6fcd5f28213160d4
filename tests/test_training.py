"Trainings in two processes, resumption on another machine, and TensorBoard's own reader of the log"
import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import wait_for

from sdf_dino.core.errors import MismatchError, SdfDinoError
from sdf_dino.core.files import load_tensors
from sdf_dino.field import deepsdf
from sdf_dino.field.dataset import load_dataset
from sdf_dino.field.decoder import Backbone, DecoderConfig
from sdf_dino.field.deepsdf import (
    DeepSDFTrainer, TrainConfig, train_backbone, train_backbone_from_files)
from sdf_dino.field.distributed import launch_processes, rank_and_world_size
from sdf_dino.field.training_log import read_log
from sdf_dino.geometry.sampling import Sampler, sample_files, sample_sdf
from sdf_dino.geometry.shapes import probe_shapes

NETWORK = DecoderConfig(16, 32, 2)
CONFIG = TrainConfig(steps=60, shapes=3, points=256, lr=5e-3, warmup=10, save_every=20,
                     log_every=10, clip=1., ema=.9, precision="float32")
ONE_STEP = DeepSDFTrainer.one_step


def kill_before(step):
    "A `one_step` that ends the training when it comes to this step"
    def one_step(trainer):
        if trainer.step == step: sys.exit("killed")
        ONE_STEP(trainer)
    return one_step


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    "Three shapes, so that two processes have unequal shares"
    folder = tmp_path_factory.mktemp("set")
    for name in ("snowman", "table", "mushroom"):
        samples = sample_sdf(probe_shapes()[name], Sampler(2048, 256), 0)
        samples.save(folder / f"{name}.safetensors")
    return sample_files(folder)


def train_whole_and_killed(files, folder):
    "In one launch, since processes start slowly: uninterrupted; killed and resumed; then an error"
    train_backbone(load_dataset(files, stream=True), folder / "whole", NETWORK, CONFIG)
    DeepSDFTrainer.one_step = kill_before(45)
    try: train_backbone(load_dataset(files), folder / "killed", NETWORK, CONFIG)
    except SystemExit: assert load_tensors(folder / "killed" / "state.safetensors")[1]["step"] == 40
    DeepSDFTrainer.one_step = ONE_STEP
    train_backbone(load_dataset(files), folder / "killed", NETWORK, CONFIG)
    raise RuntimeError(f"an error in {rank_and_world_size()[1]} processes")


def saved_losses(folder): return load_tensors(folder / "state.safetensors")[0]["history.loss"]


def test_two_processes_have_the_losses_of_one_and_resume_exactly(files, tmp_path):
    from test_training import train_whole_and_killed    # by a name that the children can import
    one, losses = train_backbone_from_files(files, tmp_path / "one", NETWORK, CONFIG)
    with pytest.raises(SdfDinoError, match="an error in 2 processes"):
        launch_processes(2, train_whole_and_killed, files, tmp_path)
    two, resumed = (Backbone.load(tmp_path / name) for name in ("whole", "killed"))
    assert two.info["processes"] == resumed.info["processes"] == 2 and one.info["processes"] == 1
    shared = saved_losses(tmp_path / "whole")
    assert np.abs(shared - losses).max() < 1e-4 * losses.max()
    assert losses[-5:].mean() < .6 * losses[0]
    assert np.array_equal(shared, saved_losses(tmp_path / "killed"))
    for name, code in two.latents.items():
        assert torch.allclose(one.latents[name], code, atol=2e-3)
        assert torch.equal(code, resumed.latents[name])
    for expected, found in zip(two.decoder.parameters(), resumed.decoder.parameters()):
        assert torch.equal(expected, found)
    rows = read_log(tmp_path / "killed" / "log.jsonl")
    assert [row["step"] for row in rows] == [*range(10, 61, 10)]


def test_tensorboard_reads_each_step_once(files, tmp_path, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    data = load_dataset(files)
    monkeypatch.setattr(DeepSDFTrainer, "one_step", kill_before(55))
    with pytest.raises(SystemExit): train_backbone(data, tmp_path, NETWORK, CONFIG)
    assert read_log(tmp_path / "log.jsonl")[-1]["step"] == 50, "logged beyond the state of step 40"
    monkeypatch.setattr(DeepSDFTrainer, "one_step", ONE_STEP)
    train_backbone(data, tmp_path, NETWORK, CONFIG)
    events = EventAccumulator(str(tmp_path / "events")).Reload()
    assert {"loss", "lr", "gradient", "worst_loss"} <= set(events.Tags()["scalars"])
    losses = events.Scalars("loss")
    rows = read_log(tmp_path / "log.jsonl")
    assert [event.step for event in losses] == [row["step"] for row in rows] == [*range(10, 61, 10)]
    assert np.allclose([event.value for event in losses], [row["loss"] for row in rows])


def test_a_gradient_that_no_logged_loss_shows_stops_the_training(files, tmp_path, monkeypatch):
    "The eikonal gradient breaks the weights in the last step; its value and the clamped L1 are finite"
    eikonal_loss = deepsdf.eikonal_loss
    calls = []
    def broken(decoder, points, codes):
        calls.append(1)
        zero = 0 * codes.sum(1) if len(calls) < 60 else (0 * codes[:, 0]).sqrt()
        return eikonal_loss(decoder, points, codes) + zero
    monkeypatch.setattr(deepsdf, "eikonal_loss", broken)
    config = dataclasses.replace(CONFIG, eikonal=.01, clip=0.)
    with pytest.raises(SdfDinoError, match="codes: has weights that are not finite after step 60"):
        train_backbone(load_dataset(files), tmp_path, NETWORK, config)
    assert len(calls) == 60
    assert not (tmp_path / "config.json").exists(), "no backbone is handed over"
    assert load_tensors(tmp_path / "state.safetensors")[1]["step"] == 40, "the last state is sound"


def test_a_state_of_another_precision_is_not_resumed(files, tmp_path, monkeypatch):
    "`auto` precision is bfloat16 on one machine and float32 on another"
    data = load_dataset(files)
    config = dataclasses.replace(CONFIG, precision="auto")
    monkeypatch.setattr(DeepSDFTrainer, "one_step", kill_before(45))
    with pytest.raises(SystemExit): train_backbone(data, tmp_path, NETWORK, config)
    monkeypatch.setattr(DeepSDFTrainer, "one_step", ONE_STEP)
    here = deepsdf.autocast_dtype("auto", torch.device("cpu"))
    other = torch.bfloat16 if here is None else None
    with monkeypatch.context() as patch:
        patch.setattr(deepsdf, "autocast_dtype", lambda *_: other)
        with pytest.raises(MismatchError, match="precision '.*' there, '.*' here"):
            train_backbone(data, tmp_path, NETWORK, config)
    backbone, _ = train_backbone(data, tmp_path, NETWORK, config)
    assert backbone.info["steps"] == 60


def wait_for_ever(folder):
    "Writes the process id to a file that is named by the rank, and never ends by itself"
    rank, _ = rank_and_world_size()
    temporary = Path(folder) / f".{rank}"
    temporary.write_text(str(os.getpid()))
    temporary.rename(Path(folder) / str(rank))
    while True: signal.pause()


def is_alive(pid):
    "Whether a process runs and is no zombie"
    try: status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError: return False
    return status.split()[2] not in "ZX"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="finds processes through /proc")
def test_processes_die_with_the_one_that_started_them(tmp_path):
    code = ("import test_training as t; "
            f"t.launch_processes(2, t.wait_for_ever, {str(tmp_path)!r})")
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parent,
                              env={**os.environ, "OMP_NUM_THREADS": "1"})
    wait_for(lambda: len(list(tmp_path.glob("[01]"))) == 2 or parent.poll() is not None)
    children = [int(path.read_text()) for path in tmp_path.glob("[01]")]
    parent.kill()
    parent.wait()
    assert len(children) == 2
    try: wait_for(lambda: not any(map(is_alive, children)))
    finally:
        for pid in filter(is_alive, children): os.kill(pid, signal.SIGKILL)
