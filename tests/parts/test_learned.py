"The learned method: on the device that was asked for, and without a trace in the program that calls it"
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_device import DEVICE, fake_device, is_fake

import sdf_dino
from sdf_dino.core.runtime import pick_device
from sdf_dino.distill.head import HeadConfig, ProjectionHead, load_head, reinitialised_head
from sdf_dino.field import training
from sdf_dino.field.decoder import Backbone, DecoderConfig, DeepSDF
from sdf_dino.field.deepsdf import TrainConfig, train_backbone
from sdf_dino.field.dataset import load_dataset
from sdf_dino.field.device import seeded
from sdf_dino.field.fitting import FitConfig, fit_shape
from sdf_dino.geometry.csg import solid_to_mesh
from sdf_dino.geometry.sampling import Sampler, sample_files, sample_sdf
from sdf_dino.geometry.shapes import probe_shapes
from sdf_dino.geometry.surface_features import surface_features
from sdf_dino.geometry.ray_surface import ray_surface
from sdf_dino.parts import editing
from sdf_dino.parts.learned import Preset, learned_features, segment_latent
from sdf_dino.parts.segment import segment
from sdf_dino.parts.solids import make_solids

QUICK = Preset(FitConfig(1, finetune_steps=2, finetune_points=64, code_points=256, starts=1), 2, Sampler(512, 128), 64)
PROBE9 = Path(sdf_dino.__file__).parent / "weights" / "probe9"


@pytest.fixture(scope="module")
def table(): return solid_to_mesh(probe_shapes()["table"], 24)


def random_states():
    kind, keys, *rest = np.random.get_state()
    return kind, keys.tolist(), rest, random.getstate(), torch.get_rng_state().tolist()


def train_something(folder):
    sample_sdf(probe_shapes()["table"], Sampler(256, 64), 0).save(folder / "set" / "table.safetensors")
    train_backbone(load_dataset(sample_files(folder / "set")), folder, DecoderConfig(8, 16, 1), TrainConfig(2))


LIBRARY_CALLS = {
    "segment": lambda mesh, folder: segment(mesh, 3, "learned", preset=QUICK, landmarks=64, samples=128),
    "segment a code": lambda mesh, folder: segment_latent("table", 3, method="learned", preset=QUICK, resolution=24),
    "fit": lambda mesh, folder: fit_shape(
        Backbone.load(PROBE9 / "backbone"), sample_sdf(probe_shapes()["table"], Sampler(512, 64), 0), QUICK.fit),
    "train": lambda mesh, folder: train_something(folder),
    "untrained head": lambda mesh, folder: reinitialised_head(load_head(PROBE9 / "head"), 3)}


@pytest.mark.parametrize("name", LIBRARY_CALLS)
def test_a_library_call_changes_neither_random_numbers_nor_allocator(name, table, tmp_path, monkeypatch):
    class Allocator:
        def CDLL(*_): raise AssertionError("the allocator of the program is changed")
    monkeypatch.setattr(training, "ctypes", Allocator)
    before = random_states()
    LIBRARY_CALLS[name](table, tmp_path)
    assert random_states() == before


@pytest.fixture
def asked(monkeypatch):
    "Names of devices that are asked for, on a machine where Warp is installed"
    names = []
    def pick(name="auto"):
        names.append(str(name))
        return pick_device(name)
    for module in ("geometry.distance", "parts.weights"):
        monkeypatch.setattr(f"sdf_dino.{module}.pick_device", pick)
    monkeypatch.setattr("sdf_dino.geometry.distance.find_spec", lambda name: True)
    return names


@pytest.mark.parametrize("weights", ["probe9", "auto"])
def test_every_stage_runs_on_the_device_that_was_asked_for(table, asked, weights):
    opened = table.submesh([np.arange(20, len(table.faces))], append=True, repair=False)    # its field is asked too
    segment(opened, 3, "learned", weights=weights, preset=QUICK, device="cpu", surface="field", landmarks=64,
            samples=128)
    assert set(asked) == {"cpu"}


def test_solids_are_made_on_the_device_that_was_asked_for(table, asked):
    found = segment(table, 2, landmarks=64, samples=128)
    asked.clear()
    config = editing.PartFitConfig(FitConfig(finetune_steps=2, finetune_points=64), samples=256)
    try: make_solids(found, preset=QUICK, config=config, resolution=24, device="cpu", move_seams=False)
    except sdf_dino.core.errors.InputError: pass     # parts fitted in two steps may have no inside
    assert set(asked) == {"cpu"}


@pytest.fixture(scope="module")
def pair():
    "A small backbone with one code, and its head"
    with seeded(0):
        backbone = Backbone(DeepSDF(DecoderConfig(8, 16, 2)), {"table": torch.randn(8)})
        return backbone, ProjectionHead(HeadConfig(32, (24, 16), 8, 6)).eval().requires_grad_(False)


def moved(pair):
    backbone, head = pair
    latents = {name: code.to(DEVICE) for name, code in backbone.latents.items()}
    there = DeepSDF(backbone.decoder.config).to(DEVICE)
    there.load_state_dict(backbone.decoder.state_dict())
    moved_head = ProjectionHead(head.config).to(DEVICE)
    moved_head.load_state_dict(head.state_dict())
    return Backbone(there, latents), moved_head.requires_grad_(False)


@pytest.fixture
def on_cpu_distances(monkeypatch):
    "Distances of a mesh need a device that Warp knows"
    monkeypatch.setattr("sdf_dino.geometry.distance.find_spec", lambda name: False)


def test_learned_features_need_no_float64_on_the_device(table, pair, on_cpu_distances):
    cube = table.copy()
    found = surface_features(ray_surface(cube, "triangles"), 64, 128)
    here = learned_features(cube, found, pair, QUICK)
    with fake_device(): there = learned_features(cube, found, moved(pair), QUICK)
    assert np.isfinite(there.features).all() and there.info["device"] == "meta"
    assert np.abs(there.logits - here.logits).mean() < .02, "the CPU may have taken bfloat16"
    assert len(set(there.warnings)) == len(there.warnings) and "the decoder" in here.warnings[-1]
    assert found.warnings == [], "what was given is not changed"


def test_fields_of_parts_need_no_float64_on_the_device(table, pair, on_cpu_distances):
    labels = (table.triangles_center[:, 2] > .1).astype(int)
    config = editing.PartFitConfig(FitConfig(finetune_steps=2, finetune_points=64), samples=256)
    samples = sample_sdf(probe_shapes()["table"], Sampler(512, 64), 0)
    with fake_device():
        shape = editing.fit_part_fields(fit_shape(moved(pair)[0], samples, QUICK.fit), table, labels, config)
        assert is_fake(shape.parts[0].latent)
        assert np.isfinite(shape.part_sdf(np.zeros((4, 3)))).all()
