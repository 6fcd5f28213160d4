"What became of the parts between two results, and files of every format that hold parts"
import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from conftest import run

from sdf_dino.core.errors import InputError, MismatchError
from sdf_dino.geometry.export import write_parts, write_with_materials
from sdf_dino.geometry.loading import load_mesh
from sdf_dino.geometry.scene_parts import write_split_scene
from sdf_dino.parts.comparison import compare_files, compare_parts, comparison_text
from sdf_dino.parts.labelled_parts import LabelledParts, read_parts, write_named_parts

BALL = trimesh.creation.icosphere(3)
ANGLE = np.degrees(np.arctan2(*BALL.triangles_center.T[:2])) % 360


def parts(labels, names=None, mesh=BALL):
    names = {p: f"part_{p}" for p in np.unique(labels).tolist()} | (names or {})
    return LabelledParts(Path("a.glb"), np.asarray(labels), names, mesh)


def kinds(before, after):
    "(kind, parts before, parts after) of each change"
    found = compare_parts(parts(before), parts(after))
    return [(c["kind"], len(c["before"]), len(c["after"])) for c in found["changes"]]


THIRDS = (ANGLE // 120).astype(int)


@pytest.mark.parametrize("after, expected", [
    (THIRDS, []), (np.where(THIRDS == 2, 1, THIRDS), [("joined", 2, 1)]),
    (np.where(ANGLE < 60, 3, THIRDS), [("split", 1, 2)]),
    (((ANGLE + 15) % 360 // 120).astype(int), [("moved", 1, 1)]*3), (THIRDS + 1, [("renamed", 1, 1)]*3),
    (np.where(ANGLE % 120 < 50, 3, THIRDS), [("moved", 1, 1)]*3 + [("appeared", 0, 1)])])
def test_changes_are_named(after, expected): assert sorted(kinds(THIRDS, after)) == sorted(expected)


def test_back_and_forth_are_opposites():
    six = (ANGLE // 60).astype(int)
    assert [k for k, *_ in kinds(THIRDS, six)] == ["split"]*3 and [k for k, *_ in kinds(six, THIRDS)] == ["joined"]*3
    assert sorted(kinds(np.where(ANGLE % 120 < 50, 3, THIRDS), THIRDS))[0] == ("gone", 1, 0)


def test_shares_are_of_area_and_sum_to_one():
    found = compare_parts(parts(THIRDS), parts(np.where(ANGLE < 60, 3, THIRDS)))
    assert np.isclose(np.sum(found["overlap"]["area"]), 1, atol=1e-4) and np.isclose(found["moved"], 1/6, atol=.01)
    assert found["weighed_by"] == "area" and found["same"] == 2


def test_a_border_within_the_tolerance_is_no_change():
    after = ((ANGLE + 1) % 360 // 120).astype(int)
    assert compare_parts(parts(THIRDS), parts(after), .2)["equal"]
    assert not compare_parts(parts(THIRDS), parts(after), 0.)["equal"]


def test_another_mesh_of_the_shape_is_compared_after_a_transfer():
    other = trimesh.creation.uv_sphere(1., (40, 40))
    angle = np.degrees(np.arctan2(*other.triangles_center.T[:2])) % 360
    found = compare_parts(parts(THIRDS), parts((angle // 120).astype(int), mesh=other), .1)
    assert found["equal"] and found["carried_over"] and "carried" in comparison_text(found)


def test_labels_alone_are_compared_by_faces_and_need_equal_numbers():
    found = compare_parts(parts(THIRDS, mesh=None), parts(THIRDS, mesh=None))
    assert found["equal"] and found["weighed_by"] == "faces"
    with pytest.raises(MismatchError, match="names no mesh"): compare_parts(parts(THIRDS), parts([0, 1], mesh=None))


def test_every_format_that_holds_parts_is_read_back(tmp_path):
    BALL.export(tmp_path / "ball.glb")
    mesh = load_mesh(tmp_path / "ball.glb")
    for name in ("a.glb", "a.obj", "a.json", "labels.npy"): write_parts(mesh, THIRDS, tmp_path / name)
    write_with_materials(tmp_path / "ball.glb", mesh, THIRDS, tmp_path / "kept.glb")
    write_split_scene(tmp_path / "ball.glb", mesh, THIRDS, tmp_path / "split.glb")
    for name in ("a.glb", "a.obj", "labels.npy", "kept.glb", "split.glb"):
        found = compare_files(tmp_path / "a.json", tmp_path / name)
        assert found["equal"] and found["same"] == 3, name
    assert read_parts(tmp_path / "a.json").mesh is not None
    (tmp_path / "ball.glb").unlink()
    assert read_parts(tmp_path / "a.json").mesh is None
    assert compare_files(tmp_path / "a.json", tmp_path / "a.json")["equal"]


@pytest.mark.parametrize("names", [{}, {0: "back", 1: "seat"}])
@pytest.mark.parametrize("suffix", [".glb", ".obj"])
def test_parts_that_nodes_name_count_before_labels_beside_them(tmp_path, suffix, names):
    for name in ("a" + suffix, "a.labels.npy"): write_named_parts(BALL, THIRDS, names, tmp_path / name)
    found = read_parts(tmp_path / ("a" + suffix))
    angle = np.degrees(np.arctan2(*found.mesh.triangles_center.T[:2])) % 360
    assert np.mean(found.labels == angle // 120) > .99


def test_labels_beside_a_scene_that_keeps_its_materials_count_before_its_nodes(tmp_path):
    write_parts(BALL, THIRDS, tmp_path / "a.glb")
    mesh = load_mesh(tmp_path / "a.glb")
    labels = (mesh.triangles_center[:, 2] > 0).astype(int)
    write_with_materials(tmp_path / "a.glb", mesh, labels, tmp_path / "kept.glb")
    assert np.array_equal(read_parts(tmp_path / "kept.glb").labels, labels)


@pytest.mark.parametrize("bare", ["a.npy", "a.json"])
@pytest.mark.parametrize("other", ["a.glb", "a.obj"])
def test_labels_alone_are_not_taken_for_faces_in_another_order(tmp_path, bare, other):
    for name in (bare, other): write_parts(BALL, THIRDS, tmp_path / name)
    for files in ((bare, other), (other, bare)):
        with pytest.raises(MismatchError, match="order of the parts"):
            compare_files(*(tmp_path / name for name in files))


@pytest.mark.parametrize("name, text", [
    ("a.json", '{"mesh": "", "labels": "0*99999999999", "faces": 99999999999, "parts": []}'),
    ("a.json", '{"mesh": "", "labels": "0*9", "faces": 8, "parts": []}'), ("a.json", "["*100_000),
    ("a.json", '{"mesh": "", "labels": "99999999999999999999*1", "parts": []}'), ("a.json", "{}"),
    ("a.json", "[1]"), ("a.json", '{"labels": "x", "parts": [], "mesh": ""}'), ("a.npy", "no array"),
    ("missing.glb", None)])
def test_files_without_parts_are_named(tmp_path, name, text):
    if text: (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=name): read_parts(tmp_path / name)


def test_an_array_that_is_longer_than_its_file_or_an_archive_is_named(tmp_path):
    header = {"descr": "<i4", "fortran_order": False, "shape": (10**13,)}
    with open(tmp_path / "long.npy", "wb") as file: np.lib.format.write_array_header_1_0(file, header)
    with open(tmp_path / "archive.npy", "wb") as file: np.savez(file, THIRDS)
    for name in ("long.npy", "archive.npy"):
        with pytest.raises(InputError, match=name): read_parts(tmp_path / name)


def test_a_mesh_is_read_by_a_child_process(tmp_path, monkeypatch):
    write_parts(BALL, THIRDS, tmp_path / "a.glb")
    monkeypatch.setattr("sdf_dino.geometry.loading._read", None)     # in this process
    assert len(read_parts(tmp_path / "a.glb").labels) == len(THIRDS)


def test_a_mesh_without_parts_and_labels_of_another_are_named(tmp_path):
    BALL.export(tmp_path / "a.stl")
    with pytest.raises(InputError, match="names no parts"): read_parts(tmp_path / "a.stl")
    np.save(tmp_path / "a.labels.npy", np.zeros(5, int))
    with pytest.raises(MismatchError, match="5 labels"): read_parts(tmp_path / "a.stl")


@pytest.mark.slow
def test_exit_codes_tell_a_pipeline_what_changed(tmp_path):
    write_parts(BALL, THIRDS, tmp_path / "a.glb")
    write_parts(BALL, np.where(THIRDS == 2, 1, THIRDS), tmp_path / "b.glb")
    files = {name: tmp_path / f"{name}.glb" for name in ("a", "b", "gone")}
    assert run("sdf_dino", "diff", files["a"], files["a"], check=False).returncode == 0
    changed = run("sdf_dino", "diff", files["a"], files["b"], "--json", check=False)
    assert changed.returncode == 1 and json.loads(changed.stdout)["changes"][0]["kind"] == "joined"
    failed = run("sdf_dino", "diff", files["a"], files["gone"], check=False)
    assert failed.returncode == 2 and "does not exist" in failed.stderr
