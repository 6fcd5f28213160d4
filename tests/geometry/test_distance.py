"Signed distance on meshes whose solid is known"
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import trimesh

from sdf_dino.core.errors import ParameterError
from sdf_dino.evaluate.distance_backends import difficult_meshes, near_surface_points
from sdf_dino.geometry.distance import (
    DistanceMesh, choose_backend, distance_to_faces, nearest_face, signed_distance, subdivide_mesh, warp_module)

MESHES = difficult_meshes()
BALL = trimesh.creation.icosphere(4, radius=.4)


def test_a_united_table_has_exact_distances_even_far_from_its_vertices():
    parts, true_sdf = MESHES["table"]
    table = trimesh.boolean.union(parts.split())
    points = near_surface_points(table, 4000)
    true = true_sdf(points)
    outside = true > 0
    error = {name: np.abs(signed_distance(table, points, name) - true)[outside] for name in ("exact", "pysdf")}
    assert error["exact"].max() < 1e-6 and error["pysdf"].mean() < 1e-3
    assert (np.sign(signed_distance(table, points)) == np.sign(true)).mean() > .999


@pytest.mark.skipif(find_spec("warp") is None, reason="warp is not installed")
@pytest.mark.parametrize("name", ["table", "overlap", "cavity", "sound", "double sided", "inside out"])
def test_warp_agrees_with_the_exact_back_end(name):
    mesh, _ = MESHES[name]
    points = near_surface_points(mesh, 5000)
    assert np.abs(signed_distance(mesh, points, "warp", "cpu") - signed_distance(mesh, points, "exact")).max() < 1e-5


def test_warp_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "warp", None)
    with pytest.raises(ParameterError, match="pip install"): warp_module()


@pytest.mark.parametrize("points, backend", [
    (np.zeros((2, 3)), "magic"), (np.zeros(3), "auto"), (np.full((1, 3), np.nan), "auto")],
    ids=["backend", "shape", "nan"])
def test_wrong_questions_are_refused(points, backend):
    with pytest.raises(ParameterError): signed_distance(BALL, points, backend)


def test_no_points_have_no_distances(): assert signed_distance(BALL, np.zeros((0, 3))).shape == (0,)


def test_a_given_back_end_is_kept_and_a_prepared_mesh_answers_alike():
    prepared, points = DistanceMesh(BALL), np.random.default_rng(0).uniform(-.5, .5, (100, 3))
    assert choose_backend(prepared, "pysdf") == ("pysdf", "asked for")
    assert np.array_equal(signed_distance(prepared, points, "exact"), signed_distance(BALL, points, "exact"))


def test_no_faces_are_infinitely_far(): assert np.isinf(distance_to_faces(np.zeros((2, 3)), BALL.vertices, [])).all()


def test_the_nearest_face_of_a_face_centre_is_that_face():
    assert np.array_equal(nearest_face(BALL, BALL.triangles_center), np.arange(len(BALL.faces)))


def test_a_subdivision_that_never_ends_is_refused():
    with pytest.raises(ParameterError, match="max_edge"): subdivide_mesh(BALL.vertices, BALL.faces, 1e-4)
