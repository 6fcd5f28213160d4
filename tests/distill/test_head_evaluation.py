"Scores of a head on held-out points"
import pytest
import torch
import torch.nn.functional as F

from sdf_dino.distill.activations import write_cache
from sdf_dino.distill.head import HeadConfig, ProjectionHead
from sdf_dino.distill.head_evaluation import build_eval_shapes, evaluate_head
from sdf_dino.field.decoder import Backbone, DecoderConfig, DeepSDF
from sdf_dino.geometry.sampling import Sampler, sample_files, sample_sdf
from sdf_dino.geometry.shapes import probe_shapes
from sdf_dino.geometry.visibility import VisibilityConfig

HEAD_ROWS = {"kmeans", "argmax", "ward", "ward, estimated k"}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation")
    for name in ("snowman", "table"):
        samples = sample_sdf(probe_shapes()[name], Sampler(256, 300), 0)
        samples.save(folder / "samples" / f"{name}.safetensors")
    latents = {"snowman": torch.randn(8), "table": torch.randn(8)}
    backbone = Backbone(DeepSDF(DecoderConfig(8, 16, 2)), latents).save(folder / "backbone")
    cache = write_cache(backbone, sample_files(folder / "samples"), folder / "cache", 300)
    assert build_eval_shapes(cache, backbone, n_shapes=1)[0].affinity is None
    return build_eval_shapes(cache, backbone, VisibilityConfig(), n_points=100)


class Oracle(torch.nn.Module):
    "Returns activations that name the part"
    def forward(self, activations, affinity=None): return activations, activations


def test_a_perfect_head_has_perfect_scores(shapes):
    for shape in shapes: shape.activations = F.one_hot(torch.from_numpy(shape.labels)).float()
    rows = evaluate_head(Oracle(), shapes)
    scores = {(row["shape"], row["features"]): row["ari"] for row in rows}
    for (_, name), ari in scores.items():
        if name in ("kmeans", "argmax", "ward", "raw"): assert ari == 1
        if name == "xyz": assert ari < .95


@pytest.mark.parametrize("adapt_steps", [0, 2])
def test_the_rows_of_an_evaluation(shapes, adapt_steps):
    inputs = shapes[0].activations.shape[1]
    head = ProjectionHead(HeadConfig(inputs, (16, 16), prototypes=4, attend=1))
    rows = evaluate_head(head, shapes[:1], controls=False, adapt_steps=adapt_steps)
    adapted = {f"adapted{start}{k}" for start in ("", " from random weights")
               for k in ("", ", estimated k")}
    assert {row["features"] for row in rows} == HEAD_ROWS | (adapted if adapt_steps else set())
