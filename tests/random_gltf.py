"Random glTF scenes with any features on, whose true triangles are known"
import numpy as np
from gltf_files import GltfWriter
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

LIMITS = {"<f4": 1, "i1": 127, "u1": 255, "<i2": 32767, "<u2": 65535}
NUMBERS = st.integers(-3, 3).map(float)
POINT = st.tuples(NUMBERS, NUMBERS, NUMBERS)
SCALE = st.tuples(*[st.sampled_from([-2., -1., .5, 1., 3.])] * 3)
ROTATION = st.tuples(*[st.integers(-2, 2)] * 4).filter(any).map(lambda q: np.array(q) / np.linalg.norm(q))
PRIMITIVE = st.fixed_dictionaries({
    "dtype": st.sampled_from(list(LIMITS)), "normalized": st.booleans(), "stride": st.sampled_from([0, 24, 28]),
    "offset": st.sampled_from([0, 4, 8]), "sparse": st.sampled_from(["", "base", "zeros"]),
    "indices": st.sampled_from([None, "u1", "<u2", "<u4"]), "mode": st.sampled_from([4, 5, 6]),
    "morph": st.sampled_from([0., .5, 1.]), "seed": st.integers(0, 2**20)})
MESHES = st.lists(st.lists(PRIMITIVE, min_size=1, max_size=3), min_size=1, max_size=3)
NODE = st.fixed_dictionaries({
    "parent": st.integers(0, 5), "mesh": st.integers(0, 5), "has_mesh": st.booleans(), "as_matrix": st.booleans(),
    "translation": POINT, "rotation": ROTATION, "scale": SCALE, "instances": st.lists(POINT, max_size=3),
    "is_skinned": st.booleans()})


def add_primitive(writer, options):
    "A primitive, and its triangles (F,3,3) before any node"
    rng = np.random.default_rng(options["seed"])
    limit = LIMITS[options["dtype"]]
    is_normalised = options["normalized"] and limit > 1
    stored = rng.integers(0 if "u" in options["dtype"] else -limit, limit + 1, (rng.integers(3, 9), 3))
    accessor = make_accessor(writer, stored, options, {"normalized": True} if is_normalised else {})
    positions = stored.astype(float) / (limit if is_normalised else 1)
    corners = rng.integers(0, len(stored), rng.integers(3, 13)) if options["indices"] else np.arange(len(stored))
    primitive = {"attributes": {"POSITION": accessor}, "mode": options["mode"]}
    if options["indices"]: primitive["indices"] = writer.accessor(corners, options["indices"])
    displacement = rng.integers(-2, 3, stored.shape).astype(float)
    primitive["targets"] = [{"POSITION": writer.accessor(displacement)}]
    add_joints(writer, primitive, len(stored), rng)
    return primitive, positions, displacement, list(triangle_corners(corners.tolist(), options["mode"]))


def make_accessor(writer, stored, options, keys):
    if not options["sparse"]:
        return writer.accessor(stored, options["dtype"], stride=options["stride"], offset=options["offset"], **keys)
    base = None if options["sparse"] == "zeros" else stored * (np.arange(len(stored)) % 2)[:, None]
    index = writer.sparse(base, stored, options["dtype"])
    writer.tree["accessors"][index] |= keys
    return index


def add_joints(writer, primitive, n, rng):
    joints, weights = rng.integers(0, 2, (n, 4)), rng.integers(0, 3, (n, 4)).astype(float)
    weights[:, 0] += 1
    primitive["attributes"] |= {"JOINTS_0": writer.accessor(joints, "u1"), "WEIGHTS_0": writer.accessor(weights)}
    primitive["extras"] = [joints.tolist(), (weights / weights.sum(1, keepdims=True)).tolist()]


def triangle_corners(corners, mode):
    "The triangles of a list of corners, by the words of the specification"
    if mode == 4: yield from zip(corners[::3], corners[1::3], corners[2::3])
    for i in range(len(corners) - 2):
        if mode == 5: yield corners[i], corners[i + 1 + i % 2], corners[i + 2 - i % 2]
        if mode == 6: yield corners[i + 1], corners[i + 2], corners[0]


