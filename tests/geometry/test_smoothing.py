"The graph cut against all choices, and smoothing on meshes of several components"
from itertools import product

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree

from sdf_dino.core.errors import ParameterError
from sdf_dino.geometry import graph_cut
from sdf_dino.geometry import smoothing as s
from sdf_dino.geometry.csg import solid_to_mesh
from sdf_dino.geometry.shapes import probe_shapes
from sdf_dino.geometry.validation import MeshRejected


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
    assert np.isclose(cost(graph_cut.minimum_cut(on, off, pairs, capacities)), best, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_an_expansion_is_the_best_of_all_expansions(seed):
    rng = np.random.default_rng(seed)
    pairs = np.array([[0, 1], [1, 2], [2, 3], [3, 4], [0, 4], [1, 4]])
    unary, weights, labels = rng.random((5, 3)), rng.random(6), rng.integers(3, size=5)
    expansions = [np.where(np.array(x, bool), 1, labels) for x in product((0, 1), repeat=5)]
    best = min(graph_cut.labelling_energy(c, unary, pairs, weights) for c in expansions)
    found = graph_cut.alpha_expansion(labels, 1, unary, pairs, weights)
    assert np.isclose(graph_cut.labelling_energy(found, unary, pairs, weights), best, atol=1e-5)


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


@pytest.fixture(scope="module")
def ball():
    return trimesh.creation.icosphere(4)


@pytest.fixture(scope="module")
def halves(ball):
    return (ball.triangles_center[:, 0] > 0).astype(int)


@pytest.fixture(scope="module")
def soup(ball):
    "The ball with corners of its own for every triangle"
    corners = ball.triangles.reshape(-1, 3)
    return trimesh.Trimesh(corners, np.arange(len(corners)).reshape(-1, 3), process=False)


@pytest.mark.parametrize("many_faces", [50_000, 1000])
def test_noise_is_smoothed_where_vertices_are_split_too(soup, halves, many_faces, monkeypatch):
    monkeypatch.setattr(s, "_MANY_FACES", many_faces)
    flip = np.random.default_rng(0).random(len(halves)) < .1
    smoothed = s.smooth_face_labels(soup, np.where(flip, 1 - halves, halves))
    assert (smoothed != halves).mean() < .02


def test_components_of_a_mesh_keep_their_labels(soup, halves):
    three = trimesh.util.concatenate([soup.copy().apply_translation([3*i, 0, 0]) for i in range(3)])
    labels = np.repeat([5, 2, 8], len(halves))
    assert np.array_equal(s.smooth_face_labels(three, labels), labels)


def test_one_part_has_no_borders(ball, halves):
    assert not s.smooth_face_labels(ball, 0*halves).any()


def test_an_empty_mesh_is_refused_and_a_tiny_one_keeps_its_label():
    empty = trimesh.Trimesh(np.zeros((0, 3)), np.zeros((0, 3), int), process=False)
    with pytest.raises(MeshRejected, match="no triangles"): s.smooth_face_labels(empty, np.zeros(0, int))
    one = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], process=False)
    assert s.smooth_face_labels(one, np.array([4])).tolist() == [4]


def test_three_faces_at_one_edge_are_smoothed():
    vertices = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1]]
    fin = trimesh.Trimesh(vertices, [[0, 1, 2], [1, 0, 3], [0, 1, 4]], process=False)
    found = s.smooth_face_labels(fin, np.array([0, 0, 1]), smooth=1e6)
    assert len(np.unique(found)) == 1


def test_degenerate_faces_do_no_harm(ball, halves):
    faces = np.vstack([ball.faces, [[0, 0, 1], [2, 2, 2]]])
    mesh = trimesh.Trimesh(ball.vertices, faces, process=False)
    found = s.smooth_face_labels(mesh, np.r_[halves, 0, 1])
    assert (found[:len(halves)] != halves).mean() < .01


def test_groups_of_faces_give_nearly_the_cut_of_single_faces(monkeypatch):
    ball = trimesh.creation.icosphere(6)
    samples = trimesh.creation.icosphere(3).triangles_center
    distance, near = cKDTree(samples).query(ball.triangles_center)
    labels = (samples[near, 0] > 0) + 2*(samples[near, 1] > .3)
    grouped = s.smooth_face_labels(ball, labels)
    monkeypatch.setattr(s, "_group_sides", lambda length, face_side: [0.])
    single = s.smooth_face_labels(ball, labels)
    assert (grouped != single).mean() < .3*(labels != single).mean()


def merged_one_after_the_other(area, borders, min_area):
    "Reference of `_absorb_small_pieces`: always the smallest piece first"
    area, goal, table = area.tolist(), list(range(len(area))), {}
    for (i, j), length in borders.items():
        table.setdefault(i, {})[j] = table.setdefault(j, {})[i] = length
    while small := [i for i in table if area[i] < min_area and table[i]]:
        i = min(small, key=lambda k: (area[k], k))
        j = max(table[i], key=lambda k: (table[i][k], -k))
        area[j] += area[i]
        goal = [j if g == i else g for g in goal]
        for k, length in table.pop(i).items():
            del table[k][i]
            if k != j: table[k][j] = table[j][k] = length + table[j].get(k, 0)
    return goal


@pytest.mark.parametrize("seed", range(10))
def test_merging_in_rounds_equals_merging_the_smallest_first(seed):
    rng = np.random.default_rng(seed)
    n = 60
    pairs = np.unique(np.sort(rng.integers(n, size=(150, 2)), axis=1), axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    area, lengths = rng.random(n), rng.random(len(pairs))
    expected = merged_one_after_the_other(area, dict(zip(map(tuple, pairs), lengths)), .9)
    assert s._absorb_small_pieces(area, pairs, lengths, .9).tolist() == expected


def test_faces_without_neighbours_keep_their_labels():
    corners = np.array([[0., 0, 0], [1, 0, 0], [0, 1, 0]])
    two = trimesh.Trimesh(np.vstack([corners, corners + 5]), [[0, 1, 2], [3, 4, 5]], process=False)
    assert s.smooth_face_labels(two, np.array([1, 0])).tolist() == [1, 0]
