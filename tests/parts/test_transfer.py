"Labels carried to other meshes of one shape: resolutions, a noisy scan, turned normals; other shapes are refused"
from pathlib import Path

import numpy as np
import pytest
import trimesh

from sdf_dino.core.errors import MismatchError, ParameterError
from sdf_dino.geometry.export import write_parts
from sdf_dino.geometry.loading import load_mesh
from sdf_dino.parts.labelled_parts import LabelledParts, read_parts, write_named_parts
from sdf_dino.parts.transfer import transfer_parts
from sdf_dino.parts.transfer_command import transfer_command


def dumbbell(detail):
    "Two balls on a rod, its faces and their true parts; in all resolutions the same shape within a percent"
    half = np.linspace(0, np.pi, detail + 1)
    ball = np.c_[.3*np.sin(half), .3*np.cos(half)]
    outline = np.r_[ball[ball[:, 0] > .1 - 1e-9] + [0, 1], np.c_[np.full(detail, .1), np.linspace(.7, -.7, detail)]]
    outline = np.r_[[[0, 1.3]], outline[1:], ball[ball[:, 0] > .1 - 1e-9] - [0, 1], [[0, -1.3]]]
    mesh = trimesh.creation.revolve(outline[::-1], sections=4*detail)
    return mesh, true_parts(mesh)


def true_parts(mesh):
    z = mesh.triangles_center[:, 2]
    return np.where(z > .7, 1, np.where(z < -.7, 2, 0))


def right_share(mesh, found): return (found == true_parts(mesh)) @ mesh.area_faces / mesh.area


@pytest.fixture(scope="module")
def middle():
    mesh, labels = dumbbell(20)
    return LabelledParts(Path("a.glb"), labels, {0: "rod", 1: "top", 2: "bottom"}, mesh)


def test_the_same_faces_keep_their_labels(middle):
    found, report = transfer_parts(middle, middle.mesh)
    assert np.array_equal(found, middle.labels) and report["max"] < 1e-6 and not report["warnings"]


def test_a_thousand_faces_take_the_parts_of_many(middle):
    mesh = dumbbell(7)[0]
    assert len(mesh.faces) < 1200
    assert right_share(mesh, transfer_parts(middle, mesh)[0]) > .97


@pytest.mark.slow
def test_a_hundred_thousand_faces_take_the_parts_of_few():
    coarse, labels = dumbbell(7)
    parts = LabelledParts(Path("a.glb"), labels, {p: str(p) for p in range(3)}, coarse)
    fine = dumbbell(90)[0]
    assert len(fine.faces) > 90_000
    assert right_share(fine, transfer_parts(parts, fine)[0]) > .97


def test_a_noisy_scan_with_holes_takes_the_parts(middle):
    rng, (mesh, _) = np.random.default_rng(0), dumbbell(30)
    kept = rng.random(len(mesh.faces)) > .1
    scan = trimesh.Trimesh(mesh.vertices + rng.normal(0, .008, mesh.vertices.shape), mesh.faces[kept])
    found, report = transfer_parts(middle, scan)
    assert right_share(scan, found) > .97 and .001 < report["median"] < .01


def test_a_scan_whose_normals_point_inward_is_turned_round(middle):
    mesh = middle.mesh.copy()
    mesh.invert()
    found, report = transfer_parts(middle, mesh)
    assert right_share(mesh, found) == right_share(middle.mesh, middle.labels) and "other way" in report["warnings"][0]


def test_both_sides_of_a_thin_wall_stay_apart():
    wall = trimesh.creation.box((1, 1, .01)).subdivide().subdivide()
    labels = (wall.face_normals[:, 2] > .5).astype(int)
    noisy = wall.subdivide()
    noisy.vertices += np.random.default_rng(0).normal(0, .004, noisy.vertices.shape)
    found, _ = transfer_parts(LabelledParts(Path("w"), labels, {0: "a", 1: "b"}, wall), noisy)
    smooth = wall.subdivide()
    flat = np.abs(smooth.face_normals[:, 2]) > .5
    assert (found == (smooth.face_normals[:, 2] > .5))[flat].mean() > .95


@pytest.mark.parametrize("factor, words", [(1000, "differ by 1000"), (.0254, "differ by 39.37"), (3.3, "one unit")])
def test_another_unit_is_refused_with_figures(middle, factor, words):
    mesh = trimesh.Trimesh(middle.mesh.vertices*factor, middle.mesh.faces)
    with pytest.raises(MismatchError, match=words) as error: transfer_parts(middle, mesh)
    assert f"{factor:.3g} times" in str(error.value)


