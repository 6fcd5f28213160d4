"glTF by its specification: every feature gives the true triangles, is listed in the notes, or is refused by name"
import json
import unicodedata
from urllib.parse import quote

import numpy as np
import pytest
import trimesh
from gltf_files import BOX, BOX_FACES, FLOAT, GltfWriter, box_file

from sdf_dino.core.sandbox import Sandbox
from sdf_dino.geometry.export import write_with_materials
from sdf_dino.geometry.gltf_file import GltfFile
from sdf_dino.geometry.loading import load_mesh, load_mesh_sandboxed
from sdf_dino.geometry.validation import MeshRejected


def bounds(mesh): return mesh.bounds.round(4).tolist()


def is_box(mesh, n=1): return len(mesh.faces) == 12 * n and mesh.is_watertight and np.isclose(mesh.volume, n, atol=1e-3)


def refusal(path):
    "Reason and message of the error that a file ends with"
    with pytest.raises(MeshRejected) as caught: load_mesh(path)
    return caught.value.reason, str(caught.value)


@pytest.fixture
def file(tmp_path): return tmp_path / "a.glb"


# --- accessors

@pytest.mark.parametrize("dtype, scale", [("i1", 127), ("u1", 255), ("<i2", 32767), ("<u2", 65535)])
@pytest.mark.parametrize("normalized", [True, False])
def test_quantised_positions_are_whole_or_normalised(file, dtype, scale, normalized):
    low = 0 if "u" in dtype else -1
    writer = GltfWriter()
    writer.require("KHR_mesh_quantization")
    stored = np.where(BOX > 0, scale, low * scale)
    accessor = writer.accessor(stored, dtype, stride=8, normalized=normalized)
    mesh = writer.mesh(writer.box_primitive(accessor))
    size = 1 if normalized else scale
    for x in (0, 3 * size): writer.node(mesh=mesh, scale=[1 / (1 - low)] * 3, translation=[x, 0, 0])
    mesh = load_mesh(writer.glb(file))
    assert is_box(trimesh.Trimesh(mesh.vertices / size, mesh.faces, process=False), 2)
    assert np.allclose(mesh.bounds[:, 0] / size, [low / 2, 4 + low / 2], atol=1e-3)


@pytest.mark.parametrize("index_type", ["u1", "<u2", "<u4"])
@pytest.mark.parametrize("is_based", [True, False])
def test_sparse_accessors_replace_rows_of_their_base_or_of_zeros(file, index_type, is_based):
    tall = BOX + [0, 0, 5] * (BOX[:, 2:] > 0)
    writer = GltfWriter()
    positions = writer.sparse(BOX if is_based else None, tall, index_type=index_type)
    writer.node(mesh=writer.mesh(writer.box_primitive(positions)))
    mesh = load_mesh(writer.glb(file))
    assert bounds(mesh) == [[-.5, -.5, -.5], [.5, .5, 5.5]] and np.isclose(mesh.volume, 6)


def test_an_accessor_without_a_view_holds_zeros(file):
    writer = box_file()
    targets = [{"POSITION": writer._add("accessors", {"componentType": 5126, "count": 8, "type": "VEC3"})}]
    writer.tree["meshes"][0]["primitives"][0]["targets"] = targets
    writer.tree["meshes"][0]["weights"] = [1]
    assert is_box(load_mesh(writer.glb(file)))


@pytest.mark.parametrize("index_type", ["u1", "<u2", "<u4"])
@pytest.mark.parametrize("offset, stride", [(0, 12), (4, 16), (2, 24), (12, 252)])
def test_rows_may_be_interleaved_and_indices_of_any_size(file, index_type, offset, stride):
    writer = GltfWriter()
    primitive = writer.box_primitive(writer.accessor(BOX, stride=stride, offset=offset))
    primitive["indices"] = writer.accessor(BOX_FACES.ravel(), index_type, offset=offset)
    writer.node(mesh=writer.mesh(primitive))
    assert np.array_equal(load_mesh(writer.glb(file)).triangles, BOX[BOX_FACES])


# --- primitives