def node_matrix(node):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_quat(node["rotation"]).as_matrix() @ np.diag(node["scale"])
    matrix[:3, 3] = node["translation"]
    return matrix


def apply(matrix, point): return (matrix @ [*point, 1])[:3]


def node_triangles(primitives, weight, placements, joints=None):
    "World triangles of a node, one by one, each with the determinant of its map"
    for matrix in placements:
        for primitive, positions, displacement, faces in primitives:
            points = positions + weight * displacement
            for face in faces:
                blends = [matrix] * 3
                if joints is not None:
                    numbers, shares = primitive["extras"]
                    blends = [sum(s * joints[j] for j, s in zip(numbers[c], shares[c])) for c in face]
                corners = [apply(blend, points[corner]) for blend, corner in zip(blends, face)]
                volume = np.linalg.det(blends[0][:3, :3])
                yield corners[::-1] if volume < 0 else corners, volume


def write_node(writer, node, matrices, meshes):
    "Add a node to the file, and its world matrix to the others"
    index = len(matrices)
    local = node_matrix(node)
    parent = node["parent"] if node["parent"] < index else None
    matrices.append(local if parent is None else matrices[parent] @ local)
    keys = {"matrix": local.T.ravel().tolist()} if node["as_matrix"] else {
        "translation": node["translation"], "rotation": node["rotation"].tolist(), "scale": node["scale"]}
    written = writer.node(in_scene=parent is None, **keys)
    if parent is not None: writer.tree["nodes"][parent].setdefault("children", []).append(written)
    if not node["has_mesh"]: return
    mesh = node["mesh"] % len(meshes)
    writer.tree["nodes"][written]["mesh"] = mesh
    if node["is_skinned"]: writer.tree["nodes"][written]["skin"] = 0
    elif node["instances"]:
        attributes = {"TRANSLATION": writer.accessor(np.array(node["instances"]))}
        writer.tree["nodes"][written]["extensions"] = {"EXT_mesh_gpu_instancing": {"attributes": attributes}}


def expected(nodes, writer, matrices, meshes, weights):
    "World triangles of the scene in the order of the file"
    def visit(index):
        node, entry = nodes[index], writer.tree["nodes"][index]
        if "mesh" in entry:
            shifts = node["instances"] if "extensions" in entry else [(0, 0, 0)]
            shifted = [matrices[index] @ node_matrix({"rotation": [0, 0, 0, 1], "scale": (1, 1, 1), "translation": t})
                       for t in shifts]
            joints = [matrices[0], matrices[-1] @ np.diag([2, 2, 2, 1])] if "skin" in entry else None
            yield from node_triangles(meshes[entry["mesh"]], weights[entry["mesh"]], shifted, joints)
        for child in entry.get("children", []): yield from visit(child)
    for root in writer.tree["scenes"][0]["nodes"]: yield from visit(root)


def random_scene(mesh_options, nodes):
    "A writer of a scene; its triangles in the order of the file, and the determinant of the map of each"
    writer, matrices = GltfWriter(), []
    meshes = [[add_primitive(writer, options) for options in primitives] for primitives in mesh_options]
    weights = [primitives[0]["morph"] for primitives in mesh_options]
    for primitives, weight in zip(meshes, weights): writer.mesh(*(p[0] for p in primitives), weights=[weight])
    nodes[0]["has_mesh"] = True
    for node in nodes: write_node(writer, node, matrices, meshes)
    bind = np.stack([np.eye(4), np.diag([2, 2, 2, 1])]).reshape(2, 16)
    skin = {"joints": [0, len(nodes) - 1], "inverseBindMatrices": writer.accessor(bind, kind="MAT4")}
    writer.tree["skins"] = [skin]
    triangles, volumes = zip(*expected(nodes, writer, matrices, meshes, weights))
    return writer, np.array(triangles), np.array(volumes)


SCENE = st.builds(random_scene, MESHES, st.lists(NODE, min_size=1, max_size=6))
