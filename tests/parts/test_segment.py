"Segmenting one mesh: borders, reproducibility, and what is refused"
from dataclasses import replace

import numpy as np
import pytest
import trimesh

from sdf_dino.core.errors import ParameterError
from sdf_dino.field.fitting import FitConfig
from sdf_dino.geometry.validation import MeshRejected
from sdf_dino.geometry.sampling import Sampler
from sdf_dino.parts.segment import (
    PRESETS, Preset, StageTimer, faces_near_borders, pick_preset, segment, segment_latent, smooth_face_labels)

QUICK = Preset(FitConfig(5, 60, 512), 20, Sampler(2000, 500))


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


@pytest.mark.parametrize("max_faces", [50_000, 1000])
def test_noise_is_smoothed_where_vertices_are_split_too(soup, halves, max_faces):
    flip = np.random.default_rng(0).random(len(halves)) < .1
    smoothed = smooth_face_labels(soup, np.where(flip, 1 - halves, halves), max_faces=max_faces)
    assert (smoothed != halves).mean() < .02


def test_components_of_a_mesh_keep_their_labels(soup, halves):
    three = trimesh.util.concatenate([soup.copy().apply_translation([3*i, 0, 0]) for i in range(3)])
    labels = np.repeat([5, 2, 8], len(halves))
    assert np.array_equal(smooth_face_labels(three, labels), labels)


def test_one_part_has_no_borders(ball, halves):
    assert not smooth_face_labels(ball, 0*halves, max_faces=1).any()
    assert not faces_near_borders(ball, 0*halves, .2).any()


def test_the_band_lies_along_the_border(ball, halves):
    band = faces_near_borders(ball, halves, .2)
    assert .1 < band.mean() < .3 and np.abs(ball.triangles_center[band, 0]).max() < .25


def test_presets_by_name():
    assert pick_preset("best").fit.finetune_steps > pick_preset("fast").fit.finetune_steps
    with pytest.raises(ParameterError, match="fast or best"): pick_preset("good")


def test_the_bar_names_the_stage_at_work():
    timer = StageTimer(("load", "fit"))
    timer.finish("load")
    assert timer._bar.n == 1 and timer._bar.desc.startswith("fit") and list(timer.seconds) == ["load"]
    timer.finish("fit")
    assert list(timer.seconds) == ["load", "fit"]


def test_a_flat_mesh_is_refused():
    square = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], [[0, 1, 2], [1, 3, 2]], process=False)
    with pytest.raises(MeshRejected) as error: segment(square, 2, "probe9", QUICK)
    assert error.value.reason == "flat"


def test_the_record_says_how_parts_were_made(tmp_path):
    mesh = trimesh.creation.capsule(2., .5, count=[12, 12])
    found = segment(mesh, "auto", "probe9", replace(QUICK, adapt_steps=0), fit_cache=tmp_path)
    assert found.info["parts_requested"] == "auto" and not found.info["adapted"]
    assert set(found.info["stages"]) == {"load", "distances", "weights", "fit", "adapt", "parts", "borders"}
    assert len(list(tmp_path.iterdir())) == 1, "the fit is kept"


def test_a_known_shape_takes_the_same_way_as_a_mesh():
    found = segment_latent("snowman", 2, preset=replace(PRESETS["fast"], adapt_steps=0), resolution=32, n_points=500)
    assert found.info["latent"] == "snowman" and found.info["weights"] == "probe9" and found.n_parts == 2
    assert len(found.labels) == len(found.mesh.faces) == len(found.features) == len(found.logits)
