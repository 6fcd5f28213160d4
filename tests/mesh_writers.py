"Small writers of mesh files with the features of each format: known vertices and polygons in, bytes out; and readers"
import io
import struct
import zipfile

import numpy as np
import pytest

from sdf_dino.geometry.loading import load_mesh
from sdf_dino.geometry.validation import MeshRejected


def load(folder, name, data):
    "The mesh of a file with this content"
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return load_mesh(folder / name)


def refusal(folder, name, data):
    "The error for a file with this content"
    with pytest.raises(MeshRejected) as error: load(folder, name, data)
    return error.value


def box():
    "Vertices (8,3) and the six quads of a unit cube, outward"
    vertices = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
    quads = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    return vertices, quads


def prism(outline, height=.5):
    "A prism over a plane outline that runs counter-clockwise: vertices and polygons, outward"
    outline = np.asarray(outline, float)
    n = len(outline)
    vertices = np.r_[np.c_[outline, np.zeros(n)], np.c_[outline, np.full(n, height)]]
    sides = [[i, (i + 1) % n, (i + 1) % n + n, i + n] for i in range(n)]
    return vertices, [list(range(n))[::-1], list(range(n, 2*n)), *sides]


L_OUTLINE = [[0, 0], [2, 0], [2, .5], [.5, .5], [.5, 2], [0, 2]]


def rows(vertices): return [" ".join(repr(float(x)) for x in row) for row in vertices]


def obj(vertices, polygons, *, slashes="", negative=False, comments=False, colours=False, continued=False, extras=False,
        newline="\n", encoding="utf-8"):
    "An OBJ; `slashes`: what follows each index, such as /1/1"
    lines = ["# made by a test", "mtllib no such.mtl", "o näme"] if comments else []
    lines += [f"v {row}" + (" 1 0 0" if colours else "") for row in rows(vertices)]
    for i, polygon in enumerate(polygons):
        if extras and i == 1: lines += ["g f 1 2 3", "usemtl v", "s off", "l 1 2", "p 1"]
        numbers = [c - len(vertices) if negative else c + 1 for c in polygon]
        separator = " \\\n " if continued else " "
        lines.append("f " + separator.join(f"{c}{slashes}" for c in numbers) + ("  # a face" if comments else ""))
    return ("\n".join(lines) + "\n").replace("\n", newline).encode(encoding)


def off(vertices, polygons, *, word="OFF", comments=False, colours=False, flat=False, same_line=False, edges=True, newline="\n"):
    "An OFF; `word`: OFF with its prefixes, or empty; `flat`: numbers stand on lines as they like"
    extra = (" 0 0 1" if "N" in word else "") + (" 255 0 0 255" if "C" in word else "") + (" .5 .5" if "ST" in word else "")
    points = [f"{row}{' 1' if '4' in word else ''}{extra}" for row in rows(vertices)]
    faces = [" ".join(map(str, [len(p), *p])) + (" 255 0 0" if colours else "") for p in polygons]
    counts = f"{len(points)} {len(faces)}" + (" 0" if edges else "")
    head = [f"{word} {counts}".strip()] if same_line else [*([word] if word else []), counts]
    if comments: head.insert(1, "# a comment")
    body = " ".join(points + faces).split(" ")
    lines = head + ([" ".join(body[i:i + 7]) for i in range(0, len(body), 7)] if flat else points + faces)
    return (newline.join(lines) + newline).encode()


PLY_TYPES = {"i1": "char", "u1": "uchar", "i2": "short", "u2": "ushort", "i4": "int", "u4": "uint", "f4": "float", "f8": "double"}


def ply(vertices, polygons, *, form="binary_little_endian", number="f8", count="u1", index="i4", name="vertex_indices",
        before=False, after=False, colours=False, texture=False, strips=False, newline="\n", tail=b""):
    "A PLY; `before`, `after`: another element with a list; `texture`: a second list of faces; `strips`: polygons are strips"
    order = ">" if "big" in form else "<"
    extra = f"element thing 2\nproperty list {PLY_TYPES[count]} short values\nproperty uchar tag\n"
    header = f"ply\nformat {form} 1.0\ncomment made by a test\nobj_info none\n" + (extra if before else "")
    header += f"element vertex {len(vertices)}\n" + "".join(f"property {PLY_TYPES[number]} {a}\n" for a in "xyz")
    if colours: header += "property uchar red\n"
    header += f"element {'tristrips' if strips else 'face'} {len(polygons)}\n"
    header += f"property list {PLY_TYPES[count]} {PLY_TYPES[index]} {name}\n"
    if texture: header += f"property list {PLY_TYPES[count]} float texcoord\nproperty int quality\n"
    header += (extra if after else "") + "end_header\n"
    pieces = []
    def put(kind, *values): pieces.append((kind, values))
    def put_extra():
        for length in (2, 0):
            put(count, length)
            put("i2", *range(length))
            put("u1", 7)
    if before: put_extra()
    for row in np.asarray(vertices):
        put(number, *row)
        if colours: put("u1", 255)
    for polygon in polygons:
        put(count, len(polygon))
        put(index, *polygon)
        if texture:
            put(count, 2*(len(polygon) % 3))
            put("f4", *[.5]*(2*(len(polygon) % 3)))
            put("i4", 1)
    if after: put_extra()
    if form == "ascii": body = " ".join(repr(v.item() if hasattr(v, "item") else v) for _, values in pieces for v in values).encode()
    else: body = b"".join(np.array(values, order + kind).tobytes() for kind, values in pieces)
    return header.replace("\n", newline).encode() + body + tail


