"What a method sees, and what it must not see"
from types import SimpleNamespace

import numpy as np
import pytest
import trimesh

from sdf_dino.core.errors import ParameterError
from sdf_dino.evaluate.cases import (
    analytic_eval_shape, architecture_case, as_eval_shape, shape_case, with_fitted_code)
from sdf_dino.evaluate.runner import run_case
from sdf_dino.geometry.architecture import architecture_shapes
from sdf_dino.geometry.csg import solid_to_mesh
from sdf_dino.geometry.shapes import probe_shapes, random_compound, visible_areas


def test_the_source_of_a_shape_holds_no_labels():
    shape, _ = analytic_eval_shape(probe_shapes()["snowman"], 600)
    assert not set(dir(shape.source)) & {"label", "part_sdf", "parts", "n_parts", "kinds"}
    apart = np.linalg.norm(shape.mesh.triangles_center[shape.face] - shape.points, axis=1)
    assert apart.max() < .02, "each point names a face near it"


@pytest.mark.parametrize("category, weights", (("Fish", "psb_b"), ("Cup", "psb_a")))
def test_weights_never_saw_the_category(category, weights):
    model = SimpleNamespace(mesh=trimesh.creation.box(), category=category)
    assert as_eval_shape(model).weights == weights


def test_what_has_no_mesh_is_refused():
    with pytest.raises(ParameterError, match="int"): as_eval_shape(3)


def test_a_shape_is_fitted_once():
    shape, _ = analytic_eval_shape(probe_shapes()["snowman"], 50, weights="probe9")
    fitted = with_fitted_code(shape)
    assert with_fitted_code(fitted) is fitted and as_eval_shape(shape) is shape


def test_a_compound_by_its_seed():
    assert shape_case("compound_100003", n_points=50).k == random_compound(100003).n_parts


@pytest.mark.parametrize("id", ("attic_1", "door", "door_x"))
def test_an_unknown_piece_is_refused(id):
    with pytest.raises(ParameterError, match="railing"): architecture_case(id)


def test_one_part_scores_nothing():
    assert run_case(architecture_case, "door_1", None, n_points=300)["points"]["ari"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_every_piece_is_connected_and_shows_all_its_parts(seed):
    for name, shape in architecture_shapes(seed).items():
        areas = visible_areas(shape, 2048)
        assert areas.min() / areas.sum() > .006, name
        assert solid_to_mesh(shape, 72).body_count == 1
        assert np.array_equal(np.unique(shape.surface(4096)[2]), np.arange(shape.n_parts))
