"The viewer: other parts from the same features, shapes side by side, and the live view"
from dataclasses import replace

import numpy as np
import pytest

from sdf_dino.core.errors import ParameterError
from sdf_dino.core.plotting import corner_colors
from sdf_dino.parts.learned import PRESETS, segment_latent
from sdf_dino.parts.viewer import (
    PartViewer, feature_similarity, relabel, save_view, side_by_side, similarity_colors)
from sdf_dino.parts.weights import load_weights


@pytest.fixture(scope="module")
def shapes():
    model, preset = load_weights("probe9"), replace(PRESETS["fast"], adapt_steps=0)
    return [segment_latent(name, 2, model, "learned", preset, resolution=32) for name in ("snowman", "barbell")]


@pytest.fixture(scope="module")
def pair(shapes):
    return side_by_side(*shapes)


def test_parts_keep_their_number(shapes):
    same, three = relabel(shapes[0], 2), relabel(shapes[0], 3, min_area=0)
    assert (same.labels == shapes[0].labels).mean() > .95
    assert (three.labels == shapes[0].labels).mean() > .5 and three.info["parts_requested"] == "3"
    assert relabel(shapes[0], 1).n_parts == 1 and shapes[0].n_parts == 2


def test_similarity_is_a_cosine():
    features = np.array([[1., 0], [2, 0], [0, 1], [-1, 0], [0, 0]])
    assert np.allclose(feature_similarity(features, 0), [1, 1, 0, -1, 0])
    assert similarity_colors(np.array([-1.]))[0].tolist() == similarity_colors(np.zeros(1))[0].tolist()


def test_shapes_in_a_row_do_not_touch(shapes, pair):
    n = len(shapes[0].labels)
    assert pair.info["side_by_side"] == [n, len(shapes[1].labels)] and pair.n_parts == 4
    assert pair.mesh.triangles[:n, :, 0].max() + .099 < pair.mesh.triangles[n:, :, 0].min()
    assert np.array_equal(pair.features[n:], shapes[1].features)


def test_a_shape_beside_itself_has_the_same_parts_twice(shapes):
    n = len(shapes[0].labels)
    twins = relabel(side_by_side(shapes[0], shapes[0]), 2)
    assert np.array_equal(twins.labels[:n], twins.labels[n:])


def test_features_that_do_not_compare_are_refused(shapes):
    snowman, barbell = shapes
    with pytest.raises(ParameterError, match="same weights"):
        side_by_side(snowman, replace(barbell, info={"backbone": "another"}))
    with pytest.raises(ParameterError, match="adapt_steps=0"):
        side_by_side(snowman, replace(barbell, info={**barbell.info, "adapted": True}))


@pytest.mark.parametrize("parts, cause", [("auto", "Give a number"), (0, "Use a number")])
def test_common_parts_need_a_number(pair, parts, cause):
    with pytest.raises(ParameterError, match=cause): relabel(pair, parts)


def test_more_parts_than_leaves_are_refused(shapes):
    with pytest.raises(ParameterError, match="Use 1 to"): relabel(shapes[0], 5000)


def test_the_live_view_hides_compares_and_recounts(shapes, pair):
    n, view = len(shapes[0].labels), PartViewer(pair)
    view.checkboxes.children[0].value = False
    assert len(view.drawn.indices) == (pair.labels != 0).sum() and view.drawn.visible
    view.drawn.click_callback({"face": [3*n, 3*n + 1, 3*n + 2]})
    expected = corner_colors(similarity_colors(feature_similarity(pair.features, n)))
    assert view.face_input.value == n and np.array_equal(view.drawn.colors, expected)
    view.parts_slider.value = 3
    assert view.seg.n_parts == len(np.unique(view.drawn.colors)) == 3 and view.face_input.value == -1
    assert len(view.drawn.indices) == len(pair.labels)
    for box in view.checkboxes.children: box.value = False
    assert not view.drawn.visible


@pytest.mark.parametrize("launched", [False, True])
def test_the_frame_is_found_from_the_notebook(pair, tmp_path, monkeypatch, launched):
    if launched: monkeypatch.setenv("SDF_DINO_RUN", str(tmp_path))
    else: monkeypatch.delenv("SDF_DINO_RUN", raising=False)
    monkeypatch.chdir(tmp_path.parent)
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    page = save_view(pair, tmp_path / "pair.html")
    picture, frame = shown
    assert picture.data and page.exists()
    assert frame.src == ("pair.html" if launched else f"{tmp_path.name}/pair.html")
