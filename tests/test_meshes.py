"Files in order and broken ones end in the right verdict: those made here, and 133 of the trimesh project"
import csv
import random
import struct
import zipfile
from collections import Counter
from pathlib import Path

import pytest
import trimesh
from conftest import SHARED, bomb
from mesh_writers import box, collada, fan, geometry, mesh_object, model, obj, off, ply, primitive, stl, threemf

from sdf_dino.core.sandbox import Sandbox
from sdf_dino.geometry.quality import inspect_mesh
from sdf_dino.geometry.validation import REJECTION_REASONS

COLLECTION = SHARED / "data" / "meshes.zip"
VERDICTS = Path(__file__).with_name("mesh_verdicts.csv")  # written from what the files are, before a loader saw them


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(seconds=60, memory=1500) as opened: yield opened


def files_of_every_kind():
    "Name of a file → (verdict, triangles, content)"
    vertices, quads = box()
    triangles = fan(quads)
    node = '<node><instance_geometry url="#g"/></node>'
    in_order = {
        "box.obj": obj(vertices, quads), "box.off": off(vertices, quads), "box.stl": stl(vertices[triangles]),
        "text.ply": ply(vertices, quads, form="ascii"), "binary.ply": ply(vertices, quads),
        "box.dae": collada(geometry("g", vertices, primitive("polylist", "g", quads)), node),
        "box.3mf": threemf(root=model(mesh_object(1, vertices, triangles), '<item objectid="1"/>')),
        "box.glb": trimesh.creation.box().export(file_type="glb")}
    refused = {
        "points.ply": ("no-triangles", ply(vertices, [])), "empty.stl": ("no-triangles", b"solid a\nendsolid a\n"),
        "flat.obj": ("flat", obj(vertices * [1, 1, 0], quads)), "buffer.bin": ("unknown-format", bytes(200))}
    return ({name: ("accept", 12, data) for name, data in in_order.items()}
            | {name: (verdict, "", data) for name, (verdict, data) in refused.items()})


def write_files(folder):
    "Those files in a folder, and what is known of them"
    rows = []
    for name, (verdict, triangles, data) in files_of_every_kind().items():
        (folder / name).write_bytes(data)
        rows.append({"file": name, "verdict": verdict, "triangles": triangles})
    return rows


@pytest.fixture(scope="module", params=["made_here"] + ["published"] * COLLECTION.exists())
def collection(request, tmp_path_factory):
    "A folder of mesh files, and the verdict that each must have"
    folder = tmp_path_factory.mktemp("collection")
    if request.param == "made_here": return folder, write_files(folder)
    with zipfile.ZipFile(COLLECTION) as archive: archive.extractall(folder)
    return folder, list(csv.DictReader(VERDICTS.open()))


def files_below(folder): return sorted(path for path in folder.rglob("*") if path.is_file())


def test_every_file_of_a_collection_ends_as_expected(collection, sandbox):
    folder, expected = collection
    assert {row["file"] for row in expected} == {str(path.relative_to(folder)) for path in files_below(folder)}
    wrong = []
    for row in expected:
        result = inspect_mesh(folder / row["file"], sandbox)
        verdict = result["reason"] or "accept"
        faces = (result["quality"] or {}).get("faces")
        faces_differ = row["triangles"] and faces != int(row["triangles"])
        if verdict != row["verdict"] or faces_differ: wrong.append((row, verdict, result["detail"], faces))
    assert not wrong


TRIANGLES = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\nf 1 2 4\n"


def ascii_ply(n_vertices, n_faces, body):
    axes = "".join(f"property float {axis}\n" for axis in "xyz")
    faces = f"element face {n_faces}\nproperty list uchar int vertex_indices\n"
    return f"ply\nformat ascii 1.0\nelement vertex {n_vertices}\n{axes}{faces}end_header\n{body}"