def test_another_place_is_refused_and_more_is_allowed_on_demand(middle):
    mesh = middle.mesh.copy().apply_translation((3, 0, 0))
    with pytest.raises(MismatchError, match="median"): transfer_parts(middle, mesh)
    assert set(transfer_parts(middle, mesh, 10)[0]) <= {0, 1, 2}


def test_what_lies_beside_the_parts_and_what_is_lost_is_said(middle):
    top = middle.mesh.submesh([middle.labels != 2], append=True)
    extra = trimesh.util.concatenate([top, trimesh.creation.box((.2, .2, .2)).apply_translation((1, 0, 0))])
    warnings = transfer_parts(middle, extra)[1]["warnings"]
    assert "far from the parts" in warnings[0] and "is not there" in warnings[1]
    assert warnings[2] == "no face is left of bottom"


def test_labels_without_a_mesh_are_refused(middle):
    with pytest.raises(MismatchError, match="without a mesh"):
        transfer_parts(LabelledParts(Path("a.npy"), middle.labels, middle.names), middle.mesh)


def test_numbers_names_and_colours_reach_the_file(middle, tmp_path):
    labels = np.array([0, 3, 7])[middle.labels]
    write_named_parts(middle.mesh, labels, {0: "rod", 3: "part_3", 7: "part_7"}, tmp_path / "a.glb")
    dumbbell(10)[0].export(tmp_path / "b.obj")
    row = transfer_command(tmp_path / "a.glb", tmp_path / "b.obj", [tmp_path / "c.glb", tmp_path / "c.json"])
    assert row["parts"] == 3 and read_parts(tmp_path / "c.glb").names == {0: "rod", 1: "part_3", 2: "part_7"}
    write_named_parts(middle.mesh, labels, {}, tmp_path / "a.glb")
    transfer_command(tmp_path / "a.glb", tmp_path / "b.obj", [tmp_path / "c.glb"], force=True)
    assert sorted(read_parts(tmp_path / "c.glb").names) == [0, 3, 7]
    before, after = (trimesh.load_scene(tmp_path / name).geometry["part_7"] for name in ("a.glb", "c.glb"))
    assert np.array_equal(before.visual.material.baseColorFactor, after.visual.material.baseColorFactor)


def test_files_are_neither_read_and_written_nor_overwritten_unasked(middle, tmp_path):
    write_named_parts(middle.mesh, middle.labels, {}, tmp_path / "a.glb")
    middle.mesh.export(tmp_path / "b.stl")
    with pytest.raises(ParameterError, match="never overwritten"):
        transfer_command(tmp_path / "a.glb", tmp_path / "b.stl", [tmp_path / "a.glb"], force=True)
    (tmp_path / "c.glb").touch()
    with pytest.raises(ParameterError, match="exists already"):
        transfer_command(tmp_path / "a.glb", tmp_path / "b.stl", [tmp_path / "c.glb"])
    assert len(load_mesh(tmp_path / "b.stl").faces) == len(middle.mesh.faces)


def test_neither_the_mesh_of_a_table_nor_labels_beside_the_source_are_overwritten(middle, tmp_path):
    for name in ("a.ply", "b.ply"): middle.mesh.export(tmp_path / name)
    write_parts(load_mesh(tmp_path / "a.ply"), middle.labels, tmp_path / "a.json")
    np.save(tmp_path / "a.labels.npy", middle.labels)
    for source, out in (("a.json", "a.ply"), ("a.ply", "a.labels.npy")):
        before = (tmp_path / out).read_bytes()
        with pytest.raises(ParameterError, match="never overwritten"):
            transfer_command(tmp_path / source, tmp_path / "b.ply", [tmp_path / out], force=True)
        assert (tmp_path / out).read_bytes() == before


@pytest.mark.parametrize("name", ["a.glb", "a.obj", "a.json"])
def test_names_reach_every_format_that_has_them(middle, tmp_path, name):
    write_named_parts(middle.mesh, middle.labels, middle.names, tmp_path / name)
    assert sorted(read_parts(tmp_path / name).names.values()) == ["bottom", "rod", "top"]


@pytest.mark.parametrize("name", ["a.confidence.npy", "a.features.npy", "a.tree.json"])
def test_files_of_other_content_are_refused_before_work(tmp_path, name):
    with pytest.raises(ParameterError, match="other than parts"):
        transfer_command(tmp_path / "a.glb", tmp_path / "b.stl", [tmp_path / name])


@pytest.mark.parametrize("distance", [float("nan"), -1.])
def test_a_distance_that_is_none_is_refused(middle, distance):
    with pytest.raises(ParameterError, match="max_distance"):
        transfer_parts(middle, middle.mesh, distance)
