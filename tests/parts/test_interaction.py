"Edits of parts: what each changes and leaves alone, undo, replay, what is refused, and how long an answer takes"
import json
import sys

import numpy as np
import pytest
import trimesh
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdf_dino.core.errors import MismatchError, ParameterError, SdfDinoError
from sdf_dino.geometry.clustering import match_labels
from sdf_dino.geometry.loading import load_mesh
from sdf_dino.geometry.shapes import probe_shapes
from sdf_dino.geometry.surface import zero_set
from sdf_dino.parts.interaction import EditSession, apply_edits
from sdf_dino.parts.labelled_parts import read_parts
from sdf_dino.parts.segment import recut, segment
from sdf_dino.parts.session_file import parse_session, replay_session, save_session, session_record

FEW = {"landmarks": 256, "samples": 1024}


@pytest.fixture(scope="module")
def table():
    return zero_set(probe_shapes()["table"].sdf, 32)


@pytest.fixture(scope="module")
def found(table):
    return segment(table, 3, **FEW)


@pytest.fixture(scope="module")
def boxes():
    "Many shells, whose tree has no samples: four legs, a top and four knobs"
    pieces = [trimesh.creation.box((1, 1, .1), trimesh.transformations.translation_matrix([0, 0, .5]))]
    for x in (-.4, .4):
        for y in (-.4, .4):
            place = trimesh.transformations.translation_matrix([x, y, 0])
            pieces.append(trimesh.creation.box((.1, .1, .8), place))
            place = trimesh.transformations.translation_matrix([x, y, .7])
            pieces.append(trimesh.creation.icosphere(1, .1).apply_transform(place))
    return segment(trimesh.util.concatenate(pieces), 3, surface="shells")


def same(a, b): return np.array_equal(match_labels(a, b), a)


def face_at(mesh, point): return int(((mesh.triangles_center - point)**2).sum(1).argmin())


def test_a_session_begins_with_the_parts_as_they_came(found):
    session = EditSession(found)
    assert np.array_equal(session.state.faces, found.labels) and session.edits == []
    assert np.array_equal(session.segmentation().labels, found.labels)


def test_the_confidence_of_an_unedited_session_is_that_of_the_segmentation(found):
    info = EditSession(found).segmentation().info
    assert info["part_confidence"] == pytest.approx(found.info["part_confidence"], abs=.0011)
    assert np.allclose(info["seam_confidence"], found.info["seam_confidence"], atol=.0011)


@pytest.mark.parametrize("number", [1, 2, 5, 9])
def test_another_number_is_the_cut_of_the_tree(found, number):
    state = EditSession(found).apply({"edit": "parts", "number": number})
    assert same(recut(found, number).labels, state.faces)


def test_a_part_that_returns_has_its_old_number(found):
    session = EditSession(found)
    for number in (6, 3): session.apply({"edit": "parts", "number": number})
    assert np.array_equal(session.state.faces, found.labels)


def test_a_merge_joins_the_faces_of_its_parts_and_no_others(found):
    session = EditSession(found)
    before = session.apply({"edit": "parts", "number": 5}).faces
    after = session.apply({"edit": "merge", "parts": [3, 1]}).faces
    assert np.array_equal(after, np.where(np.isin(before, [1, 3]), 3, before))


@pytest.mark.parametrize("mesh", ["found", "boxes"])
def test_a_split_changes_its_part_alone(mesh, request):
    session = EditSession(request.getfixturevalue(mesh))
    before = session.state
    part = int(np.bincount(before.leaves).argmax())
    after = session.apply({"edit": "split", "part": part})
    own = before.faces == part
    assert np.array_equal(after.faces[~own], before.faces[~own])
    assert len(np.unique(after.faces[own])) == 2 and part in after.parts


