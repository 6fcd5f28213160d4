"All 133 test models of the trimesh project, many broken on purpose, and files broken here: every one ends in the right verdict"
import csv
import random
import struct
import zipfile
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest
import trimesh
from conftest import bomb

from sdf_dino.core.sandbox import Sandbox
from sdf_dino.geometry.loading import inspect_mesh
from sdf_dino.geometry.repair import REJECTION_REASONS

VERDICTS = Path(__file__).with_name("mesh_verdicts.csv")  # written from what the files are, before a loader saw them


@pytest.fixture(scope="module")
def guard():
    with Sandbox(seconds=60, memory=1500) as g:
        yield g


def test_every_file_of_the_collection_ends_as_expected(shared, tmp_path, guard):
    with zipfile.ZipFile(shared / "meshes.zip") as z:
        z.extractall(tmp_path)
    expected = list(csv.DictReader(VERDICTS.open()))
    found = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert {row["file"] for row in expected} == found and len(found) == 133
    wrong = []
    if find_spec("collada") is None:  # trimesh reads DAE through pycollada
        expected = [row for row in expected if not row["file"].endswith(".dae")]
    for row in expected:
        verdict = inspect_mesh(tmp_path / row["file"], guard)
        got = verdict["reason"] or "accept"
        faces = (verdict["quality"] or {}).get("faces")
        if got != row["verdict"] or (row["triangles"] and faces != int(row["triangles"])):
            wrong.append((row["file"], "expected", row["verdict"], row["triangles"], "got", got, verdict["detail"], faces))
    assert not wrong


def ascii_ply(vertices, faces):
    return f"ply\nformat ascii 1.0\nelement vertex {vertices}\nproperty float x\nproperty float y\nproperty float z\n" \
           f"element face {faces}\nproperty list uchar int vertex_indices\nend_header\n"


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    "Name of the reason → a file that must be refused for it"
    d = tmp_path_factory.mktemp("broken")
    ball = trimesh.creation.icosphere(3)
    write = lambda name, data: (d / name).write_bytes(data if isinstance(data, bytes) else data.encode()) and d / name
    out = [("missing", d / "nothing.glb"), ("empty-file", d / "zero.glb")]
    (d / "zero.glb").touch()
    for kind in ("glb", "stl", "ply"):
        whole = ball.export(file_type=kind)
        out.append(("truncated", write(f"half.{kind}", whole[: len(whole) // 2])))
    out.append(("truncated", write("boast.stl", bytes(80) + struct.pack("<I", 4_000_000_000) + bytes(500))))
    out.append(("truncated", write("boast.off", "OFF\n400000000 400000000 0\n0 0 0\n")))
    out.append(("truncated", write("boast.ply", ascii_ply(10**9, 10**9) + "0 0 0\n")))
    triangle = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\nf 1 2 4\n"
    out.append(("bad-indices", write("far.obj", triangle + "f 1 2 99\n")))
    out.append(("bad-indices", write("zero.obj", triangle + "f 0 1 2\n")))
    out.append(("bad-indices", write("far.ply", ascii_ply(3, 1) + "0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n")))
    out.append(("non-finite", write("nan.obj", triangle.replace("0 1 0", "0 nan 0"))))
    out.append(("non-finite", write("inf.obj", triangle.replace("0 1 0", "0 1e999 0"))))
    out.append(("no-extent", write("dot.obj", "v 1 1 1\n" * 3 + "f 1 2 3\n")))
    out.append(("no-extent", write("dot.ply", ascii_ply(3, 1) + "2 2 2\n" * 3 + "3 0 1 2\n")))
    out.append(("unreadable", write("words.obj", "v one two three\nf 1 2 3\n")))
    out.append(("unknown-format", write("page.glb", "<!DOCTYPE html><html>not found</html>")))
    out.append(("unknown-format", write("noise.ply", bytes(range(256)) * 4)))
    out.append(("unreadable", write("half.3mf", ball.export(file_type="3mf")[:-2000])))
    out.append(("memory", bomb(d / "bomb.3mf")))
    return out


def test_broken_files_are_refused_by_name(broken):
    with Sandbox(seconds=30, memory=400) as guard:
        got = {path.name: (reason, inspect_mesh(path, guard)["reason"]) for reason, path in broken}
    assert not {name: pair for name, pair in got.items() if pair[0] != pair[1]}
    assert {reason for reason, _ in broken} <= set(REJECTION_REASONS)


def test_a_crash_and_a_hang_cost_one_file(tmp_path, monkeypatch):
    trimesh.creation.box().export(tmp_path / "box.ply")
    with Sandbox(seconds=2, memory=1000) as guard:
        for task, kind in (("os:abort", "crash"), ("time:sleep", "time")):
            with pytest.raises(Exception, match="crashed|longer"):
                guard.call(task, *([60] if kind == "time" else []))
            assert inspect_mesh(tmp_path / "box.ply", guard)["accepted"]


def test_the_wrong_name_on_a_good_file_does_no_harm(tmp_path, guard):
    trimesh.creation.icosphere(2).export(tmp_path / "a.glb")
    (tmp_path / "a.glb").rename(tmp_path / "a.stl")
    assert inspect_mesh(tmp_path / "a.stl", guard)["accepted"]


def test_no_mutant_kills_the_reader(shared, tmp_path):
    "Files of the collection cut short or with bytes changed: any verdict will do, a crash or a hang will not"
    rng, ends = random.Random(0), Counter()
    with zipfile.ZipFile(shared / "meshes.zip") as z:
        sources = sorted((i for i in z.infolist() if 0 < i.file_size < 60_000), key=lambda i: i.filename)
        with Sandbox(seconds=20, memory=800) as guard:
            for _ in range(200):
                info = rng.choice(sources)
                data = bytearray(z.read(info))
                if rng.random() < 0.5:
                    data = data[: rng.randrange(len(data))]
                for _ in range(rng.choice([1, 5, 50]) if data else 0):
                    data[rng.randrange(len(data))] = rng.randrange(256)
                path = tmp_path / f"mutant{Path(info.filename).suffix}"
                path.write_bytes(bytes(data))
                ends[inspect_mesh(path, guard)["reason"]] += 1
    assert not {"crash", "time"} & set(ends) and set(ends) <= {"", *REJECTION_REASONS}
