"A batch resumes, tells what it did, and leaves alone what it does not know"
import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from sdf_dino.core import workers as workers_module
from sdf_dino.core.errors import InputError, ParameterError
from sdf_dino.core.revision import code_revision
from sdf_dino.core.workers import Journal
from sdf_dino.distill.head import HeadConfig, ProjectionHead, save_head
from sdf_dino.field.decoder import Backbone, DecoderConfig, DeepSDF
from sdf_dino.parts import batch as batch_module
from sdf_dino.parts import batch_records
from sdf_dino.parts.batch import BatchResult, segment_batch
from sdf_dino.parts.mesh_task import segment_source
from sdf_dino.parts.output_files import WriteError
from sdf_dino.parts.segment_request import SegmentRequest, result_line


FORMATS = ("ply", "features.npy")


@pytest.fixture
def weights(tmp_path):
    "Untrained weights: they show the path"
    folder = tmp_path / "weights"
    backbone = Backbone(DeepSDF(DecoderConfig(8, 16, 3)), {"a": torch.zeros(8)}).save(folder / "backbone")
    save_head(ProjectionHead(HeadConfig(48, prototypes=8)), folder / "head", backbone.hash)
    return folder


def twice(mesh):
    "The mesh and a copy above it: two shells, so that their parts take milliseconds"
    return trimesh.util.concatenate([mesh, mesh.copy().apply_translation([0, 0, 3])])


BOX = twice(trimesh.creation.box((3, 2, 1))).export(file_type="ply")


@pytest.fixture
def meshes(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "ball.stl").write_bytes(twice(trimesh.creation.icosphere(2)).export(file_type="stl"))
    (folder / "box.ply").write_bytes(BOX)
    (folder / "bad.glb").write_bytes(b"glTF, but no more")
    return folder


def test_a_batch_does_only_what_is_missing(meshes, tmp_path):
    request, out, lines = SegmentRequest(2), tmp_path / "out", []
    first = segment_batch(meshes, out, request, FORMATS, on_done=lines.append)
    assert [r["name"] for r in first.rows] == ["bad_glb", "ball_stl", "box_ply"] and first.processed == 3
    assert [r["status"] for r in first.rows] == ["rejected", "done", "done"] and first.exit_code == 3
    assert f". {first.rows[0]['fix']}." in first.summary() and "2 of 3" in first.summary()
    assert sorted(lines) == [result_line(r["name"], r) for r in first.rows[1:]]
    assert [json.loads(row) for row in (out / "manifest.jsonl").read_text().splitlines()] == first.rows
    assert len(np.load(out / "box_ply.features.npy")) == 24
    again = segment_batch(meshes, out, request, FORMATS)
    assert again.processed == 0 and again.rows == first.rows
    (out / "ball_stl.ply").unlink()
    assert segment_batch(meshes, out, request, FORMATS).processed == 1 and (out / "ball_stl.ply").exists()


def test_files_of_another_request_stay_unless_forced(meshes, tmp_path):
    out = tmp_path / "out"
    two, three = SegmentRequest(2), SegmentRequest(3)
    segment_batch(meshes, out, two, ("ply",))
    with pytest.raises(ParameterError, match="--force"): segment_batch(meshes, out, three, ("ply",))
    segment_batch(meshes, out, three, ("ply",), force=True)
    with pytest.raises(ParameterError, match="--force"): segment_batch(meshes, out, two, ("ply",))


def test_results_in_the_folder_of_meshes_are_no_meshes(meshes):
    request = SegmentRequest(2)
    names = [row["name"] for row in segment_batch(meshes, meshes / "out", request, ("ply",)).rows]
    assert sorted(names) == ["bad_glb", "ball_stl", "box_ply"]
    assert segment_batch(meshes, meshes / "out", request, ("ply",)).processed == 0


