"Options of the training, resuming it from disk, and naming the shape that diverged"
import pytest
import torch

from sdf_dino.core.errors import MismatchError, SdfDinoError
from sdf_dino.field import deepsdf
from sdf_dino.field.dataset import SDFDataset, load_dataset
from sdf_dino.field.decoder import DecoderConfig
from sdf_dino.field.deepsdf import (
    DeepSDFTrainer, TrainConfig, eikonal_loss, initial_codes, train_backbone)
from sdf_dino.field.training import averaged_module
from sdf_dino.geometry.sampling import Sampler, sample_files, sample_sdf
from sdf_dino.geometry.shapes import probe_shapes

NETWORK = DecoderConfig(16, 32, 2)
CONFIG = TrainConfig(steps=300, points=512, lr=5e-3, warmup=10, save_every=100)


class Killed(Exception): "Stands for a kill"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    for name in ("snowman", "table"):
        sample_sdf(probe_shapes()[name], Sampler(4096, 512), 0).save(folder / f"{name}.safetensors")
    return sample_files(folder)


@pytest.fixture(scope="module")
def data(files): return load_dataset(files)


def test_killed_in_memory_and_resumed_from_disk_gives_the_same_bits(files, data, tmp_path, monkeypatch):
    whole, losses = train_backbone(data, tmp_path / "whole", NETWORK, CONFIG)
    one_step = DeepSDFTrainer.one_step
    taken = []
    def killed_step(trainer):
        if trainer.step == 250: raise Killed
        one_step(trainer)
    def counted_step(trainer):
        taken.append(trainer.step)
        one_step(trainer)
    monkeypatch.setattr(DeepSDFTrainer, "one_step", killed_step)
    with pytest.raises(Killed): train_backbone(data, tmp_path / "killed", NETWORK, CONFIG)
    assert not (tmp_path / "killed" / "config.json").exists()
    monkeypatch.setattr(DeepSDFTrainer, "one_step", counted_step)
    streamed = load_dataset(files, stream=True)
    resumed, again = train_backbone(streamed, tmp_path / "killed", NETWORK, CONFIG)
    assert taken == [*range(200, 300)] and (losses == again).all()
    for expected, found in zip(whole.decoder.parameters(), resumed.decoder.parameters()):
        assert torch.equal(expected, found)
    assert all(torch.equal(whole.latents[name], resumed.latents[name]) for name in data.names)
    with pytest.raises(MismatchError, match="train.steps 300 there, 400 here") as error:
        train_backbone(data, tmp_path / "killed", NETWORK, TrainConfig(steps=400))
    assert "decoder" not in str(error.value)


def test_a_nan_stops_the_training_and_names_its_shape(data, tmp_path):
    broken = SDFDataset(data.names, data.points, data.sdf.clone(), "broken")
    broken.sdf[1] = float("nan")
    with pytest.raises(SdfDinoError, match="^table: the loss is not finite"):
        train_backbone(broken, tmp_path, NETWORK, CONFIG)


def after(data, steps, **settings):
    "A trainer after some steps"
    config = TrainConfig(steps=300, points=512, lr=5e-3, warmup=10, precision="float32", **settings)
    trainer = DeepSDFTrainer(data, NETWORK, config)
    for _ in range(steps): trainer.one_step()
    return trainer


def test_accumulated_chunks_give_the_same_step(data, monkeypatch):
    whole = after(data, 5)
    monkeypatch.setattr(deepsdf, "_CPU_CHUNK", 512)
    assert torch.allclose(whole.codes, after(data, 5).codes, atol=1e-5)


def test_the_prior_pulls_codes_to_the_origin(data):
    assert after(data, 40, prior=10.).codes.norm() < .5 * after(data, 40, prior=0.).codes.norm()


def test_the_eikonal_term_brings_gradients_closer_to_one(data):
    def deviation(trainer):
        return eikonal_loss(trainer.decoder, data.points, trainer.codes).mean().item()
    assert deviation(after(data, 60, eikonal=.1)) < .7 * deviation(after(data, 60))


def test_averaged_codes_are_not_the_last_ones(data):
    trainer = after(data, 20, ema=.9)
    assert not torch.equal(averaged_module(trainer, "codes")[0], trainer.codes)


def test_coarse_codes_from_disk_equal_those_from_memory(files, data):
    streamed = load_dataset(files, stream=True)
    assert initial_codes(data, 8, "coarse").equal(initial_codes(streamed, 8, "coarse"))
