"OpenSCAD source that says what was fitted"
import re

import numpy as np
import trimesh

from sdf_dino.geometry.csg import Placed
from sdf_dino.geometry.primitive_export import scad_text
from sdf_dino.geometry.primitive_fit import PrimitiveFit, Tube
from sdf_dino.geometry.primitives import Box, Capsule, Cylinder, Frustum, Sphere

SOLIDS = [Sphere(.5), Box((1, 2, 3)), Cylinder(.2, .5), Frustum(.3, .1, .5), Capsule(.1, .4), Tube([[0, 0, 0], [1, 0, 0]], .1)]


def source(accepted):
    fits = {i: PrimitiveFit(Placed(solid, 2., shift=(1, 2, 3)), .001, accepted) for i, solid in enumerate(SOLIDS)}
    return scad_text(fits, {i: trimesh.creation.box() for i in fits})


def test_every_kind_has_its_call_and_place():
    text = source(True)
    for call in ("sphere(r=0.5)", "cube([2, 4, 6], center=true)", "cylinder(h=1, r1=0.2, r2=0.2, center=true)",
                 "cylinder(h=1, r1=0.3, r2=0.1", "translate([0, 0, -0.4]) sphere(r=0.1)", "nodes = [[0, 0, 0], [1, 0, 0]];"):
        assert call in text
    assert text.count("multmatrix([[2, 0, 0, 1], [0, 2, 0, 2], [0, 0, 2, 3], [0, 0, 0, 1]])") == len(SOLIDS)
    assert text.count("{") == text.count("}") and text.count("(") == text.count(")")


def test_a_part_without_a_primitive_is_a_closed_polyhedron_with_clockwise_faces():
    text = source(False)
    points, faces = re.search(r"polyhedron\(points=(\[.*?\]),\n *faces=(\[.*?\])\);", text).groups()
    mesh = trimesh.Trimesh(np.array(eval(points)), np.array(eval(faces))[:, ::-1], process=False)
    assert mesh.is_watertight and np.isclose(mesh.volume, 1)
    assert "color(" in text and "no primitive" in text
