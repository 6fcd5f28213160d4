"Features and labels of points"
import numpy as np
import pytest
import torch

import sdf_dino.parts.labelling as labelling
from sdf_dino.core.errors import ParameterError
from sdf_dino.distill.head import HeadConfig, ProjectionHead
from sdf_dino.field.decoder import DecoderConfig, DeepSDF, query_decoder
from sdf_dino.parts.labelling import parse_parts, part_confidence, part_features


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    decoder = DeepSDF(DecoderConfig(8, 16, 3))
    heads = [ProjectionHead(HeadConfig(48, prototypes=8)).eval() for _ in range(2)]
    return decoder, torch.zeros(8), heads


@pytest.mark.parametrize("with_adapted", [False, True])
def test_chunks_change_nothing_and_logits_stay_those_of_the_first_head(network, monkeypatch, with_adapted):
    monkeypatch.setattr(labelling, "_CHUNK", {"cpu": 7})
    decoder, code, (head, other) = network
    points = np.random.default_rng(0).uniform(-.5, .5, (50, 3))
    activations = torch.from_numpy(np.hstack(query_decoder(decoder, points, code, activations=True)[1]))
    adapted = other if with_adapted else None
    features, logits = part_features(decoder, code, head, points, adapted, precision="float32")
    with torch.no_grad():
        assert np.allclose(features, (adapted or head)(activations)[0], atol=1e-4)
        assert np.allclose(logits, head(activations)[1], atol=1e-4)


@pytest.mark.parametrize("parts", ["many", 0, "-1", "2.5"])
def test_what_is_no_number_of_parts_is_refused(parts):
    with pytest.raises(ParameterError, match="parts"): parse_parts(parts)


def test_labels_that_ignore_the_features_have_no_separation():
    rng = np.random.default_rng(0)
    third = np.repeat(np.arange(3), 100)
    blobs = np.eye(3)[third]*5 + rng.normal(size=(300, 3))*.3
    assert part_confidence(blobs, rng.permutation(third))[1] == "none"
