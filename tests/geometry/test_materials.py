"Materials, textures and far coordinates on the way into a GLB, and what of them is named as lost"
import json

import numpy as np
import pytest
import trimesh
from PIL import Image

from sdf_dino.geometry import export
from sdf_dino.geometry.loading import load_mesh
from sdf_dino.geometry.materials import lost_materials, lost_textures, placement_matrix

KTX2 = b"\xabKTX 20\xbb\r\n\x1a\n" + bytes(range(64))
TRIANGLE = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], "<f4").tobytes()


def glb_tree(data):
    "The JSON of a GLB and its binary chunk"
    end = 20 + int.from_bytes(data[12:16], "little")
    return json.loads(data[20:end]), data[end + 8:]


def write_gltf(path, *pictures):
    "A triangle whose buffer and pictures lie beside the file"
    (path.parent / "shape data.bin").write_bytes(TRIANGLE)
    views = [{"buffer": 0, "byteLength": 36}]
    accessor = {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}
    tree = {"asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}],
            "buffers": [{"uri": "shape%20data.bin", "byteLength": 36}], "bufferViews": views,
            "accessors": [accessor], "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
            "images": [{"uri": name} for name in pictures], "extensionsUsed": ["KHR_texture_basisu"],
            "textures": [{"extensions": {"KHR_texture_basisu": {"source": 0}}}]}
    path.write_text(json.dumps(tree))
    return path


def test_a_gltf_is_packed_with_its_pictures_as_they_are(tmp_path):
    (tmp_path / "wood grain.ktx2").write_bytes(KTX2)
    source = write_gltf(tmp_path / "in.gltf", "wood%20grain.ktx2")
    written = export.write_scene(source, tmp_path / "out" / "a.glb")
    tree, data = glb_tree(written.read_bytes())
    view = tree["bufferViews"][tree["images"][0]["bufferView"]]
    assert data[view["byteOffset"]:][:view["byteLength"]] == KTX2 and tree["images"][0]["mimeType"] == "image/ktx2"
    assert tree["textures"] and np.array_equal(load_mesh(written).triangles, load_mesh(source).triangles)
    assert lost_materials(source, written) == []


@pytest.mark.parametrize("name, word", [
    ("gone.png", "missing"), ("https://example.com/a.png", "folder"), ("../a.png", "missing")])
def test_a_lost_picture_of_a_gltf_is_named_and_the_shape_kept(tmp_path, name, word):
    (tmp_path / "in").mkdir()
    (tmp_path / "a.png").write_bytes(b"secret")
    source = write_gltf(tmp_path / "in" / "in.gltf", name)
    written = export.write_scene(source, tmp_path / "out.glb")
    assert len(load_mesh(written).faces) == 1 and b"secret" not in written.read_bytes()
    (lost,) = lost_materials(source, written)
    assert name in lost and word in lost


def test_a_glb_that_needs_other_files_is_packed_and_not_copied(tmp_path):
    (tmp_path / "wood.png").write_bytes(b"\x89PNG....")
    source = write_gltf(tmp_path / "in.gltf", "wood.png")
    (tmp_path / "in.glb").write_bytes(source.read_bytes())     # a glTF under the name of a GLB
    written = export.write_scene(tmp_path / "in.glb", tmp_path / "elsewhere" / "out.glb")
    assert b"\x89PNG...." in written.read_bytes()


OBJ = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nvt 0 0\nvt 1 0\nvt 0 1\nusemtl wood\n" \
      "f 1/1 3/2 2/3\nf 1/1 2/2 4/3\nf 1/1 4/2 3/3\nf 2/1 3/2 4/3\n"


@pytest.mark.parametrize("mtl, words", [
    ("map_Kd wood.png", []), ("map_Kd -s 2 2 2 wood.png", []), ("map_Kd gone.png", ["gone.png is missing"]),
    ("map_Kd bad.png", ["bad.png cannot be read"]), ("map_Kd wood.png\nmap_Bump b.png", ["map_bump b.png"]),
    (None, ["a.mtl is missing"])])
