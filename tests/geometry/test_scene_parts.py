"The scene of a file cut by part, read back: triangles, attributes, materials, nodes and what moves them"
import io

import numpy as np
import pytest
import trimesh
from gltf_files import BOX, BOX_FACES, GltfWriter, draco_file, meshopt_file
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from random_gltf import SCENE

from sdf_dino.core.errors import MismatchError, ParameterError
from sdf_dino.geometry.gltf_file import GltfFile
from sdf_dino.geometry.gltf_primitives import stored_primitive
from sdf_dino.geometry.loading import load_mesh
from sdf_dino.geometry.scene_parts import write_split_scene


def split(source, labels, names=None):
    "The file of the split scene, and what was lost"
    target = source.with_name("parts.glb")
    return target, write_split_scene(source, load_mesh(source), np.asarray(labels), target, names)


def part_of_faces(path):
    "The part that the name of its node gives each face of a file"
    spans = load_mesh(path).metadata["nodes"]
    return np.concatenate([np.full(n, int(name.rpartition("_")[2])) for name, _, n in spans])


def by_corners(triangles): return triangles[np.lexsort(triangles.reshape(len(triangles), -1).T.round(6))]


def assert_same_faces(source, target, labels):
    "Each part has the triangles that it had"
    before, after, found = load_mesh(source).triangles, load_mesh(target).triangles, part_of_faces(target)
    assert np.array_equal(np.bincount(found), np.bincount(labels))
    for part in np.unique(labels):
        assert np.allclose(by_corners(after[found == part]), by_corners(before[labels == part]), atol=1e-5)


def png(color):
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), color).save(buffer, "png")
    return buffer.getvalue()


def textured_box(file):
    "A box of two primitives with pictures of their own, and with every kind of attribute"
    writer, rng = GltfWriter(), np.random.default_rng(0)
    writer.tree["images"] = [{"bufferView": writer.view(png(c)), "mimeType": "image/png"} for c in ("red", "blue")]
    writer.tree["textures"] = [{"source": 0}, {"source": 1}]
    writer.tree["materials"] = [{"name": f"m{i}", "pbrMetallicRoughness": {"baseColorTexture": {"index": i}}}
                                for i in range(2)]
    attributes = {
        "POSITION": writer.accessor(BOX), "NORMAL": writer.accessor(rng.normal(size=(8, 3))),
        "TANGENT": writer.accessor(rng.normal(size=(8, 4))), "TEXCOORD_0": writer.accessor(rng.random((8, 2))),
        "TEXCOORD_1": writer.accessor(rng.integers(0, 65536, (8, 2)), "<u2", normalized=True),
        "COLOR_0": writer.accessor(rng.integers(0, 256, (8, 3)), "u1", stride=4, normalized=True),
        "_WEAR": writer.accessor(rng.random(8))}
    primitives = [{"attributes": attributes, "indices": writer.accessor(np.ravel(faces), "<u2"), "material": i}
                  for i, faces in enumerate((BOX_FACES[:6], BOX_FACES[6:]))]
    writer.node(mesh=writer.mesh(*primitives, name="box"), name="crate", extras={"id": 7})
    return writer.glb(file)


def corner_values(path):
    "For each material and triangle, what its corners hold: rows of all attributes by position"
    file = GltfFile(path)
    found = set()
    for mesh in file.tree["meshes"]:
        for primitive in mesh["primitives"]:
            faces, rows = stored_primitive(file, primitive)
            for face in faces:
                values = tuple((name, tuple(rows[name][corner])) for name in sorted(rows) for corner in face)
                found.add((primitive.get("material"), values))
    return found


def test_all_attributes_materials_and_pictures_survive(tmp_path):
    source, labels = textured_box(tmp_path / "in.glb"), np.array([0, 1, 2] * 4)
    target, lost = split(source, labels)
    before, after = GltfFile(source).tree, GltfFile(target).tree
    assert corner_values(target) == corner_values(source) and lost == []
    for key in ("materials", "textures"): assert after[key] == before[key]
    for color in ("red", "blue"): assert target.read_bytes().count(png(color)) == 1
    crate = next(node for node in after["nodes"] if node.get("name") == "crate")
    parts = [after["nodes"][child] for child in crate["children"]]
    assert [part["name"] for part in parts] == ["crate part_0", "crate part_1", "crate part_2"]
    assert [part["extras"]["part"] for part in parts] == [0, 1, 2] and crate["extras"] == {"id": 7}
    assert_same_faces(source, target, labels)


def test_vertices_are_there_twice_only_where_parts_meet(tmp_path):
    source = textured_box(tmp_path / "in.glb")
    target, _ = split(source, np.repeat([0, 1], 6))           # along the border of the primitives
    tree = GltfFile(target).tree
    counts = [tree["accessors"][p["attributes"]["POSITION"]]["count"] for m in tree["meshes"] for p in m["primitives"]]
    assert counts == [len(np.unique(BOX_FACES[:6])), len(np.unique(BOX_FACES[6:]))]


