"The segment command: real meshes to coloured files and back, and everything that must be refused"
import json
import resource
import socket
import sys

import numpy as np
import pytest
import trimesh
from conftest import BIN, run
from faults import CLI, Program, count_files, kill_and_resume, sdf_dino_command, seconds_of, start, stop, wait_until

from sdf_dino.core.plotting import part_colors
from sdf_dino.data.psb import psb_models
from sdf_dino.geometry.loading import load_mesh
from sdf_dino.geometry.validation import REJECTION_REASONS
from sdf_dino.parts.batch import segment_batch
from sdf_dino.parts.segment_request import SegmentRequest


@pytest.fixture(scope="module")
def chair(psb, tmp_path_factory):
    "The first chair of the benchmark as a mesh file, in inches and far from the origin"
    path = tmp_path_factory.mktemp("psb") / "chair.off"
    mesh = psb_models(psb.folder, "Chair")[0].mesh
    trimesh.Trimesh(mesh.vertices * 39.37 + 1000, mesh.faces, process=False).export(path)
    return path


@pytest.fixture(scope="module")
def parts(chair, tmp_path_factory):
    "The chair in every format by one call, and what the call said"
    folder = tmp_path_factory.mktemp("parts")
    names = ("a.ply", "a.glb", "a.obj", "a.html", "a.json", "a.labels.npy")
    words = [w for name in names for w in ("-o", folder / name)]
    done = sdf_dino_command("segment", chair, *words, "--parts", 4, "--features", folder / "f.npy", "--json")
    return folder, json.loads(done.stdout)


def test_the_report_says_what_was_done(parts):
    folder, said = parts
    assert {p.name for p in folder.iterdir()} == {
        "a.ply", "a.glb", "a.obj", "a.mtl", "a.html", "a.json", "a.labels.npy", "f.npy"}
    assert {str(p) for p in folder.iterdir()} == set(said["files"])
    assert said["parts"] == 4 and said["method"] == "visibility" and 0 < said["confidence"] < 1
    assert len(said["part_confidence"]) == 4
    assert set(said["stages"]) == {"load", "surface", "features", "tree", "borders"}


def test_geometry_units_and_the_order_of_faces_stay(chair, parts):
    mesh, labels = load_mesh(chair), np.load(parts[0] / "a.labels.npy")
    ply = trimesh.load(parts[0] / "a.ply", process=False)
    assert np.array_equal(ply.faces, mesh.faces) and np.array_equal(ply.vertices, mesh.vertices)
    assert np.array_equal(ply.visual.face_colors[:, :3], part_colors(labels))
    assert np.load(parts[0] / "f.npy").shape == (len(mesh.faces), 64)
    table = json.loads((parts[0] / "a.json").read_text())["parts"]
    assert [r["faces"] for r in table] == np.bincount(labels).tolist()


@pytest.mark.parametrize("name", ["a.glb", "a.obj"])
def test_each_part_is_a_node_with_its_own_colour(chair, parts, name):
    mesh, labels = load_mesh(chair), np.load(parts[0] / "a.labels.npy")
    scene = trimesh.load_scene(parts[0] / name, process=False, **({"split_object": True} if name == "a.obj" else {}))
    pieces = sorted(scene.dump(), key=lambda g: g.visual.material.name)    # where the nodes place them
    assert [g.visual.material.name for g in pieces] == [f"part_{i}" for i in range(4)]
    for i, piece in enumerate(pieces):
        assert np.allclose(piece.triangles, mesh.triangles[labels == i], rtol=1e-6)
        color = piece.visual.material.main_color[:3] / 255
        if name == "a.glb":   # linear light there
            color = np.where(color <= .0031308, 12.92 * color, 1.055 * color ** (1 / 2.4) - .055)
        assert np.abs(color * 255 - part_colors(i)).max() < 8, "a byte of linear light is coarse where it is dark"


def test_nothing_is_overwritten_unasked(chair, parts):
    again = sdf_dino_command("segment", chair, "-o", parts[0] / "a.ply", check=False)
    assert again.returncode == 1 and "--force" in again.stderr and "Traceback" not in again.stderr


def test_materials_stay_and_labels_go_beside(tmp_path):
    box = trimesh.creation.box((3, 2, 1))
    blue = trimesh.visual.material.PBRMaterial(baseColorFactor=[9, 99, 199, 255])
    box.visual = trimesh.visual.TextureVisuals(material=blue)
    (tmp_path / "in.glb").write_bytes(trimesh.Scene(box).export(file_type="glb"))
    sdf_dino_command("segment", tmp_path / "in.glb", "-o", tmp_path / "out.glb", "--parts", 2, "--keep-materials")
    assert (tmp_path / "out.glb").read_bytes() == (tmp_path / "in.glb").read_bytes()
    assert len(np.load(tmp_path / "out.labels.npy")) == 12 and (tmp_path / "out.labels.json").exists()


def test_a_shape_of_the_weights_needs_no_mesh(tmp_path):
    done = sdf_dino_command("segment", "--latent", "probe9:snowman", "-o", tmp_path / "snowman.ply")
    assert (tmp_path / "snowman.ply").exists() and "2 parts" in done.stdout and "confidence" in done.stdout


