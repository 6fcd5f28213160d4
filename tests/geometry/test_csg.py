"Boolean combinations against closed forms"
import numpy as np
import pytest
from scipy.spatial import cKDTree

from sdf_dino.core.errors import ParameterError
from sdf_dino.geometry.csg import Union, sdf_gradient, solid_to_mesh
from sdf_dino.geometry.primitives import Box, Cylinder, Sphere

BIG, SMALL, GAP = .5, .32, .65
MEETING = (GAP**2 + BIG**2 - SMALL**2)/(2*GAP)      # height of the circle in which the two balls meet
BALLS = Sphere(BIG), Sphere(SMALL).moved(z=GAP)
QUERIES = np.random.default_rng(1).uniform(-.9, .9, (4000, 3)) + [0, 0, .2]


def test_a_union_is_exact_outside_and_a_bound_inside():
    points, _ = Union(*BALLS).sample(50_000, np.random.default_rng(0))
    found = Union(*BALLS).sdf(QUERIES)
    nearest = cKDTree(points).query(QUERIES)[0]
    assert np.abs(nearest - found)[found > 0].max() < .02
    assert (nearest + found)[found < 0].min() > -1e-12 and (nearest + found)[found < 0].max() > .05


def test_samples_of_a_union_are_uniform_by_height():
    points, _ = Union(*BALLS).sample(50_000, np.random.default_rng(0))
    heights = points[points[:, 2] < MEETING, 2]
    counts = np.histogram(heights, 20, (-BIG, MEETING))[0]      # zones of equal height have equal area
    assert ((counts - counts.mean())**2/counts.mean()).sum() < 45, "χ² with 19 degrees of freedom"


def test_an_intersection_is_a_bound_outside_with_an_exact_box():
    lens = BALLS[0] & BALLS[1]
    assert (lens.sdf(QUERIES) >= np.max([ball.sdf(QUERIES) for ball in BALLS], 0)).all()
    assert np.allclose(lens.bounds[:, 2], [GAP - SMALL, BIG])


def test_a_difference_shows_the_surface_of_its_cut():
    tube = Cylinder(.4, .3) - Cylinder(.3, .4)
    points, normals = tube.sample(20_000, np.random.default_rng(1))
    in_bore = np.isclose(np.hypot(points[:, 0], points[:, 1]), .3)
    assert np.isclose(in_bore.mean(), .3*.6/(.7*.6 + .07), atol=.01)
    assert np.quantile(np.abs(sdf_gradient(tube, points) - normals).max(1), .99) < 1e-4


@pytest.mark.parametrize("shift, half_length", [(.2, .3), (.4, .4)], ids=["overlapping", "touching"])
def test_flush_faces_are_drawn_once_and_shared_walls_never(shift, half_length):
    rng, brick = np.random.default_rng(1), Box((.2, .2, .2))
    bricks, whole = brick | brick.moved(shift), Box((half_length, .2, .2)).moved(half_length - .2)
    points, expected = bricks.sample(20_000, rng)[0], whole.sample(20_000, rng)[0]
    assert np.abs(whole.sdf(points)).max() < 1e-12 and np.allclose(bricks.bounds, whole.bounds)
    assert np.allclose(np.histogram(points[:, 0], 4)[0], np.histogram(expected[:, 0], 4)[0], atol=450)


def test_the_mesh_of_a_union_has_its_volume():
    mesh = solid_to_mesh(Union(*BALLS))
    caps = np.pi*np.array([(BIG - MEETING)**2*(2*BIG + MEETING), (SMALL - GAP + MEETING)**2*(2*SMALL + GAP - MEETING)])/3
    assert np.isclose(mesh.volume, 4/3*np.pi*(BIG**3 + SMALL**3) - caps.sum(), rtol=.005)


@pytest.mark.parametrize("call", [
    lambda: (BALLS[0] & BALLS[1].moved(9)).sample(1, np.random.default_rng(0)),
    lambda: BALLS[0].scaled(0)], ids=["empty intersection", "scale 0"])
def test_what_cannot_be_sampled_or_placed_is_refused(call):
    with pytest.raises(ParameterError): call()
