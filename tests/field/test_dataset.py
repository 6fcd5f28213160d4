"Unusual files in a training set, and the order of batches"
import warnings

import numpy as np
import pytest
import torch

from sdf_dino.core.errors import InputError, ParameterError
from sdf_dino.field.dataset import batch_indices, load_dataset, select_files
from sdf_dino.geometry.sampling import Sampler, SDFSamples, sample_files, sample_sdf
from sdf_dino.geometry.shapes import probe_shapes


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    for name in ("snowman", "table"):
        sample_sdf(probe_shapes()[name], Sampler(4096, 512), 0).save(folder / f"{name}.safetensors")
    return sample_files(folder)


def changed_copy(file, folder, name, n=None, **changes):
    "A file of the first `n` samples of another, with changes"
    samples = SDFSamples.load(file)
    samples.meta["name"] = name
    samples.points, samples.sdf = samples.points[:n], samples.sdf[:n]
    for key, value in changes.items(): setattr(samples, key, value)
    samples.save(folder / f"{name}.safetensors")
    return folder / f"{name}.safetensors"


def test_batches_from_disk_equal_those_from_memory(files):
    data, streamed = load_dataset(files), load_dataset(files, stream=True)
    assert data.digest == streamed.digest and not data.one_sign
    for shapes, start, n in (([1, 0], 100, 50), ([1], 4090, 20)):
        shapes = torch.tensor(shapes)
        streamed.prefetch(shapes, start, n)
        for expected, found in zip(data.batch(shapes, start, n), streamed.batch(shapes, start, n)):
            assert torch.equal(expected, found)


def test_a_run_wraps_around(files):
    data = load_dataset(files)
    _, sdf = data.batch(torch.tensor([0]), 4090, 20)
    assert torch.equal(sdf[0], torch.cat([data.sdf[0, 4090:], data.sdf[0, :14]]))


def test_samples_of_one_sign_are_reported(files, tmp_path):
    outside = changed_copy(files[0], tmp_path, "outside", sdf=abs(SDFSamples.load(files[0]).sdf))
    assert load_dataset([outside], stream=True).one_sign == ["outside"]


def test_samples_that_are_not_finite_are_refused_with_the_name(files, tmp_path):
    sdf = SDFSamples.load(files[0]).sdf.copy()
    sdf[3] = np.nan
    broken = changed_copy(files[0], tmp_path, "broken", sdf=sdf)
    with pytest.raises(InputError, match="broken has samples that are not finite"): load_dataset([broken])


def test_all_shapes_are_cut_to_the_smallest_file_with_a_warning(files, tmp_path):
    smaller = changed_copy(files[0], tmp_path, "smaller", n=2000)
    with pytest.warns(UserWarning, match="smaller.safetensors has 2000 samples, others up to 4096"):
        assert load_dataset([*files, smaller]).n_points == 2000


def test_files_of_one_size_give_no_warning(files):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_dataset(files).n_points == 4096


def test_a_file_far_smaller_than_usual_is_refused(files, tmp_path):
    thin = changed_copy(files[0], tmp_path, "thin", n=300)
    with pytest.raises(InputError, match="thin.safetensors: has 300 samples, others 4096"):
        load_dataset([*files, thin], stream=True)


def test_two_shapes_of_one_name_are_refused(files):
    with pytest.raises(InputError, match="two shapes of one name"): load_dataset([files[0], files[0]])


def test_an_unknown_word_selects_nothing(files):
    with pytest.raises(ParameterError, match="names Unicorn, which"): select_files(files, "table,Unicorn")


def test_runs_begin_at_another_place_each_epoch():
    starts = {tuple(batch_indices(3 * epoch, 5, 1200, 2, 400)[1].tolist()) for epoch in range(9)}
    assert len(starts) == 9


def test_a_batch_follows_from_its_number():
    assert torch.equal(batch_indices(7, 5, 12, 2, 4)[1], batch_indices(7, 5, 12, 2, 4)[1])
