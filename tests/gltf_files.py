"glTF files made by hand, with features on or off, whose true triangles are known"
import base64
import json
import struct

import numpy as np

FLOAT = 5126
TYPES = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
BOX = np.array([[x, y, z] for x in (-.5, .5) for y in (-.5, .5) for z in (-.5, .5)], "<f4")
BOX_FACES = np.array([[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6],
                      [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]])


class GltfWriter:
    "Collects the lists of a glTF file and its bytes; each method returns the index of what it added"
    def __init__(self):
        self.tree = {"asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": []}], "nodes": [], "meshes": [],
                     "accessors": [], "bufferViews": []}
        self.blob = b""

    def _add(self, kind, entry):
        entries = self.tree.setdefault(kind, [])
        entries.append(entry)
        return len(entries) - 1

    def view(self, data, **keys):
        self.blob += b"\0" * (-len(self.blob) % 4)
        entry = {"buffer": 0, "byteOffset": len(self.blob), "byteLength": len(data), **keys}
        self.blob += data
        return self._add("bufferViews", entry)

    def accessor(self, rows, dtype="<f4", kind=None, stride=0, offset=0, **keys):
        "An array; `stride` spreads its rows and `offset` shifts them in their view"
        rows = np.ascontiguousarray(rows, dtype)
        width = rows[0].size if len(rows) else 1
        data = [row.tobytes().ljust(stride, b"\xff") for row in rows]
        view_keys = {"byteStride": stride} if stride else {}
        entry = {"bufferView": self.view(b"\xff" * offset + b"".join(data), **view_keys), "count": len(rows),
                 "componentType": TYPES[rows.dtype.str[1:]],
                 "type": kind or {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}[width], **keys}
        if offset: entry["byteOffset"] = offset
        return self._add("accessors", entry)

    def sparse(self, base, rows, dtype="<f4", index_type="<u2"):
        "An accessor that holds `base` (None: zeros, without a view) but the rows that differ"
        rows = np.asarray(rows, dtype)
        start = np.zeros_like(rows) if base is None else np.asarray(base, dtype)
        places = np.flatnonzero((rows != start).any(1))
        indices = self.view(places.astype(index_type).tobytes())
        sparse = {"count": len(places), "values": {"bufferView": self.view(rows[places].tobytes())},
                  "indices": {"bufferView": indices, "componentType": TYPES[np.dtype(index_type).str[1:]]}}
        if base is not None:
            index = self.accessor(start, dtype)
            self.tree["accessors"][index]["sparse"] = sparse
            return index
        return self._add("accessors", {"componentType": TYPES[rows.dtype.str[1:]], "count": len(rows),
                                       "type": f"VEC{rows.shape[1]}", "sparse": sparse})

    def mesh(self, *primitives, **keys): return self._add("meshes", {"primitives": list(primitives), **keys})

    def node(self, in_scene=True, **keys):
        index = self._add("nodes", keys)
        if in_scene: self.tree["scenes"][0]["nodes"].append(index)
        return index

    def box_primitive(self, positions=None, faces=BOX_FACES, **keys):
        "A primitive with the faces of a box, on positions of its own or an accessor of them"
        if not isinstance(positions, int): positions = self.accessor(BOX if positions is None else positions)
        return {"attributes": {"POSITION": positions}, "indices": self.accessor(np.ravel(faces), "<u4"), **keys}

    def require(self, *names):
        for key in ("extensionsUsed", "extensionsRequired"): self.tree.setdefault(key, []).extend(names)

    def _buffers(self, uri=None):
        buffer = {"byteLength": len(self.blob), **({"uri": uri} if uri else {})}
        return {**self.tree, "buffers": [buffer, *self.tree.get("buffers", [])]}

    def glb(self, path, chunks=(), tail=b"", bom=b""):
        "Write a GLB; `chunks` are pairs of a kind and bytes that follow, `tail` stands after the declared end"
        tree = bom + json.dumps(self._buffers()).encode()
        body = b""
        for kind, data in ((b"JSON", tree), (b"BIN\0", self.blob), *chunks):
            data += (b" " if kind == b"JSON" else b"\0") * (-len(data) % 4)
            body += struct.pack("<I4s", len(data), kind) + data
        path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body + tail)
        return path

    def gltf(self, path, uri=None, file=None, encoding="utf-8"):
        "Write a .gltf; the buffer is a file beside it where `file` is its name, else a `data:` URI"
        if file: (path.parent / file).write_bytes(self.blob)
        embedded = "data:application/octet-stream;base64," + base64.b64encode(self.blob).decode()
        text = json.dumps(self._buffers(uri or file or embedded), ensure_ascii=False)
        path.write_bytes(text.encode(encoding))
        return path


