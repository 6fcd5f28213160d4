"Copies of the benchmark as folder and zips, and files that are not in its format"
import shutil

import numpy as np
import pytest
from safetensors import safe_open

from sdf_dino.core.errors import InputError
from sdf_dino.core.revision import packaged_weight_dirs
from sdf_dino.data.psb import benchmark_sources, parse_labels, psb_models, toy_archive


@pytest.fixture
def toy(tmp_path): return toy_archive(tmp_path / "psb")


def test_samples_are_named_as_the_codes_of_the_shipped_weights(toy, tmp_path):
    names = {source.name for source in benchmark_sources(toy, tmp_path / "meshes")}
    latents, = [folder / "backbone" / "latents.safetensors" for folder in packaged_weight_dirs() if folder.name == "psb"]
    with safe_open(str(latents), "numpy") as codes: assert names <= set(codes.keys())


def test_zips_of_other_meshes_are_an_error(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "box.off").write_text("OFF")
    shutil.make_archive(tmp_path / "zips" / "boxes", "zip", tmp_path / "in")
    with pytest.raises(InputError, match="no mesh of the benchmark"):
        benchmark_sources(tmp_path / "zips", tmp_path / "meshes")


@pytest.mark.parametrize("place", ["psb", "zips", "zips/all.zip"])
def test_a_folder_a_zip_and_a_folder_of_zips_hold_the_same(toy, tmp_path, place):
    shutil.make_archive(tmp_path / "zips" / "all", "zip", toy)
    ant, chair = psb_models(tmp_path / place)
    assert len(ant.mesh.faces) == 12 and [s.sum() for s in ant.segmentations()] == [6, 3]
    assert ant.parts()[0] == ["head", "leg"] and (chair.parts()[1] == -1).all()


def test_categories_select_models(toy):
    assert [model.id for model in psb_models(toy, "Chair")] == [101]


@pytest.mark.parametrize("categories, words", [
    ("Unicorn", "no category"), ("Cup", "no model asked")])
def test_categories_that_are_not_there_are_refused(toy, categories, words):
    with pytest.raises(InputError, match=words): psb_models(toy, categories)


def test_a_segmentation_of_another_mesh_is_refused(toy):
    (toy / "seg/Benchmark/81/81_1.seg").write_text("0\n1\n")
    with pytest.raises(InputError, match="2 labels for 12"): psb_models(toy)[0].segmentations()


def test_labels_outside_the_mesh_are_refused():
    with pytest.raises(ValueError, match="outside"): parse_labels("head\n9\n", 5)
    with pytest.raises(ValueError, match="odd"): parse_labels("head\n", 5)


def test_the_files_end_lines_as_windows_does():
    names, labels = parse_labels("head\r\n2 3\r\nbody\r\n1 5\r\n", 5)
    assert names == ["head", "body"] and np.array_equal(labels, [1, 0, 0, -1, 1])
