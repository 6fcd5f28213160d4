"Trainings and evaluations that are killed twenty times end as if nothing had happened"
import json

import pytest
from faults import CLI, Program, count_files, kill_and_resume, seconds_of

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
config = TrainConfig(steps=1200, points=256, lr=5e-3, warmup=10, save_every=50, log_every=25)
train_backbone(load_dataset(sample_files(sys.argv[1])), sys.argv[2], DecoderConfig(16, 32, 2), config)
"""


def test_a_training(tmp_path):
    for name in ("snowman", "table"):
        sample_sdf(probe_shapes()[name], Sampler(2048, 256), 0).save(tmp_path / f"set/{name}.safetensors")
    def begin(folder): return Program(TRAINING, tmp_path / "set", tmp_path / folder)
    def checkpoint():
        state = tmp_path / "killed/state.safetensors"
        return state.stat().st_mtime_ns if state.exists() else 0
    span = seconds_of(lambda: begin("undisturbed")) / 10
    met = kill_and_resume(lambda: begin("killed"), KILLS, span, checkpoint)
    assert met >= KILLS // 2, "most kills must meet a training"
    for name in ("model.safetensors", "latents.safetensors"):
        killed, undisturbed = [(tmp_path / folder / name).read_bytes() for folder in ("killed", "undisturbed")]
        assert killed == undisturbed, name
    states = [tmp_path / folder / "state.safetensors" for folder in ("killed", "undisturbed")]
    losses = [load_tensors(state)[0]["history.loss"] for state in states]
    assert (losses[0] == losses[1]).all() and len(losses[0]) == 1200
    steps = [json.loads(line)["step"] for line in (tmp_path / "killed/log.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps)), "each step is logged once"


def test_an_evaluation(tmp_path):
    def begin(folder):
        return Program(CLI, "evaluate", "--tests", "compounds", "--ids", "compound_200000,compound_200001",
                    "--methods", "kmeans_xyz,spectral_exact,visibility", "--seeds", "2", "--n-points", "512",
                    "--json", "--out", tmp_path / folder)
    def rows(): return count_files(tmp_path / "killed", "*.json")
    span = seconds_of(lambda: begin("undisturbed")) / 10
    met = kill_and_resume(lambda: begin("killed"), KILLS, span, rows)
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
