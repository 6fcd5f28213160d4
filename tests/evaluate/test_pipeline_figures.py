"Pictures of samples, also where a decoder has no surface"
import numpy as np
import torch

from sdf_dino.evaluate.pipeline_figures import sample_picture
from sdf_dino.field.decoder import Backbone, DecoderConfig, DeepSDF


def test_samples_are_drawn_where_a_surface_is_thinner_than_a_cell():
    decoder = DeepSDF(DecoderConfig(4, 8, 2))
    with torch.no_grad():
        for weights in decoder.parameters(): weights.fill_(.1)      # positive everywhere
    points = np.random.default_rng(0).normal(0, .2, (50, 3))
    picture = sample_picture(Backbone(decoder, {"sheet": torch.ones(4)}), "sheet", points, np.zeros(50, int), 64)
    assert picture.shape == (64, 64, 3) and picture.std() > 1
