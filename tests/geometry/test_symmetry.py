"Planes of symmetry: found in any pose, none where there is none, several where there are"
import numpy as np
import pytest
import trimesh

from sdf_dino.geometry.symmetry import mirror_planes


def letter():
    "Two boxes that cross off their middles, and a ball"
    boxes = [trimesh.creation.box((1, .2, .2)), trimesh.creation.box((.2, .8, .2)).apply_translation((-.4, .5, .3))]
    return trimesh.util.concatenate([*boxes, trimesh.creation.icosphere(2, .15).apply_translation((.5, .1, .4))])


def rocket():
    "A body with two equal fins, symmetric across X, and a nose that bends to one side"
    parts = [trimesh.creation.cylinder(.2, 1.5), trimesh.creation.icosphere(2, .18).apply_translation((0, .15, .8))]
    parts += [trimesh.creation.box((.5, .05, .3)).apply_translation((x, 0, -.4)) for x in (-.4, .4)]
    return trimesh.util.concatenate(parts)


def test_a_shape_without_symmetry_has_no_plane(): assert mirror_planes(letter()) == []


@pytest.mark.parametrize("seed", range(3))
def test_the_plane_is_found_in_any_pose_and_size(seed):
    rng = np.random.default_rng(seed)
    turn = trimesh.transformations.random_rotation_matrix(rng.random(3))
    mesh = rocket().apply_transform(turn).apply_scale(10.**rng.integers(-3, 4)).apply_translation(rng.normal(size=3)*50)
    planes = mirror_planes(mesh)
    assert abs(planes[0].normal @ turn[:3, 0]) > .9995 and planes[0].share > .95
    assert abs(planes[0].height(mesh.center_mass[None])[0]) < .01*np.linalg.norm(mesh.extents)


def test_several_planes_are_told_apart_and_repeat():
    planes = mirror_planes(trimesh.creation.box((3, 2, 1)))
    assert {int(np.abs(plane.normal).argmax()) for plane in planes} == {0, 1, 2} and len(planes) == 3
    again = mirror_planes(trimesh.creation.box((3, 2, 1)))
    assert [plane.record() for plane in planes] == [plane.record() for plane in again]


def test_noise_is_no_hindrance():
    mesh = rocket().subdivide()
    mesh.vertices += np.random.default_rng(0).normal(0, .004, mesh.vertices.shape)
    assert abs(mirror_planes(mesh)[0].normal[0]) > .995
