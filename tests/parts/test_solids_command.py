"The command `solids`"
import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from typer.testing import CliRunner

from sdf_dino.cli.main import load_app
from sdf_dino.core.errors import InputError, ParameterError
from sdf_dino.field.fitting import FitConfig
from sdf_dino.geometry.image_artefacts import image_to_3d_mesh
from sdf_dino.geometry.loading import load_mesh
from sdf_dino.geometry.sampling import Sampler
from sdf_dino.geometry.shapes import probe_shapes
from sdf_dino.geometry.solid_export import write_solids
from sdf_dino.parts.learned import Preset
from sdf_dino.geometry.surface import zero_set
from sdf_dino.parts.interaction import EditSession
from sdf_dino.parts.segment import Segmentation, segment
from sdf_dino.parts.session_file import save_session
from sdf_dino.parts.solids_command import SolidsRequest, closed_parts, solids_command

ROD = trimesh.creation.box((.9, .2, .2)).subdivide().subdivide()
FOUND = Segmentation(ROD, (ROD.triangles_center[:, 0] > 0).astype(int), {})


def quick(**settings): return closed_parts(FOUND, SolidsRequest(resolution=48, **settings))


@pytest.mark.parametrize("target, cause", [
    ("old.glb", "exists already"), ("old.obj", "exists already"), ("new.txt", "has no format")])
def test_a_bad_target_is_refused_before_anything_is_read(tmp_path, target, cause):
    for name in ("old.glb", "old.mtl"): (tmp_path / name).touch()
    with pytest.raises(ParameterError, match=cause): solids_command(Path("nowhere.ply"), tmp_path / target)


@pytest.mark.parametrize("settings, cause", [
    ({"move": ("0 1",)}, "Give 4 numbers"), ({"scale": ("0 0",)}, "Give 2 numbers"), ({"scale": ("x 1",)}, "Give 2 numbers"),
    ({"move": ("0.5 0 0 0",)}, "Give 4 numbers"), ({"thickness": 0}, "thickness"), ({"resolution": 2}, "resolution"),
    ({"clearance": -1}, "clearance"), ({"primitives": Path("a.stl")}, "no format of primitives"),
    ({"pegs": True, "clearance": float("nan")}, "clearance"), ({"resolution": 4000}, "to 512"),
    ({"fit": True, "preset": "bogus"}, "preset"), ({"fit": True, "device": "bogus"}, "device"),
    ({"method": "learned", "device": "bogus"}, "device"), ({"method": "bogus"}, "method"), ({"parts": 0}, "parts")])
def test_an_impossible_wish_is_refused(settings, cause):
    with pytest.raises(ParameterError, match=cause): SolidsRequest(**settings)


def test_a_part_that_touches_itself_is_manifold_to_programs_that_weld(tmp_path):
    boxes = [trimesh.creation.box(bounds=(corner, np.add(corner, 1))).subdivide() for corner in ((0, 0, 0), (1, 1, 0))]
    touching = trimesh.util.concatenate(boxes)      # along an edge
    labels = (touching.triangles_center[:, 2] > .5).astype(int)
    made = closed_parts(Segmentation(touching, labels, {}), SolidsRequest(resolution=48))
    for file in write_solids(made.meshes, tmp_path / "parts"):
        welded = trimesh.load(file, process=True)
        assert welded.is_watertight and np.bincount(welded.edges_unique_inverse).max() == 2


def test_learned_fields_have_no_pegs(tmp_path):
    with pytest.raises(ParameterError, match="no pegs"):
        solids_command(Path("nowhere.ply"), tmp_path / "a.glb", SolidsRequest(fit=True, pegs=True))


@pytest.mark.parametrize("settings", [
    {"steps": 5}, {"preset": "best"}, {"device": "cpu"}, {"clearance": .1}, {"fit": True, "thickness": .02}, {"fit": True, "as_primitives": True}])
def test_an_option_that_would_not_be_read_is_refused(settings):
    with pytest.raises(ParameterError, match="Leave|leave"): SolidsRequest(**settings)


def test_options_that_are_read_are_taken():
    for settings in ({"fit": True, "steps": 5, "preset": "best", "device": "cpu"}, {"pegs": True, "clearance": .1}, {"method": "learned", "device": "cpu"}):
        request = SolidsRequest(**settings)
        assert {name: getattr(request, name) for name in settings} == settings


@pytest.mark.parametrize("source, out", [("a.ply", "a.ply"), ("parts/part_3.ply", "parts"), ("a.ply", "linked")])
@pytest.mark.parametrize("force", [False, True])
def test_what_is_read_is_never_overwritten(tmp_path, source, out, force):
    for folder in ("parts", "linked"): (tmp_path / folder).mkdir()
    for name in ("a.ply", "parts/part_3.ply"): ROD.export(tmp_path / name)
    (tmp_path / "linked/part_0.ply").symlink_to(tmp_path / "a.ply")
    before = (tmp_path / source).read_bytes()
    with pytest.raises(ParameterError, match="never overwritten"):
        solids_command(tmp_path / source, tmp_path / out, SolidsRequest(2), force)
    assert (tmp_path / source).read_bytes() == before


