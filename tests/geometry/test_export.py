"What each format holds when it is read back, and materials that are kept"
import base64
import json
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
import trimesh
from trimesh.visual.material import PBRMaterial

from sdf_dino.core.errors import ParameterError
from sdf_dino.core.plotting import part_colors
from sdf_dino.geometry import export
from sdf_dino.geometry.loading import load_mesh
from sdf_dino.geometry.part_tree import PartTree
from sdf_dino.geometry.tree_export import write_tree

LABELS = np.array([3, 0, 0, 3, 1, 1, 1, 3, 0, 0, 1, 3])


@pytest.fixture
def box():
    "A long box far from the origin: single precision would change it"
    return trimesh.creation.box((2e3, 1, 1e-3)).apply_translation([1e5 + 1/3, 0, 0])


def test_labels_of_a_wrong_length_are_refused(box):
    with pytest.raises(ParameterError, match="12 faces"): export.part_meshes(box, LABELS[:5])


def test_a_ply_is_read_back_to_the_last_bit(box, tmp_path):
    export.write_parts(box, LABELS, tmp_path / "box.ply")
    back = trimesh.load(tmp_path / "box.ply", process=False)
    assert np.array_equal(back.vertices, box.vertices) and np.array_equal(back.faces, box.faces)
    assert np.array_equal(back.visual.face_colors[:, :3], part_colors(LABELS))


def test_a_glb_shows_the_part_colours_on_the_screen(box):
    data = export.glb_bytes(box, LABELS)
    tree = json.loads(data[20:20 + int.from_bytes(data[12:16], "little")])
    assert {node["name"] for node in tree["nodes"]} >= {"part_0", "part_1", "part_3"}
    for material in tree["materials"]:
        linear = np.array(material["pbrMetallicRoughness"]["baseColorFactor"][:3])
        screen = np.where(linear <= .0031308, 12.92*linear, 1.055*linear**(1/2.4) - .055)*255
        assert np.allclose(screen, part_colors(int(material["name"][5:])), atol=1e-6)


def test_an_obj_has_exact_vertices_faces_and_colours(box, tmp_path):
    obj, mtl = export.obj_text(box, LABELS, "box.mtl")
    vertices = [line.split()[1:] for line in obj.splitlines() if line.startswith("v ")]
    assert np.array_equal(np.array(vertices, float), box.vertices)
    for name, lines in re.findall(r"o \w+\nusemtl (\w+)\n((?:f .*\n)+)", obj):
        faces = np.array([line.split()[1:] for line in lines.splitlines()], int) - 1
        assert np.array_equal(faces, box.faces[LABELS == int(name[5:])])
    for name, color in re.findall(r"newmtl (\w+)\nKd (.*)", mtl):
        found = np.round(np.array(color.split(), float)*255)
        assert np.array_equal(found, part_colors(int(name[5:])))


def test_trimesh_reads_the_parts_of_an_obj(box, tmp_path):
    export.write_parts(box, LABELS, tmp_path / "box.obj")
    scene = trimesh.load_scene(tmp_path / "box.obj", split_object=True, process=False)
    assert len(scene.geometry) == 3
    for piece in scene.geometry.values():
        part = int(piece.visual.material.name.removeprefix("part_"))
        assert np.array_equal(piece.visual.material.diffuse[:3], part_colors(part))
        assert np.array_equal(piece.triangles, box.triangles[LABELS == part])


def test_a_page_holds_every_part_with_its_colour(box):
    page, plot = export.html_text(box, LABELS), export.view_parts(box, LABELS)
    plot.load_binary_snapshot(base64.b64decode(re.search(r"var data = '([^']+)'", page)[1]))
    for item in plot.objects:
        part = int(item.name.removeprefix("part_"))
        rgb = [item.color >> 16, item.color >> 8 & 255, item.color & 255]
        assert rgb == part_colors(part).tolist()
        assert len(item.indices) == (LABELS == part).sum()


def test_a_picture_shows_more_than_one_colour(tmp_path):
    export.write_parts(trimesh.creation.box(), LABELS, tmp_path / "box.png")
    picture = plt.imread(tmp_path / "box.png")
    assert len(np.unique(picture.reshape(-1, picture.shape[2]).round(1), axis=0)) > 3


@pytest.mark.parametrize("name, word", [
    ("box.stl", r"\*\.ply"), ("box.features.npy", "labels.npy")])
def test_a_target_that_cannot_hold_labels_is_refused(box, tmp_path, name, word):
    with pytest.raises(ParameterError, match=word): export.write_parts(box, LABELS, tmp_path / name)


def textured_scene(path):
    "Two meshes with materials of their own, as a GLB"
    scene = trimesh.Scene()
    pieces = {"leg": (trimesh.creation.box(), [9, 99, 199, 255]),
              "seat": (trimesh.creation.icosphere(1), [255, 0, 0, 255])}
    for name, (mesh, color) in pieces.items():
        material = PBRMaterial(name=name, baseColorFactor=color)
        mesh.visual = trimesh.visual.TextureVisuals(material=material)
        scene.add_geometry(mesh, geom_name=name)
    path.write_bytes(scene.export(file_type="glb"))
    return path


