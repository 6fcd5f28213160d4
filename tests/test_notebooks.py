"Every notebook is a test, in a process of its own; and a notebook that fails is seen to fail"
import json
import os
import subprocess
import sys

import pytest
from conftest import NOTEBOOKS, ROOT, run

SECONDS = 300


@pytest.fixture(scope="session")
def run_notebook():
    "A function (path, data folder) → (exit code, log)"
    if not hasattr(os, "fork"): yield run_alone
    else:
        with subprocess.Popen([sys.executable, ROOT / "tests/notebook_server.py"], cwd=ROOT, text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
            yield lambda path, data: ask(server, path, data)
            server.stdin.close()


def ask(server, path, data):
    request = {"path": str(path), "env": {"SDF_DINO_DATA": str(data)}, "seconds": SECONDS}
    print(json.dumps(request), file=server.stdin, flush=True)
    reply = json.loads(server.stdout.readline())
    return reply["code"], reply["log"]


def run_alone(path, data):
    done = run("nbdev_test", "--path", path, "--n_workers", "0", data=data, check=False, timeout=SECONDS)
    return done.returncode, done.stdout + done.stderr


def name_of(path): return path.relative_to(ROOT / "nbs").with_suffix("").as_posix()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_notebook(path, tmp_path, run_notebook):
    code, log = run_notebook(path, tmp_path)
    assert code == 0, log[-3000:]


def test_a_failing_notebook_fails(tmp_path, run_notebook):
    code, log = run_notebook(ROOT / "tests" / "must_fail.ipynb", tmp_path)
    assert code != 0 and "AssertionError" in log


@pytest.mark.slow
def test_a_notebook_runs_alone_too(tmp_path):
    assert run_alone(ROOT / "nbs/api/core/errors.ipynb", tmp_path)[0] == 0
    assert run_alone(ROOT / "tests" / "must_fail.ipynb", tmp_path)[0] != 0
