"DAE and 3MF: every feature is read, or refused by its name, or listed in the notes"
import numpy as np
import pytest
from mesh_writers import (
    L_OUTLINE, box, collada, fan, geometry, load, mesh_object, model, primitive, prism, refusal, threemf)


VERTICES, QUADS = box()
TRIANGLES = fan(QUADS)
NODE = '<node id="n">{}<instance_geometry url="#{}"/></node>'


def dae_box(tag="triangles", polygons=TRIANGLES, **options):
    return collada(geometry("b", VERTICES, primitive(tag, "b", polygons)), NODE.format("", "b"), **options)


@pytest.mark.parametrize("tag, polygons", [("triangles", TRIANGLES), ("polylist", QUADS), ("polygons", QUADS), ("trifans", QUADS),
                                           ("tristrips", [[q[0], q[1], q[3], q[2]] for q in QUADS])], ids=lambda x: str(x)[:9])
def test_every_primitive_of_a_dae_is_the_same_box(tmp_path, tag, polygons):
    mesh = load(tmp_path, "x.dae", dae_box(tag, polygons))
    assert len(mesh.faces) == 12 and mesh.is_watertight and np.isclose(mesh.volume, 1)
    assert mesh.metadata["notes"] == [] and mesh.metadata["up"] == "y" and mesh.metadata["unit"] == 1


@pytest.mark.parametrize("tag", ["polylist", "polygons"])
def test_concave_polygons_of_a_dae_have_their_area(tmp_path, tag):
    vertices, polygons = prism(L_OUTLINE)
    mesh = load(tmp_path, "x.dae", collada(geometry("l", vertices, primitive(tag, "l", polygons)), NODE.format("", "l")))
    assert np.isclose(mesh.area, 7.5) and np.isclose(mesh.volume, .875)


@pytest.mark.parametrize("hole", [[4, 5, 6, 7], [7, 6, 5, 4]], ids=["same way", "other way"])
def test_a_polygon_with_a_hole_has_a_hole(tmp_path, hole):
    points = [[x, y, 0] for s in (2, 1) for x, y in ((-s, -s), (s, -s), (s, s), (-s, s))]
    loops = "<ph><p>0 9 1 9 2 9 3 9</p><h>" + " ".join(f"{c} 9" for c in hole) + "</h></ph>"
    mesh = load(tmp_path, "x.dae", collada(geometry("h", points, primitive("polygons", "h", [], loops)), NODE.format("", "h")))
    assert np.isclose(mesh.area, 12)


def test_nodes_of_a_dae_place_and_repeat_their_geometry(tmp_path):
    inner = NODE.format('<translate>0 0 5</translate><rotate>0 0 1 90</rotate><scale>2 1 1</scale>', "b")
    nodes = f'<node><matrix>1 0 0 10 0 1 0 0 0 0 1 0 0 0 0 1</matrix>{inner}<instance_node url="#again"/></node>'
    library = f'<library_nodes><node id="again"><scale>-1 1 1</scale><instance_geometry url="#b"/></node></library_nodes>'
    body = geometry("b", VERTICES, primitive("triangles", "b", TRIANGLES))
    mesh = load(tmp_path, "x.dae", collada(body, nodes, more=library, unit="0.0254", up="Z_UP"))
    first, second = mesh.vertices[:8], mesh.vertices[8:]
    assert np.allclose([first.min(0), first.max(0)], [[9, 0, 5], [10, 2, 6]])
    assert np.allclose([second.min(0), second.max(0)], [[9, 0, 0], [10, 1, 1]])
    assert mesh.is_watertight and np.isclose(mesh.volume, 3), "mirrored faces are turned"
    assert mesh.metadata["unit"] == .0254 and mesh.metadata["up"] == "z"


SKIN = """<library_controllers><controller id="c"><skin source="#b">
<bind_shape_matrix>2 0 0 1 0 2 0 0 0 0 2 0 0 0 0 1</bind_shape_matrix></skin></controller></library_controllers>"""


def test_a_skin_is_taken_in_its_bind_shape_and_not_where_its_node_stands(tmp_path):
    node = '<node><scale>.01 .01 .01</scale><instance_controller url="#c"/></node>'
    body = geometry("b", VERTICES, primitive("triangles", "b", TRIANGLES))
    mesh = load(tmp_path, "x.dae", collada(body, node, more=SKIN))
    assert np.allclose(mesh.bounds, [[1, 0, 0], [3, 2, 2]]) and mesh.metadata["notes"] == ["1 skin (taken in its bind shape)"]


def test_what_a_dae_holds_besides_is_listed(tmp_path):
    node = '<node><instance_geometry url="#b"/><instance_geometry url="#sp"/><instance_camera url="#k"/></node>'
    body = geometry("b", VERTICES, primitive("triangles", "b", TRIANGLES) + primitive("lines", "b", [[0, 1]]))
    mesh = load(tmp_path, "x.dae", collada(body + '<geometry id="sp"><spline/></geometry>', node))
    assert mesh.metadata["notes"] == ["1 camera ignored", "1 line ignored", "1 geometry of kind spline ignored"]


