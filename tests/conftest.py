"What the tests share: where things are, and a private data folder"
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("SDF_DINO_SHARED", ROOT.parent / "shared"))
BIN = Path(sys.executable).parent


def bomb(path):
    "A small 3MF that holds 16 million vertices"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z, z.open("3D/3dmodel.model", "w", force_zip64=True) as f:
        f.write(b'<?xml version="1.0"?><model><resources><object id="1"><mesh><vertices>')
        for _ in range(400):
            f.write(b'<vertex x="0" y="0" z="0"/>' * 40_000)
        f.write(b"</vertices></mesh></object></resources></model>")
    return path


def run(*words, data=None, check=True, **kwargs):
    "A command of the environment, run at the project's root, with a data folder of its own"
    env = {**os.environ, **({"SDF_DINO_DATA": str(data)} if data else {})}
    done = subprocess.run([str(BIN / words[0]), *map(str, words[1:])], cwd=ROOT, env=env, capture_output=True, text=True, **kwargs)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="session")
def shared():
    "The folder of benchmark data, or a skip that says where it was sought"
    if not (SHARED / "data").exists():
        pytest.skip(f"no benchmark data at {SHARED}; set SDF_DINO_SHARED")
    return SHARED / "data"
