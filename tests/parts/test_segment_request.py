"Requests, targets and reports: what cannot work is refused before anything is computed"
import errno
import os
from dataclasses import asdict

import numpy as np
import pytest
import trimesh

from sdf_dino.core.errors import ParameterError, SdfDinoError
from sdf_dino.geometry.loading import load_mesh
from sdf_dino.parts.output_files import WriteError, check_not_read, check_writable
from sdf_dino.parts.segment import Segmentation
from sdf_dino.parts.segment_request import (
    SegmentRequest, fewer_parts, low_confidence, result_row, result_text, segment_task, target_files,
    write_target)

KEEP = SegmentRequest(keep_materials=True)


@pytest.mark.parametrize("field, value", [
    ("parts", "few"), ("parts", "prototypes"), ("method", "magic"), ("surface", "voxels"), ("smooth", -1.),
    ("smooth", float("nan")), ("seed", -1)])
def test_an_impossible_field_is_named(field, value):
    with pytest.raises(SdfDinoError, match=field): SegmentRequest(**{field: value})


@pytest.mark.parametrize("field, value", [("preset", "good"), ("weights", "nonsense"), ("device", "gpu")])
def test_an_impossible_field_of_the_learned_method_is_named(field, value):
    with pytest.raises(SdfDinoError, match=field): SegmentRequest(method="learned", **{field: value})


@pytest.mark.parametrize("field, value", [("preset", "best"), ("weights", "probe9"), ("device", "cpu")])
def test_a_field_of_the_learned_method_is_refused_without_it(field, value):
    with pytest.raises(ParameterError, match=field): SegmentRequest(**{field: value})
    assert SegmentRequest(method="learned", **{field: value}).settings()[field] == value


class WithFeatures(Segmentation):
    "Parts that do not come from samples"
    features = np.ones((12, 64), "f4")


@pytest.fixture
def found(tmp_path):
    path = tmp_path / "in.ply"
    path.write_bytes(trimesh.creation.box((3, 2, 1)).export(file_type="ply"))
    return WithFeatures(load_mesh(path), np.arange(12)//4, {})


@pytest.mark.parametrize("name, request_", [
    ("a.obj", SegmentRequest()), ("a.features.npy", SegmentRequest()), ("b.ply", KEEP), ("b.npy", KEEP)])
def test_the_files_written_are_those_announced(found, tmp_path, name, request_):
    written = write_target(found, tmp_path / name, request_)
    assert written == target_files(tmp_path / name, request_) and all(file.exists() for file in written)


def test_a_scene_that_keeps_its_materials_is_a_copy_with_labels_beside(found, tmp_path):
    write_target(found, tmp_path / "b.ply", KEEP)
    assert (tmp_path / "b.ply").read_bytes() == (tmp_path / "in.ply").read_bytes()
    assert np.load(tmp_path / "b.labels.npy").tolist() == found.labels.tolist()


@pytest.mark.parametrize("source, fix", [
    ("a.glb", "Name it *.glb."), ("a.obj", "Name it *.glb."), ("a.stl", "Name it *.glb or *.stl.")])
def test_a_format_that_cannot_keep_the_materials_is_refused(source, fix):
    with pytest.raises(ParameterError) as error: target_files("b.ply", KEEP, source)
    assert str(error.value).endswith(fix)


def test_formats_that_keep_the_materials():
    assert target_files("b.GLB", KEEP, "a.obj") and target_files("b.ply", KEEP, "a.PLY")
    assert target_files("b.npy", KEEP, "a.obj")


def test_a_folder_is_no_target(tmp_path):
    with pytest.raises(ParameterError, match="is a folder"): check_writable([tmp_path])


def test_trying_a_place_leaves_nothing_behind(tmp_path):
    check_writable([tmp_path / "new" / "deep" / "a.ply", tmp_path / "new" / "a.ply"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["部" * 90 + ".ply", "a" * 300 + "/x.ply", "nul\0.ply", "loop.ply/x.ply"])
def test_a_name_that_no_file_can_have_is_refused(tmp_path, name):
    (tmp_path / "loop.ply").symlink_to(tmp_path / "loop.ply")
    with pytest.raises(WriteError, match="cannot be written"): check_writable([tmp_path / name])


def test_a_mesh_is_known_under_each_of_its_names(tmp_path):
    (tmp_path / "a.ply").touch()
    (tmp_path / "hard.ply").hardlink_to(tmp_path / "a.ply")
    (tmp_path / "symbolic.ply").symlink_to(tmp_path / "a.ply")
    for name in ("a.ply", "hard.ply", "symbolic.ply", "../" + tmp_path.name + "/a.ply"):
        with pytest.raises(ParameterError, match="never overwritten"):
            check_not_read([tmp_path / name], [tmp_path / "a.ply"])
    check_not_read([tmp_path / "b.ply"], [tmp_path / "a.ply", tmp_path / "missing.ply"])


@pytest.mark.parametrize("name", ["a.ply", "a.obj", "a.features.npy", "a.confidence.npy"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_disk_without_room_is_told_with_the_file(found, tmp_path, monkeypatch, name, code):
    def fsync(number): raise OSError(code, "as the system says")
    found.info["part_confidence"] = [1., 1., 1.]
    monkeypatch.setattr("sdf_dino.core.files.os.fsync", fsync)
    monkeypatch.setattr("sdf_dino.parts.segment_request.face_confidence", lambda found: np.ones(12))
    with pytest.raises(WriteError, match=f"{name}: cannot be written") as error:
        write_target(found, tmp_path / name, SegmentRequest())
    assert error.value.concerns_all and not list(tmp_path.glob(".*")) and not (tmp_path / name).exists()


def test_a_write_error_survives_a_process_boundary():
    kind, arguments = WriteError("a.ply", errno.ENAMETOOLONG).__reduce__()
    again = kind(*arguments)
    assert (again.path, again.code, again.concerns_all) == ("a.ply", errno.ENAMETOOLONG, False)


def test_hints_come_only_where_they_help(found):
    found.info |= {"parts_requested": "3", "confidence": .8, "weights": "probe9", "device": "cpu",
                   "stages": {"features": 1.}}
    row = result_row(found, ["a.glb"])
    assert not fewer_parts(row) and not low_confidence(row) and len(result_text(row).splitlines()) == 2
    assert not any(fewer_parts({**row, "parts_requested": p}) for p in ("auto", "prototypes"))
    assert "weights probe9; features 1.0 s" in result_text(row) and "confidence 0.80" in result_text(row)
    assert low_confidence({**row, "confidence": .3}) and not low_confidence({**row, "confidence": None})
    assert fewer_parts({**row, "parts_requested": "9"}) and "confidence" not in result_text({**row, "confidence": None})
    assert "warning: open" in result_text({**row, "warnings": ["open"]})


def test_a_task_draws_its_bars_on_the_terminal_that_it_is_given(tmp_path, monkeypatch):
    monkeypatch.setenv("SDF_DINO_PROGRESS", "")
    box = trimesh.creation.box()
    box.export(tmp_path / "box.ply")
    row = segment_task(str(tmp_path / "box.ply"), [str(tmp_path / "a.npy")], asdict(SegmentRequest("1")), "", os.devnull)
    assert row["parts"] == 1 and os.environ["SDF_DINO_PROGRESS"] == os.devnull
