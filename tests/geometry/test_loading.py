"Mesh files: what is read, in which order, and what is refused"
import io
import shutil
import zipfile

import numpy as np
import pytest
import trimesh

from sdf_dino.geometry.loading import detect_format, load_mesh
from sdf_dino.geometry.quality import inspect_mesh, mesh_quality
from sdf_dino.geometry.validation import MeshRejected

TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\n"


def reason(call, *args, **kwargs):
    with pytest.raises(MeshRejected) as error: call(*args, **kwargs)
    return error.value.reason


@pytest.mark.parametrize("name, text, expected", [
    ("page.stl", "<!DOCTYPE html><html>404</html>", "unknown-format"),
    ("boast.ply", "ply\nformat ascii 1.0\nelement vertex 999999999\nproperty float x\nend_header\n", "truncated"),
    ("odd.ply", "ply\nformat ascii 1.0\nelement vertex many\nend_header\n", "malformed"),
    ("points.obj", TRIANGLE, "no-triangles"), ("nan.obj", TRIANGLE + "v 0 0 nan\nf 1 2 4\n", "non-finite"),
    ("empty.obj", "", "empty-file")])
def test_unusable_files_are_refused_by_name(tmp_path, name, text, expected):
    (tmp_path / name).write_text(text)
    assert reason(load_mesh, tmp_path / name) == expected


def test_a_missing_file_and_a_size_limit_are_named(tmp_path):
    trimesh.creation.box().export(tmp_path / "box.glb")
    assert reason(load_mesh, tmp_path / "none.ply") == "missing"
    assert reason(load_mesh, tmp_path / "box.glb", max_bytes=100) == "too-large"


@pytest.mark.parametrize("path, word", [("/dev/null", "a device"), (".", "a folder")])
def test_a_path_to_something_else_than_a_file_says_what_it_is(path, word):
    with pytest.raises(MeshRejected, match=f"is no file \\({word}\\)"): load_mesh(path)


def test_coordinates_beyond_all_bounds_are_not_called_no_numbers(tmp_path):
    (tmp_path / "far.obj").write_text(TRIANGLE + "v 1e200 0 0\nf 1 2 4\n")
    assert reason(load_mesh, tmp_path / "far.obj") == "too-far"


def zipped(name):
    "An archive with one file of this name"
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive: archive.writestr(name, b"PXR-USDC")
    return data.getvalue()


SPLATS = b"ply\nformat ascii 1.0\nelement vertex 1\nproperty uint packed_position\nend_header\n1\n"


