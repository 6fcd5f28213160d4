"Every public function that takes a mesh takes it in any form, and no unused vertex reaches native code"
import ast
import io
import subprocess
import sys

import numpy as np
import pytest
import trimesh
from conftest import ROOT

from sdf_dino.core.errors import InputError, ParameterError
from sdf_dino.geometry.distance import signed_distance
from sdf_dino.geometry.loading import as_mesh, load_mesh
from sdf_dino.geometry.normalisation import normalise_mesh
from sdf_dino.geometry.validation import MeshRejected, stray_vertices
from sdf_dino.parts.segment import segment

BOX = trimesh.creation.box()
ARRAYS = np.asarray(BOX.vertices), np.asarray(BOX.faces)

# Function → how it is called with a mesh `m` of `n` faces; every one of geometry that takes a mesh, and those of parts
CALLS = {
    "geometry.distance:nearest_face": "f(m, [[0, 0, 0]])", "geometry.distance:DistanceMesh": "f(m)",
    "geometry.distance:choose_backend": "f(m)", "geometry.distance:signed_distance": "f(m, [[0, 0, 0]])",
    "geometry.export:part_meshes": "f(m, [0]*n)", "geometry.export:ply_bytes": "f(m, [0]*n)",
    "geometry.export:placed_parts": "f(m, [0]*n)", "geometry.export:part_scene": "f(m, [0]*n)",
    "geometry.export:glb_bytes": "f(m, [0]*n)", "geometry.export:obj_text": "f(m, [0]*n, 'a.mtl')",
    "geometry.export:part_table": "f(m, [0]*n)", "geometry.export:png_bytes": "f(m, [0]*n)",
    "geometry.export:write_parts": "f(m, [0]*n, folder + '/x.ply')",
    "geometry.export:transfer_labels": "f(m, [0]*n, m)",
    "geometry.normalisation:normalise_mesh": "f(m)", "geometry.normalisation:extent_warnings": "f(m)",
    "geometry.quality:mesh_quality": "f(m)", "geometry.ray_surface:mesh_winding": "f(m)([[0, 0, 0]])",
    "geometry.ray_surface:sound_share": "f(m)", "geometry.ray_surface:ray_surface": "f(m)",
    "geometry.rays:RayScene": "f(m.vertices, m.faces).first_hit([[0, 0, 5]], [[0, 0, -1]])",
    "geometry.rays:even_samples": "f(m, 8)", "geometry.rays:cavity_cells": "f(m)",
    "geometry.repair:RepairedMesh": "f(m).winding([[0, 0, 0]])",
    "geometry.repair:WindingNumber": "f(m.vertices, m.faces)([[0, 0, 0]])",
    "geometry.sampling:MeshField": "f(m).sdf([[0, 0, 0]])", "geometry.shell_tree:may_have_parts": "f(m)",
    "geometry.shell_tree:smooth_within_shells": "f(m, [0]*n, [0]*n)", "geometry.shells:mesh_shells": "f(m)",
    "geometry.shells:face_descriptors": "f(m)", "geometry.smoothing:border_costs": "f(m)",
    "geometry.smoothing:smooth_labels": "f(m, [0]*n)", "geometry.smoothing:merge_fragments": "f(m, [0]*n)",
    "geometry.smoothing:smooth_face_labels": "f(m, [0]*(n - 1) + [1])",
    "geometry.surface:sample_mesh_surface": "f(m, 8)", "geometry.surface_features:sample_surface": "f(m, None, 8, 16)",
    "geometry.distance:TriangleTree": "f(m.vertices, m.faces).closest([[0, 0, 0]])",
    "geometry.distance:distance_to_faces": "f([[0, 0, 0]], m.vertices, m.faces)",
    "geometry.cut_parts:cut_mesh": "f(m, np.zeros(n, int))", "geometry.solid_pieces:solid_pieces": "f(m, np.zeros(n, int))",
    "geometry.solid_pieces:remove_floaters": "f(m)", "geometry.primitive_fit:fit_primitive": "f(m)",
    "geometry.symmetry:mirror_planes": "f(m)", "geometry.part_descriptors:mesh_part_samples": "f(m, np.zeros(n, int))",
    "parts.segment:segment": "f(m, landmarks=32, samples=64)"}

