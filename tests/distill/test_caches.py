"Activation cache, fitted codes, visibility cache and views: resumed, verified, as from disk"
import numpy as np
import pytest
import torch

from sdf_dino.core.errors import CheckpointError, MismatchError, ParameterError
from sdf_dino.distill.activations import (
    ActivationCache, StreamedStore, compute_activations, write_cache)
from sdf_dino.distill.fitted_codes import (
    RotatedCodes, backbone_for_shapes, read_rotated_codes, rotate_samples, write_rotated_codes)
from sdf_dino.distill.views import ViewConfig, ViewSampler
from sdf_dino.distill.visibility_cache import read_visibility, write_visibility
from sdf_dino.field.decoder import Backbone, DecoderConfig, DeepSDF, query_decoder
from sdf_dino.field.fitting import FitConfig
from sdf_dino.geometry.sampling import Sampler, SDFSamples, sample_files, sample_sdf
from sdf_dino.geometry.shapes import probe_shapes
from sdf_dino.geometry.visibility import VisibilityConfig, visibility_from_field

NAMES = ("snowman", "mushroom", "table")
QUICK_FIT = FitConfig(code_steps=1, code_points=64, starts=1)


@pytest.fixture
def folder(tmp_path):
    for name in NAMES:
        samples = sample_sdf(probe_shapes()[name], Sampler(256, 300), 0)
        samples.save(tmp_path / "samples" / f"{name}.safetensors")
    latents = {name: torch.randn(8) for name in NAMES}
    Backbone(DeepSDF(DecoderConfig(8, 16, 2)), latents).save(tmp_path / "backbone")
    return tmp_path


@pytest.fixture
def files(folder): return sample_files(folder / "samples")


@pytest.fixture
def backbone(folder): return Backbone.load(folder / "backbone")


@pytest.fixture
def cache(folder, files, backbone): return write_cache(backbone, files, folder / "cache", 200)


def same_views(a, b):
    for view, other in zip(a.views, b.views, strict=True):
        for x, y in zip(view, other):
            if x is not None and not torch.equal(x, y): return False
    return True


def test_cached_activations_are_those_of_the_decoder(cache, backbone):
    entry = cache.read("table")
    _, layers = query_decoder(
        backbone.decoder, entry["points"], backbone.latents["table"], activations=True)
    assert np.abs(np.hstack(layers) - entry["acts"]).max() < 2e-3
    training_half = entry["acts"][:100].astype(float)
    mean, square = cache.moments("table")
    assert np.allclose(training_half.var(0), square - mean**2, atol=1e-9)


def test_rows_are_shuffled_and_stay_together(backbone, files):
    samples = SDFSamples.load(next(f for f in files if f.stem == "table"))
    order = np.argsort(samples.labels)
    for key in ("surface", "normals", "labels"):
        setattr(samples, key, getattr(samples, key)[order])
    entry = compute_activations(backbone, samples, 256, 0., seed=0)
    assert len(np.unique(entry["labels"][:64])) == 5
    assert (probe_shapes()["table"].label(entry["points"]) == entry["labels"]).mean() > .99


def test_only_the_missing_file_is_written_again(cache, backbone, files):
    kept, lost = cache.path("table"), cache.path("snowman")
    stamp, contents = kept.stat().st_mtime_ns, lost.read_bytes()
    lost.unlink()
    write_cache(backbone, files, cache.folder, 200)
    assert kept.stat().st_mtime_ns == stamp and lost.read_bytes() == contents


def test_another_code_of_the_same_decoder_gives_another_cache(cache, backbone, files, folder):
    latents = {name: code + 1 for name, code in backbone.latents.items()}
    moved = Backbone(backbone.decoder, latents, hash=backbone.hash)
    other = write_cache(moved, files, folder / "moved", 200)
    assert other.index["shapes"] != cache.index["shapes"]


def test_a_replaced_file_is_found(cache):
    cache.path("table").write_bytes(cache.path("snowman").read_bytes())
    with pytest.raises(CheckpointError, match="table"): cache.read("table")


def test_a_flipped_bit_reaches_the_step_that_wants_the_batch(cache):
    contents = bytearray(cache.path("table").read_bytes())
    contents[-300] ^= 1
    cache.path("table").write_bytes(contents)
    store, shapes = StreamedStore(cache), torch.tensor([cache.names.index("table")])
    rows = torch.arange(10)
    store.prefetch(shapes, rows)
    with pytest.raises(CheckpointError, match="table.*checksum"): store.batch(shapes, rows)


def test_the_first_shapes_of_a_cache(cache):
    assert cache.first(1).names == cache.names[:1] and cache.first(0).names == cache.names


def test_the_same_seed_rotates_alike(files):
    samples = SDFSamples.load(files[0])
    first, again, other = (rotate_samples(samples, seed)[1] for seed in (3, 3, 4))
    assert np.array_equal(first, again) and np.abs(first - other).max() > .1
    normals = rotate_samples(samples, 3)[0].normals
    assert np.allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)


