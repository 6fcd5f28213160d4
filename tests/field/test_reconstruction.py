"Verdicts on fields that cannot be judged by their mean error"
import numpy as np
import pytest
import torch
from torch import nn

from sdf_dino.core.errors import InputError
from sdf_dino.field.decoder import Backbone, DecoderConfig, DeepSDF
from sdf_dino.field.fitting import FitConfig, fit_shape
from sdf_dino.field.reconstruction import reconstruction_quality, reconstruction_rows, source_shape
from sdf_dino.geometry.sampling import Sampler, SDFSamples, sample_sdf
from sdf_dino.geometry.shapes import probe_shapes


class Exact(nn.Module):
    "The exact field of the snowman, but for NaN at one point"
    def __init__(self, hole=None):
        super().__init__()
        self.hole = hole

    def forward(self, points, latent):
        sdf = torch.from_numpy(probe_shapes()["snowman"].sdf(points.numpy()).astype(np.float32))
        if self.hole is not None: sdf[(points == self.hole).all(-1)] = torch.nan
        return sdf


@pytest.fixture
def samples():
    return sample_sdf(probe_shapes()["snowman"], Sampler(2048, 256), 0)


def test_the_exact_field_is_ok(samples):
    row = reconstruction_quality(Exact(), torch.zeros(1), samples)
    assert row["verdict"] == "ok" and row["surface_error"] <= row["surface_p95"] < 1e-5


def test_a_nan_on_the_surface_is_not_finite(samples):
    decoder = Exact(torch.from_numpy(samples.surface[7]))
    assert reconstruction_quality(decoder, torch.zeros(1), samples)["verdict"] == "not finite"


def test_samples_far_from_the_surface_cannot_be_judged(samples):
    samples.sdf = samples.sdf + 1
    row = reconstruction_quality(Exact(), torch.zeros(1), samples)
    assert row["verdict"] == "no samples near the surface" and np.isnan(row["sign_agreement"])


def test_a_missing_mesh_is_an_input_error(samples):
    samples.meta |= {"name": "mesh", "source": "no/such.off"}
    with pytest.raises(InputError, match="such.off: is missing"): source_shape(samples)


def test_a_fit_has_a_row_for_each_of_its_stages(samples):
    torch.manual_seed(0)
    backbone = Backbone(DeepSDF(DecoderConfig(8, 16, 2)), {"snowman": torch.zeros(8)})
    backbone.decoder.out.weight.fill_(0)
    backbone.decoder.out.weight[0, 0] = 1       # positive far away, negative somewhere
    backbone.decoder.out.bias.fill_(-.1)
    code, tuned = (fit_shape(backbone, samples, FitConfig(1, steps, 64)) for steps in (0, 2))
    def stages(fit): return [row["stage"] for row in reconstruction_rows(backbone, samples, fit, resolution=8, n=64)]
    assert stages(None) == ["trained"] and stages(code) == ["code"] and stages(tuned) == ["code", "tuned"]