def stl(triangles, *, header=b"solid by a test", count=None, tail=b""):
    "A binary STL of triangles (T,3,3); `count`: another number than the true one in its header"
    facets = b"".join(struct.pack("<12fH", 0, 0, 1, *np.ravel(t), 0) for t in triangles)
    return header.ljust(80, b"\0") + struct.pack("<I", len(triangles) if count is None else count) + facets + tail


def stl_text(triangles, *, name="a b", solids=1, newline="\n", upper=False, ended=True):
    "A text STL of triangles, in one solid or several"
    out = []
    for part in np.array_split(np.asarray(triangles), solids):
        out.append(f"solid {name}")
        for t in part:
            corners = [f"      vertex {row}" for row in rows(t)]
            out += ["  facet normal 0 0 nan", "    outer loop", *corners, "    endloop", "  endfacet"]
        out.append(f"endsolid {name}")
    text = newline.join(out if ended else out[:-1]) + newline
    return (text.upper() if upper else text).encode()


def collada(body, nodes, *, unit="1", up="Y_UP", more=""):
    "A DAE with geometries and nodes as XML text"
    return f"""<?xml version="1.0"?><COLLADA xmlns="http://www.collada.org/2005/11/COLLADASchema" version="1.4.1">
<asset><unit meter="{unit}"/><up_axis>{up}</up_axis></asset><library_geometries>{body}</library_geometries>{more}
<library_visual_scenes><visual_scene id="s">{nodes}</visual_scene></library_visual_scenes>
<scene><instance_visual_scene url="#s"/></scene></COLLADA>""".encode()


def geometry(name, vertices, primitives):
    "A <geometry> with positions; `primitives` use the input VERTEX at offset 0 with #NAME-v"
    numbers = " ".join(rows(vertices))
    params = "".join(f'<param name="{a}" type="float"/>' for a in "XYZ")
    return f"""<geometry id="{name}" name="{name}"><mesh><source id="{name}-p"><float_array id="{name}-a" count="{3*len(vertices)}">
{numbers}</float_array><technique_common><accessor source="#{name}-a" count="{len(vertices)}" stride="3">{params}</accessor>
</technique_common></source><vertices id="{name}-v"><input semantic="POSITION" source="#{name}-p"/></vertices>
{primitives}</mesh></geometry>"""


def primitive(tag, name, polygons, kind=""):
    "<triangles>, <polylist>, <polygons>, <tristrips> or <trifans> with a second index that is not used"
    used = f'<input semantic="VERTEX" source="#{name}-v" offset="0"/><input semantic="NORMAL" source="#none" offset="1"/>'
    lists = [" ".join(f"{c} 9" for c in polygon) for polygon in polygons]
    if tag in ("triangles", "polylist"): body = f"<p>{' '.join(lists)}</p>"
    else: body = "".join(f"<p>{one}</p>" for one in lists)
    if tag == "polylist": used += f"<vcount>{' '.join(str(len(p)) for p in polygons)}</vcount>"
    return f'<{tag} count="{len(polygons)}">{used}{body}{kind}</{tag}>'


CORE = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
PRODUCTION = "http://schemas.microsoft.com/3dmanufacturing/production/2015/06"
BEAMS = "http://schemas.microsoft.com/3dmanufacturing/beamlattice/2017/02"


def model(objects, items, *, unit="millimeter", required=""):
    "The XML of one 3MF model"
    spaces = f'xmlns="{CORE}" xmlns:p="{PRODUCTION}" xmlns:b="{BEAMS}" xmlns:x="http://example.org/new/2030"'
    return (f'<?xml version="1.0"?><model unit="{unit}" {spaces} requiredextensions="{required}">'
            f"<resources>{objects}</resources><build>{items}</build></model>")


def mesh_object(number, vertices, triangles, more=""):
    "An <object> that is a mesh"
    points = "".join(f'<vertex x="{x!r}" y="{y!r}" z="{z!r}"/>' for x, y, z in np.asarray(vertices).tolist())
    faces = "".join(f'<triangle v1="{a}" v2="{b}" v3="{c}"/>' for a, b, c in np.asarray(triangles).tolist())
    return (f'<object id="{number}" type="model"><mesh><vertices>{points}</vertices><triangles>{faces}</triangles>{more}</mesh>'
            "</object>")


def threemf(**models):
    "A 3MF archive; the model `root` is the one that its relations name"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        kind = "http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"
        archive.writestr("_rels/.rels", '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
                         f'<Relationship Target="/3D/root.model" Id="r" Type="{kind}"/></Relationships>')
        for name, text in models.items(): archive.writestr(f"3D/{name}.model", text)
    return buffer.getvalue()


def fan(polygons):
    "Fans of convex polygons, (T,3)"
    return np.array([[p[0], b, c] for p in polygons for b, c in zip(p[1:], p[2:])])