TRIANGLES = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\nf 1 2 4\n"
BAD = {  # A file named after its fault → what it holds
    "empty-file.glb": "", "truncated.off": "OFF\n400000000 400000000 0\n0 0 0\n", "unknown-format.glb": "<!doctype html>",
    "malformed.obj": "v one two three\nf 1 2 3\n", "no-triangles.obj": "v 0 0 0\nv 1 0 0\n",
    "bad-indices.obj": TRIANGLES + "f 1 2 99\n", "non-finite.obj": TRIANGLES.replace("0 1 0", "0 nan 0"),
    "no-extent.obj": "v 1 1 1\n" * 3 + "f 1 2 3\n", "flat.obj": TRIANGLES.replace("0 0 1", "1 1 0")}


def test_a_folder_of_faults_is_told_one_by_one(tmp_path):
    for name, text in BAD.items(): (tmp_path / name).write_text(text)
    done = sdf_dino_command("segment", tmp_path, "-o", tmp_path / "out", "--json", check=False)
    rows = {r["source"]: r for r in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 4, "no mesh has parts: " + done.stderr
    assert {n: r["reason"] for n, r in rows.items()} == {n: n.split(".")[0] for n in BAD}
    assert {r["status"] for r in rows.values()} == {"rejected"}


@pytest.mark.parametrize("name, reason", [("nothing.glb", "missing"), ("page.glb", "unknown-format")])
def test_one_bad_mesh_is_one_line_and_exit_code_1(tmp_path, name, reason):
    (tmp_path / "page.glb").write_text("<!doctype html>")
    done = sdf_dino_command("segment", tmp_path / name, "-o", tmp_path / "out.glb", check=False)
    assert done.returncode == 1 and REJECTION_REASONS[reason][0] in done.stderr and len(done.stderr.splitlines()) == 1


def abort_on_open(folder, monkeypatch, name, where="True"):
    "From now on, processes end when they open this file; `where` says which"
    (folder / "sitecustomize.py").write_text(
        "import os, sys\ndef end(event, args):\n"
        f"  if event == 'open' and str(args[0]).endswith('{name}') and {where}: os.abort()\nsys.addaudithook(end)")
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_what_kills_a_reader_is_one_line_too(tmp_path, monkeypatch):
    trimesh.creation.box().export(tmp_path / "in.glb")
    abort_on_open(tmp_path, monkeypatch, "in.glb")
    done = run("sdf_dino", "segment", tmp_path / "in.glb", "-o", tmp_path / "out.glb", check=False)
    assert done.returncode == 1 and REJECTION_REASONS["crash"][0] in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize("name, words", [("in.glb", ()), ("in.obj", ("--keep-materials",)), ("in.ply", ("--keep-materials",))])
def test_only_a_child_reads_the_mesh(tmp_path, monkeypatch, name, words):
    boxes = [trimesh.creation.box((3, 2, 1)).apply_translation([0, 0, 3 * i]) for i in range(2)]
    trimesh.util.concatenate(boxes).export(tmp_path / name)
    abort_on_open(tmp_path, monkeypatch, name, "'segment' in sys.orig_argv")
    out = tmp_path / f"out{'.ply' if name == 'in.ply' else '.glb'}"
    run("sdf_dino", "segment", tmp_path / name, "-o", out, *words)


@pytest.mark.parametrize("words", [("--seconds", "1e-4"), ("--memory", "1")])
def test_one_mesh_has_limits_too(tmp_path, words):
    trimesh.creation.icosphere(5).export(tmp_path / "in.stl")
    done = sdf_dino_command("segment", tmp_path / "in.stl", "-o", tmp_path / "out.ply", *words, check=False)
    assert done.returncode == 1 and "in.stl: " in done.stderr and "limit" in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) == 1 and not (tmp_path / "out.ply").exists()


def test_a_file_that_does_not_fit_is_named(tmp_path):
    trimesh.creation.icosphere(4).export(tmp_path / "in.stl")
    def limit(): resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    done = run("sdf_dino", "segment", tmp_path / "in.stl", "-o", tmp_path / "out.ply", check=False, preexec_fn=limit)
    assert done.returncode == 1 and f"{tmp_path / 'out.ply'}: cannot be written (File too large)" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in.stl"]


def segment_folder(folder, out, *words):
    "Arguments of the command for a folder of meshes"
    formats = [word for name in ("glb", "ply", "json", "tree.json", "labels.npy") for word in ("--to", name)]
    return ["segment", folder, "-o", out, "--parts", "2", *formats, *words]


def contents(out):
    "Name → bytes of all results; the manifest without times"
    files = {path.name: path.read_bytes() for path in out.glob("*_*")}
    rows = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    for row in rows:
        del row["stages"]
        row["files"] = [file.rsplit("/", 1)[1] for file in row["files"]]
    return files, rows


