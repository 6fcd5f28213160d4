"Training and fitting on a device without float64, which the program waits for only to write its log"

import numpy as np
import pytest
import torch
from fake_device import DEVICE, fake_device, is_fake

from sdf_dino.field.dataset import load_dataset
from sdf_dino.field.decoder import Backbone, DecoderConfig, query_decoder
from sdf_dino.field.deepsdf import DeepSDFTrainer, TrainConfig, train_backbone
from sdf_dino.field.device import all_finite, seeded
from sdf_dino.field.fitting import FitConfig, cached_fit, fit_shape
from sdf_dino.geometry.sampling import Sampler, SDFSamples, sample_files, sample_sdf
from sdf_dino.geometry.shapes import probe_shapes

NETWORK = DecoderConfig(8, 16, 2)
CONFIG = TrainConfig(steps=8, points=64, warmup=2, save_every=4, log_every=2, clip=1., ema=.9, eikonal=.01,
                     precision="float32")
FIT = FitConfig(3, finetune_steps=4, finetune_points=64, code_points=256, precision="float32")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    for name in ("snowman", "table"):
        sample_sdf(probe_shapes()[name], Sampler(512, 64), 0).save(folder / f"{name}.safetensors")
    return sample_files(folder)


@pytest.fixture(scope="module")
def on_cpu(files, tmp_path_factory):
    return train_backbone(load_dataset(files), tmp_path_factory.mktemp("cpu"), NETWORK, CONFIG)


@pytest.fixture(scope="module")
def backbone_folder(on_cpu, tmp_path_factory):
    folder = tmp_path_factory.mktemp("backbone")
    on_cpu[0].save(folder)
    return folder


@pytest.mark.parametrize("stream", [False, True])
def test_a_backbone_trains_without_float64_as_on_a_cpu(files, on_cpu, tmp_path, stream):
    with fake_device():
        found, losses = train_backbone(load_dataset(files, DEVICE, stream), tmp_path, NETWORK, CONFIG)
        assert is_fake(found.decoder.out.weight)
        weight = found.decoder.out.weight.cpu()
    assert np.allclose(losses, on_cpu[1], atol=1e-5)
    assert torch.allclose(weight, on_cpu[0].decoder.out.weight, atol=1e-4)


@pytest.mark.parametrize("stream", [False, True])
def test_a_step_does_not_wait_for_the_device(files, stream):
    with fake_device() as waits:
        trainer = DeepSDFTrainer(load_dataset(files, DEVICE, stream), NETWORK, CONFIG)
        waits.clear()
        for _ in range(3): trainer.one_step()
    assert waits == []


def test_a_shape_is_fitted_without_float64_and_kept(files, backbone_folder, tmp_path):
    samples = SDFSamples.load(files[0])
    expected = fit_shape(Backbone.load(backbone_folder), samples, FIT)
    with fake_device():
        backbone = Backbone.load(backbone_folder, DEVICE)
        first, again = (cached_fit(tmp_path, backbone, samples, FIT) for _ in range(2))
        assert is_fake(first.latent) and torch.equal(first.latent, again.latent)
        latent = first.latent.cpu()
    assert torch.allclose(latent, expected.latent, atol=1e-3)
    assert np.isclose(first.quality["surface_error"], expected.quality["surface_error"], atol=1e-4)


def test_a_decoder_answers_points_of_any_kind(backbone_folder):
    points = torch.rand(20, 3) - .5
    backbone = Backbone.load(backbone_folder)
    code = backbone.latents["table"]
    expected = query_decoder(backbone.decoder, points.numpy(), code)
    with_gradient = points.clone().requires_grad_(True)
    for given in (points, points.double(), with_gradient, points.double().numpy()):
        assert np.array_equal(query_decoder(backbone.decoder, given, code), expected)
    with fake_device():
        there = Backbone.load(backbone_folder, DEVICE)
        for given in (points, points.double(), points.to(DEVICE)):
            found = query_decoder(there.decoder, given, there.latents["table"])
            assert np.allclose(found, expected, atol=1e-6)


def test_the_device_refuses_what_apple_refuses():
    with fake_device() as waits:
        x = torch.ones(3, 3).to(DEVICE)
        for act in (x.double, lambda: torch.from_numpy(np.zeros(3)).to(DEVICE),
                    lambda: torch.linspace(0, 1, 3, dtype=torch.float64, device=DEVICE)):
            with pytest.raises(TypeError, match="float64"): act()
        with pytest.raises(NotImplementedError): torch.linalg.qr(x)
        with pytest.raises(RuntimeError, match="two devices"): x + torch.ones(3)
        waits.clear()
        for act in (x.sum().item, x.cpu, x.tolist, lambda: bool(x[0, 0]), lambda: torch.ones(3).to(DEVICE)):
            act()
            assert waits, "this waits"
            waits.clear()


def test_a_seed_leaves_the_random_numbers_of_the_program_alone():
    before = torch.get_rng_state()
    with seeded(3): first = torch.randn(4)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, torch.randn(4, generator=torch.Generator().manual_seed(3)))


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_one_bad_value_is_found(bad): assert not all_finite([torch.ones(2), torch.tensor([0., bad])])
