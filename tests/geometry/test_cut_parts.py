"Cuts: closed, disjoint, together the whole, along the seams"
import numpy as np
import pytest
import trimesh

from sdf_dino.geometry.cut_parts import cut_mesh, measure_cut
from sdf_dino.geometry.normalisation import normalise_mesh
from sdf_dino.geometry.shapes import probe_shapes
from sdf_dino.geometry.surface import zero_set
from thin_meshes import SHEETS, board, closet


def check(cut, mesh):
    "The figures of a cut, which must be closed, disjoint and the whole"
    row = measure_cut(cut, mesh)
    assert row["closed"] == 1 and abs(row["overlap"]) < 1e-9 and row["volume_error"] < 1e-9, row
    assert all(part.is_watertight for part in cut.meshes().values())
    return row


@pytest.mark.parametrize("name", ["snowman", "t_pipe"])
def test_parts_of_a_probe_shape(name):
    shape = probe_shapes()[name]
    mesh = zero_set(shape.sdf, 48)
    row = check(cut_mesh(mesh, shape.label(mesh.triangles_center)), mesh)
    assert row["surface"] == ["exact"] and row["max_distance"] < 1e-6 and row["seam_distance"] < .005


def test_a_straight_seam_gives_a_flat_cut():
    rod = trimesh.creation.box((.9, .2, .2)).subdivide().subdivide().subdivide()
    cut = cut_mesh(rod, (rod.triangles_center[:, 0] > 0).astype(int))
    row = check(cut, rod)
    assert row["max_seam_distance"] < .003
    for label, part in cut.meshes().items():
        assert np.abs(part.triangles_center[cut.is_cut(label, part), 0]).max() < .01
        assert part.volume == pytest.approx(rod.volume/2, rel=.01)


def test_a_cut_does_not_cling_to_the_surface_where_its_seam_turns():
    rod = trimesh.creation.box((.9, .3, .3)).subdivide().subdivide().subdivide().subdivide()
    x, y, _ = rod.triangles_center.T
    labels = (x > np.where(y > 0, .15, -.15)).astype(int)
    assert check(cut_mesh(rod, labels), rod)["max_seam_distance"] < .01


@pytest.mark.parametrize("name", SHEETS)
def test_sheets_are_cut(name):
    mesh = SHEETS[name]
    cut = cut_mesh(mesh, (mesh.triangles_center[:, 0] > 0).astype(int), thickness=.03)
    row = check(cut, mesh)
    assert row["surface"] == ["thickened"] and row["max_distance"] < .03
    volumes = [solid.volume() for solid in cut.solids.values()]
    assert volumes[0] == pytest.approx(volumes[1], rel=.05)


def test_a_closet_with_doors_and_a_plate_in_two_parts():
    mesh = closet()
    cut = cut_mesh(mesh, np.arange(len(mesh.faces))//12)
    check(cut, mesh)
    assert len(cut.solids) == 8
    plate = board((.9, .6, .0027), (0, 0, 0)).subdivide().subdivide()
    check(cut_mesh(plate, (plate.triangles_center[:, 0] > 0).astype(int)), plate)


def test_of_parts_that_overlap_the_smaller_keeps_its_volume():
    seat, leg = board((.8, .8, .1), (0, 0, 0)), board((.1, .1, .6), (0, 0, -.2))
    mesh = trimesh.util.concatenate([seat, leg])
    cut = cut_mesh(mesh, np.repeat([0, 1], 12))
    check(cut, mesh)
    assert cut.solids[1].volume() == pytest.approx(leg.volume)
    assert cut.solids[0].volume() < seat.volume


def test_the_units_of_a_file_come_back():
    file = trimesh.creation.box((900, 200, 200)).apply_translation((5000, 0, 0))
    cube, normalisation = normalise_mesh(file)
    cut = cut_mesh(cube, (cube.triangles_center[:, 0] > 0).astype(int)).undo(normalisation)
    check(cut, file)
    assert sum(solid.volume() for solid in cut.solids.values()) == pytest.approx(file.volume)
    assert any(cut.is_cut(label, part).any() for label, part in cut.meshes().items())


def test_torn_shells_that_share_no_seam_become_parts():
    ball = trimesh.creation.icosphere(3, .2)
    torn = [trimesh.Trimesh(ball.vertices, ball.faces[5:], process=False).apply_translation([x, 0, 0]) for x in (-.25, .25)]
    mesh = trimesh.util.concatenate(torn)
    cut = cut_mesh(mesh, (mesh.triangles_center[:, 0] > 0).astype(int), resolution=64)
    check(cut, mesh)
    assert all(solid.volume() == pytest.approx(ball.volume, rel=.05) for solid in cut.solids.values())


def test_a_seam_on_a_flap_outside_the_closed_solid_is_no_obstacle():
    box = trimesh.creation.box((.6, .6, .6)).subdivide().subdivide().subdivide()
    top = np.flatnonzero(box.face_normals[:, 2] > .9)
    hole = top[np.linalg.norm(box.triangles_center[top] - [.03, .03, .3], axis=1).argsort()[:2]]
    edge = np.intersect1d(*box.faces[hole])       # the flap stands on the diagonal of the hole
    levels = [box.vertices[edge] + [0, 0, .035*i] for i in range(1, 9)]
    rows = np.vstack([edge, len(box.vertices) + np.arange(16).reshape(-1, 2)])
    flap = np.concatenate([np.c_[rows[:-1], rows[1:, 0]], np.c_[rows[:-1, 1], rows[1:, 1], rows[1:, 0]]])
    faces = np.concatenate([np.delete(box.faces, hole[:1], 0), flap])
    mesh = trimesh.Trimesh(np.concatenate([box.vertices, *levels]), faces, process=False)
    labels = (mesh.triangles_center[:, 2] > .42).astype(int)
    assert sorted(cut_mesh(mesh, labels, resolution=24).solids) == [0]
