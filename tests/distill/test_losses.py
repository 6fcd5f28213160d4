"Losses and collapse monitor of the projection head"
import torch
import torch.nn.functional as F

from sdf_dino.distill.dino import collapse_monitor, collapse_verdict, kl_divergence
from sdf_dino.distill.losses import DINOLoss, sinkhorn_knopp, smooth_targets


def test_sinkhorn_knopp_loses_no_point_at_a_low_temperature():
    assigned = sinkhorn_knopp(torch.randn(400, 32) * 3, .04)
    assert torch.allclose(assigned.sum(1), torch.ones(400), atol=1e-4)


def test_weighted_sinkhorn_knopp_gives_each_part_the_same_share():
    weights = torch.tensor([1/3, 1/3, 1/3, 1/2, 1/2])          # parts of three and two points
    assigned = sinkhorn_knopp(torch.randn(5, 2), 1., 200, weights)
    assert torch.allclose((weights[:, None] * assigned).sum(0), torch.ones(2), atol=1e-3)


def test_a_point_related_to_itself_alone_keeps_its_target():
    targets = torch.randn(5, 4).softmax(-1)
    assert torch.allclose(smooth_targets(targets, torch.eye(5)[None], 1.), targets)
    assert torch.allclose(smooth_targets(targets, torch.ones(1, 5, 5), 2.).sum(-1), torch.ones(5))


def test_local_views_learn_from_the_points_they_show():
    teacher, local = [torch.randn(6, 4) for _ in range(2)], torch.randn(2, 4)
    index, everyone = torch.tensor([4, 1]), torch.arange(6)
    views = [(teacher[0], everyone), (teacher[1], everyone), (local, index)]
    loss, _ = DINOLoss(4)(views, teacher, .05)
    p = [(t / .05).softmax(-1) for t in teacher]
    q = [(s / .1).log_softmax(-1) for s, _ in views]
    terms = [-(p[0] * q[1]).sum(-1).mean(), -(p[0][index] * q[2]).sum(-1).mean(),
             -(p[1] * q[0]).sum(-1).mean(), -(p[1][index] * q[2]).sum(-1).mean()]
    assert torch.allclose(loss, torch.stack(terms).mean(), atol=1e-5)


def test_kl_divergence_is_that_of_torch():
    logits, targets = torch.randn(50, 8), torch.randn(50, 8).softmax(-1)
    expected = F.kl_div((logits / .1).log_softmax(-1), targets, reduction="batchmean")
    assert torch.isclose(kl_divergence(targets, logits, .1), expected)
    assert kl_divergence((logits / .1).softmax(-1), logits, .1).abs() < 1e-5


def test_equal_features_are_a_collapse():
    decided = torch.eye(8).repeat(4, 1).expand(2, 32, 8)
    verdict = collapse_verdict(collapse_monitor(decided, torch.ones(2, 32, 8)), 8)
    assert "to a point" in verdict


def test_many_prototypes_on_each_shape_are_over_segmentation():
    features = torch.eye(8).repeat(4, 1).expand(3, 32, 8)
    few = torch.eye(32)[:4].repeat(8, 1)
    differing = torch.stack([few, few.roll(8, 1), few.roll(16, 1)])   # four on each
    assert collapse_verdict(collapse_monitor(differing, features), 32) == "healthy"
    every_point = torch.eye(32).expand(3, 32, 32)
    verdict = collapse_verdict(collapse_monitor(every_point, features), 32)
    assert verdict.startswith("over-segmented: 32 prototypes")
