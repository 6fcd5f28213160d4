"Perturbed meshes stay near the original, and labels stay where they were"
from types import SimpleNamespace

import numpy as np
import pytest
import trimesh

from sdf_dino.data.psb import toy_archive
from sdf_dino.evaluate.benchmark import EvaluationSettings, evaluate
from sdf_dino.evaluate.metrics import HumanSegmentations
from sdf_dino.evaluate.perturbations import (
    PERTURBATIONS, PerturbedModel, perturbed_case, rotate_mesh)
from sdf_dino.geometry.distance import signed_distance


@pytest.fixture(scope="module")
def ellipsoid():
    mesh = trimesh.creation.icosphere(3)
    mesh.vertices *= [3., 1., 1.]
    return mesh


@pytest.fixture(scope="module")
def perturbed(ellipsoid):
    return {name: f(ellipsoid, np.random.default_rng(0)) for name, f in PERTURBATIONS.items()}


@pytest.mark.parametrize("name, most", (
    ("noisy", .15), ("remeshed", .03), ("decimated", .1), ("holed", 1e-6)))
def test_the_surface_stays_near(name, most, ellipsoid, perturbed):
    assert abs(signed_distance(ellipsoid, perturbed[name].vertices[::9], "exact")).max() < most


def test_a_rotation_moves_the_mesh_and_keeps_its_shape(ellipsoid, perturbed):
    rotated = perturbed["rotated"]
    assert np.allclose(rotated.area, ellipsoid.area)
    assert abs(signed_distance(ellipsoid, rotated.vertices[::9], "exact")).max() > .1
    assert (rotate_mesh(ellipsoid, np.random.default_rng(1)).vertices != rotated.vertices).any()


def test_numbers_of_faces(ellipsoid, perturbed):
    share = {name: len(mesh.faces) / len(ellipsoid.faces) for name, mesh in perturbed.items()}
    assert .15 < share["decimated"] < .25 and .9 < share["holed"] < .99 and share["remeshed"] > 1
    assert perturbed["remeshed"].is_watertight


@pytest.fixture(scope="module")
def box():
    mesh = trimesh.creation.box().subdivide().subdivide().subdivide()
    left = (mesh.triangles_center[:, 0] > 0).astype(int)
    return SimpleNamespace(id=81, category="Ant", mesh=mesh, segmentations=lambda: [left],
                           n_segments=lambda: 2)


@pytest.mark.parametrize("name", [name for name in PERTURBATIONS if name != "rotated"])
def test_labels_stay_where_they_were(name, box):
    model = PerturbedModel(box, PERTURBATIONS[name](box.mesh, np.random.default_rng(0)))
    carried, = model.segmentations()
    side = model.mesh.triangles_center[:, 0] > 0
    assert len(carried) == len(side) and (carried == side).mean() > .95


def test_as_many_faces_are_not_the_same_faces(box):
    mesh = trimesh.Trimesh(box.mesh.vertices, box.mesh.faces[::-1], process=False)
    carried, = PerturbedModel(box, mesh).segmentations()
    assert np.array_equal(carried, box.segmentations()[0][::-1])


def test_the_original_is_scored_as_itself(tmp_path):
    case = perturbed_case("81.original", data=str(toy_archive(tmp_path)))
    first = case.labelled.segmentations()[0]
    assert case.score(first)["split"] == HumanSegmentations(case.labelled.model).score(first)


def test_the_original_does_not_count_in_the_mean(tmp_path):
    data = str(toy_archive(tmp_path / "psb"))
    settings = EvaluationSettings(data=data, ids="81", estimate_k=False, smooth=0,
                                  folder=str(tmp_path / "rows"))
    lines = evaluate(["robust"], ["single_segment"], settings)
    mean = {r["test"]: r["mean"] for r in lines if r["metric"] == "rand_index_error"}
    each = [mean[f"robust/{name}"] for name in PERTURBATIONS]
    assert "robust/original" in mean and mean["robust"] == pytest.approx(np.mean(each))
