"Rays in meshes of known shape: backends, samples, cavities, visibility, thickness, occlusion"
import sys

import numpy as np
import pytest
import trimesh

from sdf_dino.core.errors import InputError, ParameterError
from sdf_dino.geometry import rays
from sdf_dino.geometry.csg import solid_to_mesh
from sdf_dino.geometry.primitives import Cylinder
from sdf_dino.geometry.shapes import probe_shapes
from sdf_dino.geometry.visibility import visibility_from_field

pytest.importorskip("embreex")
BOX = trimesh.creation.box((.9, .6, .3))
EMPTY = np.zeros((0, 3))


def ring(height):
    "A pipe of radius .4 along z, open at both ends, wall .06"
    return solid_to_mesh(Cylinder(.4, height) - Cylinder(.34, 1.), 64)


@pytest.fixture(scope="module")
def cup():
    "A cylinder with a cylindrical hole that is open at the top"
    return solid_to_mesh(Cylinder(.4, .4) - Cylinder(.34, .4).moved(z=.1), 64)


@pytest.mark.parametrize("name", ["snowman", "table", "l_shape"])
def test_rays_agree_with_the_field_and_differ_only_where_segments_graze_the_surface(name):
    shape = probe_shapes()[name]
    mesh = solid_to_mesh(shape)
    points, normals, _ = rays.even_samples(mesh, 200)
    by_rays = rays.visibility(mesh, points, normals)
    by_field = visibility_from_field(shape.sdf, points)
    i, j = np.nonzero(by_rays.visible != by_field.visible)
    assert len(i) < .02 * 200**2
    t = np.linspace(0, 1, 65)[:, None, None]
    inset = points - .01 * normals
    between = (1 - t) * inset[i] + t * inset[j]
    highest = shape.sdf(between.reshape(-1, 3)).reshape(65, -1).max(0)
    assert np.quantile(np.abs(highest), .9) < .02, "the mesh is flat between samples of the grid"


def test_both_backends_give_the_same_distances_and_blocked_segments():
    mesh = trimesh.creation.torus(.3, .1)
    embree, libigl = (rays.RayScene(mesh.vertices, mesh.faces, name) for name in ("embree", "igl"))
    rng = np.random.default_rng(0)
    origins, directions = rng.uniform(-.45, .45, (2, 3000, 3))
    distance = embree.first_hit(origins, directions)
    assert np.allclose(distance, libigl.first_hit(origins, directions), atol=1e-6)
    assert np.isinf(distance).any() and np.isfinite(distance).any()
    assert (embree.blocked(origins, directions) == libigl.blocked(origins, directions)).mean() > .999


def test_both_backends_give_the_same_visibility_through_a_cavity(cup):
    points, normals, _ = rays.even_samples(cup, 150)
    embree, libigl = (rays.visibility(cup, points, normals, backend=name) for name in ("embree", "igl"))
    assert (embree.visible == libigl.visible).mean() > .999
    assert np.allclose(embree.thickness, libigl.thickness, atol=1e-5)


def test_without_embree_auto_takes_libigl_and_embree_is_an_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "embreex.rtcore_scene", None)
    assert rays.RayScene(BOX.vertices, BOX.faces).backend == "igl"
    with pytest.raises(ParameterError, match="needs the package embreex"):
        rays.RayScene(BOX.vertices, BOX.faces, "embree")


@pytest.mark.parametrize("backend", ["embree", "igl"])
def test_no_rays_and_rays_that_hit_nothing(backend):
    scene = rays.RayScene(BOX.vertices, BOX.faces, backend)
    assert scene.first_hit(EMPTY, EMPTY).shape == scene.blocked(EMPTY, EMPTY).shape == (0,)
    assert np.isinf(scene.first_hit([[0, 0, 1]], [[0, 0, 5]])).all()
    assert not scene.blocked([[.1, .1, .1]], [[.1, .1, .1]])[0], "a segment without length"


def test_chunks_change_nothing(monkeypatch, cup):
    points, normals, _ = rays.even_samples(cup, 60)
    whole = rays.visibility(cup, points, normals)
    monkeypatch.setattr(rays, "_CHUNK", 100)
    chunked = rays.visibility(cup, points, normals)
    assert (whole.visible == chunked.visible).all() and (whole.thickness == chunked.thickness).all()


def test_embree_hardly_leaks_at_edges_and_corners():
    "Rays aimed exactly at them; without the robust mode one in 14 gets through"
    sphere = trimesh.creation.icosphere(4, radius=.4)
    scene = rays.RayScene(sphere.vertices, sphere.faces)
    middles = sphere.vertices[sphere.edges_unique].mean(1)
    targets = np.vstack([sphere.vertices, middles])
    assert np.isinf(scene.first_hit(np.zeros_like(targets), targets)).mean() < .002


@pytest.mark.parametrize("origin, direction", [
    ([np.nan, 0, 0], [1, 0, 0]), ([0, 0, 0], [np.inf, 0, 0]), ([0, 0, 0], [0, 0, 0])])
def test_rays_that_are_no_rays_are_refused(origin, direction):
    with pytest.raises(InputError, match="origins|directions"):
        rays.RayScene(BOX.vertices, BOX.faces).first_hit([origin], [direction])


