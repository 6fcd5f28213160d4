"Rotation-invariant descriptors of parts"
import numpy as np
import pytest
import trimesh

from sdf_dino.core.errors import ParameterError
from sdf_dino.geometry.part_descriptors import (
    PART_GROUPS, PART_RELATIONS, mesh_part_samples, neighbour_means, part_borders, part_descriptors,
    part_relations, part_samples, scaled_descriptors)
from sdf_dino.geometry.visibility import Visibility


def dumbbell(turn=None, mirror=False):
    "Samples of two equal balls on a rod, its mesh perhaps turned"
    rod = trimesh.creation.cylinder(.1, 1.2)
    balls = [trimesh.creation.icosphere(2, .3).apply_translation([0, 0, z]) for z in (-.7, .7)]
    mesh = trimesh.boolean.union([rod, *balls])
    z = mesh.triangles_center[:, 2]
    labels = np.where(np.abs(z) < .42, 0, np.where(z > 0, 1, 2))
    if turn is not None: mesh.apply_transform(turn)
    if mirror: mesh.apply_transform(np.diag([-1., 1, 1, 1]))
    return mesh_part_samples(mesh, labels)[0]


PLAIN = dumbbell()


@pytest.mark.parametrize("group", PART_GROUPS)
def test_equal_parts_have_equal_descriptors(group):
    rod, *balls = part_descriptors(PLAIN)[group]
    between = np.abs(balls[0] - balls[1]).mean()
    assert between < .25*np.abs(rod - balls[0]).mean() + .02


@pytest.mark.parametrize("mirror", [False, True])
def test_a_turn_or_a_mirror_changes_little(mirror):
    turn = trimesh.transformations.random_rotation_matrix(np.random.default_rng(3).random(3))
    other = dumbbell(turn, mirror)
    for group, here in part_descriptors(PLAIN).items():
        assert np.abs(part_descriptors(other)[group] - here).mean() < .05, group
    assert np.abs(part_relations(other) - part_relations(PLAIN)).mean() < .05


def test_a_larger_mesh_has_the_same_descriptors():
    mesh = trimesh.creation.box((1, 2, 3))
    labels = np.arange(12) % 2
    small, large = (mesh_part_samples(m, labels)[0] for m in (mesh, mesh.copy().apply_scale(1e4)))
    for group, values in part_descriptors(small).items():
        assert np.allclose(values, part_descriptors(large)[group], atol=1e-3), group


def test_samples_know_their_own_units():
    mesh = trimesh.creation.box((.2, .4, .6)).apply_translation([.1, -.2, .3])
    points, face = trimesh.sample.sample_surface(mesh, 64, seed=0)
    seen = Visibility(points, mesh.face_normals[face], np.eye(64, dtype=bool), np.ones(64))
    samples = part_samples(points, mesh.face_normals[face], seen, face)
    assert np.allclose(samples.own_points, points)


def test_balls_touch_the_rod_alone():
    borders = part_borders(PLAIN)
    assert borders[1, 2] == 0 and borders[0, 1] > 0 and borders[0, 2] > 0
    assert np.array_equal(borders, borders.T)
    relations = dict(zip(PART_RELATIONS, part_relations(PLAIN).transpose(2, 0, 1)))
    assert relations["border"][1, 0] == 1
    assert np.allclose(np.diag(relations["distance"]), 0)


def test_neighbours_of_a_lone_part_are_itself():
    assert np.array_equal(neighbour_means(np.ones((1, 3)), np.zeros((1, 1))), np.ones((1, 3)))


def one_part(n):
    "Samples of one part with as many points"
    points = np.random.default_rng(0).normal(size=(n, 3))
    normals = points/np.linalg.norm(points, axis=1, keepdims=True)
    seen = Visibility(points, normals, np.ones((n, n), bool), np.ones(n))
    return points, normals, seen


@pytest.mark.parametrize("labels", [np.zeros(40), np.r_[np.ones(39), 7]])
def test_a_single_part_and_a_part_of_one_sample_are_described(labels):
    samples = part_samples(*one_part(40), labels)
    described = part_descriptors(samples)
    assert all(np.isfinite(values).all() for values in described.values())
    assert np.isfinite(part_relations(samples)).all()
    assert np.isfinite(scaled_descriptors([described])[0]).all()


def test_labels_of_another_length_are_refused():
    with pytest.raises(ParameterError, match="shape"): part_samples(*one_part(40), np.zeros(39))
