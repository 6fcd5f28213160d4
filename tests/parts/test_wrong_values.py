"A setting, path or label of a wrong type or size is one ParameterError"
import numpy as np
import pytest
import trimesh

from sdf_dino.core.errors import ParameterError
from sdf_dino.geometry import export
from sdf_dino.parts.segment import recut, segment
from sdf_dino.parts.segment_request import SegmentRequest, target_files, write_confidence, write_features, write_target

BOX = trimesh.creation.box()
LABELS = [0] * 6 + [1] * 6
NO_NUMBERS = [None, "x", b"x", [], {}, (1, 2), object, float("nan"), -1, 10**400, 1j, np.array([1, 2]), np.array(["a"])]
NO_PATHS = [None, True, 3, 2.5, b"x", [], {}, (1, 2), object, np.array([1]), "a\0b"]
NO_LABELS = [None, 3, "x", [0], [[0]], [None] * 12, ["a"] * 12, [.5] * 12, [10**400] * 12, [[0], [0, 1]]]
EMPTY = np.array([])


@pytest.fixture(scope="module")
def found(): return segment(BOX, 2, landmarks=32, samples=64)


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: str(type(value)))
@pytest.mark.parametrize("name", ["seed", "smooth", "min_area", "landmarks", "samples", "parts"])
def test_numbers_of_segment(found, name, value):
    with pytest.raises(ParameterError, match=f"^{name}: "): segment(BOX, **{name: value})
    if name in ("smooth", "min_area", "parts"):
        with pytest.raises(ParameterError, match=f"^{name}: "): recut(found, **{name: value})
    if name in ("seed", "smooth", "parts"):
        with pytest.raises(ParameterError, match=f"^{name}: "): SegmentRequest(**{name: value})


@pytest.mark.parametrize("wrong", [{"seed": 2**70}, {"parts": 2**70}, {"landmarks": 10**9}, {"samples": 10**12}, {"seed": 1e300},
                                   {"parts": "9" * 5000}, {"parts": EMPTY}, {"method": EMPTY}, {"surface": EMPTY}], ids=lambda wrong: next(iter(wrong)))
def test_absurd_settings_of_segment(wrong):
    with pytest.raises(ParameterError, match=f"^{next(iter(wrong))}: "): segment(BOX, **wrong)


def test_a_whole_seed_may_be_a_float(): assert segment(BOX, 2, seed=3., landmarks=32, samples=64).n_parts == 2


@pytest.mark.parametrize("value", NO_PATHS, ids=lambda value: str(type(value)))
def test_paths(found, value):
    request = SegmentRequest()
    for call in (found.export, found.save, export.part_files, export.files_with_materials, lambda path: export.write_parts(BOX, LABELS, path),
                 lambda path: export.write_scene("a.glb", path), lambda path: export.check_material_format(path, "a.glb"),
                 lambda path: write_features(found, path), lambda path: write_confidence(found, path),
                 lambda path: write_target(found, path, request), lambda path: target_files(path, request)):
        with pytest.raises(ParameterError, match="is .*path of a file"): call(value)


@pytest.mark.parametrize("value", NO_LABELS, ids=lambda value: str(value)[:20])
def test_labels(tmp_path, value):
    for call in (export.part_meshes, export.ply_bytes, export.glb_bytes, export.part_table, export.png_bytes,
                 lambda mesh, labels: export.write_parts(mesh, labels, tmp_path / "a.npy"), lambda mesh, labels: export.obj_text(mesh, labels, "a.mtl"),
                 lambda mesh, labels: export.transfer_labels(mesh, labels, mesh)):
        with pytest.raises(ParameterError, match="^labels: "): call(BOX, value)
