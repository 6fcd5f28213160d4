"The Princeton Segmentation Benchmark at hand: every file is read, and the numbers are those of the benchmark's own record"
import numpy as np
import pytest

from sdf_dino.geometry.distance import near_surface_points, signed_distance
from sdf_dino.geometry.loading import normalise_mesh
from sdf_dino.data.psb import CATEGORIES, psb_models

import trimesh


def test_a_category_is_read_whole(shared):
    ants = psb_models(shared / "psb", "Ant")
    assert [m.id for m in ants] == list(range(81, 101))
    names = set()
    assert sum(len(m.segmentations()) for m in ants) == 229
    for m in ants:
        assert m.mesh.is_watertight
        part_names, labels = m.parts()
        assert labels.min() == 0 and labels.max() + 1 == len(part_names)
        names |= set(part_names)
    assert {"head", "torso", "leg", "antenna"} <= names and len(names) <= 6


def test_all_categories_are_found(shared):
    found = psb_models(shared / "psb")
    assert len(found) == 280 and len({m.category for m in found}) == 14 and {m.category for m in found} <= set(CATEGORIES)
    assert all(m.paths["segs"] and m.paths["labels"] for m in found)


@pytest.mark.parametrize("damage,allowed", [("half flipped", 1e-3), ("double sided", 1e-3), ("holes", 5e-3)])
def test_the_sign_survives_damage_on_real_meshes(shared, damage, allowed):
    rng, wrong = np.random.default_rng(0), []
    for number in (81, 101, 381):
        model = next(m for m in psb_models(shared / "psb") if m.id == number)
        cube, _ = normalise_mesh(model.mesh)
        f, n = cube.faces, len(cube.faces)
        f = {"half flipped": lambda: np.where(rng.random(n)[:, None] < 0.5, f[:, ::-1], f),
             "double sided": lambda: np.concatenate([f, f[:, ::-1]]),
             "holes": lambda: f[rng.permutation(n)[n // 20:]]}[damage]()
        p = near_surface_points(cube, 5000)
        true = signed_distance(cube, p, "exact")
        clear = np.abs(true) > 2e-3
        got = signed_distance(trimesh.Trimesh(cube.vertices, f, process=False), p)
        wrong.append((np.sign(got) != np.sign(true))[clear].mean())
    assert max(wrong) <= allowed, wrong