def test_trimesh_reads_pictures_coordinates_and_colours(tmp_path):
    source, labels = textured_box(tmp_path / "in.glb"), np.array([0, 1, 2] * 4)
    target, _ = split(source, labels)
    before, after = (trimesh.load_scene(path, process=False) for path in (source, target))
    assert np.isclose(after.area, before.area) and len(after.geometry) == 6
    coordinates = {tuple(row) for mesh in before.geometry.values() for row in np.c_[mesh.vertices, mesh.visual.uv]}
    for mesh in after.geometry.values():
        assert {tuple(row) for row in np.c_[mesh.vertices, mesh.visual.uv]} <= coordinates
        assert mesh.visual.material.baseColorTexture.getpixel((0, 0)) in [(255, 0, 0), (0, 0, 255)]


def shared_box(file):
    "Two nodes that share a box, the second mirrored, with a child that shares it too"
    writer = GltfWriter()
    mesh = writer.mesh(writer.box_primitive(), name="box")
    child = writer.node(in_scene=False, mesh=mesh, translation=[0, 3, 0], name="child")
    writer.node(mesh=mesh, name="left")
    writer.node(mesh=mesh, name="right", children=[child], scale=[-1, 1, 2], translation=[3, 0, 0])
    return writer.glb(file)


def test_mirrored_nodes_and_their_children_keep_their_places(tmp_path):
    source, labels = shared_box(tmp_path / "in.glb"), np.arange(36) % 5
    target, _ = split(source, labels)
    assert_same_faces(source, target, labels)
    before, after = load_mesh(source), load_mesh(target)
    assert np.isclose(after.volume, before.volume) and np.isclose(after.area, before.area)
    assert np.isclose(trimesh.load_scene(target).to_mesh().area, before.area)


def test_copies_of_a_mesh_stay_shared_where_they_are_cut_alike(tmp_path):
    source = shared_box(tmp_path / "in.glb")
    for labels, n_meshes in ((np.repeat([0, 1, 2], 12), 1), (np.tile(np.repeat([0, 1], 6), 3), 2),
                             (np.r_[np.repeat([0, 1], 6), np.repeat([0, 1], 6)[::-1], np.full(12, 2)], 3),
                             (np.r_[np.repeat([0, 1], [3, 9]), np.repeat([0, 1], 6), np.full(12, 2)], 5)):
        target, _ = split(source, labels)
        assert len(GltfFile(target).tree["meshes"]) == n_meshes
        assert_same_faces(source, target, labels)


def test_instances_with_other_parts_become_nodes(tmp_path):
    writer = GltfWriter()
    scales = writer.accessor([[1, 1, 1], [-1, 1, 1], [2, 1, 1]])
    attributes = {"TRANSLATION": writer.accessor(3*np.eye(3)), "SCALE": scales, "_ID": writer.accessor(np.arange(3.))}
    writer.require("EXT_mesh_gpu_instancing")
    writer.node(mesh=writer.mesh(writer.box_primitive()), name="row", scale=[1, -1, 1],
                extensions={"EXT_mesh_gpu_instancing": {"attributes": attributes}})
    source, labels = writer.glb(tmp_path / "in.glb"), np.arange(36) // 9
    target, lost = split(source, labels)
    tree = GltfFile(target).tree
    assert_same_faces(source, target, labels)
    assert lost == ["_ID of instances is dropped"] and "extensionsRequired" not in tree
    assert np.isclose(trimesh.load_scene(target).to_mesh().area, load_mesh(source).area)


@settings(max_examples=60, deadline=None)
@given(SCENE, st.integers(0, 2**20), st.integers(1, 4))
def test_random_scenes_keep_the_triangles_of_each_part(tmp_path_factory, scene, seed, n_parts):
    source = scene[0].glb(tmp_path_factory.mktemp("random") / "in.glb")
    labels = np.random.default_rng(seed).integers(0, n_parts, len(scene[1]))
    target, _ = split(source, labels)
    before, after, found = load_mesh(source).triangles, load_mesh(target).triangles, part_of_faces(target)
    for part in np.unique(labels):       # a node keeps the order of its faces, and its parts come in order
        old, new = before[labels == part], after[found == part]
        assert len(old) == len(new) and np.isclose(old.sum(), new.sum(), rtol=1e-6, atol=1e-4)
        assert np.allclose(np.sort(old.ravel()), np.sort(new.ravel()), rtol=1e-6, atol=1e-5)


