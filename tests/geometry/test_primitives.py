"Every primitive against checks that do not use its own formulas"
import numpy as np
import pytest
from scipy.spatial import cKDTree

from sdf_dino.core.errors import ParameterError
from sdf_dino.geometry.csg import sdf_gradient
from sdf_dino.geometry.primitives import (
    Box, Capsule, Cylinder, Frustum, RoundedBox, Sphere)


def steiner_volume(half_extents, r):
    "Volume of a rounded box: core, slabs on its faces, quarter cylinders on its edges, a ball on its corners"
    h = np.array(half_extents) - r
    faces = 8*r*(h*h[[1, 2, 0]]).sum()
    return 8*h.prod() + faces + 2*np.pi*r**2*h.sum() + 4/3*np.pi*r**3


VOLUMES = {
    Sphere(.4): 4/3*np.pi*.4**3,
    Box((.3, .2, .4)): 8*.3*.2*.4,
    RoundedBox((.3, .2, .4), .1): steiner_volume((.3, .2, .4), .1),
    Cylinder(.2, .4): np.pi*.04*.8,
    Frustum(.3, .1, .3): np.pi*.6/3*(.09 + .03 + .01),
    Frustum(.1, .3, .2): np.pi*.4/3*(.09 + .03 + .01),
    Capsule(.2, .25): np.pi*.04*.5 + 4/3*np.pi*.008,
}
PLACED = Frustum(.3, .1, .3).scaled(.8).rotated((1, 2, 3), 50).moved(.1, -.2, .3)
SOLIDS = [*VOLUMES.items(), (PLACED, VOLUMES[Frustum(.3, .1, .3)]*.8**3)]
each_solid = pytest.mark.parametrize("solid, volume", SOLIDS, ids=lambda value: getattr(value, "kind", ""))
N = 40_000


@each_solid
def test_samples_lie_on_the_surface_with_the_gradient_as_normal(solid, volume):
    points, normals = solid.sample(N, np.random.default_rng(0))
    assert np.abs(solid.sdf(points)).max() < 1e-12
    assert np.quantile(np.abs(sdf_gradient(solid, points) - normals).max(1), .99) < 1e-4


@each_solid
def test_samples_fill_the_bounding_box(solid, volume):
    low, high = solid.bounds
    points, _ = solid.sample(N, np.random.default_rng(0))
    assert (points > low - 1e-12).all() and (points < high + 1e-12).all()
    assert (np.ptp(points, axis=0) > .98*(high - low)).all()


@each_solid
def test_the_flux_through_the_samples_is_the_volume(solid, volume):
    points, normals = solid.sample(N, np.random.default_rng(0))
    flux = solid.area*(points - points.mean(0))*normals
    assert (np.abs(flux.mean(0) - volume) < 4*flux.std(0)/np.sqrt(N)).all()


@each_solid
def test_samples_are_spread_like_a_thin_shell(solid, volume):
    low, high = solid.bounds
    points, _ = solid.sample(N, np.random.default_rng(0))
    shell = np.random.default_rng(1).uniform(low - .05, high + .05, (600_000, 3))
    shell = shell[np.abs(solid.sdf(shell)) < .01]
    cells = np.stack([low - .05, high + .05], 1)
    found, expected = (np.histogramdd(p, 4, cells)[0]/len(p) for p in (points, shell))
    assert np.abs(found - expected).sum()/2 < .035


@each_solid
def test_the_sdf_is_the_euclidean_distance(solid, volume):
    low, high = solid.bounds
    surface, _ = solid.sample(N, np.random.default_rng(0))
    points = np.random.default_rng(1).uniform(low - .3, high + .3, (3000, 3))
    distance, gradient = solid.sdf(points), sdf_gradient(solid, points)
    gap = cKDTree(surface).query(points)[0] - np.abs(distance)
    assert gap.min() > -1e-12 and gap.max() < .05 and np.median(gap) < 3e-3
    assert np.mean(np.abs(np.linalg.norm(gradient, axis=1) - 1) < 1e-5) > .99
    foot = points - distance[:, None]*gradient
    assert np.quantile(np.abs(solid.sdf(foot)), .99) < 1e-8


@pytest.mark.parametrize("make", [
    lambda: Sphere(-1.), lambda: Box((.1, np.nan, .1)), lambda: RoundedBox((.1, .2, .2), .15)],
    ids=["negative", "nan", "rounder than thick"])
def test_impossible_sizes_are_refused(make):
    with pytest.raises(ParameterError): make()
