"Jobs from the outside: refused, run end to end, killed and resumed"
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import BIN, ROOT, run, wait_for

from sdf_dino.core.files import load_tensors, read_json


def launch(*words, **kwargs): return run("sdf_dino", "run", *words, **kwargs)


@pytest.mark.parametrize("override, words", [("step=5", "Did you mean steps"), ("steps=few", "must be int")])
def test_a_wrong_parameter_is_refused_before_anything_runs(tmp_path, override, words):
    done = launch("04_deepsdf", "toy", "-p", override, data=tmp_path, check=False)
    assert done.returncode == 1 and words in done.stderr and not any(tmp_path.iterdir())


@pytest.mark.slow
def test_plain_papermill_works(tmp_path):
    run("papermill", "nbs/pipeline/01_probe_shapes.ipynb", tmp_path / "out.ipynb", "--cwd", "nbs/pipeline",
        "--no-progress-bar", data=tmp_path / "data")
    (metrics,) = (tmp_path / "data/runs/01_probe_shapes").glob("manual-*/metrics.json")
    assert read_json(metrics)["seconds"] > 0


@pytest.mark.slow
def test_the_whole_chain_in_small(tmp_path):
    "Every notebook on what the last one wrote, to figures; a second walk finds all of it finished"
    figures, data = tmp_path / "figures", tmp_path / "data"
    words = ["all", "smoke", "-p", f"11_figures.figures={figures}"]
    launch(*words, data=data)
    pictures = sorted(figures.glob("*.png"))
    assert len(pictures) >= 5
    assert all(p.stat().st_size > 5_000 and p.with_suffix(".pdf").exists() for p in pictures)
    jobs = launch(*words, data=data).stdout.count("finished before")
    rows = run("sdf_dino", "runs", "--json", data=data).stdout.splitlines()
    assert len(rows) == jobs and all(json.loads(row)["done"] for row in rows)


def test_a_failed_run_keeps_its_notebook_and_says_where(tmp_path):
    done = launch("02_mesh_to_sdf", "toy", "-p", "shapes=teapot", data=tmp_path, check=False)
    (notebook,) = (tmp_path / "runs/02_mesh_to_sdf").glob("toy-*/notebook.ipynb")
    assert done.returncode == 1 and "teapot" in done.stderr and "notebook.ipynb" in done.stderr
    assert "teapot" in notebook.read_text() and not list(tmp_path.glob("runs/*/*/metrics.json"))


def training(steps, hidden):
    "Words that start a small training in float32"
    words = ["04_deepsdf", "toy"]
    for value in (f"steps={steps}", f"hidden={hidden}", "precision=float32"): words += ["-p", value]
    return words


@pytest.mark.slow
def test_the_same_notebook_trains_in_two_processes(tmp_path):
    losses = {}
    for count in (1, 2):
        launch(*training(40, 16), "-p", f"processes={count}", data=tmp_path / str(count))
        (backbone,) = (tmp_path / str(count)).glob("runs/04_deepsdf/toy-*/backbone-0")
        assert read_json(backbone / "config.json")["info"]["processes"] == count
        losses[count] = load_tensors(backbone / "state.safetensors")[0]["history.loss"]
    assert len(losses[1]) == 40 and abs(losses[2] - losses[1]).max() < 1e-4 * losses[1].max()


def kill_kernels(data):
    "Kill every process whose data folder this is"
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"SDF_DINO_DATA={data}".encode() in (process / "environ").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)
        except (OSError, ValueError): pass


def kill_after_first_checkpoint(words, data):
    "Launch a job and kill the launcher and its kernel when a checkpoint is there"
    command = [BIN / "sdf_dino", "run", *words]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "SDF_DINO_DATA": str(data)},
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    wait_for(lambda: process.poll() is not None or list(data.glob("runs/*/*/backbone-0/state.safetensors")))
    os.killpg(process.pid, signal.SIGKILL)
    kill_kernels(data)
    process.wait()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the kernel to kill through /proc")
def test_a_killed_training_goes_on_to_the_same_weights(tmp_path):
    words, killed, undisturbed = training(2400, 32), tmp_path / "killed", tmp_path / "undisturbed"
    kill_after_first_checkpoint(words, killed)
    assert list(killed.glob("runs/*/*/backbone-0/state.safetensors")), "it must die after a checkpoint"
    assert not list(killed.glob("runs/*/*/metrics.json")), "and before the end"
    weights = []
    for data in (killed, undisturbed):
        launch(*words, data=data)
        (file,) = data.glob("runs/*/*/backbone-0/model.safetensors")
        weights.append(load_tensors(file)[0])
    assert not list(killed.glob("runs/*/*.previous")), "the second launch goes on in the same directory"
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])