def test_a_split_is_the_next_cut_of_the_tree(found):
    "The part that the cut into four splits gives the same parts when a user splits it"
    four, state = recut(found, 4).labels, EditSession(found).state
    part, = [p for p in state.parts if len(np.unique(four[state.faces == p])) > 1 and
             (np.bincount(four[state.faces == p]) > 20).sum() > 1]
    split = EditSession(found).apply({"edit": "split", "part": part})
    assert (match_labels(four, split.faces) == four).mean() > .97


def test_what_has_no_further_cut_says_so(boxes):
    session = EditSession(boxes)
    with pytest.raises(ParameterError, match="no further cut"):
        while True:
            session.apply({"edit": "split", "part": int(np.bincount(session.state.leaves).argmax())})
    assert len(session.state.parts) == 9, "each shell, none of which has parts"


def test_places_together_stay_together_in_later_cuts(table, found):
    legs = [face_at(table, [x, -.3, -.4]) for x in (-.3, .3)]
    session = EditSession(found)
    apart = session.apply({"edit": "parts", "number": 7}).faces
    assert apart[legs[0]] != apart[legs[1]], "the cut tells these legs apart"
    session.apply({"edit": "together", "faces": legs})
    for number in (7, 9, 4):
        faces = session.apply({"edit": "parts", "number": number}).faces
        assert faces[legs[0]] == faces[legs[1]]


@pytest.mark.parametrize("number", [1, 2, 4])
def test_places_apart_are_cut_and_stay_apart(table, found, number):
    legs = [face_at(table, [x, -.3, -.4]) for x in (-.3, .3)]
    session = EditSession(found)
    session.apply({"edit": "parts", "number": 1})
    faces = session.apply({"edit": "apart", "faces": legs}).faces
    assert faces[legs[0]] != faces[legs[1]] and len(np.unique(faces)) == 2
    faces = session.apply({"edit": "parts", "number": number}).faces
    assert faces[legs[0]] != faces[legs[1]]


def test_edits_that_contradict_earlier_ones_are_refused(table, found):
    legs = [face_at(table, [x, -.3, -.4]) for x in (-.3, .3)]
    session = EditSession(found)
    session.apply({"edit": "apart", "faces": legs})
    parts = [int(session.state.faces[leg]) for leg in legs]
    for edit in ({"edit": "together", "faces": legs}, {"edit": "merge", "parts": parts}):
        with pytest.raises(ParameterError, match="Undo"): session.apply(edit)
    session.undo()
    session.apply({"edit": "together", "faces": legs})
    with pytest.raises(ParameterError, match="earlier edit"): session.apply({"edit": "apart", "faces": legs})


WRONG = [None, {}, {"edit": "explode"}, {"edit": []}, {"edit": "split"}, {"edit": "split", "part": 99},
         {"edit": "split", "part": "0"}, {"edit": "split", "part": 0, "more": 1}, {"edit": "parts", "number": 0},
         {"edit": "parts", "number": 2.5}, {"edit": "parts", "number": 10**9}, {"edit": "merge", "parts": [0]},
         {"edit": "merge", "parts": 0}, {"edit": "merge", "parts": [0, 0]}, {"edit": "merge", "parts": [[0], 1]},
         {"edit": "rename", "part": 0, "name": " "}, {"edit": "rename", "part": 0, "name": "a\nb"},
         {"edit": "together", "faces": [0]}, {"edit": "apart", "faces": [0, -1]}, {"edit": "apart", "faces": [3, 3]}]


@pytest.mark.parametrize("edit", WRONG, ids=str)
def test_a_wrong_edit_is_refused_and_changes_nothing(found, edit):
    session = EditSession(found)
    with pytest.raises(ParameterError): session.apply(edit)
    assert session.edits == [] and np.array_equal(session.state.faces, found.labels)


def test_a_replay_names_the_edit_that_is_impossible(found):
    edits = [{"edit": "parts", "number": 4}, {"edit": "split", "part": 50}]
    with pytest.raises(ParameterError, match="edit 2, part"): apply_edits(found, edits)


