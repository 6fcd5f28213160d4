"Baselines: edge cases, random weights, shapes without seams"
import numpy as np
import pytest
import trimesh

from sdf_dino.core.errors import ParameterError
from sdf_dino.evaluate.baselines import (
    estimate_k_by_eigengap, kmeans_encoding, kmeans_random, kmeans_xyz, knn_labels,
    method_features, ndf, raw_activations, raw_layer_3, shape_diameter, shape_diameter_clusters,
    spectral_exact)
from sdf_dino.evaluate.cases import analytic_eval_shape, as_eval_shape, with_fitted_code
from sdf_dino.evaluate.early_baselines import (
    free_component_labels, gradient_discontinuity, patch_descriptors, surface_graph_cut)
from sdf_dino.evaluate.metrics import part_scores
from sdf_dino.geometry.clustering import kmeans_labels
from sdf_dino.geometry.shapes import Shape, probe_shapes

TRIANGLE = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]])


@pytest.fixture(scope="module")
def snowman(): return analytic_eval_shape(probe_shapes()["snowman"], 600)[0]


@pytest.fixture(scope="module")
def fitted(snowman): return with_fitted_code(snowman, weights="probe9")


def test_random_features_depend_on_the_seed_alone(snowman):
    first, other = (method_features(snowman, "random", seed) for seed in (1, 2))
    assert first.shape == (600, 384) and (first != other).any()
    assert (kmeans_random(snowman, 3, 1) == kmeans_random(snowman, 3, 1)).all()


def test_features_of_the_encoding(snowman):
    assert method_features(snowman, "encoding").shape == (600, 39)
    assert 2 <= len(np.unique(kmeans_encoding(snowman, None))) <= 8


def test_weights_by_name_are_those_of_the_fitted_shape(snowman, fitted):
    expected = kmeans_labels(method_features(fitted, "all_layers"), 2)
    assert (raw_activations(snowman, 2, weights="probe9") == expected).all()
    assert (ndf(fitted, 3) != raw_activations(fitted, 3)).any(), "the length of a feature matters"


def test_a_layer_that_the_decoder_lacks_is_refused(fitted):
    with pytest.raises(ParameterError, match="layer_2"): raw_layer_3(fitted, 2)


def test_a_mesh_gets_a_label_for_each_face(snowman):
    mesh = as_eval_shape(snowman.mesh)
    assert len(kmeans_xyz(mesh, 3)) == len(mesh.face) == len(spectral_exact(mesh, None))


def test_the_eigengap_of_two_blocks():
    assert estimate_k_by_eigengap(np.kron(np.eye(2), np.ones((20, 20)))) == 2


def test_the_nearest_sample_decides_when_all_three_differ():
    samples = np.array([[0, 0, 0], [1, 0, 0], [1.1, 0, 0], [5, 0, 0]])
    assert knn_labels(samples, np.array([0, 1, 2, 3]), [[.4, 0, 0]]).tolist() == [0]


def test_shape_diameter_of_a_ball():
    "A chord at angle t from the normal has the length 2 r cos t, and no ray is dropped twice"
    diameter = shape_diameter(trimesh.creation.icosphere(3, .4))
    assert .6 < diameter.min() and diameter.max() < .8 and np.ptp(diameter) < .05


def test_an_open_triangle_has_no_diameter_and_one_segment():
    assert np.isnan(shape_diameter(TRIANGLE)).all()
    assert not shape_diameter_clusters(TRIANGLE, 2).any()


def test_sorted_patches_are_sorted(snowman):
    assert (np.diff(patch_descriptors(snowman, sort=True)) >= 0).all()


def test_pieces_that_do_not_touch_are_parts_of_the_surface_graph():
    disk = probe_shapes()["tower"].parts[2]
    pair, parts = analytic_eval_shape(Shape("pair", [disk, disk.moved(.45)]), 400)
    assert part_scores(parts, surface_graph_cut(pair, None))["ari"] == 1


def test_a_ball_has_no_seam():
    ball = Shape("ball", [probe_shapes()["snowman"].parts[0].moved(0)])
    assert not gradient_discontinuity(analytic_eval_shape(ball, 200)[0], None).any()


def test_without_free_voxels_there_is_one_part():
    points, walls_only = np.zeros((4, 3)), np.zeros((8, 8, 8), bool)
    assert not free_component_labels(points, walls_only, 2).any()
