"PLY: every feature is read, or refused by its name, or listed in the notes"
import struct

import numpy as np
import pytest
from mesh_writers import L_OUTLINE, box, fan, ply, prism

from sdf_dino.geometry.loading import load_mesh
from sdf_dino.geometry.validation import MeshRejected

VERTICES, QUADS = box()
FORMS = ["ascii", "binary_little_endian", "binary_big_endian"]
MIXED = [[4, 6, 7, 5], [0, 1, 3], [0, 3, 2], *QUADS[2:]]     # quads and triangles


def load(folder, data):
    (folder / "x.ply").write_bytes(data)
    return load_mesh(folder / "x.ply")


def refusal(folder, data):
    with pytest.raises(MeshRejected) as error: load(folder, data)
    return error.value


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("options", [
    {}, {"number": "f4"}, {"count": "u2"}, {"count": "i4", "index": "u4"}, {"count": "u4", "index": "u1"}, {"index": "i2"},
    {"name": "vertex_index"}, {"name": "indices"}, {"before": True}, {"after": True}, {"colours": True}, {"texture": True},
    {"before": True, "after": True, "colours": True, "texture": True, "count": "i2"}, {"newline": "\r\n"}], ids=str)
def test_every_kind_of_ply_is_the_same_box(tmp_path, form, options):
    mesh = load(tmp_path, ply(VERTICES, MIXED, form=form, **options))
    assert np.array_equal(mesh.faces, fan(MIXED)) and np.isclose(mesh.volume, 1) and mesh.is_watertight
    others = options.get("before", 0) + options.get("after", 0)
    assert mesh.metadata["notes"] == ["2 rows of thing ignored"]*others


@pytest.mark.parametrize("form", FORMS)
def test_concave_polygons_have_their_area(tmp_path, form):
    assert np.isclose(load(tmp_path, ply(*prism(L_OUTLINE), form=form)).area, 7.5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("strips", [[[0, 1, 2, 3, -1, 4, 5, 6]], [[0, 1, 2, 3], [4, 5, 6]]], ids=["minus one", "two rows"])
def test_triangle_strips_are_read(tmp_path, form, strips):
    mesh = load(tmp_path, ply(VERTICES, strips, form=form, strips=True))
    assert mesh.faces.tolist() == [[0, 1, 2], [2, 1, 3], [4, 5, 6]]


@pytest.mark.parametrize("form", FORMS)
def test_a_ply_that_breaks_off_is_truncated(tmp_path, form):
    whole = ply(VERTICES, MIXED, form=form, texture=True)
    for cut in (3, 40, len(whole)//2, len(whole) - 20):
        assert refusal(tmp_path, whole[:len(whole) - cut]).reason == "truncated", cut
    assert refusal(tmp_path, whole.replace(b"element face 7", b"element face 70")).reason == "truncated"
    assert refusal(tmp_path, whole.replace(b"element vertex 8", b"element vertex 800")).reason == "truncated"


@pytest.mark.parametrize("form, left", [("ascii", "1 line"), ("binary_little_endian", "5 bytes")])
def test_what_follows_the_last_row_is_listed(tmp_path, form, left):
    tail = b"\n1 2 3\n" if form == "ascii" else bytes(5)
    body = ply(VERTICES, MIXED, form=form)
    if form == "ascii":     # rows are lines only where the text says so
        header, text = body.split(b"end_header\n")
        lines = [" ".join(repr(x) for x in row) for row in VERTICES.tolist()] + [" ".join(map(str, [len(p), *p])) for p in MIXED]
        body = header + b"end_header\n" + "\n".join(lines).encode()
    mesh = load(tmp_path, body + tail)
    assert np.isclose(mesh.volume, 1) and mesh.metadata["notes"] == [f"{left} after the last row ignored"]


def test_words_after_the_end_of_a_row_are_listed(tmp_path):
    "As MeshLab's library writes them"
    lines = [" ".join(repr(x) for x in row) for row in VERTICES.tolist()] + [" ".join(map(str, [len(p), *p])) + " 9 1 1" for p in MIXED]
    head = ply(VERTICES, MIXED, form="ascii").split(b"end_header\n")[0]
    mesh = load(tmp_path, head + b"end_header\n" + "\n".join(lines).encode())
    assert np.isclose(mesh.volume, 1) and mesh.metadata["notes"] == ["words after the end of 7 rows ignored"]


def header(*lines, form="ascii"): return "\n".join(["ply", f"format {form} 1.0", *lines, "end_header", ""]).encode()


AXES = [f"property float {axis}" for axis in "xyz"]
SPLAT = ["f_dc_0", "opacity", "scale_0", "rot_0"]


@pytest.mark.parametrize("data, reason, word", [
    (header("element vertex 2", *AXES, *(f"property float {p}" for p in SPLAT)) + b"0 "*14, "no-triangles", "2 Gaussian splats"),
    (header("element vertex 1", *AXES, "element range_grid 1", "property list uchar int vertex_indices") + b"0 0 0\n1 0\n", "no-triangles", "a range grid"),
    (header("element vertex 1", *AXES, "element face 0", "property list uchar int vertex_indices") + b"0 0 0\n", "no-triangles", "1 point"),
    (header("element vertex 1", *AXES[:2], "element face 1", "property list uchar int vertex_indices") + b"0 0\n3 0 0 0\n", "malformed", "without x, y and z"),
    (header("element vertex many"), "malformed", "'element vertex many'"), (header("property float x"), "malformed", "'property float x'"),
    (header("element vertex 1", "property quad x"), "malformed", "'property quad x'"), (header(form="ebcdic"), "malformed", "ebcdic"),
    (b"ply\nelement vertex 3\n", "truncated", "header does not end"),
    (header("element vertex 3", *AXES, "element face 1", "property list uchar int vertex_indices") + b"0 0 0 1 0 0 0 1 0\n3 0 1 7\n", "bad-indices", "3 vertices"),
    (header("element vertex 1", *AXES, "element face 1", "property list int int vertex_indices", form="binary_little_endian")
     + struct.pack("<3f2i", 0, 0, 0, -5, 0), "malformed", "a list of -5 values")], ids=range(11))
def test_the_fault_of_a_ply_is_named(tmp_path, data, reason, word):
    error = refusal(tmp_path, data)
    assert error.reason == reason and word in error.detail


def test_a_text_ply_may_be_in_any_encoding(tmp_path):
    text = ply(VERTICES, MIXED, form="ascii").decode()
    for encoding in ("utf-8-sig", "utf-16"): assert len(load(tmp_path, text.encode(encoding)).faces) == len(fan(MIXED))
