"OBJ, OFF and STL: every feature is read, or refused by its name, or listed in the notes"
import numpy as np
import pytest
import trimesh
from mesh_writers import L_OUTLINE, box, fan, load, obj, off, prism, refusal, stl, stl_text

from sdf_dino.geometry.polygons import triangulate_polygons

VERTICES, QUADS = box()
TRIANGLES = VERTICES[fan(QUADS)]


def is_box(mesh): return mesh.is_watertight and np.isclose(mesh.volume, 1) and len(mesh.faces) == 12


@pytest.mark.parametrize("name, write", [("l.obj", obj), ("l.off", off)])
@pytest.mark.parametrize("first", range(6))
@pytest.mark.parametrize("backward", [False, True])
def test_concave_polygons_have_their_area_from_any_first_corner(tmp_path, name, write, first, backward):
    outline = np.roll(L_OUTLINE, -first, 0)
    vertices, polygons = prism(outline)
    if backward: polygons = [p[::-1] for p in polygons]
    mesh = load(tmp_path, name, write(vertices, polygons))
    assert np.isclose(mesh.area, 7.5) and np.isclose(abs(mesh.volume), .875) and mesh.is_watertight


@pytest.mark.parametrize("outline, area", [
    ([[0, 0], [1, 0], [2, 0], [2, 2], [0, 2]], 4), ([[0, 0], [2, 0], [2, 0], [2, 2], [0, 2], [0, 2]], 4),
    ([[0, 0], [2, 0], [.5, .5], [0, 2]], 1), ([[0, 0], [2, 1], [0, 2], [1, 1]], 1)],
    ids=["on a line", "twice", "arrowhead", "other arrowhead"])
def test_corners_on_a_line_or_twice_do_not_open_a_prism(tmp_path, outline, area):
    vertices, polygons = prism(outline, 1)
    mesh = load(tmp_path, "x.obj", obj(vertices, polygons))
    assert np.isclose(mesh.volume, area) and mesh.is_watertight


@pytest.mark.parametrize("options", [
    {"comments": True}, {"encoding": "utf-8-sig"}, {"encoding": "utf-16"}, {"encoding": "utf-16-le"}, {"encoding": "utf-32"},
    {"newline": "\r\n"}, {"newline": "\r"}, {"continued": True}, {"continued": True, "newline": "\r\n"}, {"negative": True},
    {"colours": True}, {"slashes": "/1/1"}, {"slashes": "//1"}, {"extras": True}, {"comments": True, "encoding": "latin-1"}], ids=str)
def test_every_kind_of_obj_is_the_same_box(tmp_path, options):
    mesh = load(tmp_path, "box.obj", obj(VERTICES, QUADS, **options))
    assert is_box(mesh) and np.array_equal(mesh.faces, fan(QUADS))
    assert mesh.metadata["notes"] == (["1 line ignored", "1 point ignored"] if options.get("extras") else [])


def test_what_an_obj_holds_besides_faces_is_listed_or_refused(tmp_path):
    surface = "cstype bspline\ndeg 3 3\nsurf 0 1 0 1 1 2 3 4\nend\n"
    points = "v 0 0 0 2\nv 1 0 0 1\nv 0 1 0 1\nv 0 0 1 1\n"
    notes = load(tmp_path, "a.obj", points + surface + "curv 0 1 1 2\nnonsense 1\nf 1 2 3\nf 1 2\n").metadata["notes"]
    assert notes == ["1 free-form surface ignored", "1 free-form curve ignored", "rational weights of vertices ignored",
                     "1 face of less than three corners ignored", "unknown statements ignored: nonsense"]
    error = refusal(tmp_path, "b.obj", points + surface)
    assert error.reason == "no-triangles" and error.detail == "free-form surfaces only" and "polygons" in error.fix
    assert refusal(tmp_path, "c.obj", points + "l 1 2\n").detail == "lines only"
    assert refusal(tmp_path, "d.obj", points).detail == "4 points only"


@pytest.mark.parametrize("line, word", [("v one two three\n", "'one'"), ("v 1 2\n", "'1 2'"), ("f 1 x 3\n", "'x'"), ("f 1.5 2 3\n", "fraction")])
def test_the_fault_of_an_obj_is_quoted(tmp_path, line, word):
    error = refusal(tmp_path, "x.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n" + line)
    assert error.reason == "malformed" and word in error.detail


@pytest.mark.parametrize("options", [
    {"word": "COFF"}, {"word": "NOFF"}, {"word": "STOFF"}, {"word": "STCNOFF"}, {"word": "4OFF"}, {"word": ""}, {"comments": True},
    {"colours": True}, {"flat": True}, {"word": "4OFF", "flat": True}, {"same_line": True}, {"edges": False}, {"newline": "\r\n"},
    {"newline": "\r"}, {"word": "", "flat": True}, {"comments": True, "colours": True, "word": "CNOFF"}], ids=str)
def test_every_kind_of_off_is_the_same_box(tmp_path, options):
    mesh = load(tmp_path, "box.off", off(VERTICES, QUADS, **options))
    assert is_box(mesh) and np.array_equal(mesh.faces, fan(QUADS)) and not mesh.metadata["notes"]


def test_the_counts_of_an_off_may_stand_on_three_lines(tmp_path):
    text = off(VERTICES, QUADS).replace(b"8 6 0", b"8\n6\n12")
    assert is_box(load(tmp_path, "box.off", text))


def test_a_pentagon_of_an_off_is_read(tmp_path):
    angles = np.linspace(0, 2*np.pi, 5, endpoint=False)
    vertices, polygons = prism(np.stack([np.cos(angles), np.sin(angles)], 1))
    assert len(load(tmp_path, "p.off", off(vertices, polygons)).faces) == 2*3 + 5*2


