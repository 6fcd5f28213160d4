"Merging of regions at borders, creases and gaps, and agreement of labellings"
import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.metrics import adjusted_rand_score

from sdf_dino.core.errors import ParameterError
from sdf_dino.geometry import clustering as c

THIRDS = np.repeat([0, 1, 2], 20)
PLACE = np.arange(60.)[:, None]


def chain(creases=()):
    "Sixty points in a row, linked to the next; larger weights at the links named"
    weights = np.full(59, .05)
    weights[list(creases)] = 1.
    graph = np.diag(weights, 1)
    return csr_matrix(graph + graph.T)


def test_a_convex_surface_has_no_creases():
    ball = np.random.default_rng(0).normal(size=(300, 3))
    ball /= np.linalg.norm(ball, axis=1, keepdims=True)
    graph = c.surface_graph(ball, ball)
    assert (graph.diagonal() == 0).all() and ((graph > 0).sum(1) >= 10).all()
    assert np.allclose(graph, c.surface_graph(ball, ball, concavity_weight=0))


def test_regions_that_do_not_touch_are_not_merged_first_though_they_are_alike():
    folded = np.abs(PLACE - 29.5)
    assert (c.merge_regions(folded, THIRDS, chain(), k=2) != [0, 1, 0]).any()


@pytest.mark.parametrize("max_merge_cost, expected", [(10., [0, 1, 1]), (1e-3, [0, 1, 2])])
def test_a_crease_and_a_limit_of_the_cost_stop_merges(max_merge_cost, expected):
    found = c.merge_regions(PLACE, THIRDS, chain([19]), max_merge_cost=max_merge_cost)
    assert found.tolist() == expected


def test_pieces_without_any_neighbours_merge_by_their_features():
    place = PLACE - 100 * (PLACE < 20)
    assert c.merge_regions(place, THIRDS, csr_matrix((60, 60)), k=2).tolist() == [0, 1, 1]
    blocks = np.repeat([0, 1, 2], [60, 30, 10])
    features = c.spectral_features(np.where(blocks[:, None] == blocks, 1., .02))
    assert c.cluster_parts(features, csr_matrix((100, 100))).max() == 2


def test_the_crease_decides_where_features_do_not():
    halves = np.repeat([0, 1], 30)
    features = np.c_[np.ones(60), np.linspace(0, 1, 60)]
    with_crease = c.cluster_parts(features, chain([29]), 2)
    without = c.cluster_parts(features, chain(), 2)
    assert adjusted_rand_score(halves, with_crease) == 1 > adjusted_rand_score(halves, without)


@pytest.mark.parametrize("k", [0, 1000])
def test_more_parts_than_points_or_none_are_refused(k):
    with pytest.raises(ParameterError, match="60"):
        c.cluster_parts(np.ones((60, 3)), chain(), k)


def test_random_labels_have_an_adjusted_rand_index_of_zero():
    rng = np.random.default_rng(0)
    pairs = rng.integers(3, size=(20, 2, 500))
    assert abs(np.mean([c.label_agreement(a, b)["ari"] for a, b in pairs])) < .01


def test_kmeans_repeats_with_its_seed():
    points = np.random.default_rng(0).normal(size=(100, 3))
    assert np.array_equal(c.kmeans_labels(points, 3), c.kmeans_labels(points, 3))
