"Validation and repair on edge cases"
import numpy as np
import pytest
import trimesh

from sdf_dino.geometry import repair
from sdf_dino.geometry.distance import TriangleTree, distance_to_faces, signed_distance
from sdf_dino.geometry.normalisation import extent_warnings, normalise_mesh
from sdf_dino.geometry.repair import RepairedMesh, WindingNumber, mesh_defects, repair_mesh, winding_warnings
from sdf_dino.geometry.validation import MeshRejected, check_mesh, clean_face_indices, weld_vertices

SPHERE = trimesh.creation.icosphere(3)
CORNERS = np.eye(3)


@pytest.mark.parametrize("vertices, faces, reason", [
    (CORNERS, np.zeros((0, 3), int), "no-triangles"), (CORNERS, [[0, 1, 3]], "bad-indices"),
    (CORNERS*np.nan, [[0, 1, 2]], "non-finite"), (CORNERS*0, [[0, 1, 2]], "no-extent")])
def test_unusable_meshes_are_refused_by_name(vertices, faces, reason):
    with pytest.raises(MeshRejected) as error:
        check_mesh(trimesh.Trimesh(vertices, faces, process=False, validate=False))
    assert error.value.reason == reason


def test_a_vertex_that_no_face_uses_may_be_no_number():
    mesh = trimesh.Trimesh([*CORNERS, [np.nan]*3], [[0, 1, 2]], process=False, validate=False)
    assert check_mesh(mesh) is mesh
    assert np.isfinite(normalise_mesh(mesh)[0].vertices).all()


def test_many_vertices_take_the_slow_way_to_the_same_clean_faces():
    faces = np.array([[0, 1, 2], [0, 0, 1], [2, 1, 0], [1, 2, 3]])
    assert clean_face_indices(faces*2**21).tolist() == clean_face_indices(faces).tolist() == [0, 3]


def test_welding_joins_corners_within_the_tolerance_only():
    soup = SPHERE.vertices[SPHERE.faces].reshape(-1, 3)
    noisy = soup + np.random.default_rng(0).uniform(-1e-10, 1e-10, soup.shape)
    vertices, _ = weld_vertices(noisy, np.arange(len(soup)).reshape(-1, 3))
    assert len(SPHERE.vertices) <= len(vertices) < 1.05*len(SPHERE.vertices), "a few fall into two grid cells"


@pytest.mark.parametrize("faces, defect", [
    (np.r_[SPHERE.faces, SPHERE.faces[:80, ::-1]], "80 repeated"), (SPHERE.faces[5:], "boundary"),
    (np.r_[SPHERE.faces[:9], SPHERE.faces[9:, ::-1]], "inconsistent"), (SPHERE.faces[:, ::-1], "1 inward")])
def test_defects_are_named(faces, defect): assert defect in mesh_defects(SPHERE.vertices, faces)


def test_an_inside_out_mesh_is_turned():
    vertices, faces, defects = repair_mesh(SPHERE.vertices, SPHERE.faces[:, ::-1])
    assert defects and np.isclose(trimesh.Trimesh(vertices, faces).volume, SPHERE.volume)


@pytest.mark.parametrize("scale", [1, .9, 3.7])
def test_rounding_does_not_decide_about_loose_triangles(scale):
    loose = np.random.default_rng(0).random((300, 3))*scale
    vertices, faces, _ = repair_mesh(loose, np.arange(300).reshape(-1, 3))
    assert (vertices[faces].reshape(-1, 3) == loose).all()


QUADS = np.array([  # Corners of the six sides of a unit cell, seen from outside
    [[0, 0, 0], [0, 0, 1], [0, 1, 1], [0, 1, 0]], [[1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 0, 1]],
    [[0, 0, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1]], [[0, 1, 0], [0, 1, 1], [1, 1, 1], [1, 1, 0]],
    [[0, 0, 0], [0, 1, 0], [1, 1, 0], [1, 0, 0]], [[0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]]])


def cells(*sides, inverted=()):
    "Voxels that share corners; both copies of a shared wall are cut along the same diagonal"
    corners = []
    for i, cell in enumerate(np.ndindex(sides)):
        for quad in QUADS + cell:
            quad = np.roll(quad, -np.lexsort(quad.T)[0], 0)
            corners.append(quad[[0, 3, 2, 1]] if i in inverted else quad)
    faces = 4*np.arange(len(corners))[:, None, None] + [[0, 1, 2], [0, 2, 3]]
    return weld_vertices(np.concatenate(corners).astype(float), faces.reshape(-1, 3))


@pytest.mark.parametrize("sides, inverted", [
    ((2, 1, 1), ()), ((2, 1, 1), (1,)), ((3, 3, 3), ()), ((3, 3, 3), (0, 5, 13)), ((6, 6, 6), ())])
def test_solids_that_share_walls_are_one_solid(sides, inverted):
    vertices, faces, defects = repair_mesh(*cells(*sides, inverted=inverted))
    solid = trimesh.Trimesh(vertices, faces, process=False)
    a, b, c = sides
    assert "repeated" in defects and solid.is_watertight
    assert np.isclose(solid.volume, a*b*c) and np.isclose(solid.area, 2*(a*b + b*c + c*a))


def test_solids_that_touch_and_are_open_keep_their_inside():
    vertices, faces = cells(2, 1, 1)
    lid = (vertices[faces][:, :, 2] == 1).all(1)
    repaired = RepairedMesh(trimesh.Trimesh(vertices, faces[~lid], process=False))
    points = np.array([[.5, .5, .4], [.95, .5, .4], [1.05, .5, .4], [-.1, .5, .4], [.5, .5, 1.1]])
    assert repaired.winding.inside(points).tolist() == [True, True, True, False, False]


