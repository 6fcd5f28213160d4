"Values of settings"
import numpy as np
import pytest
import trimesh

from sdf_dino.core.checks import check_labels, is_whole_number
from sdf_dino.core.errors import ParameterError
from sdf_dino.geometry.export import write_parts
from sdf_dino.parts.segment import parse_parts


@pytest.mark.parametrize("text", ["--5", "+-5", "-+5", "5-", "+"])
def test_a_number_has_one_sign(text):
    assert not is_whole_number(text)
    with pytest.raises(ParameterError, match="parts"): parse_parts(text)


@pytest.mark.parametrize("kind", [float, bool])
def test_whole_labels_of_another_type_come_back_as_integers(tmp_path, kind):
    box = trimesh.creation.box()
    labels = (np.arange(12) > 5).astype(kind)
    assert check_labels(labels, 12).dtype.kind == "i"
    write_parts(box, labels, tmp_path / "a.glb")
    assert sorted(trimesh.load_scene(tmp_path / "a.glb").geometry) == ["part_0", "part_1"]


@pytest.mark.parametrize("value", [.5, np.nan, np.inf, 1e30])
def test_labels_that_no_integer_holds_are_refused(value):
    with pytest.raises(ParameterError, match="no whole numbers"): check_labels([value, 0.], 2)
