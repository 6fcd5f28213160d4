"Primitives of parts whose truth is known"
import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from sdf_dino.geometry.cut_parts import cut_mesh
from sdf_dino.geometry.primitive_fit import Tube, fit_primitive, primitive_solid
from sdf_dino.geometry.primitives import Box, Capsule, Cylinder, Frustum, Sphere
from sdf_dino.geometry.shapes import random_compound
from sdf_dino.geometry.solid_pieces import solid_mesh
from sdf_dino.geometry.surface import zero_set

SOLIDS = [Box((.4, .25, .1)), Sphere(.3), Cylinder(.1, .4), Cylinder(.4, .05), Capsule(.1, .3), Frustum(.3, .1, .2)]
TURN = Rotation.from_rotvec([1, 2, -.5]).as_matrix()


def sizes(placed):
    return np.sort(np.hstack([placed.scale*np.ravel(value) for value in vars(placed.solid).values()]))


@pytest.mark.parametrize("solid", SOLIDS, ids=lambda solid: f"{solid.kind}-{vars(solid)}")
def test_a_turned_primitive_is_found_with_its_sizes(solid):
    true = solid.placed(3., TURN, (10, -5, 2))
    fit = fit_primitive(solid_mesh(primitive_solid(true)))
    assert fit.kind == solid.kind and fit.accepted and fit.error < .003
    assert np.allclose(sizes(fit.placed), sizes(true), rtol=.02)
    assert np.linalg.norm(fit.placed.shift - true.shift) < .02


def test_a_bent_tube_is_found():
    tube = Tube([[0, 0, 0], [1, 0, 0], [1, 1, 0]], .15).placed(1., TURN)
    fit = fit_primitive(solid_mesh(primitive_solid(tube)))
    assert fit.kind == "tube" and fit.accepted and fit.placed.scale*fit.placed.solid.radius == pytest.approx(.15, rel=.05)


def test_what_is_no_primitive_is_not_accepted():
    star = trimesh.util.concatenate([trimesh.creation.box(size) for size in 2*np.eye(3) + .2])
    assert not fit_primitive(star).accepted


@pytest.mark.slow
def test_parts_of_a_rotated_compound_have_the_right_kinds():
    shape = random_compound(200004)
    shape = shape.placed(.6, TURN).normalised()
    mesh = zero_set(shape.sdf, 64)
    cut = cut_mesh(mesh, shape.label(mesh.triangles_center), resolution=64)
    whole = solid_mesh(cut.whole)
    fits = [fit_primitive(part, cut.is_cut(label, part), whole) for label, part in cut.meshes().items()]
    assert [fit.kind for fit in fits] == shape.kinds and all(fit.accepted for fit in fits)
