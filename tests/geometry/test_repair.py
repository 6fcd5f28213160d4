"Validation and repair on edge cases"
import numpy as np
import pytest
import trimesh

from sdf_dino.geometry.normalisation import normalise_mesh
from sdf_dino.geometry.repair import mesh_defects, repair_mesh
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