def test_parts_by_other_weights_of_the_same_name_are_made_again(meshes, weights, tmp_path):
    request, box = SegmentRequest(2, "learned", weights=str(weights), preset="draft"), meshes / "box.ply"
    segment_batch(box, tmp_path / "out", request, ("ply",))
    assert segment_batch(box, tmp_path / "out", request, ("ply",)).processed == 0
    backbone = Backbone.load(weights / "backbone")
    save_head(ProjectionHead(HeadConfig(48, prototypes=8)), weights / "head", backbone.hash)
    assert segment_batch(box, tmp_path / "out", request, ("ply",), accept_code=True).processed == 1


def test_several_meshes_at_a_time_give_the_same_files(meshes, tmp_path):
    for n in (1, 2): segment_batch(meshes, tmp_path / str(n), SegmentRequest(2), FORMATS, workers=n)
    for file in (tmp_path / "1").glob("*.*"):
        if file.name != "manifest.jsonl": assert file.read_bytes() == (tmp_path / "2" / file.name).read_bytes(), file.name


def test_what_failed_is_tried_again_only_when_asked(meshes, tmp_path):
    out = tmp_path / "out"
    first = segment_batch(meshes / "box.ply", out, seconds=1e-4)
    assert first.rows[0]["reason"] == "time" and "--retry" in first.summary() and first.exit_code == 4
    assert segment_batch(meshes / "box.ply", out).processed == 0
    assert segment_batch(meshes / "box.ply", out, retry=True).exit_code == 0


def test_what_is_rejected_is_never_tried_again(meshes, tmp_path):
    for retry in (False, True): rows = segment_batch(meshes / "bad.glb", tmp_path / "out", retry=retry)
    assert rows.processed == 0 and rows.rows[0]["status"] == "rejected"


def test_a_mesh_that_is_missing_is_done_when_it_comes(meshes, tmp_path):
    (tmp_path / "list.txt").write_text("late.ply")
    assert segment_batch(tmp_path / "list.txt", tmp_path / "out").rows[0]["reason"] == "missing"
    (tmp_path / "late.ply").write_bytes((meshes / "box.ply").read_bytes())
    assert segment_batch(tmp_path / "list.txt", tmp_path / "out").exit_code == 0


def other_code(*targets, without=()):
    code = code_revision(*targets, without=without)
    return {**code, "modules": {**code["modules"], "geometry.repair": "0" * 12}}