def test_what_an_obj_loses_is_named(tmp_path, mtl, words):
    Image.new("RGB", (2, 2), "red").save(tmp_path / "wood.png")
    (tmp_path / "bad.png").write_text("no picture")
    (tmp_path / "a.obj").write_text("mtllib a.mtl\n" + OBJ)
    if mtl: (tmp_path / "a.mtl").write_text(f"newmtl wood\n{mtl}\n")
    lost = lost_materials(tmp_path / "a.obj", tmp_path / "b.glb")
    assert len(lost) == len(words) and all(word in text for word, text in zip(words, lost))
    assert len(load_mesh(export.write_scene(tmp_path / "a.obj", tmp_path / "b.glb")).faces) == 4


def test_colours_of_vertices_are_kept_and_those_of_faces_named(tmp_path):
    box = trimesh.creation.box()
    box.visual.vertex_colors = np.arange(32).reshape(8, 4) + [0, 0, 0, 200]
    box.export(tmp_path / "vertices.ply")
    written = export.write_scene(tmp_path / "vertices.ply", tmp_path / "vertices.glb")
    assert np.array_equal(trimesh.load(written, force="mesh", process=False).visual.vertex_colors[:, :3],
                          box.visual.vertex_colors[:, :3])
    assert lost_materials(tmp_path / "vertices.ply", written) == []
    export.write_parts(box, np.arange(12) % 3, tmp_path / "faces.ply")
    assert "faces" in lost_materials(tmp_path / "faces.ply", written)[0]
    assert lost_materials(tmp_path / "faces.ply", tmp_path / "copy.ply") == []


def centred_volume(mesh, scale):
    "In units of the scale: products of large or tiny coordinates lose their digits"
    v = (mesh.vertices - mesh.bounds.mean(0))/scale
    return trimesh.Trimesh(v, mesh.faces, process=False).volume


@pytest.mark.parametrize("shift, scale", [
    ((500_000, 5_200_000, 100), 1), ((0, 0, 0), 1e-20), ((0, 0, 0), 1e-6), ((0, 0, 0), 1e6), ((0, 0, 0), 1e20),
    ((500_000, 5_200_000, 100), .01)])
def test_an_obj_anywhere_survives_the_way_into_a_glb(tmp_path, shift, scale):
    ball = trimesh.creation.icosphere(3, .5)
    far = trimesh.Trimesh(ball.vertices*scale + shift, ball.faces, process=False)
    export.write_parts(far, np.arange(len(far.faces)) % 2, tmp_path / "a.obj")
    back = load_mesh(export.write_scene(tmp_path / "a.obj", tmp_path / "a.glb"))
    assert len(np.unique(back.vertices, axis=0)) == len(ball.vertices)
    assert np.isclose(centred_volume(back, scale), centred_volume(far, scale), rtol=1e-6)


def test_usual_coordinates_are_written_as_they_are():
    assert np.array_equal(placement_matrix(trimesh.creation.icosphere(3).vertices), np.eye(4))


def test_textures_of_a_file_are_seen_in_every_format(tmp_path):
    picture = Image.new("RGB", (2, 2))
    picture.save(tmp_path / "a.png")
    box = trimesh.creation.box()
    box.export(tmp_path / "plain.glb")
    box.visual = trimesh.visual.TextureVisuals(np.zeros((8, 2)), image=picture)
    box.export(tmp_path / "box.glb")
    (tmp_path / "a.mtl").write_text("newmtl a\nmap_Kd a.png\n")
    (tmp_path / "box.obj").write_text("mtllib a.mtl\nv 0 0 0\n")
    (tmp_path / "box.ply").write_text("ply\nformat ascii 1.0\ncomment TextureFile a.png\nend_header\n")
    (tmp_path / "box.dae").write_text("<image><init_from>a.png</init_from></image>")
    for name in ("box.glb", "box.obj", "box.ply", "box.dae"): assert "--keep-materials" in lost_textures(tmp_path / name)[0]
    for name in ("plain.glb", "a.png", "gone.glb"): assert not lost_textures(tmp_path / name)