def test_a_sheet_with_two_sides_on_a_solid_has_no_inside_and_stays():
    vertices, faces = cells(1, 1, 1)
    edge = np.flatnonzero((vertices[:, 0] == 1) & (vertices[:, 1] == 1))
    flag = np.array([[edge[0], edge[1], 9], [edge[0], 9, 8]])
    vertices = np.vstack([vertices, [[2, 1, 0], [2, 1, 1]]])
    repaired = RepairedMesh(trimesh.Trimesh(vertices, np.vstack([faces, flag, flag[:, ::-1]]), process=False))
    assert len(repaired.faces) == 16
    assert repaired.winding.inside(np.array([[.5, .5, .5], [1.5, .99, .5], [1.5, 1.01, .5]])).tolist() == [1, 0, 0]


@pytest.mark.parametrize("turn", [1, -1])
def test_an_open_sheet_is_not_turned(turn):
    bowl = trimesh.Trimesh(SPHERE.vertices, SPHERE.faces[SPHERE.triangles_center[:, 2] < 0, ::turn])
    vertices, faces, _ = repair_mesh(bowl.vertices, bowl.faces)
    assert np.array_equal(vertices[faces], bowl.triangles)


def test_a_closed_solid_with_a_small_hole_is_still_turned():
    vertices, faces, _ = repair_mesh(SPHERE.vertices, SPHERE.faces[20:, ::-1])
    assert trimesh.Trimesh(vertices, faces, process=False).volume > 0


def test_the_faces_of_the_file_win_where_they_explain_more(monkeypatch):
    monkeypatch.setattr(repair, "_oriented_faces", lambda vertices, faces: np.where(
        vertices[faces][:, :, :1].mean(1) > 0, faces, faces[:, ::-1]))
    repaired = RepairedMesh(trimesh.Trimesh(SPHERE.vertices, SPHERE.faces[5:], process=False))
    assert repaired.kept and "kept as in the file" in repaired.state
    assert winding_warnings(repaired)["kept"] is True
    assert repaired.winding.inside(np.zeros((1, 3))).all()


def stacked_bowls(n):
    "Open bowls above each other: far below them their winding numbers add up to more than a half"
    bowl = trimesh.Trimesh(SPHERE.vertices, SPHERE.faces[SPHERE.triangles_center[:, 2] > .1])
    return trimesh.util.concatenate([bowl.copy().apply_translation([0, 0, .02*i]) for i in range(n)])


@pytest.mark.parametrize("mesh", [stacked_bowls(6), trimesh.Trimesh(SPHERE.vertices, SPHERE.faces[:, ::-1][30:])])
def test_nothing_outside_the_bounding_box_is_inside(mesh):
    points = np.random.default_rng(0).uniform(-2, 2, (5000, 3))
    outside = ((points < mesh.bounds[0]) | (points > mesh.bounds[1])).any(1)
    assert not RepairedMesh(mesh).winding.inside(points[outside]).any()


def test_unused_vertices_that_are_no_numbers_do_not_reach_native_code():
    vertices = np.vstack([[np.nan]*3, SPHERE.vertices, [np.inf, 0, 0], [1e29]*3])
    for faces in (SPHERE.faces + 1, SPHERE.faces[5:] + 1):
        mesh = trimesh.Trimesh(vertices, faces, process=False, validate=False)
        centre = np.zeros((1, 3))
        assert WindingNumber(vertices, faces)(centre) > .9
        assert winding_warnings(RepairedMesh(mesh))["buried_faces"] == 0
        assert np.isfinite(repair_mesh(vertices, faces)[0]).all()
        assert np.isclose(abs(distance_to_faces(centre, vertices, faces)), 1, atol=.01)
        assert signed_distance(mesh, centre) < -.98


@pytest.mark.parametrize("vertices, faces, reason", [
    (CORNERS*np.nan, [[0, 1, 2]], "non-finite"), (CORNERS, [[0, 1, 9]], "bad-indices")])
@pytest.mark.parametrize("call", [WindingNumber, repair_mesh, TriangleTree])
def test_native_code_is_asked_about_valid_meshes_only(call, vertices, faces, reason):
    with pytest.raises(MeshRejected) as error: call(np.asarray(vertices), np.asarray(faces))
    assert error.value.reason == reason


def test_a_stray_vertex_and_a_needle_are_named():
    stray = trimesh.Trimesh([*SPHERE.vertices, [1e6, 0, 0]], [*SPHERE.faces, [0, 1, 642]], process=False)
    assert "far away" in extent_warnings(stray)[0]
    assert "1,000 times as long" in extent_warnings(trimesh.creation.box((1000, 1, 1)))[0]
    assert extent_warnings(SPHERE) == [] == extent_warnings(trimesh.creation.box((20, 5, 1)))


@pytest.mark.parametrize("scale", [1e-20, 1e-6, 1e6, 1e20])
def test_normalisation_and_distance_hold_at_any_scale(scale):
    mesh = trimesh.Trimesh(SPHERE.vertices*scale, SPHERE.faces, process=False)
    cube, map_to_cube = normalise_mesh(mesh)
    assert np.allclose(cube.extents, .9, atol=.01) and np.allclose(map_to_cube.undo(cube.vertices), mesh.vertices)
    found = signed_distance(mesh, np.array([[0, 0, 0], [0, 0, 2*scale]]))
    assert np.allclose(found/scale, [-1, 1], atol=.01)


def test_an_extent_that_cannot_be_scaled_is_refused():
    with pytest.raises(MeshRejected, match="one place"):
        normalise_mesh(trimesh.Trimesh(SPHERE.vertices*1e-310, SPHERE.faces, process=False, validate=False))
