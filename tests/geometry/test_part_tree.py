"The part tree: borders, creases and gaps"
import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from sdf_dino.core.errors import ParameterError
from sdf_dino.geometry.clustering import spectral_features
from sdf_dino.geometry.part_tree import build_part_tree

CHAIN = np.stack([np.arange(59), np.arange(1, 60)], 1)     # sixty points in a row


def creases(*links):
    "No crease but at the links named"
    crease = np.zeros(59)
    crease[list(links)] = 1.
    return crease


def test_parts_that_do_not_touch_stay_apart_though_they_are_alike():
    thirds = np.repeat([0, 1, 2], 20)
    features = np.eye(2)[[0, 1, 0]][thirds]                # the ends are alike, the middle is not
    parts = build_part_tree(features, CHAIN, creases(19, 39)).cut(3)
    assert adjusted_rand_score(thirds, parts) == 1
    assert len(set(build_part_tree(features, CHAIN, creases(19, 39)).cut(2)[[0, 30, 59]])) == 2


def test_the_crease_decides_where_features_do_not():
    halves = np.repeat([0, 1], 30)
    features = np.c_[np.ones(60), np.linspace(0, 1, 60)]
    with_crease = build_part_tree(features, CHAIN, creases(29)).cut(2)
    without = build_part_tree(features, CHAIN, creases()).cut(2)
    assert adjusted_rand_score(halves, with_crease) == 1 > adjusted_rand_score(halves, without)


def test_pieces_without_any_neighbours_merge_by_their_features():
    blocks = np.repeat([0, 1, 2], [60, 30, 10])
    features = spectral_features(np.where(blocks[:, None] == blocks, 1., .02))
    tree = build_part_tree(features, np.empty((0, 2), int), np.empty(0))
    assert adjusted_rand_score(blocks, tree.cut(3)) == 1


def test_equal_features_without_a_crease_are_one_part():
    assert build_part_tree(np.ones((60, 3)), CHAIN, creases()).estimated_k() == 1


@pytest.mark.parametrize("k", [0, 1000])
def test_more_parts_than_points_or_none_are_refused(k):
    with pytest.raises(ParameterError, match="60"):
        build_part_tree(np.ones((60, 3)), CHAIN, creases()).cut(k)
