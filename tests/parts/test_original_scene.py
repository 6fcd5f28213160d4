"`segment` on scenes: the original cut by part, nodes as seeds, mirror images; and stable numbers of parts"
import os
import subprocess
import sys

import numpy as np
import pytest
import trimesh
from conftest import ROOT
from gltf_files import BOX, GltfWriter

from sdf_dino.core.errors import ParameterError
from sdf_dino.geometry.clustering import label_agreement
from sdf_dino.geometry.repair import union_solids
from sdf_dino.parts.batch import segment_batch
from sdf_dino.parts.labelled_parts import LabelledParts, read_parts
from sdf_dino.parts.segment import segment
from sdf_dino.parts.segment_request import SegmentRequest, result_text, segment_file, target_files
from sdf_dino.parts.transfer import transfer_parts


@pytest.fixture
def chair(tmp_path):
    "A seat with a back on one node, and four legs that share a mesh on nodes of their own, two of them mirrored"
    writer = GltfWriter()
    writer.tree["materials"] = [{"name": "wood"}, {"name": "steel"}]
    seat = writer.box_primitive(BOX*[1, .1, 1], material=0)
    back = writer.box_primitive(BOX*[1, 1, .1] + [0, .5, -.45], material=0)
    writer.node(mesh=writer.mesh(seat, back), name="seat")
    leg = writer.mesh(writer.box_primitive(BOX*[.1, 1, .1] + [.4, -.5, 0], material=1))
    for name, x in (("right", -1), ("left", 1)):
        for z in (-.4, .4): writer.node(mesh=leg, name=name, scale=[x, 1, 1], translation=[0, 0, z])
    return writer.glb(tmp_path / "chair.glb")


def test_the_original_scene_is_cut_by_part(chair, tmp_path):
    targets = [tmp_path / "out" / name for name in ("parts.glb", "parts.json", "parts.npy")]
    row = segment_file(chair, targets, SegmentRequest("6", split="original", symmetry="mark"))
    parts, labels = read_parts(targets[0]), np.load(targets[2])
    assert np.array_equal(parts.labels, labels) and row["parts"] == 6 and row["warnings"] == []
    names = [name for name, _, _ in parts.mesh.metadata["nodes"]]
    assert sorted(name.split()[0] for name in names) == ["left", "left", "right", "right", "seat", "seat"]
    materials = {mesh.visual.material.name for mesh in trimesh.load_scene(targets[0]).geometry.values()}
    assert materials == {"wood", "steel"}
    assert len(row["symmetry"]["pairs"]) == 2 and "(left) and" in result_text(row) or "(right) and" in result_text(row)


def test_nodes_are_kept_apart_and_joined_only_on_demand(chair, tmp_path):
    row = segment_file(chair, [tmp_path / "a.json"], SegmentRequest(respect="nodes"))
    labels = read_parts(tmp_path / "a.json").labels
    nodes = np.repeat(np.arange(5), [24, 12, 12, 12, 12])
    assert row["parts"] >= 5 and row["seeds"] == 5 and len(np.unique(np.c_[labels, nodes], axis=0)) == row["parts"]
    assert segment_file(chair, [tmp_path / "b.json"], SegmentRequest("2", respect="nodes"))["parts"] == 2


@pytest.mark.parametrize("fields, word", [
    ({"split": "both"}, "split"), ({"respect": "groups"}, "respect"), ({"symmetry": "all"}, "symmetry"),
    ({"split": "original", "keep_materials": True}, "keep-materials"),
    ({"edits": "a.json", "symmetry": "mark"}, "edits")])
def test_options_that_do_not_go_together_are_refused(fields, word):
    with pytest.raises(ParameterError, match=word): SegmentRequest(**fields)


def test_targets_that_cannot_hold_the_result_are_refused_before_anything_is_computed():
    original = SegmentRequest(split="original")
    with pytest.raises(ParameterError, match=r"\*\.glb"): target_files("a.ply", original)
    assert target_files("a.json", original) and target_files("a.tree.glb", original)
    with pytest.raises(ParameterError, match="alike"): target_files("a.tree.json", SegmentRequest(symmetry="alike"))


def test_a_batch_cuts_each_scene_and_options_tell_requests_apart(chair, tmp_path):
    request = SegmentRequest("2", split="original", respect="components")
    batch = segment_batch([chair], tmp_path / "out", request)
    (written,) = (tmp_path / "out").rglob("*.glb")
    materials = {mesh.visual.material.name for mesh in trimesh.load_scene(written).geometry.values()}
    assert batch.exit_code == 0 and materials == {"wood", "steel"}
    assert "split" not in SegmentRequest().record() and request.record()["respect"] == "components"


NUMBERS = """
import hashlib, sys, trimesh
from sdf_dino.parts.segment import segment
found = segment(trimesh.load_mesh(sys.argv[1], process=False), 4, surface="triangles")
print(hashlib.sha256(found.labels.tobytes()).hexdigest())
"""


def branches():
    "A bar with three knobs of clearly different size"
    bar = trimesh.creation.capsule(2, .12)
    knobs = [trimesh.creation.icosphere(3, r).apply_translation((0, y, z)) for r, y, z in
             ((.4, 0, 2.2), (.3, .1, -.2), (.22, .25, 1.))]
    both = trimesh.util.concatenate([bar, *knobs])
    solid = union_solids(np.asarray(both.vertices), np.asarray(both.faces, np.int64))
    return trimesh.Trimesh(*solid[:2], process=False)


@pytest.mark.slow
def test_numbers_are_the_same_in_every_run_and_on_every_number_of_threads(tmp_path):
    branches().export(tmp_path / "a.ply")
    found = set()
    for threads in ("1", "1", "2"):
        env = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        command = [sys.executable, "-c", NUMBERS, str(tmp_path / "a.ply")]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
        found.add(done.stdout.strip())
    assert len(found) == 1 and len(found.pop()) == 64


def test_the_largest_part_comes_first_whatever_the_seed():
    mesh = branches()
    orders = []
    for seed in (0, 1, 2):
        found = segment(mesh, 4, surface="triangles", landmarks=128, samples=1024, seed=seed)
        areas = np.bincount(found.labels, mesh.area_faces)
        centres = np.stack([mesh.triangles_center[found.labels == part].mean(0) for part in range(4)])
        assert (np.diff(areas) < .1*areas[:-1]).all()
        orders.append(centres)
    assert np.abs(orders[1] - orders[0]).max() < .3 and np.abs(orders[2] - orders[0]).max() < .3


def test_another_place_and_size_change_no_number():
    mesh = branches()
    first = segment(mesh, 4, surface="triangles", landmarks=128, samples=1024).labels
    moved = mesh.copy().apply_scale(4).apply_translation((8, -4, 2))
    again = segment(moved, 4, surface="triangles", landmarks=128, samples=1024).labels
    assert mesh.area_faces[first != again].sum() < .001*mesh.area


def test_another_order_of_the_faces_gives_the_same_parts_whose_numbers_transfer_keeps(tmp_path):
    mesh = branches()
    order = np.random.default_rng(0).permutation(len(mesh.faces))
    other = trimesh.Trimesh(mesh.vertices, mesh.faces[order], process=False)
    few = {"surface": "triangles", "landmarks": 128, "samples": 1024}
    first, again = segment(mesh, 4, **few), segment(other, 4, **few)
    carried = transfer_parts(LabelledParts(tmp_path, first.labels, {}, mesh), other)[0]
    assert np.array_equal(carried, first.labels[order])
    assert label_agreement(first.labels[order], again.labels)["ari"] > .6
