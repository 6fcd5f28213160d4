"Trainings and evaluations that are killed twenty times end as if nothing had happened"
import json
import sys

import pytest
from conftest import BIN
from faults import count_files, kill_and_resume

from sdf_dino.core.files import load_tensors
from sdf_dino.geometry.sampling import Sampler, sample_sdf
from sdf_dino.geometry.shapes import probe_shapes

pytestmark = pytest.mark.slow
KILLS = 20
TRAINING = """
import sys
import torch
from sdf_dino.field.dataset import load_dataset
from sdf_dino.field.decoder import DecoderConfig
from sdf_dino.field.deepsdf import TrainConfig, train_backbone
from sdf_dino.geometry.sampling import sample_files
torch.set_num_threads(1)
config = TrainConfig(steps=3000, points=256, lr=5e-3, warmup=10, save_every=100, log_every=50)
train_backbone(load_dataset(sample_files(sys.argv[1])), sys.argv[2], DecoderConfig(16, 32, 2), config)
"""
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


def test_a_training(tmp_path):
    for name in ("snowman", "table"):
        sample_sdf(probe_shapes()[name], Sampler(2048, 256), 0).save(tmp_path / f"set/{name}.safetensors")
    def command(folder): return [sys.executable, "-c", TRAINING, tmp_path / "set", folder]
    def checkpoint():
        state = tmp_path / "killed/state.safetensors"
        return state.stat().st_mtime_ns if state.exists() else 0
    _, met = kill_and_resume(command(tmp_path / "killed"), KILLS, env=ONE_THREAD, progress=checkpoint, span=4.)
    kill_and_resume(command(tmp_path / "undisturbed"), 0, env=ONE_THREAD)
    assert met >= KILLS // 2, "most kills must meet a training"
    for name in ("model.safetensors", "latents.safetensors"):
        killed, undisturbed = [(tmp_path / folder / name).read_bytes() for folder in ("killed", "undisturbed")]
        assert killed == undisturbed, name
    losses = [load_tensors(tmp_path / folder / "state.safetensors")[0]["history.loss"] for folder in ("killed", "undisturbed")]
    assert (losses[0] == losses[1]).all() and len(losses[0]) == 3000
    steps = [json.loads(line)["step"] for line in (tmp_path / "killed/log.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps)), "each step is logged once"


def test_an_evaluation(tmp_path):
    def command(folder):
        return [BIN / "sdf_dino", "evaluate", "--tests", "compounds", "--ids", "compound_200000,compound_200001",
                "--methods", "kmeans_xyz,spectral_exact,visibility", "--seeds", "2", "--n-points", "512", "--json", "--out", folder]
    def rows(): return count_files(tmp_path / "killed", "*.json")
    _, met = kill_and_resume(command(tmp_path / "killed"), KILLS, env=ONE_THREAD, progress=rows, span=6.)
    kill_and_resume(command(tmp_path / "undisturbed"), 0, env=ONE_THREAD)
    assert met >= KILLS // 2, "most kills must meet an evaluation"
    assert scores(tmp_path / "killed") == scores(tmp_path / "undisturbed")


def scores(folder):
    "Rows of an evaluation by path, without seconds"
    found = {}
    for path in sorted(folder.rglob("[!.]*.json")):
        if path.name == "metrics.json": continue
        row = json.loads(path.read_text())
        found[path.relative_to(folder).as_posix()] = {key: value for key, value in row.items() if key != "seconds"}
    assert found
    return found
