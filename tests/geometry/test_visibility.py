"Lines of sight, cavities and thickness in fields of known shape"
import numpy as np
import pytest

from sdf_dino.core.errors import InputError
from sdf_dino.geometry import visibility as v
from sdf_dino.geometry.clustering import symmetric_normalise
from sdf_dino.geometry.shapes import probe_shapes


def bowl(p):
    "A sphere of radius .35 with a wall of .04, open at the top"
    return np.maximum(np.abs(np.linalg.norm(p, axis=1) - .35) - .02, p[:, 2] - .2)


def count_evaluations(sdf, function):
    "How many points `function(sdf)` evaluates, and what it returns"
    counts = []

    def counted(points):
        counts.append(len(points))
        return sdf(points)

    result = function(counted)
    return sum(counts), result


def test_a_sheet_thinner_than_the_inset_keeps_its_points_inside():
    def sheet(p): return np.abs(np.asarray(p)[:, 2]) - .004
    inset = v.inset_points(sheet, np.array([[0, 0, .004], [.1, 0, -.004]]))
    assert (sheet(inset) < -.001).all()


def test_grids_agree_with_the_field_and_are_sampled_coarse_to_fine():
    sdf = probe_shapes()["lollipop"].sdf
    evaluations, grid = count_evaluations(sdf, v.sample_field_grid)
    assert 24**3 < evaluations < 48**3 / 4
    centres = (np.indices((48,) * 3).reshape(3, -1).T + .5) / 48 - .5
    exact = np.asarray(sdf(centres)).reshape((48,) * 3)
    near = np.abs(exact) < .03
    assert ((grid < 0) == (exact < 0)).all()
    assert (np.abs(grid) < np.abs(exact) + 1e-6).all(), "bounds"
    assert np.allclose(grid[near], exact[near], atol=1e-6)


def test_a_finer_grid_saves_evaluations_and_changes_nothing():
    shape = probe_shapes()["lollipop"]
    points, _, _ = shape.surface(300, seed=0)
    coarse = v.sample_field_grid(shape.sdf)
    grids = (None, coarse, v.refine_grid(shape.sdf, coarse))
    found = []
    for grid in grids:
        def visible(sdf): return v.line_of_sight(sdf, points, grid=grid)
        found.append(count_evaluations(shape.sdf, visible))
    evaluations = [count for count, _ in found]
    assert evaluations[2] < .7 * evaluations[1] < .5 * evaluations[0]
    assert all((visible == found[0][1]).all() for _, visible in found)


@pytest.mark.parametrize("grid", [False, True])
def test_depth_bounds_hold_where_the_field_overestimates_far_distances(grid):
    def steep(p):
        distance = np.linalg.norm(p, axis=1) - .4
        return np.where(distance < -.09, 3 * distance + .18, distance)
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(3000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    radius = rng.uniform(0, .6, 3000)      # some lie outside the cube
    cells = v.sample_field_grid(steep) if grid else None
    bound = v._depth_bound(steep, directions * radius[:, None], cells)
    inside = radius < .4
    assert ((bound > 0) == inside).all()
    assert (bound[inside] <= .4 - radius[inside] + 1e-6).all()


def test_a_shape_without_cavities_keeps_its_field_and_grid():
    sdf = probe_shapes()["chair"].sdf
    filled, grid = v.fill_cavities(sdf, .25)
    assert filled == sdf
    assert (grid == v.refine_grid(sdf, v.sample_field_grid(sdf))).all()


def test_the_cavity_of_a_bowl_is_filled_only_when_asked():
    filled, _ = v.fill_cavities(bowl, .25)
    points = np.array([[0, 0, -.1], [0, 0, .45], [0, 0, -.35], [.49, 0, 0]])
    assert ((filled(points) < 0) == [True, False, True, False]).all()
    assert v.fill_cavities(bowl, 0)[0] is bowl
    assert v.fill_cavities(bowl, 99.)[0] is bowl, "no cavity is that large"


def test_visibility_through_a_cavity_is_nearly_that_without_a_grid():
    angle = np.linspace(0, 6.2, 60)
    outward = np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)
    filled, grid = v.fill_cavities(bowl, .25)
    with_grid = v.line_of_sight(filled, .37 * outward, outward, grid)
    without = v.line_of_sight(filled, .37 * outward, outward)
    assert (with_grid != without).mean() < .1, "distances in a cavity have steps"


def test_an_affinity_of_visibility_alone_is_the_normalised_overlap():
    shape = probe_shapes()["lollipop"]
    visibility = v.visibility_from_field(shape.sdf, shape.surface(100, seed=0)[0])
    config = v.VisibilityConfig(surface_weight=0, thickness_weight=0)
    overlap = v.jaccard_overlap(visibility.visible) * visibility.visible
    expected = symmetric_normalise(overlap + 1e-3)
    assert np.allclose(v.affinity_matrix(visibility, config), expected, atol=1e-5)


@pytest.mark.parametrize("ask", [
    lambda sdf, p: v.line_of_sight(sdf, p, p), lambda sdf, p: v.field_thickness(sdf, p, p),
    lambda sdf, p: v.visibility_from_field(sdf, p)], ids=["line of sight", "thickness", "visibility"])
def test_distances_that_are_nan_are_an_error_and_no_answer(ask):
    points = np.random.default_rng(0).normal(size=(20, 3))
    points *= .3 / np.linalg.norm(points, axis=1, keepdims=True)
    def ball(p): return np.linalg.norm(p, axis=1) - .3
    def broken(p): return np.where(np.asarray(p)[:, 0] > .1, np.nan, ball(p))
    ask(ball, points)
    with pytest.raises(InputError, match="field: has distances that are NaN"): ask(broken, points)