def random_edit(draw, state, n_faces):
    "An edit of a state that may be impossible"
    part, face = st.sampled_from(state.parts), st.integers(0, n_faces - 1)
    kind = draw(st.sampled_from(["parts", "merge", "split", "rename", "together", "apart"]))
    if kind == "parts": return {"edit": kind, "number": draw(st.integers(1, 9))}
    if kind == "merge": return {"edit": kind, "parts": draw(st.lists(part, min_size=2, max_size=3, unique=True)
                                                            if len(state.parts) > 1 else st.just([0, 1]))}
    if kind == "split": return {"edit": kind, "part": draw(part)}
    if kind == "rename": return {"edit": kind, "part": draw(part), "name": draw(st.sampled_from(["leg", "top"]))}
    return {"edit": kind, "faces": [draw(face), draw(face)]}


def plain(state): return state.faces.tolist(), state.leaves.tolist(), state.names, state.together, state.apart


@pytest.mark.parametrize("mesh", ["found", "boxes"])
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_undo_of_all_is_the_start_and_a_replay_is_the_session(mesh, data, request):
    found = request.getfixturevalue(mesh)
    session = EditSession(found)
    start = plain(session.state)
    for _ in range(data.draw(st.integers(1, 6))):
        before = session.state
        if data.draw(st.integers(0, 5)) == 0:
            session.undo()
            continue
        edit = random_edit(data.draw, before, len(before.faces))
        try: after = session.apply(edit)
        except SdfDinoError: assert session.state is before
        else:
            assert set(after.leaves) <= set(after.parts), "every leaf belongs to a part that has faces"
            if edit["edit"] in ("split", "apart", "merge", "together"): check_local(before, after)
    end = plain(session.state)
    edits = json.loads(json.dumps(session_record(session)))["edits"]
    assert np.array_equal(apply_edits(found, edits).labels, session.state.faces)
    n = len(edits)
    while session.undo(): pass
    assert plain(session.state) == start
    for _ in range(n): assert session.redo()
    assert plain(session.state) == end


def check_local(before, after):
    "Parts that keep their faces keep their number; a changed part lies in the changed parts of before"
    for part in before.parts:
        own = before.faces == part
        now = np.unique(after.faces[own])
        if len(now) == 1 and (after.faces == now[0]).sum() == own.sum(): assert now[0] == part


def test_a_session_is_saved_and_replayed(found, tmp_path):
    session = EditSession(found)
    for edit in ({"edit": "parts", "number": 5}, {"edit": "split", "part": 0}, {"edit": "rename", "part": 1, "name": "Bein"}):
        session.apply(edit)
    save_session(session, tmp_path / "edits.json")
    again = replay_session(found, tmp_path / "edits.json")
    assert np.array_equal(again.labels, session.state.faces) and again.names[1] == "Bein"


@pytest.mark.parametrize("suffix", [".glb", ".ply", ".obj", ".npy", ".json", ".tree.json", ".tree.glb", ".png"])
def test_edited_parts_are_written_in_every_format(found, tmp_path, suffix):
    session = EditSession(found)
    for edit in ({"edit": "parts", "number": 5}, {"edit": "merge", "parts": [0, 2]}): session.apply(edit)
    path = session.segmentation().export(tmp_path / f"parts{suffix}")
    assert path.stat().st_size > 100
    if suffix.endswith(".glb"):
        names = set(trimesh.load(path).geometry)
        assert names == {"part_0", "part_1", "part_3", "part_4"}