def test_fans_and_strips_are_triangles_too(file):
    writer = box_file()
    strip = [0, 1, 2, 3, 6, 7, 4, 5]
    for mode, corners in ((6, [0, 1, 3, 2]), (5, strip), (4, BOX_FACES.ravel())):
        primitive = {"attributes": {"POSITION": 0}, "indices": writer.accessor(corners, "u1"), "mode": mode}
        writer.tree["meshes"][0]["primitives"].append(primitive)
    fan, stripped = [[1, 3, 0], [3, 2, 0]], [[0, 1, 2], [1, 3, 2], [2, 3, 6], [3, 7, 6], [6, 7, 4], [7, 5, 4]]
    faces = [*BOX_FACES.tolist(), *fan, *stripped, *BOX_FACES.tolist()]
    assert np.array_equal(load_mesh(writer.glb(file)).triangles, BOX[faces])


def test_the_largest_index_restarts_a_strip(file):
    writer = box_file()
    corners = writer.accessor([0, 1, 2, 255, 4, 5, 6, 255, 255, 3, 2, 1], "u1")
    writer.tree["meshes"][0]["primitives"][0] |= {"indices": corners, "mode": 5}
    assert np.array_equal(load_mesh(writer.glb(file)).triangles, BOX[[[0, 1, 2], [4, 5, 6], [3, 2, 1]]])


def test_a_primitive_without_indices_takes_its_vertices_in_order(file):
    writer = GltfWriter()
    primitive = {"attributes": {"POSITION": writer.accessor(BOX[BOX_FACES].reshape(-1, 3))}}
    writer.node(mesh=writer.mesh(primitive))
    assert np.array_equal(load_mesh(writer.glb(file)).triangles, BOX[BOX_FACES])


def test_what_holds_no_triangles_is_left_out_and_listed(file):
    writer = box_file(camera=0, extensions={"KHR_lights_punctual": {"light": 0}})
    primitives = writer.tree["meshes"][0]["primitives"]
    empty = writer._add("accessors", {"componentType": 5126, "count": 0, "type": "VEC3"})
    primitives += [{"attributes": {}}, {"attributes": {"POSITION": empty}},
                   *({**primitives[0], "mode": mode} for mode in range(4)),
                   {**primitives[0], "indices": writer.accessor([0, 1, 3, 5], "u1")}]
    writer.node(in_scene=False, mesh=0)
    writer.tree["extensionsUsed"] = ["ACME_sparkle", "KHR_materials_clearcoat", "KHR_lights_punctual"]
    writer.tree |= {"cameras": [{"type": "perspective"}], "animations": [{}]}
    mesh = load_mesh(writer.glb(file))
    assert len(mesh.faces) == 13
    assert sorted(mesh.metadata["notes"]) == [
        "animations ignored: 1", "cameras ignored: 1", "empty primitives ignored: 2", "extension ACME_sparkle ignored",
        "incomplete triangles ignored: 1", "lights ignored: 1", "meshes that the scene does not show ignored: 1",
        "primitives of points or lines ignored: 4"]


def test_one_empty_primitive_does_not_lose_the_file(file):
    writer = box_file()
    writer.node(mesh=writer.mesh({"attributes": {}}))
    assert is_box(load_mesh(writer.glb(file)))


def test_points_alone_are_refused_by_what_they_are(file):
    writer = box_file()
    writer.tree["meshes"][0]["primitives"][0]["mode"] = 0
    reason, message = refusal(writer.glb(file))
    assert reason == "no-triangles" and "points or lines" in message


def test_many_primitives_may_share_one_array_of_vertices(file):
    writer = GltfWriter()
    positions = writer.accessor(np.tile(BOX, (500, 1)))
    parts = [writer.box_primitive(positions, BOX_FACES + 8 * (i % 500)) for i in range(1000)]
    writer.node(mesh=writer.mesh(*parts))
    mesh = load_mesh(writer.glb(file))
    assert len(mesh.faces) == 12_000 and len(mesh.vertices) == 8_000


# --- nodes

