"The tree of shells: assemblies with known parts, inner cuts, and what fails"
import numpy as np
import pytest
import trimesh

from sdf_dino.core.errors import ParameterError
from sdf_dino.geometry import shell_tree as t
from sdf_dino.geometry.clustering import label_agreement
from sdf_dino.geometry.csg import solid_to_mesh
from sdf_dino.geometry.normalisation import normalise_mesh
from sdf_dino.geometry.shapes import Shape, random_compound


def moved(mesh, *shift): return mesh.copy().apply_translation(shift)


def assembly(*meshes):
    "Meshes in one cube, and the number of each face's mesh"
    mesh, _ = normalise_mesh(trimesh.util.concatenate(meshes))
    return mesh, np.repeat(np.arange(len(meshes)), [len(x.faces) for x in meshes])


def cut(mesh, k="auto"):
    tree, leaf, _ = t.build_shell_tree(mesh.vertices, mesh.faces)
    return tree.cut(k)[leaf]


def ari(true, labels): return label_agreement(true, labels)["ari"]


def united_t():
    "A post and a slab on it, a T from the side, as one closed shell"
    post = trimesh.creation.box((.2, .2, .9))
    return trimesh.boolean.union([post, moved(trimesh.creation.box((.8, .5, .1)), 0, 0, .45)])


@pytest.mark.parametrize("seed", range(100_000, 100_006))
def test_parts_of_a_compound_as_closed_shells_are_found(seed):
    parts = random_compound(seed).parts
    mesh, true = assembly(*[solid_to_mesh(Shape("part", [part]), 32) for part in parts])
    assert ari(true, cut(mesh)) == ari(true, cut(mesh, len(parts))) == 1


def test_six_rectangles_of_a_box_are_one_part():
    box = trimesh.creation.box((.4, .3, .2))
    sheets = [box.submesh([facet], append=True, repair=False) for facet in box.facets]
    mesh = trimesh.util.concatenate([moved(x, *(.001 * x.face_normals[0])) for x in sheets])
    tree, leaf, _ = t.build_shell_tree(mesh.vertices, mesh.faces)
    assert tree.n_leaves == tree.estimated_k() == 1 and not leaf.any()


def test_two_united_boxes_and_a_ball_are_three_parts():
    mesh, true = assembly(united_t(), moved(trimesh.creation.icosphere(3, .2), .8, 0, 0))
    found = cut(mesh)
    assert found.max() == 2
    assert len(set(found[true == 1])) == 1 and len(set(found[true == 0])) == 2


def test_an_open_shell_keeps_the_estimate_from_cutting_inside():
    ball = trimesh.creation.icosphere(3, .2)
    bowl = trimesh.Trimesh(ball.vertices, ball.faces[ball.triangles_center[:, 2] < 0])
    mesh, true = assembly(united_t(), moved(bowl, .8, 0, 0))
    assert ari(true, cut(mesh)) == 1
    assert len(set(cut(mesh, 3)[true == 0])) == 2, "a given number may cut inside"


def test_heights_never_fall_and_the_largest_part_comes_first():
    mesh, _ = assembly(united_t(), moved(trimesh.creation.icosphere(3, .2), .8, 0, 0))
    tree, leaf, lost = t.build_shell_tree(mesh.vertices, mesh.faces)
    assert (np.diff(tree.heights) >= 0).all() and lost == [] and np.isclose(tree.leaf_size.sum(), 1)
    area = np.bincount(tree.cut(3)[leaf], mesh.area_faces)
    assert area.argmax() == 0
    for k in (1, 2, 5, 40): assert len(np.unique(tree.cut(k))) == k
    with pytest.raises(ParameterError): tree.cut(tree.n_leaves + 1)


def test_unwelded_degenerate_and_duplicate_faces_do_no_harm():
    mesh, true = assembly(trimesh.creation.box(), moved(trimesh.creation.icosphere(2), 2, 0, 0))
    corners = mesh.triangles.reshape(-1, 3)
    soup = trimesh.Trimesh(corners, np.arange(len(corners)).reshape(-1, 3), process=False)
    faces = np.vstack([soup.faces, soup.faces[:1], [[0, 0, 1]]])
    found = cut(trimesh.Trimesh(corners, faces, process=False))
    assert ari(true, found[:-2]) == 1 and found[-2] == found[-1] == found[0]


def test_a_shell_that_fails_stays_whole_and_is_named(monkeypatch):
    def fail(*arguments, **settings): raise np.linalg.LinAlgError
    monkeypatch.setattr(t, "surface_features", fail)
    mesh, true = assembly(united_t(), moved(trimesh.creation.icosphere(2, .2), .8, 0, 0))
    tree, leaf, lost = t.build_shell_tree(mesh.vertices, mesh.faces)
    assert tree.n_leaves == 2 and ari(true, leaf) == 1 and "stay whole" in lost[0]


def test_too_many_shells_are_named(monkeypatch):
    monkeypatch.setattr(t, "MANY_SHELLS", 1)
    mesh, _ = assembly(trimesh.creation.box(), moved(trimesh.creation.icosphere(2), 2, 0, 0))
    assert "told apart" in t.build_shell_tree(mesh.vertices, mesh.faces)[2][0]


def test_the_same_mesh_gives_the_same_tree():
    mesh, _ = assembly(united_t(), moved(trimesh.creation.icosphere(2, .2), .8, 0, 0))
    assert np.array_equal(cut(mesh, 3), cut(mesh, 3))


def test_smoothing_does_not_cross_edges_that_shells_share():
    two = trimesh.util.concatenate([trimesh.creation.box(), moved(trimesh.creation.box(), 1, 0, 0)])
    shell = np.repeat([0, 1], 12)
    assert np.array_equal(t.smooth_within_shells(two, shell, shell, 100., .4), shell)