def test_fitted_codes_are_kept(cache, backbone, files, folder):
    rows = write_rotated_codes(backbone, files, cache, 2, QUICK_FIT)
    stamps = [p.stat().st_mtime_ns for p in sorted((cache.folder / "rotated").iterdir())]
    assert rows == write_rotated_codes(backbone, files, cache, 2, QUICK_FIT) and len(rows) == 6
    assert stamps == [p.stat().st_mtime_ns for p in sorted((cache.folder / "rotated").iterdir())]
    extended = backbone_for_shapes(backbone, files[:1], folder / "codes", QUICK_FIT)
    assert write_cache(extended, files[:1], folder / "unseen", 100).names == [files[0].stem]


def test_missing_rotated_codes_are_an_error(cache):
    with pytest.raises(CheckpointError, match="rotations"): read_rotated_codes(cache)


def test_visibility_is_read_as_it_was_computed(cache, backbone, folder, files):
    config = VisibilityConfig(surface_weight=.4)
    write_visibility(backbone, cache, folder / "visibility", 100, config, "float32")
    read, made_with = read_visibility(cache, folder / "visibility", "table")
    latent = backbone.latents["table"]
    def sdf(points): return query_decoder(backbone.decoder, points, latent)
    computed = visibility_from_field(sdf, cache.read("table")["points"][:100], config)
    assert made_with == config
    for name, values in vars(computed).items(): assert np.array_equal(getattr(read, name), values)
    other = write_cache(backbone, files, folder / "other", 200, seed=1)
    with pytest.raises(MismatchError, match="table"):
        read_visibility(other, folder / "visibility", "table")


def test_two_processes_draw_what_one_would_draw(cache, backbone):
    sampler = ViewSampler(cache, backbone, ViewConfig(2, 90, 20, rotate=True))
    whole = sampler.draw(3)
    assert same_views(whole, ViewSampler(cache, backbone, sampler.config).draw(3))
    shares = [sampler.draw(3, rank, 2) for rank in (0, 1)]
    for view, first, second in zip(whole.views, shares[0].views, shares[1].views):
        joined = torch.cat([first.activations, second.activations])
        assert torch.allclose(view.activations, joined, atol=1e-5)
        assert torch.equal(view.targets, torch.cat([first.targets, second.targets]))


@pytest.mark.parametrize("affinity", [False, True])
def test_batches_from_disk_are_those_from_memory(cache, backbone, folder, affinity):
    visibility = folder / "visibility" if affinity else None
    if affinity: write_visibility(backbone, cache, visibility, 64)
    config = ViewConfig(2, 40, 10)
    held = ViewSampler(cache, backbone, config, visibility)
    streamed = ViewSampler(cache, backbone, config, visibility, stream=True)
    for step in range(3): assert same_views(held.draw(step), streamed.draw(step))
    assert held.data_hash == streamed.data_hash and len(streamed.store.prefetched) == 1
    if affinity: assert {f.suffix for f in visibility.iterdir()} == {".safetensors"}


def test_the_local_view_has_the_affinity_of_its_points(cache, backbone, folder):
    write_visibility(backbone, cache, folder / "visibility", 64)
    sampler = ViewSampler(cache, backbone, ViewConfig(2, 40, 10), folder / "visibility")
    parity = torch.arange(64) % 2
    sampler.affinity = (parity[:, None] == parity).half().expand(3, 64, 64)
    affinity = sampler.draw(0).views[2].affinity
    assert affinity.shape == (2, 10, 10) and (affinity == affinity.mT).all()
    assert (affinity.diagonal(dim1=1, dim2=2) == 1).all()


def test_a_rotated_shape_with_the_identity_is_the_clean_view(cache, backbone, files):
    write_rotated_codes(backbone, files, cache, 2, QUICK_FIT)
    sampler = ViewSampler(cache, backbone, ViewConfig(2, 40, 0, rotated_shape=True))
    clean, _, rotated = sampler.draw(0).views
    assert (rotated.activations - clean.activations).abs().mean() > .01
    identity = torch.eye(3).expand(3, 1, 3, 3)
    sampler.rotated = RotatedCodes(sampler.latents[:, None], identity, torch.zeros(3, 1, 3))
    rotated = sampler.draw(0).views[2]
    assert torch.allclose(rotated.activations, clean.activations, atol=2e-3), "float16 apart"


def test_data_that_are_not_there_cannot_be_changed(cache, backbone):
    streamed = ViewSampler(cache, backbone, ViewConfig(2, 40, 10), stream=True)
    with pytest.raises(ParameterError, match="memory"): streamed.exposing("pre")
    held = ViewSampler(cache, backbone, ViewConfig(2, 40, 10))
    with pytest.raises(ParameterError, match="rotated_shape"):
        held.with_config(ViewConfig(rotated_shape=True))


def test_restandardising_the_same_data_changes_nothing(cache, backbone):
    sampler = ViewSampler(cache, backbone, ViewConfig(2, 40, 10))
    again = sampler.exposing()
    assert torch.allclose(again.mean, sampler.mean, atol=1e-4)
    assert torch.allclose(again.std, sampler.std, atol=1e-4)
    assert again.data_hash != sampler.data_hash