@pytest.mark.parametrize("name, data, words", [
    ("a.fbx", b"Kaydara FBX Binary  \0", "FBX.*Blender"), ("a.fbx", b"; FBX 7.3.0 project file", "FBX as text.*Blender 4.5"),
    ("a.obj", b"FBXHeaderExtension:  {", "FBX as text"), ("a.usda", b"#usda 1.0", "USD.*Blender"), ("a.usdz", zipped("a.usdc"), "USD.*Blender"),
    ("a.blend", b"\x28\xb5\x2f\xfd", "from Blender as GLB"), ("a.step", b"ISO-10303-21;", "STEP.*FreeCAD"),
    ("a.ifc", b"ISO-10303-21;", "IFC.*FreeCAD"), ("a.igs", b" ", "IGES.*FreeCAD"), ("a.fcstd", zipped("Document.xml"), "CAD.*FreeCAD"),
    ("a.sldprt", b"\xd0\xcf", "CAD.*STL"), ("a.skp", zipped("model.dat"), "SketchUp.*GLB or DAE"), ("a.max", b"\xd0\xcf", "3ds Max as OBJ"),
    ("a.ma", b"//Maya ASCII", "Maya as OBJ"), ("a.3ds", b"MM", "3DS.*MeshLab"), ("a.x3d", b"<X3D/>", "X3D.*MeshLab"),
    ("a.wrl", b"#VRML V2.0", "VRML.*MeshLab"), ("a.zip", zipped("a.glb"), "archive of a.glb.*Unpack"), ("a.glb", zipped("a.glb"), "archive.*Unpack"),
    ("a.ply", b"\x1f\x8b\x08", "archive.*Unpack"), ("a.glb", b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
    ("a.glb", b'{"error": "gone"}', "no glTF"), ("a.bin", b"\0" * 9, "gltf that names it"), ("a.mtl", b"newmtl a", "OBJ that names it"),
    ("a.png", b"\x89PNG", "mesh that it shows"), ("a.ply", SPLATS, "Gaussian splats.*instead of its splats")])
def test_other_formats_are_refused_in_one_line_that_says_what_to_do(tmp_path, name, data, words):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(MeshRejected, match=words) as error: load_mesh(tmp_path / name)
    assert "\n" not in str(error.value)


def test_a_wrong_suffix_does_no_harm(tmp_path):
    trimesh.creation.box().export(tmp_path / "box.glb")
    shutil.copy(tmp_path / "box.glb", tmp_path / "misnamed.stl")
    assert detect_format(tmp_path / "misnamed.stl") == "glb" and len(load_mesh(tmp_path / "misnamed.stl").faces) == 12


def test_a_vertex_that_no_face_uses_may_be_no_number(tmp_path):
    (tmp_path / "spare.obj").write_text(TRIANGLE + "v nan 0 0\nf 1 2 3\n")
    assert len(load_mesh(tmp_path / "spare.obj").faces) == 1


@pytest.mark.parametrize("change", [
    lambda text: text, lambda text: text.replace("OFF\n", "OFF\n# a comment\n", 1),
    lambda text: text.replace("\n3 ", "\n3  ")], ids=["plain", "comment", "spaces"])
def test_every_reader_of_off_files_gives_the_same_mesh(tmp_path, change):
    ball = trimesh.creation.icosphere(2)
    ball.export(tmp_path / "ball.off")
    (tmp_path / "odd.off").write_text(change((tmp_path / "ball.off").read_text()))
    mesh = load_mesh(tmp_path / "odd.off")
    assert (mesh.faces == ball.faces).all() and np.allclose(mesh.vertices, ball.vertices)


def test_materials_do_not_change_the_order_of_obj_faces(tmp_path):
    vertices = "".join(f"v {i} {i*i} 0\n" for i in range(6))
    (tmp_path / "order.obj").write_text(vertices + "usemtl a\nf 1 2 3\nusemtl b\nf 4 5 6\nusemtl a\nf 2 3 4\n")
    mesh = load_mesh(tmp_path / "order.obj")
    assert mesh.triangles[:, 0, 0].tolist() == [0, 3, 1]


def test_obj_polygons_become_fans_and_negative_indices_count_back(tmp_path):
    (tmp_path / "quad.obj").write_text("v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf -4 -3 -2 -1\n")
    assert load_mesh(tmp_path / "quad.obj").faces.tolist() == [[0, 1, 2], [0, 2, 3]]


def test_a_flat_mesh_loads_but_is_not_accepted(tmp_path):
    (tmp_path / "plane.obj").write_text(TRIANGLE + "v 1 1 0\nf 1 2 4 3\n")
    assert len(load_mesh(tmp_path / "plane.obj").faces) == 2
    assert inspect_mesh(tmp_path / "plane.obj")["reason"] == "flat"


def test_duplicate_and_degenerate_faces_are_counted():
    sphere = trimesh.creation.icosphere(3)
    faces = np.r_[sphere.faces, sphere.faces[:7], [[0, 0, 1]]]
    quality = mesh_quality(trimesh.Trimesh(sphere.vertices, faces, process=False))
    assert quality["duplicate_faces"] == 7 and quality["degenerate_faces"] == 1 and quality["watertight"]


@pytest.mark.parametrize("name", ["../secret.bin", "{secret}", "link.bin", "http://127.0.0.1:9/secret.bin"])
def test_a_gltf_reads_buffers_of_its_own_folder_only(tmp_path, name):
    home, secret = tmp_path / "home", tmp_path / "secret.bin"
    home.mkdir()
    trimesh.creation.box().export(home / "box.gltf")
    assert inspect_mesh(home / "box.gltf")["accepted"]
    buffer = next(home.glob("*.bin"))
    shutil.copy(buffer, secret)
    (home / "link.bin").symlink_to(secret)
    text = (home / "box.gltf").read_text().replace(buffer.name, name.format(secret=secret))
    (home / "thief.gltf").write_text(text)
    assert inspect_mesh(home / "thief.gltf")["reason"] == "outside-folder"
