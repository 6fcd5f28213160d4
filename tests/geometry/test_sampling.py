"SDF samples and their files"
import numpy as np
import pytest
import trimesh

from sdf_dino.core.errors import InputError, MismatchError, ParameterError
from sdf_dino.core.files import save_tensors
from sdf_dino.geometry.distance import signed_distance
from sdf_dino.geometry.sampling import (
    MeshField, Sampler, SDFSamples, named_shapes, sample_files, sample_sdf, write_shape_samples)

BOX = trimesh.creation.box((.9, .6, .3))
FEW = Sampler(n_points=4000, n_surface=500)


def test_surface_samples_of_a_mesh_are_reproducible_and_face_outward():
    field = MeshField(BOX)
    points, normals, labels = field.surface(3000)
    assert labels is None and (field.sdf(points + 1e-3*normals) > 0).all()
    assert (points == field.surface(3000)[0]).all() and (points != field.surface(3000, 1)[0]).any()


def test_samples_of_a_mesh_are_its_distances_and_mostly_near():
    samples = sample_sdf(MeshField(BOX), FEW)
    assert samples.points.shape == (4000, 3) and samples.surface.shape == samples.normals.shape == (500, 3)
    assert np.abs(samples.sdf - signed_distance(BOX, samples.points)).max() < 1e-6
    assert .85 < (np.abs(samples.sdf) < 4*.0225).mean() < .97 and (samples.sdf < 0).mean() > .2


def test_equal_samples_are_equal_files(tmp_path):
    for name in ("a", "b"): sample_sdf(MeshField(BOX, "box"), FEW).save(tmp_path / f"{name}.safetensors")
    first, second = sample_files(tmp_path)
    assert first.read_bytes() == second.read_bytes()
    loaded = SDFSamples.load(first)
    assert loaded.labels is None and loaded.meta["name"] == "box" and loaded.meta["why"]


def test_other_files_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(InputError): sample_files(tmp_path)
    save_tensors(tmp_path / "other.safetensors", {"x": np.zeros(2)})
    with pytest.raises(MismatchError, match="no SDF samples"): SDFSamples.load(tmp_path / "other.safetensors")


@pytest.mark.parametrize("settings", [{"n_points": 0}, {"n_surface": 0}, {"near": 1.5}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ParameterError): Sampler(**settings)


@pytest.mark.parametrize("word", ["teapot", "compounds", "compounds:many", "compounds:dev:3", "compounds:test:train:3"])
def test_unknown_shapes_are_refused_by_name(word):
    with pytest.raises(ParameterError, match=word): named_shapes(word)


def test_a_named_compound_is_written_under_its_name(tmp_path):
    (make,) = named_shapes("compounds:development:1").values()
    name, row = write_shape_samples(make, tmp_path, FEW)
    assert name == "compound_100000" and row["backend"] == "analytic" and row["surface_error"] < 1e-6
    assert [p.stem for p in sample_files(tmp_path)] == [name]