def broken_texts():
    "Name of the file → (reason of its refusal, content)"
    return {
        "zero.glb": ("empty-file", ""),
        "boast.off": ("truncated", "OFF\n400000000 400000000 0\n0 0 0\n"),
        "boast.ply": ("truncated", ascii_ply(10**9, 10**9, "0 0 0\n")),
        "far.obj": ("bad-indices", TRIANGLES + "f 1 2 99\n"),
        "zero.obj": ("bad-indices", TRIANGLES + "f 0 1 2\n"),
        "far.ply": ("bad-indices", ascii_ply(3, 1, "0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n")),
        "nan.obj": ("non-finite", TRIANGLES.replace("0 1 0", "0 nan 0")),
        "inf.obj": ("non-finite", TRIANGLES.replace("0 1 0", "0 1e999 0")),
        "dot.obj": ("no-extent", "v 1 1 1\n" * 3 + "f 1 2 3\n"),
        "dot.ply": ("no-extent", ascii_ply(3, 1, "2 2 2\n" * 3 + "3 0 1 2\n")),
        "words.obj": ("malformed", "v one two three\nf 1 2 3\n"),
        "page.glb": ("unknown-format", "<!DOCTYPE html><html>not found</html>")}


def broken_bytes():
    "Name of the file → (reason of its refusal, content)"
    ball = trimesh.creation.icosphere(3)
    files = {
        "boast.stl": ("truncated", bytes(80) + struct.pack("<I", 4_000_000_000) + bytes(500)),
        "noise.ply": ("unknown-format", bytes(range(256)) * 4),
        "half.3mf": ("truncated", ball.export(file_type="3mf")[:-2000])}
    for kind in ("glb", "stl", "ply"):
        whole = ball.export(file_type=kind)
        files[f"half.{kind}"] = "truncated", whole[:len(whole) // 2]
    return files


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    "Path → the reason for which it must be refused"
    folder = tmp_path_factory.mktemp("broken")
    reasons = {folder / "nothing.glb": "missing", bomb(folder / "bomb.3mf"): "too-large"}
    for name, (reason, text) in broken_texts().items():
        (folder / name).write_text(text)
        reasons[folder / name] = reason
    for name, (reason, data) in broken_bytes().items():
        (folder / name).write_bytes(data)
        reasons[folder / name] = reason
    return reasons


def test_broken_files_are_refused_by_name(broken):
    with Sandbox(seconds=30, memory=400) as sandbox:
        found = {path: inspect_mesh(path, sandbox)["reason"] for path in broken}
    assert found == broken
    assert set(broken.values()) <= set(REJECTION_REASONS)


@pytest.mark.parametrize("task, arguments, message", [("os:abort", [], "crashed"), ("time:sleep", [60], "longer")])
def test_a_crash_or_a_hang_costs_one_file(tmp_path, task, arguments, message):
    trimesh.creation.box().export(tmp_path / "box.ply")
    with Sandbox(seconds=2, memory=1000) as sandbox:
        with pytest.raises(Exception, match=message): sandbox.call(task, *arguments)
        assert inspect_mesh(tmp_path / "box.ply", sandbox)["accepted"]


def mutant(data, rng):
    "A file cut short or with bytes changed"
    data = bytearray(data)
    if rng.random() < 0.5: data = data[:rng.randrange(len(data))]
    n_changes = rng.choice([1, 5, 50]) if data else 0
    for _ in range(n_changes): data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def test_no_mutant_kills_the_reader(collection, tmp_path):
    "Each is read or refused for a reason that its writer understands"
    rng, reasons = random.Random(0), Counter()
    sources = [path for path in files_below(collection[0]) if 0 < path.stat().st_size < 60_000]
    with Sandbox(seconds=20, memory=800) as sandbox:
        for _ in range(200):
            source = rng.choice(sources)
            path = tmp_path / f"mutant{source.suffix}"
            path.write_bytes(mutant(source.read_bytes(), rng))
            result = inspect_mesh(path, sandbox)
            assert result["accepted"] == (result["reason"] == "")
            if result["accepted"]: assert result["quality"]["faces"] > 0
            reasons[result["reason"]] += 1
    assert set(reasons) <= {"", *REJECTION_REASONS}
    assert not {"crash", "time", "memory", "error"} & set(reasons)
    assert reasons[""] > 10 and len(reasons) > 5, "some are read, and the others are refused for many reasons"