def test_older_files_of_a_folder_stay_and_are_named(tmp_path):
    ROD.export(tmp_path / "rod.ply")
    ROD.export(tmp_path / "part_9.ply")
    row = solids_command(tmp_path / "rod.ply", tmp_path, SolidsRequest(1, resolution=16), force=True)
    assert row["closed"] and (tmp_path / "part_9.ply").exists() and "part_9.ply" in row["warnings"][-1]


@pytest.mark.parametrize("out, primitives, cause", [
    ("p.json", "p.json", "written twice"), ("p.glb", "file/p.json", "cannot be written"), ("q.features.npy", None, "holds no solids")])
def test_targets_that_cannot_be_written_are_refused_before_anything_is_read(tmp_path, out, primitives, cause):
    (tmp_path / "file").touch()
    request = SolidsRequest(2, primitives=tmp_path / primitives if primitives else None)
    with pytest.raises(ParameterError, match=cause): solids_command(Path("nowhere.ply"), tmp_path / out, request)


def test_a_part_is_scaled_about_its_centre_and_moved_and_the_other_stays():
    before, after = quick().meshes, quick(scale=("1 2",), move=("1 0 0 .5",)).meshes
    assert np.array_equal(before[0].vertices, after[0].vertices)
    assert np.allclose(after[1].extents, 2*before[1].extents)
    assert np.allclose(after[1].bounds.mean(0), before[1].bounds.mean(0) + [0, 0, .5])


def test_an_edit_of_a_part_that_is_not_there_is_an_error():
    with pytest.raises(ParameterError, match="part: 7"): quick(move=("7 0 0 1",))


def test_primitives_take_the_place_of_parts_and_stay_disjoint():
    made = quick(as_primitives=True)
    assert {fit.kind for fit in made.fits.values()} == {"box"} and made.record["overlap"] < 1e-9
    assert all(len(part.faces) <= 40 for part in made.meshes.values())
    assert np.isclose(sum(part.volume for part in made.meshes.values()), ROD.volume, rtol=.01)


@pytest.mark.slow
def test_learned_fields_are_closed_parts_too():
    quick_fit = Preset(FitConfig(1, 5, 256), 0, Sampler(1000, 100))
    made = closed_parts(FOUND, SolidsRequest(fit=True, preset=quick_fit, steps=40, resolution=32))
    assert set(made.meshes) == {0, 1} and all(part.is_watertight for part in made.meshes.values())
    assert made.record["parameters"] > 0


def test_pegs_are_counted(): assert quick(pegs=True, clearance=.005).record["pegs"] == 1


def test_a_picture_becomes_an_edited_model_in_one_command(tmp_path):
    table = probe_shapes()["table"]
    mesh = image_to_3d_mesh(table)
    mesh.export(tmp_path / "mesh.glb")
    words = ["solids", tmp_path / "mesh.glb", "-o", tmp_path / "out.glb", "--remove-floaters", "--as-primitives",
             "--primitives", tmp_path / "out.scad", "--move", "0 0 0 .1", "--resolution", "96", "--json"]
    done = CliRunner().invoke(load_app(), [str(word) for word in words])
    assert done.exit_code == 0, done.output
    row = json.loads(done.stdout)
    assert row["closed"] and row["parts"] == 5 and "4 floaters removed" in row["warnings"]
    assert sorted(part["kind"] for part in row["primitives"]) == ["box", *["cylinder"]*4]
    nodes = trimesh.load_scene(tmp_path / "out.glb").geometry
    assert sorted(nodes) == [f"part_{i}" for i in range(5)] and (tmp_path / "out.scad").stat().st_size < 10_000


def test_edits_of_the_page_come_before_the_cut_and_names_reach_the_file(tmp_path):
    path = tmp_path / "snowman.ply"
    zero_set(probe_shapes()["snowman"].sdf, 32).export(path)
    session = EditSession(segment(path))
    for edit in ({"edit": "parts", "number": 3}, {"edit": "rename", "part": 0, "name": "belly"}): session.apply(edit)
    save_session(session, tmp_path / "snowman.edits.json")
    words = ["solids", path, "-o", tmp_path / "out.glb", "--edits", tmp_path / "snowman.edits.json", "--resolution", 48, "--json"]
    done = CliRunner().invoke(load_app(), [str(word) for word in words])
    assert done.exit_code == 0 and json.loads(done.stdout)["closed"], done.output
    assert set(trimesh.load_scene(tmp_path / "out.glb").graph.nodes_geometry) == {"belly", "part_1", "part_2"}


def test_edits_that_do_not_fit_are_refused_before_anything_is_read(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(InputError, match="no session"): SolidsRequest(session=tmp_path / "a.json")
    with pytest.raises(ParameterError, match="--fit"): SolidsRequest(session=tmp_path / "a.json", fit=True)
