"Every notebook is a test, in a process of its own; and a notebook that fails is seen to fail"
import json
import math

import pytest
from conftest import NOTEBOOKS, ROOT, run
from faults import Program
from saved_outputs import key_numbers

TEST_NOTEBOOK = """
import os, sys
from pathlib import Path
from nbdev.config import get_config
from nbdev.test import test_nb
os.chdir("nbs")
config = get_config()
passed, _ = test_nb(Path(sys.argv[1]), skip_flags=config.tst_flags.split(), basepath=config.config_path)
sys.exit(not passed)
"""


def name_of(path): return path.relative_to(ROOT / "nbs").with_suffix("").as_posix()


def has_parameters(path):
    "Whether a notebook is one that jobs run"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return any("parameters" in cell["metadata"].get("tags", []) for cell in cells)


def numbers(value):
    "All numbers of a JSON value"
    if isinstance(value, dict): value = list(value.values())
    if isinstance(value, list):
        for item in value: yield from numbers(item)
    if isinstance(value, (int, float)) and not isinstance(value, bool): yield value


def run_notebook(path, data): return Program(TEST_NOTEBOOK, path, env={"SDF_DINO_DATA": str(data)}).finish()


# experiments of three seconds and more, others of ten, or Dask
SLOW = {"tutorials/image_to_3d", "tutorials/many_meshes", "tutorials/own_meshes", "tutorials/score_your_method",
        "api/core/cluster", "api/evaluate/segment_speed", "api/evaluate/training_speed"}
SLOW |= {f"experiments/{name}" for name in (
    "calibration", "naming", "results", "pictures", "solids", "cross_validation", "prototypes", "fitting",
    "decoder_variants", "speed", "co_segmentation", "part_token_ablation")}
DEAR_ONES_FIRST = sorted(NOTEBOOKS, key=lambda path: "api" in path.parts)
EACH = [pytest.param(path, marks=[pytest.mark.slow] * (name_of(path) in SLOW), id=name_of(path)) for path in DEAR_ONES_FIRST]


def test_the_slow_notebooks_exist(): assert SLOW <= set(map(name_of, NOTEBOOKS))


@pytest.mark.parametrize("path", EACH)
def test_notebook(path, tmp_path):
    done = run_notebook(path, tmp_path)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    if not has_parameters(path): return
    (metrics,) = tmp_path.glob("runs/*/*/metrics.json")
    metrics = json.loads(metrics.read_text())
    found = list(numbers(metrics))
    assert found and all(map(math.isfinite, found)), "a run leaves its numbers"
    for name, saved in key_numbers(path.stem).items() if path.parent.name == "pipeline" else ():
        tolerance = max(.0005, min(.05, saved / 3))         # another processor rounds differently
        assert metrics[name] == pytest.approx(saved, abs=tolerance), f"{name}: the saved outputs are of another state"


def test_a_failing_notebook_fails(tmp_path):
    done = run_notebook(ROOT / "tests" / "must_fail.ipynb", tmp_path)
    assert done.returncode != 0 and "AssertionError" in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("path, passes", [("nbs/api/core/errors.ipynb", True), ("tests/must_fail.ipynb", False)])
def test_a_notebook_runs_alone_too(tmp_path, path, passes):
    done = run("nbdev_test", "--path", ROOT / path, "--n_workers", "0", data=tmp_path, check=False)
    assert (done.returncode == 0) == passes
