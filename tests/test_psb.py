"Copies of the Princeton Segmentation Benchmark: every file is read, and the counts are those known from elsewhere"
import numpy as np
import pytest
from benchmark_copies import PARTS
from damaged_meshes import damaged_mesh, near_surface_points

from sdf_dino.data.psb import CATEGORIES, psb_models
from sdf_dino.geometry.distance import signed_distance
from sdf_dino.geometry.normalisation import normalise_mesh


def test_a_category_is_read_completely(psb):
    ants = psb_models(psb.folder, "Ant")
    assert [ant.id for ant in ants] == list(psb.ants)
    assert sum(len(ant.segmentations()) for ant in ants) == psb.ant_segmentations
    names = set()
    for ant in ants:
        assert ant.mesh.is_watertight
        part_names, labels = ant.parts()
        assert labels.min() == 0 and labels.max() + 1 == len(part_names)
        names |= set(part_names)
    assert set(PARTS) <= names and len(names) <= psb.ant_parts


def test_all_categories_are_found(psb):
    models = psb_models(psb.folder)
    categories = [model.category for model in models]
    assert {name: categories.count(name) for name in categories} == psb.models
    assert set(categories) <= set(CATEGORIES)
    assert all(model.paths["segs"] and model.paths["labels"] for model in models)


@pytest.mark.parametrize("damage, max_wrong", [("half flipped", 1e-3), ("double sided", 1e-3), ("holes", 5e-3)])
def test_the_sign_survives_damage_of_the_benchmark(psb, damage, max_wrong):
    rng = np.random.default_rng(0)
    models = {model.id: model for model in psb_models(psb.folder)}
    for number in (81, 101, 381):
        cube, _ = normalise_mesh(models[number].mesh)
        points = near_surface_points(cube, 5000)
        true = signed_distance(cube, points, "exact")
        found = signed_distance(damaged_mesh(cube, damage, rng), points)
        clear = np.abs(true) > 2e-3
        assert (np.sign(found) != np.sign(true))[clear].mean() <= max_wrong, number
