"Parts that one can use: sharp, closed, moved alone, and written by one command"
import json
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from conftest import run
from faults import sdf_dino_command

from sdf_dino.field.fitting import FittedShape
from sdf_dino.geometry.shapes import COMPOUND_SEEDS, random_compound
from sdf_dino.geometry.surface import zero_set
from sdf_dino.parts.editing import PartFitConfig, far_change, fit_part_fields, place_part
from sdf_dino.parts.learned import segment_latent
from sdf_dino.parts.weights import load_weights


@pytest.mark.slow
def test_moving_a_part_leaves_the_rest():
    model = load_weights("probe9")
    found = segment_latent("snowman", 2, model, resolution=48)
    start = FittedShape(model[0].decoder, model[0].latents["snowman"], "snowman", 0, 0.0, False, {}, {})
    budget = replace(PartFitConfig().fit, finetune_steps=100, finetune_points=1024)
    shape = fit_part_fields(start, found.mesh, found.labels, PartFitConfig(budget))
    for part in (0, 1):
        for step in (0.02, 0.05, 0.1):
            change = far_change(shape, place_part(shape, part, shift=(step, 0, 0)), part)
            assert change["points"] > 1000
            assert change["clamped"] <= 1e-3 and change["unclamped_others"] <= 1e-3


@pytest.mark.slow
def test_edges_come_nearer_than_the_mesh_and_one_network(tmp_path):
    settings = {"coarse_resolution": 48, "steps": 300, "points_per_step": 2048, "n_points": 16384,
                "finetune_steps": 200, "resolution": 128}
    words = [word for name, value in settings.items() for word in ("-p", f"{name}={value}")]
    run("sdf_dino", "run", "solids", "toy", *words, data=tmp_path)
    (metrics,) = (tmp_path / "runs" / "solids").glob("*/metrics.json")
    ratios = json.loads(metrics.read_text())
    assert ratios["edge_ratio"] < 0.95 and ratios["network_ratio"] < 0.95


@pytest.fixture(scope="module")
def rough():
    "A compound of the development set as a coarse, noisy mesh"
    mesh = zero_set(random_compound(COMPOUND_SEEDS["development"]).sdf, 48)
    mesh.vertices += np.random.default_rng(0).normal(0, .004, mesh.vertices.shape)
    return mesh


@pytest.mark.slow
def test_closed_parts_from_the_command_line(rough, tmp_path):
    rough.export(tmp_path / "coarse.glb")
    words = ("solids", tmp_path / "coarse.glb", "-o", tmp_path / "parts.glb", "--parts", 2)
    sdf_dino_command(*words)
    nodes = trimesh.load_scene(tmp_path / "parts.glb").geometry
    assert sorted(nodes) == ["part_0", "part_1"]
    solids = [trimesh.Trimesh(g.vertices, g.faces, process=False) for g in nodes.values()]
    assert all(s.is_watertight for s in solids)
    assert abs(sum(s.volume for s in solids) / rough.volume - 1) < 1e-3
    again = sdf_dino_command(*words, check=False)
    assert again.returncode == 1 and "--force" in again.stderr, "nothing is overwritten unasked"


@pytest.mark.slow
def test_closed_parts_of_fitted_fields(rough, tmp_path):
    rough.export(tmp_path / "coarse.glb")
    words = ("solids", tmp_path / "coarse.glb", "-o", tmp_path / "parts.glb", "--parts", 2)
    sdf_dino_command(*words, "--fit", "--steps", 60, "--resolution", 64)
    nodes = trimesh.load_scene(tmp_path / "parts.glb").geometry
    solids = [trimesh.Trimesh(g.vertices, g.faces) for g in nodes.values()]
    assert len(solids) == 2 and all(s.is_watertight for s in solids)
    assert abs(sum(s.volume for s in solids) / rough.volume - 1) < 0.1
