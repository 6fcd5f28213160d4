"Random glTF files, with any features on, hold the triangles that were put into them; damaged ones are named"
import random
import warnings

import numpy as np
from gltf_files import BOX, GltfWriter
from hypothesis import given, settings
from hypothesis import strategies as st
from random_gltf import SCENE, add_joints

from sdf_dino.geometry.gltf import read_gltf
from sdf_dino.geometry.validation import MeshRejected


@settings(max_examples=100, deadline=None)
@given(SCENE, st.booleans())
def test_random_scenes_hold_their_triangles_in_the_order_of_the_file(tmp_path_factory, scene, is_glb):
    writer, triangles, volumes = scene
    folder = tmp_path_factory.mktemp("random")
    path = writer.glb(folder / "a.glb") if is_glb else writer.gltf(folder / "a.gltf", file="ä b.bin")
    found = read_gltf(path).triangles
    assert found.shape == triangles.shape
    is_same, is_turned = (np.isclose(t, triangles, rtol=1e-5, atol=1e-4).all((1, 2)) for t in (found, found[:, ::-1]))
    assert (is_same | is_turned & (np.abs(volumes) < 1e-9)).all()   # a singular map has no orientation


ODD_VALUES = [None, True, -1, 0, 1, 2, 7, 255, 5120, 5126, 1.5, 1e30, -1e300, 10**30, 4 * 10**9, float("nan"),
              float("inf"), "", "x", "VEC3", "SCALAR", [], {}, [1], [[1]], {"a": 1}, [None]]
VERDICTS = {"malformed", "truncated", "bad-indices", "no-triangles", "too-large", "non-finite", "unsupported-feature"}


def rich_file():
    "A file with a skin, morph targets, instances and a sparse accessor"
    writer = GltfWriter()
    primitive = writer.box_primitive(writer.sparse(None, BOX))
    primitive["targets"] = [{"POSITION": writer.accessor(BOX, "i1", stride=4)}]
    add_joints(writer, primitive, 8, np.random.default_rng(0))
    mesh = writer.mesh(primitive, weights=[.5])
    child = writer.node(in_scene=False, mesh=mesh, skin=0, name="child")
    writer.node(children=[child], matrix=np.eye(4).ravel().tolist())
    attributes = {"TRANSLATION": writer.accessor(np.eye(3))}
    writer.node(mesh=mesh, extensions={"EXT_mesh_gpu_instancing": {"attributes": attributes}}, scale=[1, 1, 1])
    bind = writer.accessor(np.tile(np.eye(4), (2, 1, 1)).reshape(2, 16), kind="MAT4")
    writer.tree["skins"] = [{"joints": [0, 1], "inverseBindMatrices": bind}]
    writer.tree |= {"extensionsUsed": ["ACME_x"], "animations": []}
    return writer


def places(tree):
    "Each container in a tree with a key of it"
    for key in range(len(tree)) if isinstance(tree, list) else list(tree):
        yield tree, key
        if isinstance(tree[key], (list, dict)): yield from places(tree[key])


def test_any_odd_value_in_the_json_ends_in_a_mesh_or_a_named_refusal(tmp_path):
    rng, found = random.Random(0), set()
    for _ in range(300):
        writer = rich_file()
        for _ in range(rng.randint(1, 2)):
            owner, key = rng.choice(list(places(writer.tree)))
            if rng.random() < .2: owner.pop(key)
            else: owner[key] = rng.choice(ODD_VALUES)
        try:
            with warnings.catch_warnings(action="error"): read_gltf(writer.glb(tmp_path / "a.glb"))
        except MeshRejected as e: found.add(e.reason)
    assert {"malformed", "no-triangles"} <= found <= VERDICTS
