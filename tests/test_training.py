"Trainings in two processes, and their logs in a reader that is not ours"
import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import sdf_dino.field.deepsdf
from sdf_dino.core.errors import MismatchError, SdfDinoError
from sdf_dino.core.files import load_tensors, save_tensors
from sdf_dino.field.decoder import Backbone, DecoderConfig
from sdf_dino.field.deepsdf import DeepSDFTrainer, TrainConfig, train_backbone, train_backbone_from_files
from sdf_dino.field.dataset import load_dataset
from sdf_dino.geometry.sampling import Sampler, sample_files, sample_sdf
from sdf_dino.geometry.shapes import probe_shapes
from sdf_dino.field.training_log import read_log
from sdf_dino.field.processes import rank_and_world_size
from sdf_dino.field.processes import launch_processes

NET = DecoderConfig(16, 32, 2)
HOW = TrainConfig(steps=60, shapes=3, points=256, lr=5e-3, warmup=10, save_every=20, log_every=10, clip=1., ema=.9, precision="float32")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    "Three shapes, so that two processes have unequal shares"
    folder = tmp_path_factory.mktemp("set")
    for name in ("snowman", "table", "mushroom"): sample_sdf(probe_shapes()[name], Sampler(2048, 256), 0).save(folder / f"{name}.safetensors")
    return sample_files(folder)


def train_fall_resume(files, folder):
    "In one launch, since processes start slowly: undisturbed, then stopped in step 45 and resumed from step 40; then fail"
    train_backbone(load_dataset(files, stream=True), folder / "two", NET, HOW)
    step_of = DeepSDFTrainer.one_step
    DeepSDFTrainer.one_step = lambda self: step_of(self) if self.step < 45 else sys.exit("killed")
    try: train_backbone(load_dataset(files), folder / "fallen", NET, HOW)
    except SystemExit: assert load_tensors(folder / "fallen" / "state.safetensors")[1]["step"] == 40
    DeepSDFTrainer.one_step = step_of
    train_backbone(load_dataset(files), folder / "fallen", NET, HOW)
    raise RuntimeError(f"pulled the plug of {rank_and_world_size()[1]}")


def test_two_processes_give_the_loss_of_one_and_resume_exactly(files, tmp_path):
    one, losses = train_backbone_from_files(files, tmp_path / "one", NET, HOW)
    with pytest.raises(SdfDinoError, match="pulled the plug of 2"): launch_processes(2, train_fall_resume, files, tmp_path)
    two, fallen = (Backbone.load(tmp_path / f) for f in ("two", "fallen"))
    shared, resumed = (load_tensors(tmp_path / f / "state.safetensors")[0]["history.loss"] for f in ("two", "fallen"))
    assert two.info["processes"] == fallen.info["processes"] == 2 and one.info["processes"] == 1
    assert np.abs(shared - losses).max() < 1e-4 * losses.max() and losses[-5:].mean() < .6 * losses[0]
    assert all(torch.allclose(one.latents[n], two.latents[n], atol=2e-3) for n in one.latents)
    assert np.array_equal(shared, resumed) and all(torch.equal(two.latents[n], fallen.latents[n]) for n in two.latents)
    assert all(torch.equal(a, b) for a, b in zip(two.decoder.parameters(), fallen.decoder.parameters()))
    assert [r["step"] for r in read_log(tmp_path / "fallen" / "log.jsonl")] == [*range(10, 61, 10)]


