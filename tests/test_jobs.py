"Jobs from the outside: refused, run end to end, killed and resumed"
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import BIN, ROOT, run

from sdf_dino.core.files import load_tensors, read_json


def test_a_wrong_parameter_is_refused_before_anything_runs(tmp_path):
    done = run("sdf_dino", "run", "04_deepsdf", "toy", "-p", "step=5", data=tmp_path, check=False)
    assert done.returncode == 1 and "Did you mean steps" in done.stderr and not any(tmp_path.iterdir())
    done = run("sdf_dino", "run", "04_deepsdf", "toy", "-p", "steps=few", data=tmp_path, check=False)
    assert done.returncode == 1 and "must be int" in done.stderr and not any(tmp_path.iterdir())


def test_plain_papermill_works(tmp_path):
    run("papermill", "nbs/01_probe_shapes.ipynb", tmp_path / "out.ipynb", "--cwd", "nbs", "-p", "n", 100, "--no-progress-bar", data=tmp_path / "data")
    (metrics,) = (tmp_path / "data" / "runs" / "01_probe_shapes").glob("manual-*/metrics.json")
    assert read_json(metrics)["seconds"] > 0


def test_the_whole_chain_in_small(tmp_path):
    "Every stage on what the last one wrote, to figures; a second walk finds all of it finished"
    run("sdf_dino", "run", "all", "smoke", "-p", f"11_figures.figures={tmp_path / 'figures'}", data=tmp_path / "data", timeout=500)
    figures = sorted((tmp_path / "figures").glob("*.png"))
    assert len(figures) >= 5 and all(f.stat().st_size > 5_000 and f.with_suffix(".pdf").exists() for f in figures)
    again = run("sdf_dino", "run", "all", "smoke", "-p", f"11_figures.figures={tmp_path / 'figures'}", data=tmp_path / "data")
    assert again.stdout.count("finished before") == again.stdout.count("→")
    rows = [json.loads(line) for line in run("sdf_dino", "runs", "--json", data=tmp_path / "data").stdout.splitlines()]
    assert len(rows) == again.stdout.count("→") and all(r["done"] for r in rows)


def test_a_failed_run_keeps_its_notebook_and_says_where(tmp_path):
    done = run("sdf_dino", "run", "02_mesh_to_sdf", "toy", "-p", "shapes=teapot", data=tmp_path, check=False)
    (notebook,) = (tmp_path / "runs" / "02_mesh_to_sdf").glob("toy-*/notebook.ipynb")
    assert done.returncode == 1 and "teapot" in done.stderr and "notebook.ipynb" in done.stderr and "teapot" in notebook.read_text()
    assert not list(tmp_path.glob("runs/*/*/metrics.json"))


def test_the_same_notebook_trains_in_two_processes(tmp_path):
    losses = {}
    for n in (1, 2):
        run("sdf_dino", "run", "04_deepsdf", "toy", "-p", "steps=40", "-p", "hidden=16", "-p", "precision=float32", "-p", f"processes={n}", data=tmp_path / str(n))
        (backbone,) = (tmp_path / str(n)).glob("runs/04_deepsdf/toy-*/backbone-0")
        assert read_json(backbone / "config.json")["info"]["processes"] == n
        losses[n] = load_tensors(backbone / "state.safetensors")[0]["history.loss"]
    assert len(losses[1]) == 40 and abs(losses[2] - losses[1]).max() < 1e-4 * losses[1].max()


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the kernel to kill through /proc")
def test_a_killed_training_goes_on_to_the_same_weights(tmp_path):
    "SIGKILL to the launcher and its kernel in the middle; the next launch ends where an undisturbed one does"
    words = ["run", "04_deepsdf", "toy", "-p", "steps=2400", "-p", "hidden=32", "-p", "precision=float32"]
    process = subprocess.Popen([BIN / "sdf_dino", *words], cwd=ROOT, env={**os.environ, "SDF_DINO_DATA": str(tmp_path / "killed")},
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    state = lambda: list((tmp_path / "killed").glob("runs/*/*/backbone-0/state.safetensors"))
    deadline = time.time() + 120
    while not state() and time.time() < deadline and process.poll() is None: time.sleep(.05)
    os.killpg(process.pid, signal.SIGKILL)
    for kernel in Path("/proc").glob("[0-9]*"):
        try:
            if f"SDF_DINO_DATA={tmp_path / 'killed'}".encode() in (kernel / "environ").read_bytes(): os.kill(int(kernel.name), signal.SIGKILL)
        except (OSError, ValueError): pass
    process.wait()
    assert state() and not list((tmp_path / "killed").glob("runs/*/*/metrics.json")), "it must die between a checkpoint and the end"
    for folder in ("killed", "whole"): run("sdf_dino", *words, data=tmp_path / folder, timeout=200)
    assert not list((tmp_path / "killed").glob("runs/*/*.previous")), "the second launch goes on in the same directory"
    a, b = (load_tensors(next((tmp_path / f).glob("runs/*/*/backbone-0/model.safetensors")))[0] for f in ("killed", "whole"))
    assert all((a[k] == b[k]).all() for k in a)
