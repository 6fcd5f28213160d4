"The command segment: one mesh or many, and options that do not go together"
import json
from pathlib import Path

import pytest
import trimesh

from sdf_dino.core.errors import ParameterError
from sdf_dino.geometry.validation import MeshRejected
from sdf_dino.parts.interaction import EditSession
from sdf_dino.parts.segment import segment
from sdf_dino.parts.segment_command import segment_command
from sdf_dino.parts.segment_request import SegmentRequest
from sdf_dino.parts.session_file import save_session


@pytest.fixture
def meshes(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    boxes = [trimesh.creation.box((3, 2, 1)).apply_translation([0, 0, 3 * i]) for i in range(2)]
    (folder / "box.ply").write_bytes(trimesh.util.concatenate(boxes).export(file_type="ply"))
    (folder / "bad.glb").write_bytes(b"glTF, but no more")
    return folder


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
    (["in/old.ply"], {}, "exists already"), (["x.ply"], {"workers": 2}, "several"), (["x.ply"], {"retry": True}, "several"),
    (["x.ply"], {"scheduler": "tcp://x:1"}, "several"), (["x.ply"], {"accept_code": True}, "several"),
    (["x.ply"], {"seconds": 0.}, "more than 0"), (["x.ply"], {"memory": -1.}, "0 or more"), (["x.ply"], {"latent": "probe9:snowman"}, "Give one of them")])
def test_options_that_do_not_go_together_are_refused(meshes, tmp_path, monkeypatch, out, more, cause):
    monkeypatch.chdir(tmp_path)
    (meshes / "old.ply").touch()
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


@pytest.mark.parametrize("name", ["box.ply", "symbolic.ply", "hard.ply", "../in/box.ply"])
def test_the_mesh_itself_is_never_overwritten(meshes, name):
    before = (meshes / "box.ply").read_bytes()
    (meshes / "symbolic.ply").symlink_to(meshes / "box.ply")
    (meshes / "hard.ply").hardlink_to(meshes / "box.ply")
    with pytest.raises(ParameterError, match="never overwritten"):
        segment_command([meshes / "box.ply"], [meshes / name], SegmentRequest(2), force=True)
    assert (meshes / "box.ply").read_bytes() == before


def test_one_mesh_has_limits_too(meshes, tmp_path):
    with pytest.raises(MeshRejected, match="box.ply: took longer"):
        segment_command([meshes / "box.ply"], [tmp_path / "a.ply"], SegmentRequest(2), seconds=1e-4)
    assert not (tmp_path / "a.ply").exists()


def test_a_session_of_edits_is_never_overwritten(meshes, tmp_path):
    session = EditSession(segment(meshes / "box.ply", 2))
    target = tmp_path / "s.json"
    save_session(session, target)
    with pytest.raises(ParameterError, match="never overwritten"):
        segment_command([meshes / "box.ply"], [target], SegmentRequest("2", edits=str(target)), force=True)
    assert target.read_text().startswith("{") and "sdf_dino session" in target.read_text()
