"A batch resumes, and leaves alone what it does not know"
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from sdf_dino.core.errors import ParameterError
from sdf_dino.distill.head import HeadConfig, ProjectionHead, save_head
from sdf_dino.field.decoder import Backbone, DecoderConfig, DeepSDF
from sdf_dino.parts.batch import segment_batch, segment_command
from sdf_dino.parts.segment_request import SegmentRequest, result_line

FORMATS = ("ply", "features.npy")


@pytest.fixture
def weights(tmp_path):
    "Untrained weights: they show the path"
    folder = tmp_path / "weights"
    backbone = Backbone(DeepSDF(DecoderConfig(8, 16, 3)), {"a": torch.zeros(8)}).save(folder / "backbone")
    save_head(ProjectionHead(HeadConfig(48, prototypes=8)), folder / "head", backbone.hash)
    return folder


@pytest.fixture
def meshes(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "ball.stl").write_bytes(trimesh.creation.icosphere(2).export(file_type="stl"))
    (folder / "box.ply").write_bytes(trimesh.creation.box((3, 2, 1)).export(file_type="ply"))
    (folder / "bad.glb").write_bytes(b"glTF, but no more")
    return folder


def test_a_batch_does_only_what_is_missing(meshes, tmp_path):
    request, out, lines = SegmentRequest(2), tmp_path / "out", []
    first = segment_batch(meshes, out, request, FORMATS, on_done=lines.append)
    assert [r["name"] for r in first.rows] == ["bad", "ball", "box"] and first.processed == 3
    assert [r["status"] for r in first.rows] == ["rejected", "done", "done"] and first.exit_code == 3
    assert f". {first.rows[0]['fix']}." in first.summary() and "2 of 3" in first.summary()
    assert lines == [result_line(r["name"], r) for r in first.rows[1:]]
    assert [json.loads(row) for row in (out / "manifest.jsonl").read_text().splitlines()] == first.rows
    assert np.load(out / "box.features.npy").shape == (12, 64)
    again = segment_batch(meshes, out, request, FORMATS)
    assert again.processed == 0 and again.rows == first.rows
    (out / "ball.ply").unlink()
    assert segment_batch(meshes, out, request, FORMATS).processed == 1 and (out / "ball.ply").exists()


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
    assert sorted(names) == ["bad", "ball", "box"]
    assert segment_batch(meshes, meshes / "out", request, ("ply",)).processed == 0


def test_other_weights_of_the_same_name_are_another_request(meshes, weights, tmp_path):
    request = SegmentRequest(2, "learned", weights=str(weights), preset="draft")
    segment_batch(meshes, tmp_path / "out", request, ("ply",))
    backbone = Backbone.load(weights / "backbone")
    save_head(ProjectionHead(HeadConfig(48, prototypes=8)), weights / "head", backbone.hash)
    with pytest.raises(ParameterError, match="--force"):
        segment_batch(meshes, tmp_path / "out", request, ("ply",))


def test_one_mesh_into_several_files(meshes, tmp_path):
    lines, request = [], SegmentRequest(2)
    code = segment_command([meshes / "box.ply"], [tmp_path / "a.glb", tmp_path / "a.obj"], request,
                           features=tmp_path / "f.npy", as_json=True, echo=lines.append)
    files = [Path(file).name for file in json.loads(lines[0])["files"]]
    assert code == 0 and files == ["a.glb", "a.obj", "a.mtl", "f.npy"]


def test_a_folder_from_the_command_has_exit_code_3_when_a_mesh_fails(meshes, tmp_path):
    request = SegmentRequest(2)
    assert segment_command([meshes], [tmp_path / "out"], request, formats=["ply"], echo=lambda line: None) == 3


@pytest.mark.parametrize("out, more, cause", [
    (["."], {}, "or give several"), (["none"], {}, "no ending"), (["in/box.ply/x.ply"], {}, "takes no files"),
    (["x.ply"], {"features": "x.ply"}, "x.npy"), (["x.npy"], {"features": "x.npy"}, "twice"),
    (["x.obj", "x.obj"], {}, "twice"), (["x.ply"], {"formats": ["ply"]}, "several meshes"),
    (["in/box.ply"], {}, "exists already"), (["x.ply"], {"latent": "probe9:snowman"}, "Give one of them")])
def test_options_that_do_not_go_together_are_refused(meshes, tmp_path, monkeypatch, out, more, cause):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParameterError, match=cause):
        segment_command(["in/box.ply"], out, SegmentRequest(2), **more)


def test_several_meshes_want_one_folder(meshes, tmp_path):
    with pytest.raises(ParameterError, match="is no folder"):
        segment_command([meshes], [tmp_path / "a.glb"], SegmentRequest(2))


def test_a_latent_names_weights_and_shape(tmp_path):
    with pytest.raises(ParameterError, match="probe9:chair"):
        segment_command([], [tmp_path / "a.glb"], SegmentRequest(), latent="chair")


def test_all_targets_are_checked_before_one_is_written(meshes, tmp_path):
    request = SegmentRequest(2, keep_materials=True)
    with pytest.raises(ParameterError, match="x.stl"):
        segment_command([meshes / "box.ply"], [tmp_path / "x.ply", tmp_path / "x.stl"], request)
    assert not (tmp_path / "x.ply").exists()