def box_file(**node):
    "A writer with one box on one node"
    writer = GltfWriter()
    writer.node(mesh=writer.mesh(writer.box_primitive()), **node)
    return writer


DRACO = "KHR_draco_mesh_compression"
MESHOPT = ["EXT_meshopt_compression", "KHR_meshopt_compression"]
# the box of `gltf_files`, packed by the encoders of the two projects themselves
PACKED = {name: base64.b64decode(text) for name, text in {
    "positions": "oZmrABAAAwBUAAMEAwADBAMEAwQDAAAAAAAAAAAAAAAAAAABgAGAAYAAAAEB",
    "exponential": "oZaWngAQAIAAEAACAFQAgH+AAQhIAAAAgH+Af4B/gAEmZgAAAAAAAAAAAAAAAOD/8gDg//IA4P/yAAAA",
    "triangles": "4f4A/w8HFqECBxORBQ8G/wIEAgMAdodWZ3iphmWJaJgBaQAA",
    "indices": "0QAECAoMAggIBAoMBhIQBBIUDgQEEBIUAhYIEBYYBgoQCBYYDgAAAAA=",
    "draco float": "RFJBQ08CAgEAAAAMCAEAAQMAAwIEBgcEBwUABAUABQECAwcCBwYAAgYABgQBBQcBBwMBAQAJAwAAAgABAQADAwEoARgDAEixIMmUJAEA"
                   "AAAA/z8AAAAAAL8AAAC/AAAAvwAAgD8O",
    "draco whole": "RFJBQ08CAgEBAAAACAwACwAAA19LFQEBEAH/AAABAAMDAAABAQEBABEDARgBIDMBCAQAmO+B/v/9//3/RhSIEAABgP///38AAA==",
}.items()}


def draco_file(payload="draco float", required=True, plain=False, **accessor):
    "A Draco-compressed box; with `plain` its plain data too"
    writer = GltfWriter()
    primitive = writer.box_primitive()
    if not plain:
        primitive = {"attributes": {"POSITION": 2}, "indices": 3}
        writer.tree["accessors"] += [{"componentType": 5126, "count": 8, "type": "VEC3", **accessor},
                                     {"componentType": 5125, "count": 36, "type": "SCALAR"}]
    packed = {"bufferView": writer.view(PACKED[payload]), "attributes": {"POSITION": 0}}
    primitive["extensions"] = {DRACO: packed}
    if required: writer.require(DRACO)
    else: writer.tree["extensionsUsed"] = [DRACO]
    writer.node(mesh=writer.mesh(primitive))
    return writer


def meshopt_file(positions="positions", indices="triangles", name=MESHOPT[0]):
    "A box whose buffer views are compressed, with an empty fallback buffer"
    writer = GltfWriter()
    writer.require(name, "KHR_mesh_quantization")
    def pack(key, plain_size, accessor, **keys):
        start = writer.view(PACKED[key])
        packed = {**writer.tree["bufferViews"][start], **keys}
        writer.tree["bufferViews"][start] = {
            "buffer": 1, "byteLength": plain_size, "extensions": {name: packed}}
        writer.tree["accessors"].append({"bufferView": start, **accessor})
        return start

    whole = positions == "positions"
    size = 8 if whole else 12
    accessor = {"componentType": 5122 if whole else 5126, "count": 8, "type": "VEC3", "normalized": whole}
    start = pack(positions, 8 * size, accessor, count=8, byteStride=size, mode="ATTRIBUTES",
                 filter="NONE" if whole else "EXPONENTIAL")
    if whole: writer.tree["bufferViews"][start]["byteStride"] = size
    pack(indices, 72, {"componentType": 5123, "count": 36, "type": "SCALAR"}, count=36, byteStride=2,
         mode=indices.upper())
    writer.tree["buffers"] = [{"byteLength": 200, "extensions": {name: {"fallback": True}}}]
    writer.node(mesh=writer.mesh({"attributes": {"POSITION": 0}, "indices": 1}), scale=[.5 if whole else 1] * 3)
    return writer