def test_a_matrix_and_its_parts_place_a_node_alike(file):
    writer = box_file(translation=[1, 2, 3], rotation=[0, 0, np.sqrt(.5), np.sqrt(.5)], scale=[1, 4, 2])
    writer.node(mesh=0, matrix=[0, 1, 0, 0, -4, 0, 0, 0, 0, 0, 2, 0, 1, 2, 3, 1])
    mesh = load_mesh(writer.glb(file))
    assert np.allclose(mesh.triangles[:12], mesh.triangles[12:]) and np.isclose(mesh.volume, 16)
    assert np.allclose(mesh.bounds, [[-1, 1.5, 2], [3, 2.5, 4]])


def test_a_mirrored_node_keeps_its_faces_outward(file):
    writer = box_file()
    child = writer.node(in_scene=False, mesh=0, translation=[2, 0, 0])
    writer.node(scale=[-1, 1, 1], children=[child])
    mesh = load_mesh(writer.glb(file))
    assert is_box(mesh, 2) and np.allclose(mesh.bounds[:, 0], [-2.5, .5])


def test_faces_come_in_the_order_of_the_file_with_the_names_of_nodes(file):
    writer = GltfWriter()
    names = ["zebra", "apple", "mango"]
    for x, name in enumerate(names):
        primitives = [writer.box_primitive(BOX + [3 * x, y, 0]) for y in (0, 5)]
        writer.node(name=name, mesh=writer.mesh(*primitives))
    inner = writer.node(in_scene=False, name="inner", mesh=0)
    writer.tree["nodes"][0]["children"] = [inner]
    mesh = load_mesh(writer.glb(file))
    spans = [["zebra", 0, 24], ["inner", 24, 24], ["apple", 48, 24], ["mango", 72, 24]]
    assert mesh.metadata["nodes"] == spans and mesh.metadata["up"] == "y"
    middles = mesh.triangles.reshape(-1, 36, 3).mean(1)
    assert middles[:, 0].round().tolist() == [0, 0, 0, 0, 3, 3, 6, 6] and middles[:, 1].round().tolist() == [0, 5] * 4


def test_instances_are_copies(file):
    writer = GltfWriter()
    writer.require("EXT_mesh_gpu_instancing")
    half = np.sqrt(.5)
    turned = np.round(np.array([[0, 0, 0, 1], [0, 0, half, half], [0, 0, 0, 1]]) * 127)
    attributes = {"TRANSLATION": writer.accessor(np.array([[0, 0, 0], [2, 0, 0], [4, 0, 0]])),
                  "ROTATION": writer.accessor(turned, "i1", normalized=True),
                  "SCALE": writer.accessor(np.array([[1, 1, 1], [1, 3, 1], [-1, 1, 1]])),
                  "_ID": writer.accessor([0, 1, 2], "u1")}
    writer.node(mesh=writer.mesh(writer.box_primitive()), translation=[0, 9, 0],
                extensions={"EXT_mesh_gpu_instancing": {"attributes": attributes}})
    mesh = load_mesh(writer.glb(file))
    assert len(mesh.faces) == 36 and np.isclose(mesh.volume, 5) and mesh.is_watertight
    assert np.allclose(mesh.bounds, [[-.5, 8.5, -.5], [4.5, 9.5, .5]])


def test_a_deep_tree_and_thousands_of_nodes_are_read_in_seconds(file):
    writer = box_file()
    for level in range(1500): writer.node(in_scene=False, children=[level], translation=[1, 0, 0])
    writer.tree["scenes"][0]["nodes"] = [1500]
    mesh = writer.mesh(*(writer.box_primitive(0) for _ in range(2)))
    for i in range(3000): writer.node(mesh=mesh, translation=[0, 2 * i, 0])
    mesh = load_mesh(writer.glb(file))
    assert len(mesh.faces) == 72_012 and np.allclose(mesh.bounds[1], [1500.5, 5998.5, .5])


