"Files of random features are read as written, and damaged ones end in a verdict"
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mesh_writers import (
    box, collada, fan, geometry, mesh_object, model, obj, off, ply, primitive, prism, stl, stl_text, threemf)

from sdf_dino.core.sandbox import Sandbox
from sdf_dino.geometry.loading import load_mesh, load_mesh_sandboxed
from sdf_dino.geometry.validation import REJECTION_REASONS, MeshRejected

FLAG = st.booleans()
QUIET = settings(max_examples=80, deadline=None, derandomize=True,
                 suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def shapes(draw):
    "A prism over a star-shaped outline, often concave, moved anywhere: vertices, polygons, area, volume"
    n = draw(st.integers(3, 9))
    radii = draw(st.lists(st.integers(1, 6), min_size=n, max_size=n))
    angles = 2*np.pi*np.arange(n)/n
    outline = np.stack([radii*np.cos(angles), radii*np.sin(angles)], 1)
    x, y = outline.T
    base = abs((x*np.roll(y, -1) - y*np.roll(x, -1)).sum()/2)
    around = np.linalg.norm(outline - np.roll(outline, -1, 0), axis=1).sum()
    vertices, polygons = prism(outline, 2)
    first = draw(st.integers(0, n - 1))
    polygons = [p[first % len(p):] + p[:first % len(p)] for p in polygons]
    move = draw(st.sampled_from([0., 5., -300.]))
    return vertices + move, polygons, 2*base + 2*around, 2*base


def as_written(tmp_path, name, data, shape, exact=True):
    vertices, polygons, area, volume = shape
    (tmp_path / name).write_bytes(data)
    mesh = load_mesh(tmp_path / name)
    close = {"rtol": 1e-9 if exact else 1e-3}
    assert len(mesh.faces) == sum(len(p) - 2 for p in polygons)
    assert np.isclose(mesh.area, area, **close) and np.isclose(mesh.volume, volume, **close)


@QUIET
@given(shape=shapes(), options=st.fixed_dictionaries({}, optional={
    "slashes": st.sampled_from(["/1", "//1", "/1/1"]), "negative": FLAG, "comments": FLAG, "colours": FLAG, "continued": FLAG,
    "extras": FLAG, "newline": st.sampled_from(["\n", "\r\n", "\r"]), "encoding": st.sampled_from(["utf-8-sig", "utf-16", "utf-16-be"])}))
def test_obj(tmp_path, shape, options): as_written(tmp_path, "x.obj", obj(*shape[:2], **options), shape)


@QUIET
@given(shape=shapes(), word=st.sampled_from(["OFF", "", "COFF", "NOFF", "4OFF", "STCNOFF"]), flat=FLAG, options=st.fixed_dictionaries({}, optional={
    "comments": FLAG, "same_line": FLAG, "edges": FLAG, "newline": st.sampled_from(["\n", "\r\n", "\r"])}), colours=FLAG)
def test_off(tmp_path, shape, word, flat, colours, options):
    flat = flat and word in ("OFF", "", "4OFF") and options.get("edges", True)
    data = off(*shape[:2], word=word, flat=flat, colours=colours and not flat, **options)
    as_written(tmp_path, "x.off", data, shape)


@QUIET
@given(shape=shapes(), options=st.fixed_dictionaries({}, optional={
    "form": st.sampled_from(["ascii", "binary_little_endian", "binary_big_endian"]), "count": st.sampled_from(["u1", "i2", "u2", "i4"]),
    "index": st.sampled_from(["u1", "i2", "i4", "u4"]), "name": st.sampled_from(["vertex_index", "vertex_indices"]), "before": FLAG,
    "after": FLAG, "colours": FLAG, "texture": FLAG, "newline": st.sampled_from(["\n", "\r\n"])}))
def test_ply(tmp_path, shape, options): as_written(tmp_path, "x.ply", ply(*shape[:2], **options), shape)


def triangles_of(tmp_path, shape):
    "The triangles of a shape as the OBJ reader cuts them"
    (tmp_path / "t.obj").write_bytes(obj(*shape[:2]))
    mesh = load_mesh(tmp_path / "t.obj")
    return np.asarray(mesh.faces), (shape[0], [list(f) for f in mesh.faces], *shape[2:])


@QUIET
@given(shape=shapes(), text=FLAG, tail=st.integers(0, 60), solids=st.integers(1, 3), newline=st.sampled_from(["\n", "\r\n", "\r"]), upper=FLAG)
def test_stl(tmp_path, shape, text, tail, solids, newline, upper):
    faces, shape = triangles_of(tmp_path, shape)
    corners = shape[0][faces]
    data = stl_text(corners, solids=solids, newline=newline, upper=upper) if text else stl(corners, tail=bytes(tail))
    as_written(tmp_path, "x.stl", data, shape, exact=text)


@QUIET
@given(shape=shapes(), tag=st.sampled_from(["triangles", "polylist", "polygons"]), up=st.sampled_from("XYZ"), depth=st.integers(0, 3))
def test_dae(tmp_path, shape, tag, up, depth):
    if tag == "triangles": shape = triangles_of(tmp_path, shape)[1]
    node = '<instance_geometry url="#g"/>'
    for _ in range(depth): node = f"<node><rotate>0 1 0 40</rotate><translate>1 2 3</translate>{node}</node>"
    data = collada(geometry("g", shape[0], primitive(tag, "g", shape[1])), f"<node>{node}</node>", up=f"{up}_UP")
    as_written(tmp_path, "x.dae", data, shape)


@QUIET
@given(shape=shapes(), depth=st.integers(0, 3), other=FLAG)
def test_3mf(tmp_path, shape, depth, other):
    faces, shape = triangles_of(tmp_path, shape)
    mesh = mesh_object(1, shape[0], faces)
    first = '<component objectid="1" p:path="/3D/other.model"/>' if other else '<component objectid="1"/>'
    objects = "" if other else mesh
    for level in range(depth + 1):
        inner = first if level == 0 else f'<component objectid="{level + 1}" transform="0 1 0 -1 0 0 0 0 1 3 3 3"/>'
        objects += f'<object id="{level + 2}"><components>{inner}</components></object>'
    data = threemf(root=model(objects, f'<item objectid="{depth + 2}"/>'), other=model(mesh, ""))
    as_written(tmp_path, "x.3mf", data, shape)


VERTICES, QUADS = box()
TRIANGLES = fan(QUADS)
SOURCES = {
    "a.obj": obj(VERTICES, QUADS, comments=True, continued=True), "b.obj": obj(VERTICES, QUADS, slashes="/1/1", negative=True),
    "a.off": off(VERTICES, QUADS), "b.off": off(VERTICES, QUADS, word="CNOFF", comments=True), "c.off": off(VERTICES, QUADS, flat=True),
    "a.ply": ply(VERTICES, QUADS, texture=True, before=True), "b.ply": ply(VERTICES, QUADS, form="ascii", after=True),
    "c.ply": ply(VERTICES, [[0, 1, 2, 3, -1, 4, 5, 6]], form="binary_big_endian", strips=True),
    "a.stl": stl(VERTICES[TRIANGLES]), "b.stl": stl_text(VERTICES[TRIANGLES], solids=2),
    "a.dae": collada(geometry("g", VERTICES, primitive("polylist", "g", QUADS)), '<node><instance_geometry url="#g"/></node>'),
    "a.3mf": threemf(root=model(mesh_object(1, VERTICES, TRIANGLES), '<item objectid="1"/>'))}


def mutant(data, rng):
    "Data cut short, with bytes changed, with a piece moved or repeated, or with a number changed"
    data, kind = bytearray(data), rng.randrange(5)
    at = rng.randrange(len(data))
    if kind == 0: return bytes(data[:at])
    if kind == 1:
        for _ in range(rng.choice([1, 3, 30])): data[rng.randrange(len(data))] = rng.randrange(256)
    if kind == 2: data[at:at] = data[rng.randrange(len(data)):][:rng.choice([1, 10, 200])]
    if kind == 3: del data[at:at + rng.choice([1, 10, 100])]
    if kind == 4:
        digits = [i for i, byte in enumerate(data) if chr(byte).isdigit()] or [at]
        for _ in range(rng.choice([1, 4])): data[rng.choice(digits)] = ord(rng.choice("0123456789.-e"))
    return bytes(data)


def verdict(path, load):
    "Reason of a refusal, or `read`; fails where neither holds"
    try: mesh = load(path)
    except MeshRejected as error:
        assert error.reason in REJECTION_REASONS and not isinstance(error.__cause__, (AttributeError, NameError)), error
        return error.reason
    assert len(mesh.faces) and mesh.faces.min() >= 0 and mesh.faces.max() < len(mesh.vertices)
    assert np.isfinite(mesh.vertices[mesh.faces]).all()
    return "read"


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_a_damaged_file_ends_in_a_verdict(tmp_path, name):
    rng, counts = random.Random(name), Counter()
    for _ in range(150):
        (tmp_path / name).write_bytes(mutant(SOURCES[name], rng))
        counts[verdict(tmp_path / name, load_mesh)] += 1
    print(name, dict(counts))
    assert counts["unreadable"] <= 3, "faults are named"


@pytest.mark.slow
def test_a_damaged_file_ends_in_the_same_verdict_in_a_sandbox(tmp_path):
    rng = random.Random(1)
    with Sandbox(seconds=20, memory=800) as sandbox:
        for name in sorted(SOURCES)*10:
            (tmp_path / name).write_bytes(mutant(SOURCES[name], rng))
            inside = verdict(tmp_path / name, lambda path: load_mesh_sandboxed(path, sandbox))
            assert inside == verdict(tmp_path / name, load_mesh)
