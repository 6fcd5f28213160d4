"Neighbours and creases, k-means, and agreement of labellings"
import numpy as np

from sdf_dino.geometry import clustering as c


def test_a_convex_surface_has_no_creases():
    ball = np.random.default_rng(0).normal(size=(300, 3))
    ball /= np.linalg.norm(ball, axis=1, keepdims=True)
    graph = c.surface_graph(ball, ball)
    assert (graph.diagonal() == 0).all() and ((graph > 0).sum(1) >= 10).all()
    assert np.allclose(graph, c.surface_graph(ball, ball, concavity_weight=0))


def test_a_pair_of_neighbours_comes_once_and_its_crease_is_that_of_the_corner():
    floor = np.c_[np.linspace(.1, 1, 12), np.zeros(12), np.zeros(12)]
    points = np.vstack([floor, floor[:, [2, 1, 0]]])       # a floor and a wall that meet at 0
    normals = np.repeat([[0, 0, 1.], [1., 0, 0]], 12, axis=0)
    pairs, crease = c.neighbour_creases(points, normals)
    assert len(np.unique(np.sort(pairs, axis=1), axis=0)) == len(pairs)
    across = (pairs < 12).sum(1) == 1
    assert across.any() and (crease[~across] == 0).all() and (crease[across] > .3).all()


def test_random_labels_have_an_adjusted_rand_index_of_zero():
    rng = np.random.default_rng(0)
    pairs = rng.integers(3, size=(20, 2, 500))
    assert abs(np.mean([c.label_agreement(a, b)["ari"] for a, b in pairs])) < .01


def test_kmeans_repeats_with_its_seed():
    points = np.random.default_rng(0).normal(size=(100, 3))
    assert np.array_equal(c.kmeans_labels(points, 3), c.kmeans_labels(points, 3))


def test_equal_points_are_neighbours_of_each_other_and_never_of_themselves():
    points = np.repeat(np.random.default_rng(0).random((20, 3)), 15, axis=0)    # more copies than neighbours
    i, j, distance, reach = c.nearest_pairs(points, 10)
    assert (i != j).all() and (np.bincount(i) == 10).all()
    assert np.allclose(points[i], points[j]) and (distance == 0).all() and (reach == 0).all()
    graph = c.surface_graph(points, np.ones_like(points))
    assert (graph.diagonal() == 0).all() and (graph == graph.T).all()


def test_of_two_equal_points_each_keeps_all_its_other_neighbours():
    points = np.random.default_rng(0).random((30, 3))
    points[7] = points[3]
    i, j, distance, reach = c.nearest_pairs(points, 5)
    all_distances = np.linalg.norm(points[:, None] - points, axis=2) + np.diag(np.full(30, np.inf))
    assert np.allclose(distance.reshape(30, 5), np.sort(all_distances, 1)[:, :5])
    assert np.allclose(distance, all_distances[i, j]) and np.allclose(reach, distance.reshape(30, 5)[:, -1])


def test_a_single_point_has_no_neighbours():
    i, j, distance, reach = c.nearest_pairs(np.zeros((1, 3)), 10)
    assert len(i) == len(j) == len(distance) == 0 and reach.tolist() == [0]
    assert c.surface_graph(np.zeros((1, 3)), np.ones((1, 3))).tolist() == [[0]]