def test_joints_targets_and_their_animation_move_on(tmp_path):
    writer = GltfWriter()
    primitive = writer.box_primitive()
    primitive["targets"] = [{"POSITION": writer.sparse(None, BOX*[1, 0, 0])}]
    primitive["attributes"] |= {"JOINTS_0": writer.accessor(np.zeros((8, 4)), "u1"),
                                "WEIGHTS_0": writer.accessor(np.tile([1, 0, 0, 0], (8, 1)))}
    joint = writer.node(translation=[0, 5, 0], name="joint")
    writer.tree["skins"] = [{"joints": [joint]}]
    body = writer.node(mesh=writer.mesh(primitive, extras={"targetNames": ["wide"]}), skin=0, weights=[2.], name="body")
    times = {"input": writer.accessor([0., 1.]), "output": writer.accessor([0., 1.])}
    turn = {"input": times["input"], "output": writer.accessor([[0, 0, 0], [1, 0, 0]])}
    channels = [{"sampler": 0, "target": {"node": body, "path": "weights"}},
                {"sampler": 1, "target": {"node": joint, "path": "translation"}}]
    writer.tree["animations"] = [{"samplers": [times, turn], "channels": channels}]
    source, labels = writer.glb(tmp_path / "in.glb"), np.arange(12) // 6
    target, lost = split(source, labels)
    assert_same_faces(source, target, labels)
    tree = GltfFile(target).tree
    new = [i for i, node in enumerate(tree["nodes"]) if node.get("name", "").startswith("body part")]
    targets = [channel["target"] for channel in tree["animations"][0]["channels"]]
    assert [t["node"] for t in targets] == [*new, joint] and lost == []
    assert all(mesh["extras"] == {"targetNames": ["wide"]} for mesh in tree["meshes"])


def test_points_and_hidden_nodes_stay_what_they_are(tmp_path):
    writer = GltfWriter()
    points = {"attributes": {"POSITION": writer.accessor(BOX)}, "mode": 0}
    writer.node(mesh=writer.mesh(points, writer.box_primitive()), name="box")
    hidden = {"KHR_node_visibility": {"visible": False}}
    writer.node(mesh=writer.mesh(writer.box_primitive()), name="off", extensions=hidden)
    source, labels = writer.glb(tmp_path / "in.glb"), np.arange(12) // 6
    target, _ = split(source, labels)
    tree = GltfFile(target).tree
    box, off = (next(node for node in tree["nodes"] if node.get("name") == name) for name in ("box", "off"))
    assert_same_faces(source, target, labels)
    assert [p["mode"] for p in tree["meshes"][box["mesh"]]["primitives"]] == [0] and "mesh" in off


@pytest.mark.parametrize("package, writer", [("DracoPy", draco_file), ("meshopt", meshopt_file)])
def test_compressed_meshes_are_cut_and_written_plain(tmp_path, package, writer):
    pytest.importorskip(package)
    source, labels = writer().glb(tmp_path / "in.glb"), np.arange(12) // 4
    target, _ = split(source, labels)
    assert_same_faces(source, target, labels)
    assert not {"KHR_draco_mesh_compression", "EXT_meshopt_compression"} & set(
        GltfFile(target).tree.get("extensionsRequired", []))


def test_nothing_is_left_over_and_unknown_extensions_keep_their_arrays(tmp_path):
    source, labels = textured_box(tmp_path / "in.glb"), np.array([0, 1, 2] * 4)
    target, _ = split(source, labels)
    n_accessors = len(GltfFile(target).tree["accessors"])
    assert n_accessors == 6*8          # six primitives, seven attributes and corners each
    assert len(GltfFile(target).tree["bufferViews"]) == n_accessors + 2         # and two pictures
    writer = GltfWriter()
    writer.node(mesh=writer.mesh(writer.box_primitive()), name="box")
    writer.tree["extensionsUsed"] = ["ACME_outline"]
    source = writer.glb(tmp_path / "in.glb")
    target, _ = split(source, labels)
    assert GltfFile(target).tree["accessors"][:2] == GltfFile(source).tree["accessors"]


OBJ = "mtllib a.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nvt 0 0\nvt 1 0\nvt 0 1\no tip\nusemtl wood\n" \
      "f 1/1 3/2 2/3\nf 1/1 2/2 4/3\nusemtl plain\nf 1/1 4/2 3/3\nf 2/1 3/2 4/3\n"


def test_an_obj_keeps_its_materials_and_what_is_lost_is_said(tmp_path):
    Image.new("RGB", (2, 2), "red").save(tmp_path / "wood.png")
    (tmp_path / "a.mtl").write_text("newmtl wood\nmap_Kd wood.png\nmap_Bump b.png\nnewmtl plain\nKd 0 1 0\n")
    (tmp_path / "a.obj").write_text(OBJ)
    target, lost = split(tmp_path / "a.obj", [0, 1, 0, 1])
    assert_same_faces(tmp_path / "a.obj", target, np.array([0, 1, 0, 1]))
    meshes = trimesh.load_scene(target, process=False).geometry.values()
    pictures = [mesh.visual.material.baseColorTexture for mesh in meshes]
    assert sorted(p is None for p in pictures) == [False, False, True, True] and len(lost) == 1 and "bump" in lost[0]


def test_names_of_parts_are_those_of_nodes(tmp_path):
    target, _ = split(shared_box(tmp_path / "in.glb"), np.zeros(36, int), {0: "seat"})
    assert [name for name, *_ in load_mesh(target).metadata["nodes"]] == ["left seat", "right seat", "child seat"]


def test_labels_of_another_mesh_and_other_formats_are_refused(tmp_path):
    source = shared_box(tmp_path / "in.glb")
    with pytest.raises(MismatchError, match="36 triangles"): split(source, np.zeros(24, int))
    with pytest.raises(ParameterError, match=r"\*\.glb"):
        write_split_scene(source, load_mesh(source), np.zeros(36, int), tmp_path / "a.ply")
