"Caches, views, self-distillation and adaptation on a device without float64 and without factorisations"
import copy

import numpy as np
import pytest
import torch
from fake_device import DEVICE, fake_device, is_fake

from sdf_dino.distill.activations import ActivationCache, write_cache
from sdf_dino.distill.dino import DINOConfig, DINOTrainer, train_head
from sdf_dino.distill.fitted_codes import write_rotated_codes
from sdf_dino.distill.head import HeadConfig, ProjectionHead, reinitialised_head
from sdf_dino.distill.head_evaluation import HeadReport, build_eval_shapes
from sdf_dino.distill.test_time_adaptation import adapt_head_to_shape
from sdf_dino.distill.views import PerShapeRNG, ViewConfig, ViewSampler, rotations_from_normals
from sdf_dino.distill.visibility_cache import write_visibility
from sdf_dino.field.decoder import Backbone, DecoderConfig, DeepSDF
from sdf_dino.field.device import seeded
from sdf_dino.field.fitting import FitConfig
from sdf_dino.geometry.sampling import Sampler, sample_files, sample_sdf
from sdf_dino.geometry.shapes import probe_shapes

NAMES = ("snowman", "table")
HEAD = HeadConfig(32, (24, 16), 8, 6)
PROPOSAL = ViewConfig(2, 30, 10, rotate=True, rotated_shape=True)
RELATED = ViewConfig(2, 30, 10)
TRAINING = DINOConfig(steps=6, lr=1e-3, save_every=4, log_every=3, diversity=.1)
WITH_AFFINITY = DINOConfig(steps=6, lr=1e-3, save_every=4, log_every=3, affinity=1., sinkhorn=True,
                           target_sharpening=2.)
VARIANTS = {"proposal": (PROPOSAL, False, TRAINING), "visibility": (RELATED, True, WITH_AFFINITY)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "Samples, backbone, activations, rotated codes and visibility, written from the device"
    folder = tmp_path_factory.mktemp("device")
    for name in NAMES:
        samples = sample_sdf(probe_shapes()[name], Sampler(256, 120), 0)
        samples.save(folder / "samples" / f"{name}.safetensors")
    files = sample_files(folder / "samples")
    with seeded(0):
        latents = {name: torch.randn(8) for name in NAMES}
        Backbone(DeepSDF(DecoderConfig(8, 16, 2)), latents).save(folder / "backbone")
    with fake_device():
        backbone = Backbone.load(folder / "backbone", DEVICE)
        cache = write_cache(backbone, files, folder / "cache", 120)
        write_rotated_codes(backbone, files, cache, 1, FitConfig(1, code_points=64, starts=1))
        write_visibility(backbone, cache, folder / "visibility", 50)
    return folder


def sampler(folder, variant, device, stream=False):
    views, related, _ = VARIANTS[variant]
    visibility = folder / "visibility" if related else None
    cache = ActivationCache(folder / "cache")
    return ViewSampler(cache, Backbone.load(folder / "backbone", device), views, visibility, stream)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_head_trains_without_float64_as_on_a_cpu(folder, tmp_path, variant):
    config = VARIANTS[variant][2]
    on_cpu, losses = train_head(sampler(folder, variant, "cpu"), tmp_path / "cpu", HEAD, config)
    with fake_device():
        there, found = train_head(sampler(folder, variant, DEVICE), tmp_path / "there", HEAD, config)
    assert losses.keys() == found.keys()
    for name, values in losses.items(): assert np.allclose(found[name], values, atol=1e-4), name
    for a, b in zip(on_cpu.parameters(), there.parameters()): assert torch.allclose(a, b, atol=1e-4)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_step_waits_for_nothing_unless_the_log_shows_it(folder, variant, stream):
    with fake_device() as waits:
        trainer = DINOTrainer(sampler(folder, variant, DEVICE, stream), HEAD, VARIANTS[variant][2])
        waits.clear()
        for _ in range(2): trainer.one_step()
        assert waits == [] and "kl" not in trainer.pending
        trainer.one_step()
        assert waits and len(trainer.pending["kl"]) == 1


def test_other_hidden_values_are_standardised_without_float64(folder):
    config = ViewConfig(2, 30, 10)
    with fake_device():
        there = ViewSampler(ActivationCache(folder / "cache"), Backbone.load(folder / "backbone", DEVICE), config)
        there = there.exposing("pre").with_config(config, 1)
        assert is_fake(there.mean) and is_fake(there.std)
        mean = there.mean.cpu()
    here = ViewSampler(ActivationCache(folder / "cache"), Backbone.load(folder / "backbone"), config)
    assert torch.allclose(mean, here.exposing("pre").with_config(config, 1).mean, atol=1e-5)


@pytest.mark.parametrize("attend", [0, 1])
def test_a_head_adapts_where_it_is(attend):
    with seeded(0):
        head = ProjectionHead(HeadConfig(6, (12, 8), features=4, attend=attend)).eval()
        activations, affinity = torch.randn(30, 6), torch.rand(30, 30)
    affinity = affinity + affinity.T
    expected = adapt_head_to_shape(head, activations, affinity, 5)
    with fake_device():
        for given in ((activations, affinity), (activations.to(DEVICE), affinity.to(DEVICE))):
            found = adapt_head_to_shape(reinitialised_head(head).to(DEVICE), *given, 1)
            assert is_fake(found.mlp[-1].weight)
        found = adapt_head_to_shape(copy.deepcopy(head).to(DEVICE), activations, affinity, 5)
        tuned = [p.cpu() for p in found.mlp[:-1].parameters()]
    for a, b in zip(expected.mlp[:-1].parameters(), tuned): assert torch.allclose(a, b, atol=1e-4)


def test_a_head_on_a_device_is_scored_on_the_cpu(folder):
    with fake_device():
        backbone = Backbone.load(folder / "backbone", DEVICE)
        shapes = build_eval_shapes(ActivationCache(folder / "cache"), backbone, n_points=40)
        scores = HeadReport(shapes)(ProjectionHead(HEAD).to(DEVICE))
        assert is_fake(reinitialised_head(ProjectionHead(HEAD).to(DEVICE)).mean)
    assert scores.keys() == {"ari_kmeans", "ari_argmax"}


def test_rotations_are_those_of_the_qr_decomposition_and_turn_no_way_more_often_than_another():
    normals = PerShapeRNG(torch.arange(4000)).normal(torch.empty(4000, 3, 3))
    q, r = torch.linalg.qr(normals.double())
    q = q * r.diagonal(dim1=1, dim2=2).sign()[:, None]
    expected = q * torch.linalg.det(q)[:, None, None].sign()
    found = rotations_from_normals(normals)
    assert torch.allclose(found.double(), expected, atol=1e-4)
    assert torch.allclose(found @ found.mT, torch.eye(3), atol=1e-5)
    assert found.mean(0).abs().max() < .05, "no mean direction"
    assert (found.square().mean(0) - 1 / 3).abs().max() < .03
    angle_cosine = (found.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2
    assert abs(angle_cosine.mean() + .5) < .05, "of Haar's measure: E cos = -1/2"


def test_targets_are_those_that_multinomial_draws():
    affinity = torch.rand(3, 40, 40) + .01
    found = PerShapeRNG(torch.tensor([4, 5, 6])).neighbour(affinity)
    for i, seed in enumerate((4, 5, 6)):
        generator = torch.Generator().manual_seed(seed)
        assert torch.equal(found[i], torch.multinomial(affinity[i], 1, generator=generator)[:, 0])