def test_tensorboard_reads_each_step_once(files, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    data, step_of = load_dataset(files), DeepSDFTrainer.one_step
    DeepSDFTrainer.one_step = lambda self: step_of(self) if self.step < 55 else sys.exit("killed")
    try:
        with pytest.raises(SystemExit): train_backbone(data, tmp_path, NET, HOW)
    finally: DeepSDFTrainer.one_step = step_of
    assert read_log(tmp_path / "log.jsonl")[-1]["step"] == 50, "logged beyond the state of step 40"
    train_backbone(data, tmp_path, NET, HOW)
    events = EventAccumulator(str(tmp_path / "events")).Reload()
    assert {"loss", "lr", "gradient", "worst_loss"} <= set(events.Tags()["scalars"])
    seen = [(e.step, e.value) for e in events.Scalars("loss")]
    lines = read_log(tmp_path / "log.jsonl")
    assert [s for s, _ in seen] == [r["step"] for r in lines] == [*range(10, 61, 10)]
    assert np.allclose([v for _, v in seen], [r["loss"] for r in lines])


def test_a_gradient_that_no_logged_loss_shows_stops_the_training(files, tmp_path, monkeypatch):
    "The eikonal term's gradient breaks the weights in the very last step; its value, and every clamped L1, are finite"
    eikonal, tried = sdf_dino.field.deepsdf.eikonal_loss, []
    def broken(decoder, x, codes):
        tried.append(1)
        return eikonal(decoder, x, codes) + (0 * codes.sum(1) if len(tried) < 60 else (0 * codes[:, 0]).sqrt())
    monkeypatch.setattr(sdf_dino.field.deepsdf, "eikonal_loss", broken)
    how = dataclasses.replace(HOW, eikonal=.01, clip=0.)
    with pytest.raises(SdfDinoError, match="codes: has weights that are not finite after step 60"):
        train_backbone(load_dataset(files), tmp_path, NET, how)
    assert len(tried) == 60 and not (tmp_path / "config.json").exists(), "no backbone is handed over"
    assert load_tensors(tmp_path / "state.safetensors")[1]["step"] == 40, "the last state is sound"


def test_auto_precision_is_resumed_as_what_it_was(files, tmp_path, monkeypatch):
    data, how = load_dataset(files), dataclasses.replace(HOW, precision="auto")
    (step_of, came_to), asked = (DeepSDFTrainer.one_step, sdf_dino.field.deepsdf.autocast_dtype), []
    monkeypatch.setattr(DeepSDFTrainer, "one_step", lambda self: step_of(self) if self.step < 45 else sys.exit("killed"))
    with pytest.raises(SystemExit): train_backbone(data, tmp_path, NET, how)
    monkeypatch.setattr(DeepSDFTrainer, "one_step", lambda self: asked.append(self.step) or step_of(self))
    other = torch.bfloat16 if came_to("auto", torch.device("cpu")) is None else None
    monkeypatch.setattr(sdf_dino.field.deepsdf, "autocast_dtype", lambda *_: other)
    with pytest.raises(MismatchError, match="precision '.*' there, '.*' here"): train_backbone(data, tmp_path, NET, how)
    monkeypatch.setattr(sdf_dino.field.deepsdf, "autocast_dtype", came_to)
    arrays, meta = load_tensors(tmp_path / "state.safetensors")
    assert meta["key"].pop("precision") and not asked
    save_tensors(tmp_path / "state.safetensors", arrays, {k: meta[k] for k in ("key", "step", "why")})
    train_backbone(data, tmp_path, NET, how)
    assert asked == [*range(40, 60)], "a state from before precision was kept goes on"


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds processes through /proc")
def test_processes_die_with_the_one_that_started_them(tmp_path):
    code = f"import test_training as t; t.launch(2, t.linger, {str(tmp_path)!r})"
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parent, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.time() + 60
    while len(list(tmp_path.glob("*"))) < 2 and time.time() < deadline: time.sleep(.05)
    children = [int(p.read_text()) for p in tmp_path.glob("[01]")]
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    alive = lambda pid: Path(f"/proc/{pid}").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] not in "ZX"
    while any(map(alive, children)) and time.time() < deadline: time.sleep(.05)
    assert len(children) == 2 and not any(map(alive, children))


def linger(folder):
    (Path(folder) / f".{rank_and_world_size()[0]}").write_text(str(os.getpid()))
    (Path(folder) / f".{rank_and_world_size()[0]}").rename(Path(folder) / str(rank_and_world_size()[0]))
    time.sleep(60)
