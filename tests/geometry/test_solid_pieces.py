"Closed solids of sheets, boards, torn and nested meshes"
import numpy as np
import pytest
import trimesh

from sdf_dino.core.errors import ParameterError
from sdf_dino.geometry.normalisation import normalise_mesh
from sdf_dino.geometry.solid_pieces import remove_floaters, solid_mesh, solid_pieces
from thin_meshes import SHEETS, board, closet

BALL = trimesh.creation.icosphere(3, .4)


@pytest.mark.parametrize("name", SHEETS)
def test_a_sheet_gets_the_thickness_that_was_asked_for(name):
    mesh = SHEETS[name]
    piece, = solid_pieces(mesh, np.zeros(len(mesh.faces), int), thickness=.04)
    assert piece.kind == "thickened" and solid_mesh(piece.solid).is_watertight
    assert piece.solid.volume() == pytest.approx(mesh.area*piece.thickness, rel=.15)
    assert piece.thickness == pytest.approx(.04*mesh.extents.max())


@pytest.mark.parametrize("mesh", [closet(), board((.9, .6, .0027), (0, 0, 0))], ids=["closet", "plate"])
def test_thin_boards_are_kept_as_they_are(mesh):
    pieces = solid_pieces(mesh, np.zeros(len(mesh.faces), int))
    assert {piece.kind for piece in pieces} == {"exact"}
    assert sum(piece.solid.volume() for piece in pieces) == pytest.approx(mesh.volume)


def test_a_small_hole_is_closed_and_a_bowl_is_thickened():
    height = BALL.triangles_center[:, 2]
    for limit, kind, volume in ((.39, "closed", BALL.volume), (0, "thickened", 2*np.pi*.16*.02*.8)):
        mesh = trimesh.Trimesh(BALL.vertices, BALL.faces[height < limit], process=False)
        piece, = solid_pieces(mesh, np.zeros(len(mesh.faces), int), thickness=.02)
        assert piece.kind == kind and piece.solid.volume() == pytest.approx(volume, rel=.05)


def test_a_cavity_stays_empty():
    inner = BALL.copy().apply_scale(.5)
    inner.invert()
    mesh = trimesh.util.concatenate([BALL, inner])
    piece, = solid_pieces(mesh, np.zeros(len(mesh.faces), int))
    assert piece.solid.volume() == pytest.approx(BALL.volume*7/8)


def test_labels_follow_their_faces_through_repair():
    mesh = trimesh.util.concatenate([BALL, BALL.copy().apply_translation([1, 0, 0])])
    mesh = normalise_mesh(trimesh.Trimesh(mesh.vertices, np.concatenate([mesh.faces[5:6], mesh.faces]), process=False))[0]
    labels = (mesh.triangles_center[:, 0] > 0).astype(int)
    for piece in solid_pieces(mesh, labels):
        assert np.array_equal(piece.labels, piece.vertices[piece.faces].mean(1)[:, 0] > 0)


@pytest.mark.parametrize("thickness", [0, -1, 1, np.nan])
def test_an_impossible_thickness_is_refused(thickness):
    with pytest.raises(ParameterError, match="thickness"): solid_pieces(BALL, np.zeros(len(BALL.faces)), thickness)


def test_floaters_go_and_small_parts_that_touch_stay():
    speck = trimesh.creation.icosphere(1, .01)
    touching, loose = (speck.copy().apply_translation([x, 0, 0]) for x in (.4, .45))
    kept, count = remove_floaters(trimesh.util.concatenate([BALL, touching, loose]))
    assert count == 1 and len(kept.faces) == len(BALL.faces) + len(speck.faces)
    assert remove_floaters(BALL)[1] == 0


@pytest.mark.parametrize("settings, word", [({"thickness": .0005}, "thickness.*Give at least 0.0049"), ({"resolution": 513}, "resolution.*512")])
def test_a_grid_that_fills_the_memory_is_refused(settings, word, monkeypatch):
    monkeypatch.setattr("sdf_dino.geometry.solid_pieces.zero_set", lambda *words: pytest.fail("a grid was made"))
    bowl = trimesh.Trimesh(BALL.vertices, BALL.faces[BALL.triangles_center[:, 2] < 0], process=False)
    with pytest.raises(ParameterError, match=word): solid_pieces(bowl, np.zeros(len(bowl.faces), int), **settings)
