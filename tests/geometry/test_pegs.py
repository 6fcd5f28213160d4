"Pegs and sockets"
import numpy as np
import pytest
import trimesh

import sdf_dino.geometry.pegs as module
from sdf_dino.core.errors import ParameterError
from sdf_dino.geometry.cut_parts import cut_mesh
from sdf_dino.geometry.pegs import add_pegs, place_pegs
from sdf_dino.geometry.solid_pieces import solid_mesh, to_solid


def block(size, place):
    mesh = trimesh.creation.box(size).apply_translation(place)
    return to_solid(mesh.vertices, mesh.faces)


PAIR = {0: block((1, 1, 1), (0, 0, 0)), 1: block((1, 1, 2), (0, 0, 1.5))}


@pytest.mark.parametrize("clearance", [0., .02, .05])
def test_a_peg_has_its_clearance_all_round(clearance):
    made, (peg,), skipped = add_pegs(PAIR, clearance)
    assert not skipped and peg.owner == 0 and all(solid_mesh(solid).is_watertight for solid in made.values())
    assert (made[0] ^ made[1]).volume() == pytest.approx(0, abs=1e-12)
    head = made[0] - block((3, 3, 1 + 1e-6), (0, 0, 0))
    if clearance: assert head.min_gap(made[1] - block((3, 3, .02), (0, 0, .5)), 1.) == pytest.approx(clearance, rel=.01)
    assert made[0].volume() - 1 == pytest.approx(peg.solid().volume()/2)
    assert 2 - made[1].volume() == pytest.approx(peg.solid(clearance).volume()/2)


def test_a_face_that_is_too_small_is_skipped_with_a_reason():
    thin = {0: block((.002, .002, 1), (0, 0, 0)), 1: block((1, 1, 2), (0, 0, 1.5))}
    made, pegs, (why,) = add_pegs(thin, 0.)
    assert not pegs and "part_0 and part_1" in why and made[0].volume() == thin[0].volume()


def test_parts_that_do_not_touch_have_no_peg():
    assert add_pegs({0: PAIR[0], 1: block((1, 1, 1), (0, 0, 3))}, .02)[1:] == ([], [])


def test_the_cut_of_a_mesh_gets_a_peg():
    rod = trimesh.creation.box((.9, .2, .2)).subdivide().subdivide()
    cut = cut_mesh(rod, (rod.triangles_center[:, 0] > 0).astype(int), resolution=64)
    made, (peg,), _ = add_pegs(cut.solids, .005)
    assert abs(peg.axis[0]) > .99 and np.abs(peg.centre).max() < .02
    assert (made[0] ^ made[1]).volume() == pytest.approx(0, abs=1e-9)


def test_a_negative_clearance_is_refused():
    with pytest.raises(ParameterError, match="clearance"): add_pegs(PAIR, -.1)


def test_a_row_of_parts_needs_one_search_tree_a_part_and_looks_at_neighbours_only(monkeypatch):
    row = {i: block((1, 1, 1 + .1*i), (1.*i, 0, 0)) for i in range(6)}
    looks, trees = [], []
    shared, tree = module._shared_faces, module.TriangleTree
    monkeypatch.setattr(module, "_shared_faces", lambda *words: looks.append(words) or shared(*words))
    monkeypatch.setattr(module, "TriangleTree", lambda *words: trees.append(words) or tree(*words))
    assert len(place_pegs(row, .01)[0]) == len(looks) == 5 and len(trees) == 7
