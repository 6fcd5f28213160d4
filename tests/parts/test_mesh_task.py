"One mesh in a child: what it may take of the machine, and what becomes of its errors"
import errno

import pytest
import trimesh

from sdf_dino.core.errors import ParameterError
from sdf_dino.core.sandbox import Sandbox, SandboxError
from sdf_dino.data.sources import Source
from sdf_dino.parts import mesh_task
from sdf_dino.parts.mesh_task import BatchSettings, segment_source, segment_in_child, share_machine
from sdf_dino.parts.output_files import WriteError
from sdf_dino.parts.segment_request import SegmentRequest

VISIBILITY = SegmentRequest()


@pytest.fixture
def machine(monkeypatch):
    "A machine of 8 cores and 16 GiB"
    monkeypatch.setattr(mesh_task, "available_cores", lambda: 8)
    monkeypatch.setattr(mesh_task, "available_memory", lambda: 16384.)


@pytest.mark.parametrize("settings, expected", [
    ({}, (8, (600., 2048., 1))), ({"workers": 2}, (2, (600., 8192., 4))), ({"workers": 1}, (1, (600., 8192., 0))),
    ({"workers": 3, "memory": 4000.}, (3, (600., 4000., 2))), ({"workers": 20}, (20, (600., 16384/20, 1))),
    ({"memory": 9999., "seconds": 5.}, (8, (5., 9999., 1)))])
def test_cores_and_memory_are_shared(machine, settings, expected):
    assert share_machine(BatchSettings(**settings), VISIBILITY) == expected


def test_a_task_of_a_cluster_takes_one_core(machine):
    assert share_machine(BatchSettings(scheduler="tcp://x:1"), VISIBILITY)[1][2] == 1


def test_on_a_gpu_there_is_one_mesh_at_a_time_without_a_limit(machine, monkeypatch):
    monkeypatch.setattr(mesh_task, "_may_use_gpu", lambda request, scheduler: True)
    workers, (_, memory, threads) = share_machine(BatchSettings(memory=100.), VISIBILITY)
    assert workers == 1 and memory == float("inf") and threads == 0


@pytest.mark.parametrize("setting, value", [
    ("workers", -1), ("memory", -1.), ("memory", float("nan")), ("seconds", 0.), ("seconds", float("inf"))])
def test_an_impossible_setting_is_named(setting, value):
    with pytest.raises(ParameterError, match=setting): BatchSettings(**{setting: value})


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "box.ply"
    path.write_bytes(trimesh.creation.box((3, 2, 1)).export(file_type="ply"))
    return Source("box_ply", "box.ply", str(path))


LIMITS = 60., 4096., 0


def fail_with(error):
    def segment_in_child(*args): raise error
    return segment_in_child


@pytest.mark.parametrize("error, reason, word", [
    (WriteError("/out/box.ply", errno.ENAMETOOLONG), "error", "/out/box.ply: cannot be written"),
    (OSError(errno.EMFILE, "too many files"), "error", "too many files")])
def test_an_error_about_one_mesh_is_its_verdict(source, monkeypatch, error, reason, word):
    monkeypatch.setattr(mesh_task, "segment_in_child", fail_with(error))
    _, verdict, stamp, _ = segment_source(source, [], VISIBILITY, LIMITS)
    assert verdict["status"] == "failed" and verdict["reason"] == reason and word in verdict["detail"]
    assert verdict["fix"] and list(stamp) == ["box.ply"]


def test_a_child_that_cannot_start_is_no_fault_of_the_mesh(source, monkeypatch):
    def call(*args): raise SandboxError("start", "crash", "no module torch")
    monkeypatch.setattr(Sandbox, "call", call)
    assert "no module torch" in segment_source(source, [], VISIBILITY, LIMITS)[1]["detail"]
    with pytest.raises(SandboxError, match="start: crashed"): segment_in_child(source.path, [], VISIBILITY, Sandbox())


def test_a_full_disk_is_raised(source, monkeypatch):
    monkeypatch.setattr(mesh_task, "segment_in_child", fail_with(WriteError("/out/box.ply", errno.ENOSPC)))
    with pytest.raises(WriteError, match="/out/box.ply.*No space"): segment_source(source, [], VISIBILITY, LIMITS)


def test_what_cannot_be_written_is_named_by_the_child(source, tmp_path):
    (tmp_path / "box_ply.ply").mkdir()
    _, verdict, *_ = segment_source(source, [tmp_path / "box_ply.ply"], VISIBILITY, LIMITS)
    assert f"{tmp_path / 'box_ply.ply'}: cannot be written (Is a directory)" in verdict["detail"]