@pytest.mark.parametrize("change, words", [
    (lambda t: t["nodes"].extend([{"children": [0]}, {"children": [0]}]), "several parents"),
    (lambda t: t["nodes"].extend([{"children": [2]}, {"children": [1]}]), "their own ancestors"),
    (lambda t: t["nodes"].append({"children": [0]}), "root of the scene and has a parent"),
    (lambda t: t["scenes"][0].update(nodes=[0, 0]), "twice"),
    (lambda t: t["scenes"][0].update(nodes=[7]), "nodes[7]"),
    (lambda t: t["nodes"][0].update(mesh=-1), "meshes[-1]"),
    (lambda t: t["nodes"][0].update(matrix=[1] * 15), "16 finite numbers"),
    (lambda t: t["nodes"][0].update(scale=[1, float("nan"), 1]), "3 finite numbers"),
    (lambda t: t["nodes"][0].update(matrix=[1, 0, 0, 5, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]), "not affine"),
    (lambda t: t["meshes"][0]["primitives"][0].update(mode=7), "mode 7"),
    (lambda t: t["accessors"][0].update(count=9), "accessor 0 reaches past"),
    (lambda t: t["accessors"][0].update(count=-1), "count is -1"),
    (lambda t: t["accessors"][0].update(count="8"), "count is '8'"),
    (lambda t: t["accessors"][0].update(byteOffset=4), "accessor 0 reaches past"),
    (lambda t: t["accessors"][0].update(componentType=5124), "5124"),
    (lambda t: t["accessors"][0].update(type="VEC4"), "no VEC3"),
    (lambda t: t["bufferViews"][0].update(byteStride=4), "overlap"),
    (lambda t: t["bufferViews"][0].update(byteLength=99_999), "reaches past its buffer"),
    (lambda t: t["bufferViews"][0].update(buffer=1), "buffers[1]"),
    (lambda t: t["accessors"][1].update(componentType=5126), "no whole numbers"),
    (lambda t: t.update(meshes=5), "meshes is no list"), (lambda t: t.update(nodes=[5]), "nodes is no list"),
    (lambda t: t["meshes"][0].update(primitives=[None]), "primitives is no list"),
    (lambda t: t["meshes"][0]["primitives"][0].update(attributes=[]), "attributes is no object")])
def test_broken_rules_are_named(file, change, words):
    writer = box_file()
    change(writer.tree)
    reason, message = refusal(writer.glb(file))
    assert reason == "malformed" and words in message


def test_an_index_beyond_the_vertices_is_refused(file):
    writer = GltfWriter()
    writer.node(mesh=writer.mesh(writer.box_primitive(faces=BOX_FACES + 1)))
    reason, message = refusal(writer.glb(file))
    assert reason == "bad-indices" and "vertex 8 of 8" in message


def test_transforms_that_overflow_are_refused(file):
    writer = box_file()
    for level in range(200): writer.node(in_scene=False, children=[level], scale=[100, 100, 100])
    writer.tree["scenes"][0]["nodes"] = [200]
    assert refusal(writer.glb(file))[0] == "non-finite"


# --- scenes

def test_the_default_scene_is_read_else_the_first_else_all_roots(file):
    writer = box_file()
    writer.node(in_scene=False, mesh=0, translation=[7, 0, 0])
    writer.tree["scenes"].append({"nodes": [1]})
    writer.tree["scene"] = 1
    second = load_mesh(writer.glb(file))
    assert bounds(second)[0][0] == 6.5 and "other scenes ignored: 1" in second.metadata["notes"]
    del writer.tree["scene"]
    assert bounds(load_mesh(writer.glb(file)))[0][0] == -.5
    del writer.tree["scenes"]
    both = load_mesh(writer.glb(file))
    assert is_box(both, 2) and both.metadata["notes"] == ["no scene: all nodes read"]


def test_hidden_nodes_are_left_out_with_their_children(file):
    writer = box_file()
    child = writer.node(in_scene=False, mesh=0, translation=[3, 0, 0])
    writer.node(children=[child], extensions={"KHR_node_visibility": {"visible": False}})
    mesh = load_mesh(writer.glb(file))
    assert is_box(mesh) and "hidden nodes ignored: 1" in mesh.metadata["notes"]


# --- morph targets and skins