def test_a_scene_of_the_same_format_is_copied_byte_by_byte(tmp_path):
    source = textured_scene(tmp_path / "in.glb")
    written = export.write_scene(source, tmp_path / "out.glb")
    assert written.read_bytes() == source.read_bytes()


@pytest.mark.parametrize("name", ["a.obj", "out.ply"])
def test_a_format_that_would_lose_materials_is_refused(tmp_path, name):
    source = textured_scene(tmp_path / "in.glb")
    with pytest.raises(ParameterError, match=r"\*\.glb"):
        export.write_scene(source, tmp_path / name)


def test_labels_follow_their_faces_into_another_order(tmp_path):
    sphere, groups = trimesh.creation.icosphere(1), np.arange(80) % 3
    export.write_parts(sphere, groups, tmp_path / "sphere.obj")
    written = load_mesh(export.write_scene(tmp_path / "sphere.obj", tmp_path / "sphere.glb"))
    labels = export.transfer_labels(sphere, groups, written)
    for part in range(3):
        before, after = sphere.triangles[groups == part], written.triangles[labels == part]
        assert len(before) == len(after)
        assert np.allclose(before.mean((0, 1)), after.mean((0, 1)), atol=1e-6)


PLACES = pytest.mark.parametrize("shift, scale", [
    ((500_000, 5_200_000, 100), 1), ((0, 0, 0), 1e-20), ((0, 0, 0), 1e-6), ((0, 0, 0), 1e6), ((0, 0, 0), 1e20)])


def placed_ball(shift, scale):
    ball = trimesh.creation.icosphere(3, .5)
    return trimesh.Trimesh(ball.vertices*scale + shift, ball.faces, process=False)


def measure(mesh, scale):
    "Number of distinct vertices, and the volume in units of the scale"
    vertices = (mesh.vertices - mesh.bounds.mean(0))/scale
    return len(np.unique(mesh.vertices, axis=0)), trimesh.Trimesh(vertices, mesh.faces, process=False).volume


@PLACES
@pytest.mark.parametrize("name", ["ball.glb", "ball.ply", "ball.obj"])
def test_a_mesh_anywhere_comes_back_as_it_was(tmp_path, name, shift, scale):
    ball = placed_ball(shift, scale)
    export.write_parts(ball, (ball.triangles_center[:, 0] > shift[0]).astype(int), tmp_path / name)
    back = trimesh.load_scene(tmp_path / name, process=False).to_geometry()
    (count, volume), (_, volume_back) = measure(ball, scale), measure(back, scale)
    assert len(np.unique(back.vertices, axis=0)) == count
    assert np.isclose(volume, volume_back, rtol=1e-6)
    assert np.allclose(back.bounds, ball.bounds, rtol=0, atol=1e-6*scale)


@PLACES
def test_a_part_tree_anywhere_comes_back_as_it_was(tmp_path, shift, scale):
    ball = placed_ball(shift, scale)
    labels = (ball.triangles_center[:, 0] > shift[0]).astype(int)
    nested = {"name": "group_0", "height": 1., "children": [{"name": "part_0"}, {"name": "part_1"}]}
    tree = PartTree(np.array([[0, 1]]), np.array([1.]), 1.)
    write_tree(ball, labels, tree, nested, labels, tmp_path / "ball.tree.glb")
    back = trimesh.load_scene(tmp_path / "ball.tree.glb", process=False)
    assert back.graph.transforms.parents["part_0"] == "group_0"
    assert np.allclose(measure(back.to_geometry(), scale), measure(ball, scale), rtol=1e-6)


def test_the_offset_of_a_far_mesh_is_a_translation_of_a_node():
    ball = placed_ball((500_000, 5_200_000, 100), 1)
    data = export.glb_bytes(ball, np.zeros(len(ball.faces), int))
    nodes = json.loads(data[20:20 + int.from_bytes(data[12:16], "little")])["nodes"]
    (place,) = [node for node in nodes if node["name"] == "placement"]
    assert np.allclose(place["translation"], ball.bounds.mean(0)) and "matrix" not in place


@pytest.mark.parametrize("shift, scale", [((500_000, 5_200_000, 100), 1), ((0, 0, 0), 1e-20)])
def test_pictures_and_pages_of_a_mesh_anywhere_show_its_parts(tmp_path, shift, scale):
    ball = placed_ball(shift, scale)
    labels = (ball.triangles_center[:, 2] > shift[2]).astype(int)
    picture = plt.imread(export.write_parts(ball, labels, tmp_path / "ball.png")[0])
    assert len(np.unique((picture[..., :3]*255).astype(int).reshape(-1, 3), axis=0)) > 10
    pieces = export.view_parts(ball, labels).objects
    assert all(np.ptp(piece.vertices, axis=0).max() > .4 for piece in pieces)


def test_a_vertex_that_is_no_number_and_not_used_spoils_no_file(tmp_path):
    ball = trimesh.creation.icosphere(2)
    spare = trimesh.Trimesh([*ball.vertices, [np.nan]*3], ball.faces, process=False, validate=False)
    for name in ("a.glb", "a.png", "a.html", "a.json"):
        export.write_parts(spare, np.arange(len(ball.faces)) % 2, tmp_path / name)
    assert np.isclose(load_mesh(tmp_path / "a.glb").volume, ball.volume)
