"Closed parts in files"
import numpy as np
import pytest
import trimesh

from sdf_dino.geometry.solid_export import check_solids, separate_vertices, write_solids

PARTS = {i: trimesh.creation.icosphere(2, .3).apply_translation([i, 0, 0]) for i in (0, 2)}


@pytest.mark.parametrize("name", ["parts.glb", "parts.obj", "parts.ply", "folder"])
def test_solids_far_from_the_origin_are_closed_in_the_file(tmp_path, name):
    far = {i: part.copy().apply_translation([500_000, 5_200_000, 100]) for i, part in PARTS.items()}
    assert check_solids(far, write_solids(far, tmp_path / name)) == []


def test_solids_that_a_file_has_rounded_are_not_called_closed(tmp_path):
    files = write_solids(PARTS, tmp_path / "parts.ply")
    rounded = trimesh.load(files[0], process=False)
    rounded.vertices = rounded.vertices.round(1)
    rounded.export(files[0])
    assert check_solids(PARTS, files)


def test_nodes_keep_the_numbers_of_their_parts(tmp_path):
    assert sorted(trimesh.load_scene(write_solids(PARTS, tmp_path / "a.glb")[0]).geometry) == ["part_0", "part_2"]


def test_a_folder_keeps_the_files_that_the_call_did_not_write(tmp_path):
    (tmp_path / "part_7.ply").touch()
    assert [file.name for file in write_solids(PARTS, tmp_path)] == ["part_0.ply", "part_2.ply"]
    assert (tmp_path / "part_7.ply").exists()


@pytest.mark.parametrize("gap", [0., 1e-9])
def test_a_solid_that_touches_itself_is_closed_where_near_vertices_are_merged(tmp_path, gap):
    boxes = [trimesh.creation.box((1, 1, 1)), trimesh.creation.box((1, 1, 1)).apply_translation([1 + gap, 1, 0])]
    apart = separate_vertices({0: trimesh.util.concatenate(boxes)})
    node, = trimesh.load_scene(write_solids(apart, tmp_path / "parts.glb")[0]).geometry.values()
    merged = trimesh.Trimesh(node.vertices, node.faces)     # what lies within 1e-8 is one vertex
    assert merged.is_watertight and abs(merged.volume - 2) < 1e-4


def test_needles_whose_normals_cancel_come_apart_too():
    corners = np.random.default_rng(0).normal(size=(3, 3))
    needles = trimesh.Trimesh(np.vstack([corners, corners]), [[0, 1, 2], [2, 1, 0], [3, 4, 5], [5, 4, 3]], process=False)
    apart, = separate_vertices({0: needles}).values()
    assert len(np.unique(apart.vertices.astype(np.float32), axis=0)) == 6