@pytest.fixture
def compounds(tmp_path):
    "A folder of 30 small meshes of two shells"
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(30):
        torus = trimesh.creation.torus(1, .1 + .02 * i, major_sections=24 + i)
        ball = trimesh.creation.icosphere(1).apply_translation([0, 0, 3])
        trimesh.util.concatenate([torus, ball]).export(folder / f"mesh{i}.ply")
    return folder


@pytest.mark.slow
def test_a_batch_that_was_killed_at_twenty_moments_has_the_same_bytes(compounds, tmp_path):
    def begin(folder): return Program(CLI, *segment_folder(compounds, tmp_path / folder, "--workers", 2))
    out, span = tmp_path / "out", seconds_of(lambda: begin("whole")) / 10
    met = kill_and_resume(lambda: begin("out"), 20, span, lambda: count_files(out, "*_*"))
    assert met >= 10, "most kills must meet a batch"
    assert contents(out) == contents(tmp_path / "whole")
    assert {path.name for path in out.iterdir()} == {path.name for path in (tmp_path / "whole").iterdir()}


@pytest.mark.slow
def test_a_worker_of_a_cluster_that_dies_loses_nothing(compounds, tmp_path):
    pytest.importorskip("distributed", reason="pip install 'sdf_dino[cluster]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    out, quiet = tmp_path / "out", {"DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "error"}
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard"]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", f"tcp://127.0.0.1:{port}", "--nthreads", "1",
              "--no-nanny", "--no-dashboard", "--local-directory"]
    processes = [start(dask, quiet), *(start([*worker, tmp_path / f"w{i}"], quiet) for i in range(2))]
    try:
        words = segment_folder(compounds, out, "--scheduler", f"tcp://127.0.0.1:{port}")
        run = start([BIN / "sdf_dino", *words])
        assert wait_until(lambda: count_files(out, "*_*.glb") >= 5, run), run.communicate()
        stop(processes[1])
        output = run.communicate()[0]
    finally:
        for process in processes: stop(process)
    assert run.returncode == 0, output
    segment_batch(compounds, tmp_path / "here", SegmentRequest(2), ("glb", "ply", "json", "tree.json", "labels.npy"))
    assert contents(out)[0] == contents(tmp_path / "here")[0]


def test_what_costs_too_much_is_named(tmp_path):
    meshes = tmp_path / "in"
    meshes.mkdir()
    with open(meshes / "too-large.obj", "wb") as f: f.truncate(2_000_000_001)
    (meshes / "memory.obj").write_text("v 0 0 0\n" * 3 + "f" + " 1" * 30_000_000)
    rows = segment_batch(meshes, tmp_path / "out", memory=400).rows
    for f in meshes.iterdir(): f.unlink()
    trimesh.creation.box().export(meshes / "time.ply")
    rows += segment_batch(meshes, tmp_path / "slow", seconds=.5).rows
    assert {r["source"].split(".")[0]: r["reason"] for r in rows} == {n: n for n in ("too-large", "memory", "time")}
    assert all(r["fix"] for r in rows), "and what helps"


@pytest.mark.parametrize("words, why", [
    (("-o", "in.glb/x.ply"), "takes no files"), (("-o", "."), "parts.glb"), (("-o", "x.npy", "--features", "x.npy"), "twice"),
    (("-o", "x.ply", "--features", "f.ply"), "f.npy"), (("-o", "x.ply", "--to", "ply"), "several meshes"),
    (("-o", "x.glb", "-o", "x.ply", "--keep-materials"), "Name it *.glb.")])
def test_what_cannot_be_written_is_refused_before_anything_is_read(tmp_path, words, why):
    (tmp_path / "in.glb").write_text("whoever reads this complains of something else")
    words = [w if w[:2] == "--" or w in ("-o", "ply") else tmp_path / w for w in words]
    done = sdf_dino_command("segment", tmp_path / "in.glb", *words, check=False)
    assert done.returncode == 1 and why in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["in.glb"]


def test_broken_meshes_cost_themselves_alone(tmp_path):
    box = trimesh.creation.box()
    (tmp_path / "empty.stl").write_text("solid Empty\nendsolid Empty")
    (tmp_path / "points.ply").write_bytes(trimesh.PointCloud(box.vertices).export(file_type="ply"))
    (tmp_path / "unit_cube.STL").write_bytes(box.export(file_type="stl"))
    names = ("empty.stl", "points.ply", "unit_cube.STL")
    (tmp_path / "list.txt").write_text("\n".join(names))
    words = ("segment", tmp_path / "list.txt", "-o", tmp_path / "out", "--parts", 2, "--to", "ply")
    done = sdf_dino_command(*words, check=False)
    rows = [json.loads(line) for line in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()]
    assert [r["status"] for r in rows] == ["rejected", "rejected", "done"] and done.returncode == 3
    lost = [r for r in rows if r["status"] == "rejected"]
    assert done.stdout.count(" parts, confidence ") == len(rows) - len(lost), "a line a mesh"
    assert all(f"{r['name']}: {r['reason']}" in done.stdout and r["fix"] in done.stdout for r in lost), "why, and what helps"
    again = sdf_dino_command(*words, check=False)
    assert again.returncode == 3 and "0 in this call" in again.stdout, "what is finished is not done again"
