"Parts that one can use: sharp, closed, moved alone, and written by one command"
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from conftest import run

from sdf_dino.parts.solids import assemble, coarse_mesh, crease_points, edge_error, one_field
from sdf_dino.parts.editing import PartFitConfig, far_change, fit_part_fields, placed_part, whole_solid
from sdf_dino.field.fitting import FittedShape
from sdf_dino.geometry.loading import normalise_mesh
from sdf_dino.parts.segment import Segmentation, segment_latent
from sdf_dino.parts.weights import load_weights
from sdf_dino.geometry.shapes import COMPOUND_SEEDS, random_compound
from sdf_dino.geometry.surface import zero_set


def test_moving_a_part_leaves_the_rest():
    model = load_weights("probe9")
    found = segment_latent("snowman", 2, model, resolution=48)
    start = FittedShape(model[0].decoder, model[0].latents["snowman"], "snowman", 0, 0.0, False, {}, {})
    shape = fit_part_fields(start, found.mesh, found.labels, PartFitConfig(replace(PartFitConfig().fit, finetune_steps=100, finetune_points=1024)))
    for part in (0, 1):
        for step in (0.02, 0.05, 0.1):
            change = far_change(shape, placed_part(shape, part, shift=(step, 0, 0)), part)
            assert change["points"] > 1000 and change["clamped"] <= 1e-3 and change["plain_others"] <= 1e-3


@pytest.fixture(scope="module")
def rough():
    "A compound of the development set as a coarse, noisy mesh"
    shape = random_compound(COMPOUND_SEEDS["development"])
    return shape, coarse_mesh(shape)


def test_edges_come_nearer_than_the_mesh_and_one_network(rough):
    shape, mesh = rough
    config = PartFitConfig(replace(PartFitConfig().fit, finetune_steps=300))
    made = assemble(Segmentation(mesh, shape.label(mesh.triangles_center), None, None, {}), config=config, move=False)
    inside, norm = normalise_mesh(mesh)
    alone = zero_set(one_field(inside, made.shape.parts, config).sdf, 128)
    back = lambda m: trimesh.Trimesh(norm.undo(m.vertices), m.faces, process=False)
    meshes, ring = (mesh, back(alone), back(whole_solid(made.shape))), crease_points(shape)
    coarse, network, parts = (edge_error(m, shape, ring)["edge"] for m in meshes)
    assert parts < 0.95 * coarse and parts < 0.95 * network


def test_closed_parts_from_the_command_line(rough, tmp_path):
    rough[1].export(tmp_path / "coarse.glb")
    words = ("sdf_dino", "solids", tmp_path / "coarse.glb", "-o", tmp_path / "parts.glb", "--weights", "probe9")
    run(*words, "--parts", 2, "--steps", 60, "--resolution", 64, timeout=600)
    nodes = trimesh.load_scene(tmp_path / "parts.glb").geometry
    assert sorted(nodes) == ["part_0", "part_1"]
    solids = [trimesh.Trimesh(g.vertices, g.faces) for g in nodes.values()]
    assert all(s.is_watertight for s in solids) and abs(sum(s.volume for s in solids) / rough[1].volume - 1) < 0.1
    again = run(*words, check=False)
    assert again.returncode == 1 and "--force" in again.stderr, "nothing is overwritten unasked"