PROGRAM = """
import sys, importlib, tempfile, numpy as np, trimesh
calls, folder = eval(sys.argv[1]), tempfile.mkdtemp()
box = trimesh.creation.box((.8, .8, .8))
vertices = np.r_[[[np.nan, 0, 0], [0, np.inf, 0], [1e25, 0, 0]], box.vertices]
m = trimesh.Trimesh(vertices, box.faces + 3, process=False)
n = len(m.faces)
for name, call in calls.items():
    module, _, function = name.partition(":")
    f = getattr(importlib.import_module("sdf_dino." + module), function)
    print(name, end=" ", flush=True)
    eval(call)
    print("ok", flush=True)
"""


OTHERS = {    # Public functions with a parameter `mesh` that take only what others made, or need what is not at hand
    "geometry.distance:warp_signed_distance", "geometry.export:view_parts", "geometry.export:html_text",
    "geometry.export:write_with_materials", "geometry.loading:as_mesh", "geometry.repair:winding_warnings",
    "geometry.validation:check_mesh", "geometry.validation:move_unused_vertices", "geometry.tree_export:tree_record",
    "geometry.tree_export:tree_scene", "geometry.tree_export:write_tree", "geometry.cut_parts:measure_cut",
    "geometry.image_artefacts:shape_errors", "geometry.scene_parts:split_scene", "geometry.scene_parts:write_split_scene"}


