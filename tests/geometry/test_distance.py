"Signed distance on meshes whose solid is known"
import sys
from importlib.util import find_spec

import igl
import numpy as np
import pytest
import trimesh
from damaged_meshes import difficult_meshes, near_surface_points

from sdf_dino.core.errors import ParameterError
from sdf_dino.geometry import distance
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
    def error(backend): return np.abs(signed_distance(table, points, backend) - true)[outside]
    assert error("exact").max() < 1e-6 and (not find_spec("pysdf") or error("pysdf").mean() < 1e-3)
    assert (np.sign(signed_distance(table, points)) == np.sign(true)).mean() > .999


@pytest.mark.parametrize("backend", ["auto", "exact"])
@pytest.mark.parametrize("name", MESHES)
def test_the_sign_survives_what_real_files_have(name, backend):
    mesh, true_sdf = MESHES[name]
    points = near_surface_points(mesh, 20_000)
    found, true = signed_distance(mesh, points, backend), true_sdf(points)
    clear = np.abs(true) > 2e-3
    limit = .005 if name == "holes" else .001
    assert (np.sign(found) != np.sign(true))[clear].mean() <= limit
    if name == "table": assert np.abs(found - true)[true > 0].max() < 1e-6


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


FAR = {"at UTM": ((500_000, 5_200_000, 100), 1), "tiny": ((0, 0, 0), 1e-20), "huge": ((0, 0, 0), 1e20)}


@pytest.mark.parametrize("place", FAR)
@pytest.mark.parametrize("backend", ["exact", "pysdf", "warp"])
def test_every_back_end_holds_far_from_the_origin_and_at_any_scale(backend, place):
    if find_spec(backend) is None and backend != "exact": pytest.skip(f"{backend} is not installed")
    shift, scale = FAR[place]
    ball = trimesh.Trimesh(BALL.vertices*scale + shift, BALL.faces, process=False)
    points = np.random.default_rng(0).uniform(-.6, .6, (2000, 3))
    found = signed_distance(ball, points*scale + shift, backend, "cpu")
    assert np.abs(found/scale - np.linalg.norm(points, axis=1) + .4).max() < 2e-3


def test_no_back_end_calls_a_point_outside_the_bounding_box_inside():
    sheet = trimesh.creation.box((1, 1, 1e-6))
    sheet = sheet.submesh([sheet.face_normals[:, 2] > .5])[0]
    stack = trimesh.util.concatenate([sheet.copy().apply_translation([0, 0, .05*i]) for i in range(5)])
    points = np.random.default_rng(0).uniform([-.5, -.5, -.5], [.5, .5, 0], (1000, 3)) - [0, 0, 1e-6]
    for backend in ("exact", "warp", "pysdf"):
        if backend == "exact" or find_spec(backend): assert (signed_distance(stack, points, backend, "cpu") > 0).all()


MARGIN = -1.5, 1.5


def folded(seed):
    "A closed surface that runs through itself: the nearest triangle does not tell the side"
    ball = trimesh.creation.icosphere(4)
    moved = ball.vertices*(1 + .6*np.sin(7*ball.vertices[:, [1, 2, 0]] + seed))
    return trimesh.Trimesh(moved + .4*np.sin(5*ball.vertices[:, [2, 0, 1]]), ball.faces, process=False)


@pytest.mark.parametrize("mesh", [BALL, folded(0), folded(3)])
def test_signs_of_many_points_at_once_are_those_of_single_points(mesh):
    mesh = DistanceMesh(mesh)
    points = np.random.default_rng(0).uniform(*MARGIN, (20_000, 3))
    found = signed_distance(mesh, points)
    clear = np.abs(found) > 1e-6
    assert mesh.is_sound and np.array_equal((found < 0)[clear], mesh.winding.inside(points)[clear])


def test_a_prepared_mesh_builds_its_tree_once(monkeypatch):
    built = []
    tree = distance.TriangleTree
    monkeypatch.setattr(distance, "TriangleTree", lambda *arrays: built.append(1) or tree(*arrays))
    monkeypatch.setattr(igl, "signed_distance", None)     # it builds a tree at each call
    mesh = DistanceMesh(BALL)
    for _ in range(3): signed_distance(mesh, np.zeros((1, 3)))
    assert len(built) == 1
