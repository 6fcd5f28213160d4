"The page of `sdf_dino view` without a browser: what each control does, which files it opens, and what a bad file leaves"
import io
import json
import os
import zipfile

import numpy as np
import pytest
import trimesh

from sdf_dino.core.errors import ParameterError, SdfDinoError
from sdf_dino.geometry.shapes import probe_shapes
from sdf_dino.geometry.surface import zero_set
from sdf_dino.parts import app, workspace
from sdf_dino.parts.interaction import EditSession
from sdf_dino.parts.page_scene import PageView, face_on_ray, seam_lines
from sdf_dino.parts.session_file import session_record
from sdf_dino.parts.workspace import EXPORT_FORMATS, Workspace, served_files

FEW = {"landmarks": 256, "samples": 1024}
DOWN = ([0, 0, 2], [0, 0, -1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "A served folder with meshes, a bad file, and links that lead out of it and to a neighbour"
    outside, served = tmp_path_factory.mktemp("outside"), tmp_path_factory.mktemp("served")
    (served / "below").mkdir()
    (served / ".hidden").mkdir()
    for name, place in (("table", served), ("snowman", served / "below"), ("snowman", served / ".hidden"),
                        ("chair", outside)):
        zero_set(probe_shapes()[name].sdf, 24).export(place / f"{name}.ply")
    (served / "bad.stl").write_text("no mesh")
    os.symlink(outside / "chair.ply", served / "link.ply")
    os.symlink(outside, served / "way_out")
    return served.resolve()


@pytest.fixture(scope="module")
def shared(folder):
    space = Workspace(folder, parts=4, **FEW)
    yield space
    space.close()


@pytest.fixture
def space(shared):
    "The workspace with the table open and nothing edited"
    if shared.file != "table.ply": shared.open_file("table.ply")
    shared.session = shared.scene.session = EditSession(shared.session.context.found)
    shared.scene.view = shared.view = PageView()
    shared.message, shared.error = "", None
    shared.reached, shared.left = "table.ply", {}
    return shared


def at_a_leg(space):
    "A ray that meets a face of another part than the one on top"
    faces, cube = space.session.state.faces, space.scene.cube
    other = np.flatnonzero(faces != faces[face_on_ray(space.scene, *DOWN)])
    face = other[cube.area_faces[other].argmax()]
    normal = cube.face_normals[face]
    return cube.triangles_center[face] + normal * 1e-3, -normal


def test_the_list_holds_the_meshes_of_the_folder_and_below(folder):
    assert served_files(folder) == ["bad.stl", "table.ply", "below/snowman.ply"]


@pytest.mark.parametrize("name", ["link.ply", "way_out/chair.ply", "../outside/chair.ply", "/etc/passwd", "below/../../x.ply"])
def test_a_file_outside_of_the_folder_is_refused(space, name):
    session = space.session
    space.open_file(name)
    assert space.failed and "outside of the folder" in space.message
    assert space.session is session and space.file == "table.ply"


@pytest.mark.parametrize("name", ["bad.stl", "missing.ply", "", "below", "a\0b.ply", "x" * 5000])
def test_a_bad_file_leaves_the_last_mesh_open(space, name):
    session = space.session
    space.open_file(name)
    assert space.failed and space.message and space.session is session
    space.merge()
    assert "two or more" in space.message, "the page goes on"


def test_next_and_previous_go_round_the_list(space):
    seen = []
    for by in (1, 1, -1):
        space.step(by)
        seen.append((space.file, space.failed))
    assert seen == [("below/snowman.ply", False), ("below/snowman.ply", True), ("below/snowman.ply", False)]


def test_a_dropped_file_is_opened_by_its_last_name(space, folder):
    space.upload("..\\..\\my table.ply", (folder / "table.ply").read_bytes())
    assert (space.file, space.failed) == ("my table.ply", False)
    space.upload("bad.glb", b"glTF")
    assert space.failed and "bad.glb" in space.message and os.sep + "tmp" not in space.message


def test_a_click_selects_and_a_click_with_shift_selects_more(space):
    space.pick(*DOWN)
    top = space.view.selected
    assert len(top) == 1 and len(space.view.picked) == 1
    space.pick(*at_a_leg(space), more=True)
    assert len(space.view.selected) == 2 and len(space.view.picked) == 2
    space.pick(*at_a_leg(space), more=True)
    assert len(space.view.selected) == 2, "a second place on a part leaves it selected"
    space.pick([5, 5, 5], [1, 0, 0], more=True)
    assert len(space.view.selected) == 2, "a miss with shift changes nothing"
    space.pick([5, 5, 5], [1, 0, 0])
    assert space.view.selected == space.view.picked == []


def test_every_edit_is_a_control(space):
    n = len(space.session.state.parts)
    space.pick(*DOWN)
    space.split()
    assert len(space.session.state.parts) == n + 1
    space.rename("plate")
    assert space.name_under(*DOWN) == "plate"
    space.pick(*at_a_leg(space), more=True)
    space.link("together")
    assert len(space.session.state.parts) == n and not space.failed
    space.undo()
    assert len(space.session.state.parts) == n + 1 and space.message == "Undone"
    space.redo()
    assert [edit["edit"] for edit in space.session.edits] == ["split", "rename", "together"]


@pytest.mark.parametrize("act", [Workspace.merge, Workspace.split, lambda space: space.rename("leg"),
                                 lambda space: space.link("apart"), Workspace.undo, Workspace.redo])
def test_a_control_without_what_it_needs_says_so(space, act):
    act(space)
    assert space.message and space.session.edits == []


def test_hidden_parts_are_neither_drawn_nor_hit(space):
    space.pick(*DOWN)
    space.hide()
    assert face_on_ray(space.scene, *DOWN) is None and seam_lines(space.scene)[1].size
    space.hide()
    assert face_on_ray(space.scene, *DOWN) is not None
    space.hide()
    space.show_all()
    assert face_on_ray(space.scene, *DOWN) is not None


def test_parts_that_move_apart_are_hit_where_they_are_drawn(space):
    legs = [row["part"] for row in space.scene.table()][1:]
    offsets = space.scene.offsets()
    assert all(np.allclose(step, 0) for step in offsets.values())
    space.view.explode = 1.
    for part in legs:
        face = np.flatnonzero(space.session.state.faces == part)[0]
        triangle = space.scene.cube.triangles[face] + space.scene.offsets()[part]
        normal = np.cross(triangle[1] - triangle[0], triangle[2] - triangle[0])
        hit = face_on_ray(space.scene, triangle.mean(0) + normal / np.linalg.norm(normal) * 1e-3, -normal)
        assert space.session.state.faces[hit] == part


def test_seams_lie_between_parts_and_carry_the_confidence_of_the_pair(space):
    points, values = seam_lines(space.scene)
    assert len(points) == len(values) > 10 and (0 < values).all() and (values < 1).all()
    space.edit({"edit": "parts", "number": 1})
    assert len(seam_lines(space.scene)[0]) == 0


def test_the_table_gives_areas_in_units_of_the_file(space, folder):
    mesh = trimesh.load(folder / "table.ply")
    table = space.scene.table()
    assert sum(row["area"] for row in table) == pytest.approx(mesh.area, rel=1e-6)
    assert sum(row["share"] for row in table) == pytest.approx(1)


@pytest.mark.parametrize("ending", [e for e in EXPORT_FORMATS if e != ".png"])
def test_every_format_can_be_taken_away(space, ending):
    space.edit({"edit": "merge", "parts": [0, 2]})
    name, content = space.export(ending)
    assert not space.failed, space.message
    assert len(content) > 100 and name.startswith("table_parts")
    if ending == ".glb": assert set(trimesh.load(io.BytesIO(content), file_type="glb").geometry) == {"part_0", "part_1", "part_3"}
    if ending == ".obj": assert sorted(zipfile.ZipFile(io.BytesIO(content)).namelist()) == ["table_parts.mtl", "table_parts.obj"]


def test_the_original_scene_is_cut_along_the_edited_parts(space, folder):
    space.upload("mine.ply", (folder / "table.ply").read_bytes())
    space.edit({"edit": "merge", "parts": [0, 2]})
    name, content = space.export(".original.glb")
    assert name == "mine_parts.original.glb" and len(trimesh.load(io.BytesIO(content), file_type="glb").geometry) == 3


def test_a_saved_session_comes_back_and_that_of_another_mesh_is_refused(space, folder):
    space.edit({"edit": "merge", "parts": [0, 2]})
    faces, (name, content) = space.session.state.faces, space.saved_session()
    space.undo()
    space.upload(name, content)
    assert np.array_equal(space.session.state.faces, faces) and space.message == "Session loaded"
    space.open_file("below/snowman.ply")
    space.upload(name, content)
    assert space.failed and "another mesh" in space.message and space.session.edits == []


def test_a_page_without_a_mesh_says_so(tmp_path):
    space = Workspace(tmp_path)
    for act in (Workspace.undo, Workspace.saved_session, lambda s: s.edit({"edit": "split", "part": 0})):
        act(space)
        assert "no mesh" in space.message
    space.pick(*DOWN)
    assert space.name_under(*DOWN) == ""


def test_a_click_after_undo_meets_the_parts_as_they_are(space):
    "A new state may have the id of one that is gone"
    drawn = face_on_ray(space.scene, *DOWN)
    assert drawn is not None
    state = space.session.state
    space.scene._rays = (id(state), *space.scene._rays[1:])
    assert face_on_ray(space.scene, *DOWN) == drawn and space.scene._rays[0] is state


def test_for_one_file_the_folders_below_are_not_visited(folder, monkeypatch):
    assert served_files(folder, below=False) == ["bad.stl", "table.ply"]
    monkeypatch.setattr(workspace, "_MOST_FOLDERS", 1)
    assert served_files(folder) == ["bad.stl", "table.ply"]


def test_a_file_that_was_written_again_is_not_cut_by_the_old_parts(tmp_path):
    path = tmp_path / "ball.ply"
    trimesh.creation.icosphere(2).export(path)
    space = Workspace(tmp_path, parts=2, **FEW)
    space.open_file("ball.ply")
    assert space.export(".original.glb") is not None, space.message
    trimesh.creation.icosphere(3).export(path)
    assert space.export(".original.glb") is None and "has changed since" in space.message
    assert space.export(".glb") is not None
    space.close()


def test_a_session_that_cannot_be_replayed_names_the_edit(space):
    record = session_record(space.session)
    record["edits"] = [{"edit": "parts", "number": 3}, {"edit": "split", "part": 99}]
    space.load_session("a.edits.json", json.dumps(record).encode())
    assert space.failed and space.message.startswith("edit 2, part") and space.session.edits == []


@pytest.fixture
def no_server(monkeypatch):
    class Viser:
        def ViserServer(*args, **kwargs): return None
    monkeypatch.setattr(app, "import_extra", lambda *names: Viser)
    monkeypatch.setattr(app, "PartPage", lambda space, server: space)


def test_a_link_that_the_user_names_is_opened(folder, no_server):
    space = app.start_page(folder / "link.ply", parts=2, **FEW)
    assert space.file == "chair.ply" and not space.failed
    space.close()


@pytest.mark.parametrize("name", ["table.ply", "."])
def test_wrong_options_of_the_page_are_refused_before_a_file_is_read(folder, no_server, name):
    with pytest.raises(ParameterError) as e: app.start_page(folder / name, parts="abc")
    assert ".." not in str(e.value) and str(e.value).startswith("parts")


def test_a_bad_file_of_the_page_has_one_plain_error(folder, no_server):
    with pytest.raises(SdfDinoError) as e: app.start_page(folder / "bad.stl")
    assert ".." not in str(e.value) and "Give another" not in str(e.value)


def test_a_bad_file_does_not_stop_next(space):
    for by in (1, 1, 1): space.step(by)
    assert (space.file, space.failed) == ("table.ply", False), "past the bad file"


def test_edits_stay_with_their_mesh_when_another_is_opened(space):
    space.pick(*DOWN)
    space.rename("plate")
    space.step(1)
    assert space.session.edits == [] and space.file == "below/snowman.ply"
    space.step(-1)
    assert space.name_under(*DOWN) == "plate"
    space.undo()
    assert space.name_under(*DOWN) != "plate"


def test_another_mesh_of_the_same_name_begins_without_edits(space, folder):
    space.upload("mine.ply", (folder / "table.ply").read_bytes())
    space.pick(*DOWN)
    space.rename("plate")
    space.upload("mine.ply", (folder / "below" / "snowman.ply").read_bytes())
    assert not space.failed
    space.upload("mine.ply", (folder / "below" / "snowman.ply").read_bytes())
    assert not space.failed and space.session.edits == []


def test_a_mesh_that_is_too_much_leaves_the_last_one_open(space):
    session, space.sandbox.seconds = space.session, .001
    try: space.step(1)
    finally: space.sandbox.seconds = 600.
    assert space.failed and "long" in space.message and space.session is session
    space.step(1)
    space.step(1)
    assert not space.failed