def test_morph_targets_have_the_weights_of_the_node_or_of_the_mesh(file):
    writer = GltfWriter()
    top, side = (np.where(BOX[:, [axis]] > 0, np.eye(3)[axis], 0) for axis in (2, 0))
    primitive = writer.box_primitive()
    primitive["targets"] = [{"POSITION": writer.sparse(None, top)}, {"POSITION": writer.accessor(side)}, {"NORMAL": 0}]
    mesh = writer.mesh(primitive, weights=[2, 0, 1])
    writer.node(mesh=mesh)
    writer.node(mesh=mesh, weights=[0, 3, 0], translation=[9, 0, 0])
    mesh = load_mesh(writer.glb(file))
    assert np.isclose(mesh.volume, 3 + 4) and bounds(mesh) == [[-.5, -.5, -.5], [12.5, .5, 2.5]]


def skinned(joints, weights, **node):
    "A box whose vertices hang on two joints, the second at (0, 0, 1) and bound there"
    writer = GltfWriter()
    bind = np.tile(np.eye(4), (2, 1, 1))
    bind[1, 3, 2] = -1      # by columns
    primitive = writer.box_primitive()
    for slot, (joint, weight) in enumerate(zip(joints, weights)):
        primitive["attributes"][f"JOINTS_{slot}"] = writer.accessor(joint, "u1")
        primitive["attributes"][f"WEIGHTS_{slot}"] = writer.accessor(weight)
    mesh = writer.mesh(primitive)
    tip = writer.node(in_scene=False, name="tip", translation=[0, 0, 1])
    writer.node(name="root", children=[tip])
    matrices = writer.accessor(bind.reshape(2, 16), kind="MAT4")
    writer._add("skins", {"joints": [1, 0], "inverseBindMatrices": matrices})
    writer.node(mesh=mesh, skin=0, **node)
    return writer


def test_joints_place_a_skinned_mesh_and_its_own_node_does_not(file):
    top = (BOX[:, 2] > 0)[:, None]
    writer = skinned([np.where(top, [1, 0, 0, 0], [0, 7, 7, 7])], [np.tile([.5, 0, 0, 0], (8, 1))],
                     scale=[.01] * 3, translation=[50, 0, 0])
    assert is_box(load_mesh(writer.glb(file)))
    writer.tree["nodes"][0] |= {"translation": [0, 0, 3], "scale": [2, 2, 1]}
    mesh = load_mesh(writer.glb(file))
    assert bounds(mesh) == [[-1, -1, -.5], [1, 1, 2.5]]
    writer.tree["nodes"][1]["scale"] = [-1, 1, 1]
    assert np.isclose(load_mesh(writer.glb(file)).volume, mesh.volume) and mesh.volume > 0


def test_weights_of_all_slots_are_scaled_to_sum_one(file):
    first, second = np.tile([0, 0, 0, 0], (8, 1)), np.tile([1, 0, 0, 0], (8, 1))
    writer = skinned([first, second], [np.tile([.5, .5, 1, 0], (8, 1)), np.tile([2, 0, 0, 0], (8, 1))])
    writer.tree["nodes"][0]["translation"] = [8, 0, 1]
    assert np.allclose(load_mesh(writer.glb(file)).bounds[:, 0], [3.5, 4.5])
    unweighted = skinned([second], [np.zeros((8, 4))])
    unweighted.tree["nodes"][0]["translation"] = [8, 0, 1]
    assert np.allclose(load_mesh(unweighted.glb(file)).bounds[:, 0], [7.5, 8.5])


def test_a_skin_without_joints_in_the_mesh_leaves_it_in_place(file):
    writer = box_file(skin=0, scale=[.01] * 3)
    writer.node(name="joint")
    writer.tree["skins"] = [{"joints": [1]}]
    assert is_box(load_mesh(writer.glb(file)))


def test_a_joint_that_the_skin_does_not_have_is_refused(file):
    writer = skinned([np.full((8, 4), 2)], [np.ones((8, 4))])
    assert "joint 2 of 2" in refusal(writer.glb(file))[1]


# --- extensions and versions

def test_an_unknown_required_extension_is_refused_by_its_name(file):
    writer = box_file()
    writer.require("ACME_geometry")
    reason, message = refusal(writer.glb(file))
    assert reason == "unsupported-feature" and "ACME_geometry" in message