def test_unusable_meshes_and_parameters_are_refused():
    with pytest.raises(InputError): rays.RayScene(EMPTY, EMPTY.astype(int))
    with pytest.raises(InputError): rays.RayScene(BOX.vertices * np.nan, BOX.faces)
    with pytest.raises(InputError): rays.even_samples(trimesh.Trimesh(), 5)
    with pytest.raises(InputError, match="cube"): rays.cavity_cells(trimesh.creation.box((2, 2, 2)))
    with pytest.raises(InputError, match="cube"):
        rays.visibility(trimesh.creation.box((2, 2, 2)), [[1, 0, 0]], [[1, 0, 0]], cavities=False)
    with pytest.raises(ParameterError, match="n: is -1"): rays.even_samples(BOX, -1)
    with pytest.raises(ParameterError): rays.visibility(BOX, EMPTY, EMPTY, backend="optix")
    scene = rays.RayScene(BOX.vertices, BOX.faces)
    with pytest.raises(InputError): rays.ambient_occlusion(scene, [[np.nan, 0, 0]], [[0, 0, 1]])
    with pytest.raises(ParameterError): rays.ambient_occlusion(scene, EMPTY, EMPTY, n_rays=0)


def test_even_samples_lie_on_their_faces_and_depend_on_the_seed_only():
    points, normals, faces = rays.even_samples(BOX, 100, seed=3)
    assert np.allclose(((points - BOX.triangles[faces][:, 0]) * normals).sum(1), 0, atol=1e-9)
    assert (points == rays.even_samples(BOX, 100, seed=3)[0]).all()
    assert (points != rays.even_samples(BOX, 100, seed=4)[0]).any()
    assert len(np.unique(points, axis=0)) == 100


def test_a_box_is_convex_and_as_thick_as_it_is():
    points, normals, _ = rays.even_samples(BOX, 100)
    found = rays.visibility(BOX, points, normals)
    side = np.abs(normals) @ BOX.extents
    assert found.visible.all() and np.allclose(found.thickness, side, atol=1e-3)
    assert found.points.dtype == found.normals.dtype == found.thickness.dtype == np.float32


def test_points_of_a_plate_thinner_than_the_inset_stay_inside():
    plate = trimesh.creation.box((.9, .9, .004))
    points, normals, _ = rays.even_samples(plate, 50)
    found = rays.visibility(plate, points, normals)
    assert found.visible.all() and np.median(found.thickness) == pytest.approx(.004, abs=1e-3)


@pytest.mark.parametrize("n", [0, 1])
def test_no_point_and_one_point(cup, n):
    points, normals, _ = rays.even_samples(cup, n)
    found = rays.visibility(cup, points, normals)
    assert found.points.shape == (n, 3) and found.thickness.shape == (n,)
    assert found.visible.shape == (n, n) and found.visible.all()
    scene = rays.RayScene(cup.vertices, cup.faces)
    assert rays.ambient_occlusion(scene, points, normals).shape == (n,)


def test_walls_of_a_cup_see_through_its_cavity_only_where_cavities_count(cup):
    points = np.array([[.4, 0, .1], [-.4, 0, .1], [0, 0, -.4]])
    normals = np.array([[1., 0, 0], [-1, 0, 0], [0, 0, -1]])
    filled = rays.visibility(cup, points, normals)
    hollow = rays.visibility(cup, points, normals, cavities=False)
    assert filled.visible.all() and not hollow.visible[0, 1]
    assert np.allclose(hollow.thickness, [.06, .06, .1], atol=.005)
    assert np.allclose(filled.thickness[:2], .8, atol=.005)
    assert .5 < filled.thickness[2] < .82, "from the bottom to near the mouth"


def test_inner_and_outer_wall_of_a_cup_are_equally_thick(cup):
    points, normals = np.array([[.4, 0, .1], [.34, 0, .1]]), np.array([[1., 0, 0], [-1, 0, 0]])
    outer, inner = rays.visibility(cup, points, normals).thickness
    assert outer == pytest.approx(inner, abs=.005)


def test_cavities_of_closed_shells_and_pipes_but_not_between_the_legs_of_a_table():
    shell = trimesh.boolean.difference([BOX, trimesh.creation.box((.8, .5, .2))])
    cavity = rays.cavity_cells(shell)
    assert cavity[24, 24, 24] and not cavity[24, 24, 1]
    assert rays.cavity_cells(ring(.4))[24, 24, 24]
    assert rays.cavity_cells(ring(.05)) is None, "a ring is open"
    assert rays.cavity_cells(solid_to_mesh(probe_shapes()["table"])) is None
    assert rays.cavity_cells(shell, min_share=10.) is None


def test_a_gap_between_outer_walls_is_no_cavity(cup):
    "A plate beside the cup: the gap of .01 is narrower than a cell of the grid, but outside"
    cup = cup.copy()
    cup.apply_scale(.8)
    plate = trimesh.creation.box((.05, .5, .5))
    plate.apply_translation((.355, 0, 0))
    points, normals = np.array([[.32, 0, .1], [.38, 0, .1]]), np.array([[1., 0, 0], [1, 0, 0]])
    found = rays.visibility(trimesh.util.concatenate([cup, plate]), points, normals)
    assert not found.visible[0, 1] and found.thickness[1] < .06


def test_an_open_mesh_has_thickness_without_end():
    square = trimesh.Trimesh([[-.4, -.4, 0], [.4, -.4, 0], [.4, .4, 0], [-.4, .4, 0]], [[0, 1, 2], [0, 2, 3]])
    found = rays.visibility(square, [[0, .1, 0]], [[0, 0, 1]])
    assert found.thickness[0] == 2


def test_ambient_occlusion_of_a_floor_beside_a_high_wall_is_one_half():
    wall = trimesh.creation.box((.01, 40, 40))
    scene = rays.RayScene(wall.vertices, wall.faces)
    value = rays.ambient_occlusion(scene, [[.02, 0, 0]], [[0, 0, 1]], n_rays=4000)
    assert value[0] == pytest.approx(.5, abs=.03)
    again = rays.ambient_occlusion(scene, [[.02, 0, 0], [5, 0, 0]], [[0, 0, 1]] * 2, n_rays=4000)
    assert again[0] == value[0], "the same seed, whatever the other points"