def test_trees_have_the_names_that_a_user_gave(found, tmp_path):
    session = EditSession(found)
    for edit in ({"edit": "parts", "number": 3}, {"edit": "rename", "part": 1, "name": "Bein"}): session.apply(edit)
    parts = session.segmentation()
    parents = trimesh.load_scene(parts.export(tmp_path / "a.tree.glb")).graph.transforms.parents
    assert {"part_0", "Bein", "part_2"} <= set(parents) and "part_1" not in parents
    record = json.loads(parts.export(tmp_path / "a.tree.json").read_text())
    assert {row["part"]: row["name"] for row in record["parts"]} == {0: "part_0", 1: "Bein", 2: "part_2"}
    def leaves(node): return [leaf for child in node["children"] for leaf in leaves(child)] if "children" in node else [node]
    assert sorted((leaf["part"], leaf["name"]) for leaf in leaves(record["tree"])) == [(0, "part_0"), (1, "Bein"), (2, "part_2")]


def test_a_session_of_another_mesh_or_other_settings_is_refused(table, found, tmp_path):
    save_session(EditSession(found), tmp_path / "edits.json")
    moved = table.copy()
    moved.vertices[0] += 1e-6
    for other, words in ((segment(moved, 3, **FEW), "another mesh"), (segment(table, 4, **FEW), "Use parts 3"),
                         (segment(table, 3), "landmarks=256"),
                         (segment(table, 3, landmarks=256, samples=2048), "samples=1024")):
        with pytest.raises(MismatchError, match=words): replay_session(other, tmp_path / "edits.json")


@pytest.mark.parametrize("text", ["", "[]", "{}", "nul", '{"format": "sdf_dino session 1"}', "[" * 100_000])
def test_what_is_no_session_is_refused(text):
    with pytest.raises(SdfDinoError, match="session"): parse_session(text)


def test_prototypes_and_rows_of_shapes_cannot_be_edited(found):
    from dataclasses import replace
    with pytest.raises(ParameterError, match="no part tree"): EditSession(replace(found, tree_parts=None))


def test_edits_need_no_torch():
    import subprocess
    code = "import sys, sdf_dino.parts.session_file; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("edits", [[{"edit": "parts", "number": 4}],
                                   [{"edit": "parts", "number": 3}, {"edit": "split", "part": 0}]])
def test_what_is_together_is_never_cut_however_few_leaves_there_are(edits):
    pieces = [trimesh.creation.box((1, 1, 1 + i)).apply_translation([3*i, 0, 0]) for i in range(4)]
    session = EditSession(segment(trimesh.util.concatenate(pieces), 2))
    session.apply({"edit": "together", "faces": [0, 12]})
    for edit in edits:
        if edit["edit"] == "split": edit = {**edit, "part": int(session.state.faces[0])}
        try: session.apply(edit)
        except ParameterError as e: assert "no further cut" in str(e)
        assert session.state.faces[0] == session.state.faces[12]


def test_the_names_of_parts_are_in_the_files_that_hold_names(boxes, tmp_path):
    from sdf_dino.parts.segment_request import SegmentRequest, result_row, write_target
    session = EditSession(boxes)
    session.apply({"edit": "rename", "part": 1, "name": "leg"})
    found = session.segmentation()
    write_target(found, tmp_path / "a.glb", SegmentRequest())
    found.export(tmp_path / "b.glb")
    write_target(found, tmp_path / "a.json", SegmentRequest())
    assert read_parts(tmp_path / "a.json").names[1] == "leg"
    write_target(found, tmp_path / "a.obj", SegmentRequest())
    assert "o leg" in (tmp_path / "a.obj").read_text()
    boxes.mesh.export(tmp_path / "source.ply")
    found.mesh = load_mesh(tmp_path / "source.ply")
    write_target(found, tmp_path / "c.glb", SegmentRequest(split="original"))
    for name in "abc": assert b"leg" in (tmp_path / f"{name}.glb").read_bytes()
    assert result_row(found, [])["names"][1] == "leg"


def test_a_session_that_does_not_say_how_it_was_made_is_refused(found, tmp_path):
    record = session_record(EditSession(found))
    del record["settings"]["landmarks"]
    (tmp_path / "edits.json").write_text(json.dumps(record))
    with pytest.raises(MismatchError, match="landmarks None"): replay_session(found, tmp_path / "edits.json")
