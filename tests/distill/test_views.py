"Which points a batch has: random subsets, each point as often as another"
import numpy as np
import pytest
import torch

from sdf_dino.distill.activations import write_cache
from sdf_dino.distill.views import ViewConfig, ViewSampler
from sdf_dino.distill.visibility_cache import write_visibility
from sdf_dino.field.decoder import Backbone, DecoderConfig, DeepSDF
from sdf_dino.geometry.sampling import Sampler, sample_files, sample_sdf
from sdf_dino.geometry.shapes import probe_shapes

N_STEPS = 400


@pytest.fixture(scope="module", params=[False, True], ids=["all", "covered by visibility"])
def rows(request, tmp_path_factory):
    "Rows that each of many steps draws, 30 of the 60 that there are"
    folder = tmp_path_factory.mktemp("views")
    samples = sample_sdf(probe_shapes()["snowman"], Sampler(64, 200), 0)
    samples.save(folder / "samples" / "snowman.safetensors")
    backbone = Backbone(DeepSDF(DecoderConfig(8, 16, 1)), {"snowman": torch.randn(8)}).save(folder / "backbone")
    cache = write_cache(backbone, sample_files(folder / "samples"), folder / "cache", 200 if request.param else 120)
    visibility = folder / "visibility" if request.param else None
    if visibility: write_visibility(backbone, cache, visibility, 60)
    sampler = ViewSampler(cache, backbone, ViewConfig(1, 30, 10), visibility)
    assert sampler.draw(0).shape == (1, 30)
    return np.stack([sampler.plan(step).rows.numpy() for step in range(N_STEPS)])


def test_every_point_is_drawn_equally_often(rows):
    counts = np.bincount(rows.ravel(), minlength=60)
    assert len(counts) == 60 and (abs(counts - N_STEPS / 2) < 5 * np.sqrt(N_STEPS / 4)).all()
    assert all(len(np.unique(row)) == 30 for row in rows)


def test_points_that_are_neighbours_in_the_cache_are_not_drawn_together(rows):
    drawn = np.zeros((N_STEPS, 60), bool)
    drawn[np.arange(N_STEPS)[:, None], rows] = True
    together = (drawn[:, 1:] & drawn[:, :-1]).mean(0)
    assert abs(together.mean() - 30 / 60 * 29 / 59) < .02


def test_no_two_steps_draw_the_same_points(rows): assert len(np.unique(np.sort(rows, 1), axis=0)) == N_STEPS
