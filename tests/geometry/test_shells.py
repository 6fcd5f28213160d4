"Shells: what connects faces, measures of known shapes, sheets that close, copies, and what no mesh may break"
import numpy as np
import pytest
import trimesh

from sdf_dino.geometry import shells as s

BOX = trimesh.creation.box((.4, .4, .4))


def moved(mesh, *shift): return mesh.copy().apply_translation(shift)


def loose(mesh, gap=0.):
    "The flat facets of a mesh as sheets of their own, each moved outward"
    sheets = [mesh.submesh([facet], append=True, repair=False) for facet in mesh.facets]
    return trimesh.util.concatenate([moved(x, *(gap * x.face_normals[0])) for x in sheets])


def measured(mesh): return s.measure_shells(mesh.vertices, mesh.faces, s.face_shells(mesh.faces))


def test_an_edge_of_three_faces_connects_none_of_them():
    vertices = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1]]
    fin = np.array([[0, 1, 2], [1, 0, 3], [0, 1, 4]])
    assert len(set(s.face_shells(fin))) == 3
    assert len(set(s.mesh_shells(trimesh.Trimesh(vertices, fin, process=False)))) == 3


def test_degenerate_and_duplicate_faces_make_no_shells():
    faces = np.vstack([BOX.faces, BOX.faces[:2], [[0, 0, 1], [2, 2, 2]]])
    mesh = trimesh.Trimesh(BOX.vertices, faces, process=False)
    assert s.mesh_shells(mesh).tolist() == [0]*16
    assert s.mesh_shells(trimesh.Trimesh(BOX.vertices, [[0, 0, 1]], process=False)).tolist() == [0]


def test_closed_boxes_that_share_corners_stay_two():
    two = trimesh.util.concatenate([BOX, moved(BOX, .4, 0, 0)])
    assert s.mesh_shells(two).tolist() == [0]*12 + [1]*12


def test_shells_keep_the_order_of_the_faces():
    both = trimesh.util.concatenate([BOX, moved(BOX, .5, 0, 0)])
    order = np.random.default_rng(0).permutation(24)
    mixed = trimesh.Trimesh(both.vertices, both.faces[order], process=False)
    found = s.mesh_shells(mixed)
    assert len(set(zip(found, order // 12))) == 2


def test_measures_do_not_depend_on_the_triangulation():
    coarse, fine = measured(BOX), measured(BOX.subdivide().subdivide())
    for name in ("area", "centre", "sides", "area_vector", "thickness"):
        assert np.allclose(getattr(coarse, name), getattr(fine, name)), name


def test_the_slab_of_a_box_of_thin_walls_has_its_order():
    sides = measured(trimesh.creation.box((.1, .3, .8))).sides[0]
    assert sides[0] < sides[1] < sides[2] and np.isclose(sides[2], .8, rtol=.15)


def test_a_flat_sheet_is_open_and_has_no_thickness():
    sheet = measured(trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]],
                                     [[0, 1, 2], [1, 3, 2]], process=False))
    assert np.allclose(sheet.openness, 1) and np.allclose(sheet.thickness, 0)
    assert np.isfinite(s.shell_descriptors(sheet)).all()


def test_descriptors_of_faces_are_those_of_their_shells():
    both = trimesh.util.concatenate([BOX, trimesh.creation.icosphere(2, .2)])
    rows = s.face_descriptors(both)
    assert rows.shape == (len(both.faces), 9) and len(np.unique(rows.round(9), axis=0)) == 2


@pytest.mark.parametrize("gap", [0., .001])
def test_six_rectangles_of_a_box_become_one_shell(gap):
    mesh = loose(BOX, gap)
    _, faces, _ = s.welded_faces(mesh.vertices, mesh.faces)
    shell = s.face_shells(mesh.faces)
    assert shell.max() == 5 and s.join_sheets(mesh.vertices, mesh.faces, shell).max() == 0
    assert s.face_shells(faces).max() == (0 if gap == 0 else 5), "equal corners are welded"


def test_boxes_of_sheets_apart_stay_apart():
    two = trimesh.util.concatenate([loose(BOX, .001), loose(moved(BOX, .5, 0, 0), .001)])
    found = s.join_sheets(two.vertices, two.faces, s.face_shells(two.faces))
    assert found[:12].max() == found[:12].min() != found[12:].min() == found[12:].max()


def test_closed_shells_side_by_side_are_no_sheets():
    two = trimesh.util.concatenate([BOX, moved(BOX, .4, 0, 0)])
    assert s.join_sheets(two.vertices, two.faces, s.face_shells(two.faces)).max() == 1


def test_small_copies_are_one_and_large_ones_are_not():
    screw = trimesh.creation.cylinder(.01, .05, sections=8)
    plates = [trimesh.creation.box((.9, .6, .05)), moved(trimesh.creation.box((.9, .6, .05)), 0, 0, .3)]
    screws = [moved(screw, .1 * i, 0, .05) for i in range(5)]
    mesh = trimesh.util.concatenate([*plates, *screws])
    assert len(set(s.gather_shells(measured(mesh)))) == 3


def test_no_more_groups_than_allowed_and_small_ones_join_their_like(monkeypatch):
    monkeypatch.setattr(s, "MAX_GROUPS", 2)
    balls = [moved(trimesh.creation.icosphere(2, r), x, 0, 0) for r, x in ((.2, 0), (.04, .4), (.03, .3))]
    bar = trimesh.creation.box((.1, .1, .9))
    mesh = trimesh.util.concatenate([bar, *balls])
    group = s.gather_shells(measured(mesh))
    assert len(set(group)) == 2 and group[2] == group[3] == group[1]


def test_loose_triangles_are_gathered_without_seeking_copies(monkeypatch):
    monkeypatch.setattr(s, "MANY_SHELLS", 100)
    monkeypatch.setattr(s, "_copy_groups", None)
    corners = np.random.default_rng(0).random((300, 3, 3)).reshape(-1, 3)
    found = measured(trimesh.Trimesh(corners, np.arange(900).reshape(-1, 3), process=False))
    assert len(set(s.gather_shells(found))) == s.MAX_GROUPS


def test_a_mesh_of_nothing_but_copies_has_a_group_for_each():
    boxes = [moved(trimesh.creation.box((.02, .02, .02)), .05 * i, 0, 0) for i in range(60)]
    assert len(set(s.gather_shells(measured(trimesh.util.concatenate(boxes))))) == 60