def test_extensions_of_looks_may_be_required(file):
    writer = box_file()
    writer.require("KHR_texture_transform", "KHR_materials_unlit", "KHR_texture_basisu", "EXT_texture_webp")
    mesh = load_mesh(writer.glb(file))
    assert is_box(mesh) and not mesh.metadata["notes"]


@pytest.mark.parametrize("asset, words", [
    ({"version": "1.0"}, "gltf-pipeline"), ({"version": "3.0"}, "version 3.0"),
    ({"version": "2.0", "minVersion": "2.1"}, "version 2.1")])
def test_other_versions_are_refused_with_a_way_out(tmp_path, asset, words):
    writer = box_file()
    writer.tree["asset"] = asset
    reason, message = refusal(writer.gltf(tmp_path / "a.gltf"))
    assert reason == "unsupported-feature" and words in message


def test_the_first_version_is_known_by_its_objects_and_by_its_header(tmp_path, file):
    (tmp_path / "a.gltf").write_text(json.dumps({"meshes": {"m": {}}, "nodes": {"n": {}}, "scenes": {}}))
    box_file().glb(file)
    file.write_bytes(file.read_bytes().replace(b"glTF\2", b"glTF\1"))
    assert {refusal(path)[0] for path in tmp_path.iterdir()} == {"unsupported-feature"}


# --- containers, texts and buffers