@pytest.mark.parametrize("change, reason, word", [
    ((b'url="#b"', b'url="#gone"'), "malformed", "'gone'"), ((b'url="#b"', b'url="other.dae#b"'), "unsupported-feature", "another file"),
    ((b'count="12"', b'count="99"'), "truncated", "part 'b'"), ((b'count="8"', b'count="80"'), "truncated", "part 'b'"),
    ((b"0.0 0.0 1.0", b"0.0 zero 1.0"), "malformed", "part 'b': 'zero' is no number"), ((b"</COLLADA>", b""), "truncated", "line"),
    ((b'<node id="n">', b'<node id="n"><instance_node url="#n"/>'), "malformed", "contain themselves"),
    ((b'<?xml version="1.0"?>', b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]>'), "malformed", "document type"),
    ((b"<instance_geometry", b"<scale>1 2</scale><instance_geometry"), "malformed", "a scale of 2 numbers")], ids=range(9))
def test_the_fault_of_a_dae_is_named(tmp_path, change, reason, word):
    error = refusal(tmp_path, "x.dae", dae_box().replace(*change))
    assert error.reason == reason and word in error.detail


BOX = mesh_object(1, VERTICES, TRIANGLES)


def test_items_and_components_of_a_3mf_place_their_objects(tmp_path):
    group = '<object id="2"><components><component objectid="1"/><component objectid="1" transform="2 0 0 0 1 0 0 0 1 0 5 0"/></components></object>'
    items = '<item objectid="2"/><item objectid="1" transform="1 0 0 0 1 0 0 0 -1 0 0 -9"/>'
    mesh = load(tmp_path, "x.3mf", threemf(root=model(BOX + group, items, unit="inch")))
    boxes = [[v.min(0).tolist(), v.max(0).tolist()] for v in np.split(mesh.vertices, 3)]
    assert boxes == [[[0, 0, 0], [1, 1, 1]], [[0, 5, 0], [2, 6, 1]], [[0, 0, -10], [1, 1, -9]]]
    assert mesh.is_watertight and np.isclose(mesh.volume, 4) and mesh.metadata["unit"] == .0254


def test_models_of_the_production_extension_number_their_objects_for_themselves(tmp_path):
    other = model(mesh_object(1, VERTICES + 10, TRIANGLES), "")
    group = '<object id="2"><components><component p:path="/3D/other.model" objectid="1"/><component objectid="1"/></components></object>'
    items = '<item objectid="2"/><item objectid="1" p:path="/3D/other.model"/>'
    mesh = load(tmp_path, "x.3mf", threemf(root=model(BOX + group, items, required="p"), other=other))
    assert [v.min() for v in np.split(mesh.vertices, 3)] == [10, 0, 10]


def test_a_lattice_is_listed_and_refused_where_nothing_else_is(tmp_path):
    beams = '<b:beamlattice radius="1"><b:beams><b:beam v1="0" v2="1"/><b:beam v1="1" v2="2"/></b:beams></b:beamlattice>'
    whole = threemf(root=model(mesh_object(1, VERTICES, TRIANGLES, beams), '<item objectid="1"/>', required="b"))
    assert load(tmp_path, "a.3mf", whole).metadata["notes"] == ["2 lattice beams ignored"]
    bare = threemf(root=model(mesh_object(1, VERTICES, [], beams), '<item objectid="1"/>'))
    error = refusal(tmp_path, "b.3mf", bare)
    assert error.reason == "no-triangles" and "beams" in error.detail


@pytest.mark.parametrize("objects, items, reason, word", [
    ('<object id="1"><components><component objectid="1"/></components></object>', '<item objectid="1"/>', "malformed", "contains itself"),
    (BOX + BOX, '<item objectid="1"/>', "malformed", "two objects 1"), (BOX, '<item objectid="7"/>', "malformed", "no object 7"),
    (BOX, '<item objectid="1" transform="1 2 3"/>', "malformed", "3 numbers"), (BOX.replace('v1="0"', 'v1="99"'), '<item objectid="1"/>', "bad-indices", ""),
    (BOX.replace('z="1.0"', 'z="one"'), '<item objectid="1"/>', "malformed", "three numbers"),
    ('<object id="1"><x:booleanshape objectid="2"/></object>', '<item objectid="1"/>', "unsupported-feature", "booleanshape"),
    (BOX, '<item objectid="1" p:path="/3D/gone.model"/>', "malformed", "gone.model")], ids=range(8))
def test_the_fault_of_a_3mf_is_named(tmp_path, objects, items, reason, word):
    error = refusal(tmp_path, "x.3mf", threemf(root=model(objects, items)))
    assert error.reason == reason and word in error.detail


def test_a_required_extension_that_is_not_read_refuses_the_file(tmp_path):
    error = refusal(tmp_path, "x.3mf", threemf(root=model(BOX, '<item objectid="1"/>', required="x")))
    assert error.reason == "unsupported-feature" and "example.org" in error.detail


def test_without_a_build_every_object_is_taken_once(tmp_path):
    group = '<object id="2"><components><component objectid="1"/></components></object>'
    mesh = load(tmp_path, "x.3mf", threemf(root=model(BOX + group, "")))
    assert len(mesh.faces) == 12 and mesh.metadata["notes"] == ["no build: every object taken once"]


def test_archives_that_are_no_3mf_or_broken_are_named(tmp_path):
    whole = threemf(root=model(BOX, '<item objectid="1"/>'))
    assert refusal(tmp_path, "cut.3mf", whole[:-30]).reason == "truncated"
    assert refusal(tmp_path, "cut2.3mf", threemf(root=model(BOX, "")[:-40])).reason == "truncated"
    bomb = '<!DOCTYPE x [<!ENTITY a "b">]>' + model(BOX, "").split("?>")[1]
    assert "document type" in refusal(tmp_path, "bomb.3mf", threemf(root=bomb)).detail
