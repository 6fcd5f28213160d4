"Projection heads and their adaptation to one shape"
import copy
import re

import pytest
import torch

import sdf_dino
from sdf_dino.core.errors import CheckpointError, MismatchError, ParameterError, SdfDinoError
from sdf_dino.core.files import read_json, write_json
from sdf_dino.distill.test_time_adaptation import adapt_head_to_shape, fit_output_layer
from sdf_dino.distill.head import HeadConfig, ProjectionHead, load_head, save_head
from sdf_dino.distill.losses import affinity_loss

from conftest import ROOT

SHIPPED = sorted((ROOT / "sdf_dino" / "weights").glob("*/*/head.safetensors"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: f"{p.parts[-3]}/{p.parts[-2]}")
def test_shipped_heads_load(path):
    head = load_head(path.parent)
    features, logits = head(torch.randn(1, 20, head.config.inputs))
    assert features.isfinite().all() and logits.shape == (1, 20, head.config.prototypes)


def test_points_have_no_order():
    head = ProjectionHead(HeadConfig(48, (64, 32), attend=2))
    activations, affinity = torch.randn(1, 40, 48), torch.rand(1, 40, 40)
    order = torch.randperm(40)
    features = head(activations, affinity)[0][:, order]
    reordered = head(activations[:, order], affinity[:, order][:, :, order])[0]
    assert torch.allclose(features, reordered, atol=1e-5)


def test_the_default_widths_are_the_proposals():
    layers = [m.out_features for m in ProjectionHead().mlp if isinstance(m, torch.nn.Linear)]
    assert layers == [256, 128, 64]


def test_a_head_of_another_backbone_or_with_other_weights_is_refused(tmp_path):
    save_head(ProjectionHead(HeadConfig(48)), tmp_path, "abc")
    with pytest.raises(MismatchError, match=re.escape("abc, not to 0123")):
        load_head(tmp_path, "0123")
    config = read_json(tmp_path / "config.json")
    write_json(tmp_path / "config.json", {**config, "digest": "0"})
    with pytest.raises(CheckpointError): load_head(tmp_path)


def test_no_other_output_layer_fits_the_affinity_better():
    head = ProjectionHead(HeadConfig(6, (12, 8), features=4)).eval()
    affinity = torch.block_diag(torch.ones(25, 25), torch.ones(15, 15))
    activations = torch.randn(40, 6)
    activations[:25] += 1
    fit_output_layer(head, activations, affinity)
    def loss(h): return affinity_loss(h(activations)[0][None], affinity[None]).item()
    for _ in range(5):
        moved = copy.deepcopy(head)
        with torch.no_grad(): moved.mlp[-1].weight.add_(.01 * torch.randn(4, 8))
        assert loss(moved) > loss(head) - 1e-3


def test_a_head_with_attention_adapts_by_steps_alone():
    head = ProjectionHead(HeadConfig(6, (12, 8), features=4, attend=1)).eval()
    activations, affinity = torch.randn(30, 6), torch.ones(30, 30)
    with pytest.raises(ParameterError): fit_output_layer(head, activations, affinity)
    before = copy.deepcopy(head)
    adapted = adapt_head_to_shape(head, activations, affinity, steps=3)
    assert not torch.equal(adapted.mlp[0].weight, head.mlp[0].weight)
    assert torch.equal(before.mlp[0].weight, head.mlp[0].weight), "the head itself is not changed"


def test_the_top_level_names_lead_to_these_classes():
    assert sdf_dino.ProjectionHead is ProjectionHead
    assert sdf_dino.DINOLoss.__module__ == "sdf_dino.distill.losses"


@pytest.mark.parametrize("name", ["activations", "affinity"])
@pytest.mark.parametrize("steps", [0, 2])
def test_values_that_are_not_finite_are_not_adapted_to(name, steps):
    head = ProjectionHead(HeadConfig(6, (12, 8), features=4)).eval()
    given = {"activations": torch.randn(30, 6), "affinity": torch.ones(30, 30)}
    given[name][3, 2] = torch.nan
    with pytest.raises(ParameterError, match=f"{name}: has values that are not finite"):
        adapt_head_to_shape(head, **given, steps=steps)


@pytest.mark.parametrize("attend", [0, 1])
def test_an_adaptation_that_diverges_is_an_error(attend):
    head = ProjectionHead(HeadConfig(6, (12, 8), features=4, attend=attend)).eval()
    affinity = -torch.ones(30, 30)          # whose normalisation has no root
    with pytest.raises(SdfDinoError, match="head: has weights that are not finite after 2 steps"):
        adapt_head_to_shape(head, torch.randn(30, 6), affinity, steps=2)