def test_results_of_earlier_code_are_made_again(meshes, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(batch_module, "code_revision", other_code)
        old = segment_batch(meshes, tmp_path / "out")
    new = segment_batch(meshes, tmp_path / "out")
    assert new.processed == 3 and {row["revision"] for row in new.rows} == {new.revision} != {old.revision}
    assert "earlier code were made again, as geometry.repair changed" in new.summary()
    again = segment_batch(meshes, tmp_path / "out")
    assert again.processed == 0 and "earlier code" not in again.summary()


def test_results_of_earlier_code_are_kept_when_asked_and_said_to_be_old(meshes, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(batch_module, "code_revision", other_code)
        old = segment_batch(meshes / "box.ply", tmp_path / "out")
    kept = segment_batch([meshes / "box.ply", meshes / "ball.stl"], tmp_path / "out", accept_code=True)
    assert kept.processed == 1 and "by earlier code" in kept.summary() and ": box_ply" in kept.summary()
    rows = [json.loads(line) for line in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()]
    assert {row["name"]: row["revision"] for row in rows} == {"ball_stl": kept.revision, "box_ply": old.revision}


def test_a_buffer_beside_a_mesh_counts(tmp_path):
    for name, data in twice(trimesh.creation.box((3, 2, 1))).export(file_type="gltf").items():
        (tmp_path / name).write_bytes(data)
    segment_batch(tmp_path / "model.gltf", tmp_path / "out")
    assert segment_batch(tmp_path / "model.gltf", tmp_path / "out").processed == 0
    buffer = next(tmp_path.glob("*.bin"))
    buffer.write_bytes(buffer.read_bytes())
    assert segment_batch(tmp_path / "model.gltf", tmp_path / "out").processed == 1


def test_the_manifest_is_there_while_the_batch_runs(meshes, tmp_path):
    seen = []
    def read(line): seen.append([json.loads(row)["status"] for row in open(tmp_path / "out" / "manifest.jsonl")])
    segment_batch(meshes, tmp_path / "out", on_done=read, workers=1)
    assert seen[0] == ["pending"]*3


def test_a_start_does_not_write_to_disk_for_each_mesh(tmp_path, monkeypatch):
    puts = []
    keep = Journal.put_many
    def put_many(self, entries):
        puts.append(len(entries))
        keep(self, entries)
    monkeypatch.setattr(Journal, "put_many", put_many)
    monkeypatch.setattr(batch_module, "run_parallel", lambda *args: iter(()))
    for i in range(50): (tmp_path / f"{i:02d}.ply").write_text("ply")
    segment_batch(tmp_path, tmp_path / "out")
    assert max(puts) == 50 and len(puts) < 5


def test_files_of_a_killed_call_are_known_as_its_own(meshes, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(batch_module, "run_parallel", lambda *args: iter(()))
        segment_batch(meshes, tmp_path / "out")
    (tmp_path / "out" / "box_ply.glb").write_bytes(b"as a kill may leave it")
    assert segment_batch(meshes, tmp_path / "out").processed == 3


def test_names_of_any_length_are_rows(tmp_path):
    folder = tmp_path / ("部" * 80)
    folder.mkdir()
    names = ["品" * 80, "部品" * 35, "я" * 115]
    for name in names: (folder / f"{name}.ply").write_bytes(BOX)
    rows = segment_batch(tmp_path, tmp_path / "out", SegmentRequest(2), ("confidence.npy",)).rows
    assert len(rows) == len(names) and {row["status"] for row in rows} == {"done"}


def test_an_error_about_one_file_is_a_row(meshes, tmp_path):
    (tmp_path / "out" / "ball_stl.ply").mkdir(parents=True)
    rows = segment_batch(meshes, tmp_path / "out", formats=("ply",), force=True).rows
    assert [row["status"] for row in rows] == ["rejected", "failed", "done"]
    assert "ball_stl.ply: cannot be written" in rows[1]["detail"] and rows[1]["fix"]


@pytest.mark.parametrize("damage", [lambda data: data[:100], lambda data: b"x" * 100 + data[100:]])
def test_a_damaged_journal_costs_nothing_done(meshes, tmp_path, damage, capsys):
    first = segment_batch(meshes, tmp_path / "out")
    journal = tmp_path / "out" / "log" / "journal.sqlite"
    journal.write_bytes(damage(journal.read_bytes()))
    again = segment_batch(meshes, tmp_path / "out")
    assert again.processed == 0 and again.rows == first.rows and "is damaged" in capsys.readouterr().err
    assert len(list(journal.parent.glob("*.damaged-1"))) == 1, "it is kept"


def test_an_emptied_journal_and_a_torn_manifest_cost_nothing_done(meshes, tmp_path):
    first = segment_batch(meshes, tmp_path / "out")
    manifest = tmp_path / "out/manifest.jsonl"
    for file in (tmp_path / "out/log").glob("journal*"): file.unlink()
    manifest.write_text(manifest.read_text() + '{"name": "torn')
    assert segment_batch(meshes, tmp_path / "out").processed == 0 and len(first.rows) > 0


def full_disk(source, *args):
    "`segment_source` on a disk that has no room for the box"
    if source.name == "box_ply": raise WriteError(f"{source.name}.glb", errno.ENOSPC)
    return segment_source(source, *args)


def test_a_full_disk_stops_the_batch_and_costs_nothing_done(meshes, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(batch_module, "segment_source", full_disk)
        with pytest.raises(WriteError, match="box_ply.glb: .*space.*Make room"):
            segment_batch(meshes, tmp_path / "out", workers=1)
    rows = [json.loads(line) for line in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()]
    assert [row["status"] for row in rows] == ["rejected", "done", "pending"]
    assert segment_batch(meshes, tmp_path / "out").processed == 1


def test_a_manifest_that_finds_no_room_is_told_with_its_name(meshes, tmp_path, monkeypatch):
    def no_room(*args, **kwargs): raise OSError(errno.ENOSPC, "full")
    monkeypatch.setattr(batch_records, "atomic_write", no_room)
    with pytest.raises(WriteError, match="manifest.jsonl: .*Make room"): segment_batch(meshes, tmp_path / "out")


def lying_workers(monkeypatch, truthful_from=99):
    "Replace a cluster by one whose files do not arrive before a certain round"
    monkeypatch.setattr(batch_module, "check_scheduler", lambda address: None)
    rounds = []
    def answers(function, tasks, *args):
        rounds.append(len(tasks))
        for source, targets, *more in tasks:
            answer = function(source, targets, *more)
            if len(rounds) < truthful_from: targets[0].unlink(missing_ok=True)
            yield *answer[:3], "node7:42"
    monkeypatch.setattr(batch_module, "run_parallel", answers)
    monkeypatch.setattr(workers_module, "_ARRIVAL_SECONDS", .2)
    return rounds


def test_a_cluster_whose_files_do_not_arrive_is_an_error_that_names_it(meshes, tmp_path, monkeypatch):
    rounds = lying_workers(monkeypatch)
    with pytest.raises(InputError, match="out: lacks the files of 2 meshes that worker node7:42 .*Mount this folder"):
        segment_batch(meshes, tmp_path / "out", scheduler="tcp://x:1")
    rows = [json.loads(line) for line in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()]
    assert rounds == [3, 2, 2] and [row["status"] for row in rows] == ["rejected", "pending", "pending"]


def test_a_file_that_is_lost_on_its_way_is_made_again(meshes, tmp_path, monkeypatch):
    rounds = lying_workers(monkeypatch, truthful_from=2)
    done = segment_batch(meshes / "box.ply", tmp_path / "out", scheduler="tcp://x:1")
    assert rounds == [1, 1] and done.exit_code == 0


def test_results_may_lie_beside_the_meshes(meshes):
    request, two = SegmentRequest(2), [meshes / "box.ply", meshes / "ball.stl"]
    assert segment_batch(two, meshes, request, ("ply",)).exit_code == 0
    again = segment_batch(meshes, meshes, request, ("ply",))
    assert sorted(row["name"] for row in again.rows) == ["bad_glb", "ball_stl", "box_ply"] and again.processed == 1


def test_a_folder_of_results_alone_has_a_plain_reason(meshes, tmp_path):
    segment_batch(meshes / "box.ply", tmp_path / "out", formats=("ply",))
    with pytest.raises(InputError, match="out: holds no meshes but results of earlier calls"):
        segment_batch(tmp_path / "out", tmp_path / "out", formats=("ply",))


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_mesh_that_is_read_is_never_overwritten(meshes, tmp_path, link):
    (tmp_path / "out").mkdir()
    link(meshes / "box.ply", tmp_path / "out" / "box_ply.ply")
    before = (meshes / "box.ply").read_bytes()
    with pytest.raises(ParameterError, match="box_ply.ply: .* never overwritten"):
        segment_batch(meshes, tmp_path / "out", formats=("ply",), force=True)
    assert (meshes / "box.ply").read_bytes() == before


def test_a_summary_of_many_names_a_few():
    bad = {"status": "failed", "reason": "time", "detail": "", "fix": "Raise it"}
    text = BatchResult(Path("out"), [{"name": str(i), **bad} for i in range(5000)], 1., 1).summary()
    assert len(text.splitlines()) < 30 and "and 4980 more" in text
