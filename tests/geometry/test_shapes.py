"Every probe shape and some random compounds are what they claim to be"
import numpy as np
import pytest

from sdf_dino.core.errors import ParameterError
from sdf_dino.geometry.architecture import architecture_shapes
from sdf_dino.geometry.csg import Union, sdf_gradient
from sdf_dino.geometry.primitives import Box
from sdf_dino.geometry.shapes import COMPOUND_SEEDS, Shape, probe_shapes, random_compound, visible_areas

PROBES = probe_shapes()
COMPOUNDS = {f"compound_{seed}": random_compound(seed) for seed in range(COMPOUND_SEEDS["train"], 12)}


@pytest.mark.parametrize("shape", [*PROBES.values(), *COMPOUNDS.values()], ids=[*PROBES, *COMPOUNDS])
def test_samples_lie_on_the_surface_and_count_the_visible_areas(shape):
    low, high = shape.bounds
    assert np.isclose((high - low).max(), .9) and np.allclose(low + high, 0)
    points, normals, labels = shape.surface(8000)
    assert np.abs(points).max() <= .45 + 1e-12 and np.abs(shape.sdf(points)).max() < 1e-12
    assert np.quantile(np.abs(sdf_gradient(shape, points) - normals).max(1), .98) < 1e-4
    assert labels.dtype == np.int64 and np.array_equal(shape.label(points), labels)
    areas = visible_areas(shape, 8192)
    expected = len(labels)*areas/areas.sum()
    assert ((np.bincount(labels) - expected)**2/expected).sum() < 30, "χ², up to 5 degrees of freedom"


@pytest.mark.parametrize("shape", COMPOUNDS.values(), ids=COMPOUNDS)
def test_every_part_of_a_compound_is_attached_and_visible(shape):
    areas = visible_areas(shape, 8192)
    assert 2 <= shape.n_parts <= 6 and areas.min()/areas.sum() > .037
    for i, part in enumerate(shape.parts[1:], 1):
        surface, _ = part.sample(4000, np.random.default_rng(0))
        assert Union(*shape.parts[:i]).sdf(surface).min() < 0


@pytest.mark.parametrize("name", ["snowman", "barbell", "l_shape", "chair"])
def test_samples_are_spread_like_a_thin_shell(name):
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]    # so that no face runs along a cell
    shell = np.random.default_rng(0).uniform(-.47, .47, (600_000, 3))
    shell = shell[np.abs(PROBES[name].sdf(shell)) < .004]
    points, _, _ = PROBES[name].surface(40_000)
    found, expected = (np.histogramdd(p @ turn, 5, [(-.7, .7)]*3)[0]/len(p) for p in (points, shell))
    assert np.abs(found - expected).sum()/2 < .045


def test_the_table_has_the_visible_area_of_its_drawing():
    areas = visible_areas(PROBES["table"], 8192)
    leg = 2*np.pi*.05*.91 + np.pi*.05**2
    top = 4*(2*.6*.4 + 2*.05*(.6 + .4)) - 4*np.pi*.05**2
    assert np.isclose(areas[0]/areas.sum(), top/(top + 4*leg), rtol=.01)
    assert np.allclose(areas[1:]/areas[1], 1, rtol=.05)


def test_coincident_parts_share_no_surface():
    twins = Shape("twins", [Box((.2, .2, .2)), Box((.2, .2, .2)).moved(1e-12)])
    assert (twins.label(twins.surface(100)[0]) == 0).all()
    assert len(twins.sdf(np.empty((0, 3)))) == 0


def test_points_of_another_shape_are_refused():
    with pytest.raises(ParameterError, match=r"\(3,\)"): PROBES["snowman"].sdf(np.zeros(3))


def test_a_set_of_architecture_depends_on_its_seed_only():
    first, again, other = architecture_shapes(1), architecture_shapes(1), architecture_shapes(2)
    for name, shape in first.items(): assert np.array_equal(shape.bounds, again[name].bounds)
    assert not np.allclose(first["stairs_1"].bounds, other["stairs_2"].bounds)
