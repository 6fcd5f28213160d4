"The sparse grid against the dense one, fields that hide surface, and measures with known answers"
import numpy as np
import pytest
import trimesh

from sdf_dino.core.errors import InputError, ParameterError
from sdf_dino.geometry import surface as s
from sdf_dino.geometry.shapes import probe_shapes


def ball(centre, radius):
    def field(p): return np.linalg.norm(p - np.array(centre, np.float32), axis=1) - radius
    return field


def dense(field, resolution):
    "The field at all corners"
    corners = np.argwhere(np.ones([resolution + 1] * 3, bool))
    values = field((corners / resolution - .5).astype(np.float32))
    return values.reshape([resolution + 1] * 3)


@pytest.mark.parametrize("name", ["snowman", "table", "chair"])
def test_a_sparse_grid_has_the_zero_set_of_the_dense_one(name):
    def field(p): return probe_shapes()[name].sdf(p).astype(np.float32)
    full, (sparse, evaluations) = dense(field, 64), s.fill_grid(field, 64)
    at_surface = s._corners_around((s._count_marked_corners(full < 0) % 8) > 0)
    assert np.array_equal(full < 0, sparse < 0)
    assert np.array_equal(full[at_surface], sparse[at_surface])
    assert evaluations < .5 * 65**3


def test_a_steep_field_may_lose_a_lone_ball_but_tears_no_surface(monkeypatch):
    large, small = ball((-.2, 0, 0), .15), ball((.25, .25, .25), .02)
    def two_balls(p): return np.minimum(large(p), 20 * small(p))
    def steep(p): return 20 * ball((0, 0, 0), .3)(p)
    lost, whole = s.zero_set(two_balls, 96), s.zero_set(steep, 96)
    monkeypatch.setattr(s, "MAX_STEEPNESS", 40.)
    assert (len(lost.split()), len(s.zero_set(two_balls, 96).split())) == (1, 2)
    assert whole.is_watertight and len(whole.faces) == len(s.zero_set(steep, 96).faces)


@pytest.mark.parametrize("value", [1., -1., np.nan])
def test_a_field_without_a_surface_is_refused(value):
    with pytest.raises(InputError): s.zero_set(lambda p: np.full(len(p), value), 16)


def test_a_resolution_below_one_is_refused():
    with pytest.raises(ParameterError): s.zero_set(ball((0, 0, 0), .3), 0)


def test_parallel_and_tilted_planes_have_their_distance_and_angle():
    x, y = np.meshgrid(*[np.arange(30) / 30] * 2)
    plane = np.stack([x.ravel(), y.ravel(), np.zeros(900)], 1)
    up = np.tile([0., 0, 1], (900, 1))
    tilted = np.tile([0., np.sin(.3), -np.cos(.3)], (900, 1))
    assert np.isclose(s.compare_points(plane, up, plane + [0, 0, .01], up)["chamfer"], .01)
    consistency = s.compare_points(plane, up, plane, tilted)["normal_consistency"]
    assert np.isclose(consistency, np.cos(.3)), "orientation does not count"


def test_the_chamfer_distance_is_that_of_all_pairs():
    x, y = np.random.default_rng(0).random((2, 300, 3))
    pairs = np.linalg.norm(x[:, None] - y[:250], axis=-1)
    expected = (pairs.min(0).mean() + pairs.min(1).mean()) / 2
    assert np.isclose(s.compare_points(x, x, y[:250], y[:250])["chamfer"], expected)


def test_two_balls_overlap_in_a_lens():
    points = np.random.default_rng(0).uniform(-.5, .5, (200_000, 3))
    left, right = (ball((x, 0, 0), .3)(points) < 0 for x in (-.1, .1))
    lens = np.pi * (4 * .3 + .2) * (2 * .3 - .2)**2 / 12
    volume = 4 / 3 * np.pi * .3**3
    assert abs(s.volume_iou(left, right) - lens / (2 * volume - lens)) < .01
    assert s.volume_iou(left & False, right & False) == 1


def test_surface_samples_lie_on_the_mesh_with_outward_normals():
    points, normals = s.sample_mesh_surface(trimesh.creation.icosphere(4, .3), 500)
    assert (np.linalg.norm(points, axis=1) < .3001).all()
    assert ((points * normals).sum(1) > .29).all()


def test_surface_where_none_should_be_raises_chamfer_and_false_inside():
    snowman = probe_shapes()["snowman"]
    def with_bubble(p): return np.minimum(snowman.sdf(p), ball((.35, .35, -.35), .12)(p))
    good, found = (s.field_quality(f, snowman, 64, 4000) for f in (snowman.sdf, with_bubble))
    assert found["surface_error"] < 1e-5 and found["false_inside"] > .005
    assert found["chamfer"] > 2 * good["chamfer"]
