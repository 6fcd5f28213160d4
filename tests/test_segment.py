"A real mesh of the benchmark to coloured files, with the weights in the package"
import json

import numpy as np
import pytest
import trimesh
from conftest import run

from sdf_dino.plot import part_colors
from sdf_dino.psb import models


@pytest.fixture(scope="module")
def chair(shared, tmp_path_factory):
    "The first chair of the benchmark as a mesh file"
    path = tmp_path_factory.mktemp("psb") / "chair.off"
    models(shared / "psb", "Chair")[0].mesh.export(path)
    return path


def test_a_chair_from_the_command_line(chair, tmp_path):
    done = run("sdf_dino", "segment", chair, "-o", tmp_path / "parts.ply", "--parts", 4, timeout=240)
    mesh, parts = trimesh.load(chair, process=False), trimesh.load(tmp_path / "parts.ply", process=False)
    colors = np.unique(parts.visual.face_colors[:, :3], axis=0)
    assert np.array_equal(parts.faces, mesh.faces) and np.allclose(parts.vertices, mesh.vertices, atol=1e-5)
    assert len(colors) == 4 and {tuple(c) for c in colors} == {tuple(c) for c in part_colors(np.arange(4))} and "4 parts" in done.stdout
    again = run("sdf_dino", "segment", chair, "-o", tmp_path / "parts.ply", check=False)
    assert again.returncode == 1 and "--force" in again.stderr, "nothing is overwritten unasked"
