"The graph cut against all choices, and smoothing on meshes of several components"
from itertools import product

import numpy as np
import pytest
import trimesh

from sdf_dino.core.errors import ParameterError
from sdf_dino.geometry import smoothing as s
from sdf_dino.geometry.csg import solid_to_mesh
from sdf_dino.geometry.shapes import probe_shapes


@pytest.fixture(scope="module")
def snowman():
    "A mesh of two balls and the true label of each face"
    shape = probe_shapes()["snowman"]
    mesh = solid_to_mesh(shape, 40)
    return mesh, shape.label(mesh.triangles_center)


@pytest.mark.parametrize("seed", range(5))
def test_a_minimum_cut_is_the_best_of_all_choices(seed):
    rng = np.random.default_rng(seed)
    on, off = rng.random((2, 9))
    pairs = np.array([p for p in product(range(9), repeat=2) if p[0] != p[1]])
    capacities = .3 * rng.random(len(pairs))

    def cost(x):
        across = ~x[pairs[:, 0]] & x[pairs[:, 1]]
        return np.where(x, on, off).sum() + capacities[across].sum()

    best = min(cost(np.array(x, bool)) for x in product((0, 1), repeat=9))
    assert np.isclose(cost(s.minimum_cut(on, off, pairs, capacities)), best, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_an_expansion_is_the_best_of_all_expansions(seed):
    rng = np.random.default_rng(seed)
    pairs = np.array([[0, 1], [1, 2], [2, 3], [3, 4], [0, 4], [1, 4]])
    unary, weights, labels = rng.random((5, 3)), rng.random(6), rng.integers(3, size=5)
    expansions = [np.where(np.array(x, bool), 1, labels) for x in product((0, 1), repeat=5)]
    best = min(s.labelling_energy(c, unary, pairs, weights) for c in expansions)
    found = s.alpha_expansion(labels, 1, unary, pairs, weights)
    assert np.isclose(s.labelling_energy(found, unary, pairs, weights), best, atol=1e-5)


def test_a_box_has_no_concave_edge():
    costs = s.border_costs(trimesh.creation.box())[1]
    assert np.allclose(np.sort(costs), [1]*12 + [2**.5]*6)


def test_components_are_split_also_under_one_label():
    box = trimesh.creation.box()
    two = trimesh.util.concatenate([box, box.copy().apply_translation([3, 0, 0])])
    found = s.split_components(np.zeros(24, int), s.face_adjacency(two.faces)[0])
    assert found.tolist() == [0]*12 + [1]*12
    assert len(s.face_adjacency(two.faces[:1])[0]) == 0


def test_far_components_do_not_change_each_other(snowman):
    mesh, true = snowman
    noisy = np.where(np.random.default_rng(0).random(len(true)) < .2, 1 - true, true)
    both = trimesh.util.concatenate([mesh, mesh.copy().apply_translation([2, 0, 0])])
    once, twice = s.smooth_labels(mesh, noisy), s.smooth_labels(both, np.r_[noisy, noisy + 7])
    assert (twice == np.r_[once, once + 7]).all()
    assert (s.smooth_labels(mesh, noisy + 3) == once + 3).all(), "names of labels do not count"
    assert (s.smooth_labels(mesh, noisy, strength=0.) == noisy).all()


def test_the_crease_attracts_the_border(snowman, monkeypatch):
    mesh, true = snowman
    height = mesh.triangles_center[:, 2]
    above = (height - height[true == 1].min() - .03) / .1
    costs = np.stack([above, -above], 1)       # would put the border .03 too high
    wrong = {x: (s.smooth_labels(mesh, costs, strength=x) != true).mean() for x in (0., 1.)}
    assert wrong[1.] < .3 * wrong[0.]
    monkeypatch.setattr(s, "CREASE_EXPONENT", 0)
    assert (s.smooth_labels(mesh, costs) != true).mean() > .9 * wrong[0.], "length alone does not"


def test_labels_of_a_wrong_length_are_refused(snowman):
    mesh, true = snowman
    with pytest.raises(ParameterError, match="for"): s.smooth_labels(mesh, true[1:])


def test_a_small_component_keeps_one_label_of_its_own(snowman):
    mesh, true = snowman
    dot = trimesh.creation.icosphere(1, radius=.001).apply_translation([2, 0, 0])
    both = trimesh.util.concatenate([mesh, dot])
    alone = s.merge_fragments(both, np.r_[true, np.full(80, 7)])
    mixed = s.merge_fragments(both, np.r_[true, np.arange(80) % 2 + 7])
    assert (alone[len(true):] == 7).all() and (alone[:len(true)] == true).all()
    assert len(np.unique(mixed[len(true):])) == 1
