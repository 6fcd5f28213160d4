"What the tests share: where things are, small notebooks and projects, and a private data folder"
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("SDF_DINO_SHARED", ROOT.parent / "shared"))
BIN = Path(sys.executable).parent
PATIENCE = int(os.environ.get("SDF_DINO_PATIENCE", 1800))     # seconds; on a machine however busy, only what hangs takes as long
NOTEBOOKS = sorted(p for p in (ROOT / "nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)


def pytest_xdist_make_scheduler(config, log):
    "The tests of a file share its fixtures, so one worker runs them all; notebooks share nothing"
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.partition("::")[0]
            return nodeid if file.endswith("test_notebooks.py") else file
    return ByFile(config, log)


def bomb(path):
    "A small 3MF file that unpacks to 16 million vertices"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("3D/3dmodel.model", "w", force_zip64=True) as f:
            f.write(b'<?xml version="1.0"?><model><resources><object id="1"><mesh><vertices>')
            for _ in range(400):
                f.write(b'<vertex x="0" y="0" z="0"/>' * 40_000)
            f.write(b"</vertices></mesh></object></resources></model>")
    return path


def run(*words, data=None, check=True, **kwargs):
    "A command of the environment, run at the project's root, with a data folder of its own"
    env = {**os.environ, **({"SDF_DINO_DATA": str(data)} if data else {})}
    command = [str(BIN / words[0]), *map(str, words[1:])]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=PATIENCE, **kwargs)
    if check: assert done.returncode == 0, done.stdout + done.stderr
    return done


def wait_for(condition, pause=.02):
    "Wait until something holds"
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(pause)


def write_notebook(path, *sources):
    "A notebook of code cells; the first one is the parameters cell"
    cells = [{"cell_type": "code", "id": f"cell{i}", "metadata": {}, "source": source, "outputs": [],
              "execution_count": None} for i, source in enumerate(sources)]
    cells[0]["metadata"] = {"tags": ["parameters"]}
    kernel = {"name": "python3", "display_name": "python3", "language": "python"}
    notebook = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    Path(path).write_text(json.dumps(notebook))
    return path


@pytest.fixture
def project(tmp_path, monkeypatch):
    "An empty project in the current folder, with a data folder of its own"
    for name in ("SDF_DINO_DATA", "SDF_DINO_RUN"): monkeypatch.delenv(name, raising=False)
    (tmp_path / "settings.ini").write_text("lib_name = sdf_dino\n")
    for folder in ("nbs/pipeline", "nbs/experiments", "sdf_dino"): (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


HAS_BENCHMARK = (SHARED / "data" / "psb").exists()
PUBLISHED = [pytest.param("published", marks=pytest.mark.slow)] * HAS_BENCHMARK


@pytest.fixture(scope="session", params=["made_here", *PUBLISHED])
def psb(request, tmp_path_factory):
    "A copy of the benchmark: a small one made on the spot, and the published one where it is at hand"
    from benchmark_copies import published, write_small_copy
    if request.param == "published": return published(SHARED / "data" / "psb")
    return write_small_copy(tmp_path_factory.mktemp("psb"))
