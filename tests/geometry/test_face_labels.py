"Labels of faces from samples: nearest in position and normal, within a component"
import numpy as np
from scipy.spatial import cKDTree

from sdf_dino.geometry.face_labels import nearest_sample_labels

UP = np.array([[0., 0, 1]])


def test_labels_are_those_of_the_nearest_row():
    rng = np.random.default_rng(0)
    points, normals, samples, directions = rng.normal(size=(4, 200, 3))
    labels = rng.integers(5, size=200)
    rows, sample_rows = np.hstack([points, .2*normals]), np.hstack([samples, .2*directions])
    expected = labels[cKDTree(sample_rows).query(rows)[1]]
    found = nearest_sample_labels(points, normals, samples, directions, labels)
    assert (found == expected).all()


def test_a_component_with_samples_takes_no_label_from_another():
    points, samples = np.array([[0., 0, 0], [1, 0, 0]]), np.array([[.9, 0, 0], [0, 0, 0]])
    found = nearest_sample_labels(
        points, UP.repeat(2, 0), samples, UP.repeat(2, 0), np.array([7, 8]),
        component=np.array([0, 1]), sample_component=np.array([0, 1]))
    assert found.tolist() == [7, 8]


def test_a_component_without_samples_takes_the_nearest_label_of_all():
    found = nearest_sample_labels(
        np.array([[0., 0, 0], [3, 0, 0]]), UP.repeat(2, 0), np.array([[0., 0, 0], [2, 0, 0]]),
        UP.repeat(2, 0), np.array([7, 8]), component=np.array([4, 1]),
        sample_component=np.array([4, 4]))
    assert found.tolist() == [7, 8]


def test_no_faces_have_no_labels():
    none = np.zeros((0, 3))
    assert len(nearest_sample_labels(none, none, UP, UP, np.array([1]))) == 0
