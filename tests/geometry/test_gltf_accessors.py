"Compressed glTF files are decoded where the decoder is installed, read plain where they can be, else refused by name"
import sys

import numpy as np
import pytest
import trimesh
from gltf_files import BOX, DRACO, MESHOPT, PACKED, GltfWriter, box_file, draco_file, meshopt_file

from sdf_dino.geometry.loading import load_mesh
from sdf_dino.geometry.validation import MeshRejected


def is_box(mesh, n=1):
    welded = trimesh.Trimesh(mesh.vertices, mesh.faces)
    return len(mesh.faces) == 12 * n and welded.is_watertight and np.isclose(welded.volume, n, atol=1e-3)


@pytest.fixture
def without_decoders(monkeypatch):
    for name in ("DracoPy", "meshopt"): monkeypatch.setitem(sys.modules, name, None)


def test_draco_is_decoded_alone_and_beside_plain_meshes(tmp_path):
    pytest.importorskip("DracoPy")
    writer = draco_file()
    assert is_box(load_mesh(writer.glb(tmp_path / "a.glb")))
    writer.node(mesh=writer.mesh(writer.box_primitive()), translation=[3, 0, 0])
    mesh = load_mesh(writer.glb(tmp_path / "a.glb"))
    assert is_box(mesh, 2) and np.allclose(mesh.bounds[:, 0], [-.5, 3.5])


def test_quantised_positions_stay_normalised_in_draco(tmp_path):
    pytest.importorskip("DracoPy")
    writer = draco_file("draco whole", componentType=5122, normalized=True)
    assert np.allclose(load_mesh(writer.glb(tmp_path / "a.glb")).bounds, [[-1] * 3, [1] * 3])


@pytest.mark.parametrize("positions", ["positions", "exponential"])
@pytest.mark.parametrize("indices", ["triangles", "indices"])
@pytest.mark.parametrize("name", MESHOPT)
def test_meshopt_is_decoded_with_its_filters(tmp_path, positions, indices, name):
    pytest.importorskip("meshopt")
    mesh = load_mesh(meshopt_file(positions, indices, name).glb(tmp_path / "a.glb"))
    assert is_box(mesh) and np.allclose(mesh.vertices, BOX, atol=1e-3)


@pytest.mark.parametrize("writer, feature", [(draco_file(), DRACO), (meshopt_file(), MESHOPT[0])])
def test_without_its_decoder_a_compression_is_refused_by_name(tmp_path, without_decoders, writer, feature):
    writer.node(mesh=writer.mesh(writer.box_primitive()), translation=[3, 0, 0])
    with pytest.raises(MeshRejected) as caught: load_mesh(writer.glb(tmp_path / "a.glb"))
    assert caught.value.reason == "unsupported-feature" and feature in str(caught.value)
    assert "sdf_dino[gltf]" in str(caught.value) and "@gltf-transform/cli copy a.glb" in str(caught.value)


def test_plain_data_beside_optional_compression_are_read(tmp_path, without_decoders):
    assert is_box(load_mesh(draco_file(required=False, plain=True).glb(tmp_path / "a.glb")))
    writer = box_file()
    writer.gltf(tmp_path / "plain.gltf", file="plain.bin")
    packed = {"buffer": 0, "byteLength": 4, "byteStride": 12, "count": 8, "mode": "ATTRIBUTES"}
    for view in writer.tree["bufferViews"]: view |= {"buffer": 1, "extensions": {MESHOPT[0]: packed}}
    writer.tree["buffers"] = [{"uri": "plain.bin", "byteLength": len(writer.blob)}]
    assert is_box(load_mesh(writer.glb(tmp_path / "a.glb")))


@pytest.mark.parametrize("package, writer", [("DracoPy", draco_file()), ("meshopt", meshopt_file())])
def test_a_damaged_payload_is_named(tmp_path, package, writer):
    pytest.importorskip(package)
    writer.blob = writer.blob.replace(PACKED["draco float"], bytes(len(PACKED["draco float"])))
    writer.blob = writer.blob.replace(PACKED["positions"], bytes(len(PACKED["positions"])))
    with pytest.raises(MeshRejected, match="cannot be decoded"): load_mesh(writer.glb(tmp_path / "a.glb"))


def test_a_compressed_view_that_no_memory_holds_is_refused(tmp_path):
    pytest.importorskip("meshopt")
    writer = meshopt_file()
    writer.tree["bufferViews"][0]["extensions"][MESHOPT[0]]["count"] = 4 * 10**9
    with pytest.raises(MeshRejected) as caught: load_mesh(writer.glb(tmp_path / "a.glb"))
    assert caught.value.reason == "too-large"