def functions_of_meshes():
    "Every public function or class of geometry with a parameter `mesh`"
    for path in sorted((ROOT / "sdf_dino/geometry").glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith("_"): continue
            made = [n for n in getattr(node, "body", []) if getattr(n, "name", "") == "__init__"]
            function = made[0] if made else node
            if isinstance(function, ast.FunctionDef) and "mesh" in [a.arg for a in function.args.args]:
                yield f"geometry.{path.stem}:{node.name}"


def test_every_public_function_of_a_mesh_is_called_here(): assert set(functions_of_meshes()) <= {*CALLS, *OTHERS}


def test_no_function_dies_of_a_vertex_that_no_face_uses():
    done = subprocess.run([sys.executable, "-c", PROGRAM, repr(CALLS)], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr[-600:]
    assert done.stdout.count("ok") == len(CALLS)


@pytest.fixture
def forms(tmp_path):
    "The same box in every form"
    path = tmp_path / "box.ply"
    BOX.export(path)
    return {"path": path, "text": str(path), "Trimesh": BOX, "Scene": trimesh.Scene(BOX), "arrays": ARRAYS,
            "lists": [a.tolist() for a in ARRAYS], "bytes": path.read_bytes(), "stream": io.BytesIO(path.read_bytes()),
            "file": open(path, "rb")}


@pytest.mark.parametrize("name", ["path", "text", "Trimesh", "Scene", "arrays", "lists", "bytes", "stream", "file"])
def test_a_mesh_may_come_in_any_form(forms, name):
    form = forms[name]
    assert np.isclose(signed_distance(form, [[0, 0, 0]]), -.5)
    if hasattr(form, "seek"): form.seek(0)
    cube, _ = normalise_mesh(form)
    assert len(cube.faces) == 12


@pytest.mark.parametrize("name", ["Scene", "arrays", "bytes"])
def test_segment_takes_any_form(forms, name):
    assert len(segment(forms[name], 2, landmarks=32, samples=64).labels) == 12


@pytest.mark.parametrize("wrong", [None, 7, {}, "text file", (1, 2, 3), (ARRAYS[0], ARRAYS[1][:, :2]), (ARRAYS[0][:, :2], ARRAYS[1]),
                                   (ARRAYS[0], ARRAYS[1] + .5), ("a", "b")], ids=str)
def test_anything_else_is_one_error_that_says_what_is_accepted(wrong):
    if wrong == "text file": wrong = io.StringIO("v 0 0 0")
    for call in (as_mesh, lambda mesh: signed_distance(mesh, [[0, 0, 0]]), segment):
        with pytest.raises(ParameterError, match="mesh: "): call(wrong)


@pytest.mark.parametrize("fault, reason", [("index", "bad-indices"), ("nan", "non-finite"), ("none", "no-triangles")])
def test_arrays_are_checked_like_files(fault, reason):
    vertices, faces = ARRAYS[0].copy(), ARRAYS[1].copy()
    if fault == "index": faces[0, 0] = 99
    if fault == "nan": vertices[0] = np.nan
    if fault == "none": faces = faces[:0]
    with pytest.raises(MeshRejected) as error: signed_distance((vertices, faces), [[0, 0, 0]])
    assert error.value.reason == reason


@pytest.mark.parametrize("form", ["stl", "ply", "glb", "3mf", "obj", "off", "stl_ascii"])
def test_bytes_of_every_format_are_known_by_content(form):
    data = BOX.export(file_type=form)
    data = data.encode() if isinstance(data, str) else data
    assert len(as_mesh(data).faces) == 12


def test_a_trimesh_is_passed_on_as_it_is(): assert as_mesh(BOX) is BOX


@pytest.mark.parametrize("wrong", [{"parts": None}, {"parts": 2.5}, {"parts": True}, {"seed": None}, {"seed": 1.5}, {"seed": -1},
                                   {"smooth": "much"}, {"min_area": None}, {"landmarks": 0}, {"samples": 10.5}], ids=str)
def test_a_wrong_setting_of_segment_is_named(wrong):
    with pytest.raises(ParameterError, match=next(iter(wrong))): segment(BOX, **wrong)


def test_one_point_has_a_label_and_wrong_points_are_named():
    found = segment(BOX, 2, landmarks=32, samples=64)
    assert found.label([0, 0, 0]).shape == () and found.label([[0, 0, 0]] * 2).shape == (2,)
    assert found.label([0, 0, 0]) == found.label([[0, 0, 0]])[0]
    for wrong in ([0, 0], "here", [[0, 0, float("nan")]], None):
        with pytest.raises(ParameterError, match="points"): found.label(wrong)


def test_faces_without_area_are_a_rejection():
    flat = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 1], [0, 0, 2]], process=False)
    with pytest.raises(MeshRejected, match="no whole face") as error: signed_distance(flat, [[0, 0, 0]])
    assert error.value.reason == "no-whole-face"


def test_a_far_vertex_is_named_where_a_face_uses_it(tmp_path):
    ball = trimesh.creation.icosphere(2)
    far = np.r_[ball.vertices, [[1e6, 0, 0]]], np.r_[ball.faces, [[0, 1, len(ball.vertices)]]]
    trimesh.Trimesh(*far, process=False).export(tmp_path / "far.ply")
    notes = load_mesh(tmp_path / "far.ply").metadata["notes"]
    assert f"vertex {len(ball.vertices)} at (1e+06, 0, 0)" in notes[0]
    assert not stray_vertices(ball.vertices, ball.faces) and not stray_vertices(far[0], ball.faces)


def test_notes_of_a_file_are_among_the_warnings_of_its_segmentation(tmp_path):
    (tmp_path / "box.obj").write_text(BOX.export(file_type="obj") + "l 1 2\n")
    found = segment(tmp_path / "box.obj", 2, landmarks=32, samples=64)
    assert "1 line ignored" in found.warnings


def test_a_shape_that_is_flat_for_one_far_vertex_says_so():
    ball = trimesh.creation.icosphere(2)
    far = np.r_[ball.vertices, [[1e9, 0, 0]]], np.r_[ball.faces, [[0, 1, len(ball.vertices)]]]
    with pytest.raises(InputError, match="vertex 162 at"): segment(far)