@pytest.mark.parametrize("text, reason, word", [
    (b"OFF BINARY\n\0\0\0\10", "unsupported-feature", "binary OFF"), (b"nOFF 4\n3 1 0\n", "unsupported-feature", "nOFF"),
    (off(VERTICES, QUADS)[:-10], "truncated", "5 of 6 faces"), (off(VERTICES, QUADS, colours=True)[:-25], "truncated", "of 6 faces"),
    (off(VERTICES, QUADS).replace(b"8 6", b"8 9"), "truncated", "6 of 9"), (b"OFF\nx y z\n", "malformed", "no numbers of vertices"),
    (off(VERTICES, QUADS)[:60], "truncated", ""), (off(VERTICES, [[0, 1, 99]]), "bad-indices", "8 vertices")], ids=range(8))
def test_the_fault_of_an_off_is_named(tmp_path, text, reason, word):
    error = refusal(tmp_path, "x.off", text)
    assert error.reason == reason and word in error.detail


def test_lines_after_the_last_face_of_an_off_are_listed(tmp_path):
    assert load(tmp_path, "x.off", off(VERTICES, QUADS) + b"1 2\n").metadata["notes"] == ["1 line after the last face ignored"]


def test_a_binary_stl_goes_by_its_count(tmp_path):
    assert load(tmp_path, "a.stl", stl(TRIANGLES)).metadata["notes"] == []
    tailed = load(tmp_path, "b.stl", stl(TRIANGLES, tail=bytes(10)))
    assert tailed.metadata["notes"] == ["10 bytes after the last facet ignored"] and np.isclose(tailed.volume, 1)
    assert refusal(tmp_path, "c.stl", stl(TRIANGLES)[:-10]).detail == "11 of 12 facets"
    assert refusal(tmp_path, "d.stl", stl(TRIANGLES, count=100)).reason == "truncated"
    assert "counts 0 facets" in refusal(tmp_path, "e.stl", stl(TRIANGLES, count=0)).detail
    assert refusal(tmp_path, "f.stl", b"solid").reason == "truncated"


@pytest.mark.parametrize("options", [{}, {"name": "facet vertex endsolid"}, {"solids": 3}, {"newline": "\r\n"}, {"newline": "\r"},
                                     {"upper": True}, {"name": ""}, {"name": "größe"}], ids=str)
def test_every_kind_of_text_stl_is_the_same_box(tmp_path, options):
    assert np.allclose(load(tmp_path, "box.stl", stl_text(TRIANGLES, **options)).triangles, TRIANGLES)


def test_a_text_stl_that_breaks_off_is_truncated(tmp_path):
    assert refusal(tmp_path, "a.stl", stl_text(TRIANGLES, ended=False)).reason == "truncated"
    assert refusal(tmp_path, "b.stl", stl_text(TRIANGLES)[:400]).reason == "truncated"
    assert refusal(tmp_path, "c.stl", stl_text(TRIANGLES).replace(b"1.0", b"one", 1)).detail == "'one' is no number"


@pytest.mark.parametrize("n, kind", [(3000, "wave"), (3000, "star"), (300_000, "wave")])
def test_a_polygon_of_very_many_corners_is_cut_in_seconds(tmp_path, n, kind):
    angle = np.linspace(0, 2*np.pi, n, endpoint=False)
    radius = 1 + .3*np.sin(7*angle) if kind == "wave" else np.where(np.arange(n) % 2, 1, .5)
    points = np.c_[radius*np.cos(angle), radius*np.sin(angle), .1*radius*np.cos(angle)]
    triangles = triangulate_polygons(points, np.arange(n), [n])
    x, y, _ = points.T
    area = (x*np.roll(y, -1) - y*np.roll(x, -1)).sum()/2
    a, b, c = (points[triangles[:, i], :2] for i in range(3))
    areas = np.cross(np.c_[b - a, 0*a[:, 0]], np.c_[c - a, 0*a[:, 0]])[:, 2]/2
    assert len(triangles) == n - 2 and np.isclose(areas.sum(), area) and np.isclose(np.abs(areas).sum(), area)


def test_formats_that_are_not_read_are_named_with_a_way_out(tmp_path):
    cases = {"a.fbx": b"Kaydara FBX Binary  \0", "b.usdz": b"PK\3\4...", "c.step": b"ISO-10303-21;", "d.blend": b"BLENDER-v300",
             "e.wrl": b"#VRML V2.0 utf8\n", "f.x3d": b"<?xml version='1.0'?><X3D>", "g.obj": b"ISO-10303-21;", "h.zip": b"PK\5\6"}
    for name, data in cases.items():
        error = refusal(tmp_path, name, data)
        assert error.reason == "unknown-format" and error.detail in str(error) and len(error.fix) > 20, name
    assert refusal(tmp_path, "page.obj", b"<!DOCTYPE html>").detail == "web page"


def test_messages_hold_no_words_of_python(tmp_path):
    words = ("Error", "None", "Exception", "Traceback", "invalid literal", "list index", "'str'", "not subscriptable", "dtype")
    for i, data in enumerate([b"v a\nf 1 2 3", b"OFF\n1 2\n", b"ply\nformat x\n", b"solid\nfacet normal\n", b"\0"*100, b"f 1"]):
        for suffix in ("obj", "off", "ply", "stl", "3mf", "dae", "glb", "gltf"):
            text = str(refusal(tmp_path, f"{i}.{suffix}", data))
            assert not [word for word in words if word in text], text
