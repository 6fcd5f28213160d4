"The warning of an open surface says how it was treated"
import numpy as np
import pytest
import trimesh

from sdf_dino.geometry.normalisation import normalise_mesh
from sdf_dino.geometry.ray_surface import ray_surface


def sheet(bend):
    "A square of cloth, (x, y) → points by a function"
    u = np.linspace(-1, 1, 20)
    x, y = np.meshgrid(u, u, indexing="ij")
    number = np.arange(400).reshape(20, 20)
    a, b, c, d = (part.ravel() for part in (number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]))
    return trimesh.Trimesh(bend(x.ravel(), y.ravel()), np.r_[np.c_[a, b, c], np.c_[a, c, d]], process=False)


def cut(keep):
    "A ball without the faces whose middle is not kept"
    ball = trimesh.creation.icosphere(3)
    ball.update_faces(keep(ball.triangles_center))
    return ball


CLOTH = sheet(lambda x, y: np.c_[x, y, .15 * np.sin(3 * x)])
FOLDED = sheet(lambda x, y: np.c_[np.abs(x), y, np.where(x < 0, .3 + .1 * x, 0)])
HALF = cut(lambda middle: middle[:, 2] > 0)
HOLED = cut(lambda middle: np.linalg.norm(middle - [0, 0, 1], axis=1) > .2)


@pytest.mark.parametrize("mesh, words", [(CLOTH, "zero set"), (FOLDED, "zero set"), (HALF, "zero set"), (HOLED, "through its holes")],
                         ids=["cloth", "folded cloth", "half sphere", "sphere with a hole"])
@pytest.mark.parametrize("surface", ["auto", "triangles"])
def test_an_open_surface_is_named_and_its_confidence_is_not_vouched_for(mesh, words, surface):
    warnings = ray_surface(normalise_mesh(mesh)[0], surface).warnings
    said = [warning for warning in warnings if "it is open" in warning and "confidence is not calibrated" in warning]
    assert len(said) == 1 and (words if surface == "auto" else "through its holes") in said[0]


def test_nothing_is_said_of_a_closed_surface():
    ball = normalise_mesh(trimesh.creation.icosphere(2))[0]
    split = trimesh.Trimesh(ball.triangles.reshape(-1, 3), np.arange(3 * len(ball.faces)).reshape(-1, 3), process=False)
    assert not ray_surface(ball).warnings and not ray_surface(split).warnings