def test_other_chunks_and_bytes_after_the_end_are_skipped_and_listed(file):
    mesh = load_mesh(box_file().glb(file, [(b"XYZW", b"12345678")], tail=b"\xff" * 100))
    assert is_box(mesh) and mesh.metadata["notes"] == ["chunk XYZW ignored", "bytes after the end ignored: 100"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_json_is_read_in_every_encoding(tmp_path, encoding):
    mesh = load_mesh(box_file(name="Kübel").gltf(tmp_path / "a.gltf", encoding=encoding))
    assert is_box(mesh) and (mesh.metadata["nodes"][0][0] == "Kübel" or encoding == "latin-1")


def test_a_byte_order_mark_in_a_glb_is_ignored(file):
    assert is_box(load_mesh(box_file().glb(file, bom=b"\xef\xbb\xbf")))


def test_whole_numbers_may_be_written_as_floats(tmp_path):
    path = box_file().gltf(tmp_path / "a.gltf")
    path.write_text(path.read_text().replace('"count": 8', '"count": 8.0').replace('"mesh": 0', '"mesh": 0e0'))
    assert is_box(load_mesh(path))


@pytest.mark.parametrize("name", ["box.bin", "my box ä.bin", "100%25.bin", "deep/box.bin"])
@pytest.mark.parametrize("coded", [True, False])
def test_buffers_are_found_by_encoded_and_plain_names(tmp_path, name, coded):
    (tmp_path / "deep").mkdir()
    box_file().gltf(tmp_path / "a b.gltf", quote(name) if coded else name, name)
    assert is_box(load_mesh(tmp_path / "a b.gltf"))


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_composed_and_decomposed_letters_name_the_same_buffer(tmp_path, forms):
    uri, name = (unicodedata.normalize(form, "Kübel.bin") for form in forms)
    assert is_box(load_mesh(box_file().gltf(tmp_path / "a.gltf", quote(uri), name)))


def test_a_data_uri_may_be_percent_encoded_or_base64_without_padding(tmp_path):
    writer = box_file()
    assert is_box(load_mesh(writer.gltf(tmp_path / "a.gltf", "data:application/gltf-buffer," + quote(writer.blob))))
    path = writer.gltf(tmp_path / "b.gltf")
    path.write_text(path.read_text().replace("=", "").replace("octet-stream", "gltf-buffer"))
    assert is_box(load_mesh(path))


def test_a_lost_buffer_is_named(tmp_path):
    reason, message = refusal(box_file().gltf(tmp_path / "a.gltf", "my%20box.bin"))
    assert reason == "missing-file" and "my box.bin" in message and "Put it beside" in message


def test_a_lost_buffer_of_textures_does_no_harm(tmp_path):
    writer = box_file()
    writer.tree["buffers"] = [{"byteLength": 9, "uri": "pictures.bin"}]
    writer.tree["bufferViews"].append({"buffer": 1, "byteLength": 9})
    assert is_box(load_mesh(writer.glb(tmp_path / "a.glb")))


@pytest.mark.parametrize("uri", [
    "../b.bin", "{outside}", "link.bin", "%2e%2e/b.bin", "..%2Fb.bin", "nothing/../../b.bin", "../nothing.bin",
    "http://127.0.0.1:9/b.bin", "file://{outside}", "linked/b.bin"])
def test_no_buffer_outside_the_folder_is_opened(tmp_path, uri):
    home = tmp_path / "home"
    home.mkdir()
    path = box_file().gltf(home / "a.gltf", uri.format(outside=tmp_path / "b.bin"), "b.bin")
    (home / "b.bin").rename(tmp_path / "b.bin")
    (home / "link.bin").symlink_to("../b.bin")
    (home / "linked").symlink_to(tmp_path)
    assert refusal(path)[0] == "outside-folder"


def test_a_linked_file_finds_its_buffers_in_both_folders(tmp_path):
    (tmp_path / "blobs").mkdir()
    (tmp_path / "view").mkdir()
    path = box_file().gltf(tmp_path / "blobs/1234.gltf", "box.bin", "5678")
    (tmp_path / "view/a.gltf").symlink_to(path)
    (tmp_path / "view/box.bin").symlink_to("../blobs/5678")
    assert is_box(load_mesh(tmp_path / "view/a.gltf"))


@pytest.mark.parametrize("uri", ["deep", "x" * 300 + ".bin", "a%00b.bin", "data:;base64,A", "data:;base64,AAAA", ""])
def test_a_buffer_that_is_no_file_is_refused(tmp_path, uri):
    (tmp_path / "deep").mkdir()
    writer = box_file()
    path = writer.gltf(tmp_path / "a.gltf")
    tree = json.loads(path.read_text())
    tree["buffers"][0]["uri"] = uri
    path.write_text(json.dumps(tree))
    assert refusal(path)[0] in ("missing-file", "outside-folder", "malformed", "truncated")


def test_a_buffer_that_is_too_short_is_truncated(tmp_path):
    path = box_file().gltf(tmp_path / "a.gltf", file="box.bin")
    (tmp_path / "box.bin").write_bytes((tmp_path / "box.bin").read_bytes()[:100])
    reason, message = refusal(path)
    assert reason == "truncated" and "100 bytes of 240" in message
    path = box_file().gltf(tmp_path / "b.gltf")
    path.write_text(path.read_text().replace('"byteLength": 240, "uri"', '"byteLength": 243, "uri"'))
    assert is_box(load_mesh(path))      # what is missing belongs to no view


def test_a_cut_glb_is_truncated_wherever_it_is_cut(file):
    whole = box_file().glb(file).read_bytes()
    for end in range(1, len(whole), 7):
        file.write_bytes(whole[:end])
        assert refusal(file)[0] == ("truncated" if end >= 4 else "unknown-format")


def test_broken_json_is_named_and_never_answered_with_another_file(tmp_path):
    box_file().gltf(tmp_path / "model.gltf", file="model.bin")
    path = tmp_path / "broken.gltf"
    path.write_text('{"asset": {"version": "2.0"}, oops')
    reason, message = refusal(path)
    assert reason == "malformed" and "line 1, column 31" in message
    path.write_text((tmp_path / "model.gltf").read_text()[:200])
    assert refusal(path)[0] in ("truncated", "malformed")


@pytest.mark.parametrize("text", ["{" * 100_000, "[" * 100_000, '{"a": ' + "[" * 100_000, '{"a": 1' + "0" * 5000 + "}",
                                  '{"asset": 5, "nodes": null}', "{}", '{"scenes": {}}'])
def test_hostile_json_ends_in_a_refusal(tmp_path, text):
    (tmp_path / "a.gltf").write_text(text)
    assert refusal(tmp_path / "a.gltf")[0] in ("malformed", "no-triangles", "unknown-format")


def without_view(writer): writer.tree["accessors"][0] = {"componentType": FLOAT, "count": 4 * 10**9, "type": "VEC3"}


def instances_without_view(writer):
    many = writer._add("accessors", {"componentType": FLOAT, "count": 4 * 10**9, "type": "VEC3"})
    writer.tree["nodes"][0]["extensions"] = {"EXT_mesh_gpu_instancing": {"attributes": {"TRANSLATION": many}}}


def copies_of_copies(writer):
    shared = {"EXT_mesh_gpu_instancing": {"attributes": {"TRANSLATION": writer.accessor(np.zeros((100_000, 3)))}}}
    writer.tree["meshes"][0]["primitives"] *= 100
    for _ in range(99): writer.node(mesh=0, extensions=shared)


@pytest.mark.parametrize("inflate", [without_view, instances_without_view, copies_of_copies])
def test_counts_that_no_memory_holds_are_refused_before_any_is_taken(file, inflate):
    writer = box_file()
    inflate(writer)
    assert refusal(writer.glb(file))[0] == "too-large"


# --- what relies on the order of faces

@pytest.mark.parametrize("suffix", ["glb", "gltf"])
def test_labels_fit_the_faces_of_a_scene_that_keeps_its_materials(tmp_path, suffix):
    writer = GltfWriter()
    writer.tree["materials"] = [{"name": "red"}, {"name": "blue"}]
    for i, name in enumerate(["zebra", "apple"]):
        primitives = (writer.box_primitive(BOX + [0, 3 * j, 0], material=(i + j) % 2) for j in range(2))
        writer.node(name=name, translation=[3 * i, 0, 0], mesh=writer.mesh(*primitives))
    source = getattr(writer, suffix)(tmp_path / f"in.{suffix}")
    mesh, labels = load_mesh(source), np.arange(48) // 12
    scene, label_file, _ = write_with_materials(source, mesh, labels, tmp_path / "out.glb")
    written, kept = load_mesh(scene), np.load(label_file)
    for part in range(4): assert np.allclose(written.triangles[kept == part], mesh.triangles[labels == part])
    assert [m.get("name") for m in GltfFile(scene).tree["materials"]] == ["red", "blue"]


def test_names_notes_and_order_pass_the_sandbox(tmp_path, file):
    path = box_file(name="zebra", camera=0).glb(file)
    with Sandbox(seconds=60, memory=4000) as sandbox: mesh = load_mesh_sandboxed(path, sandbox)
    assert mesh.metadata == load_mesh(path).metadata and mesh.metadata["notes"] == ["cameras ignored: 1"]


@pytest.mark.parametrize("seed", range(5))
def test_plain_scenes_are_read_as_trimesh_reads_them(tmp_path, seed):
    rng, scene = np.random.default_rng(seed), trimesh.Scene()
    shapes = [make() for make in (trimesh.creation.icosphere, trimesh.creation.box, trimesh.creation.capsule)]
    for i in range(8):
        matrix = trimesh.transformations.random_rotation_matrix(rng.random(3))
        matrix = matrix @ np.diag([*rng.choice([-2, .5, 1], 3), 1])
        matrix[:3, 3] = rng.uniform(-9, 9, 3)
        parent = f"node {rng.integers(i)}" if i and rng.random() < .5 else None
        scene.add_geometry(shapes[rng.integers(3)], node_name=f"node {i}", parent_node_name=parent, transform=matrix)
    scene.export(tmp_path / "a.glb")
    ours, theirs = load_mesh(tmp_path / "a.glb"), trimesh.load_scene(tmp_path / "a.glb", process=False).to_geometry()
    assert np.isclose(ours.volume, theirs.volume) and np.isclose(ours.area, theirs.area)
    rows = [np.sort(mesh.triangles.reshape(-1, 9).round(4) @ rng.random(9)) for mesh, rng in
            ((ours, np.random.default_rng(0)), (theirs, np.random.default_rng(0)))]
    assert len(ours.faces) == len(theirs.faces) and np.allclose(*rows, atol=1e-2)
