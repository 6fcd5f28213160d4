"A result in Blender: materials, hierarchy and the script of docs/"
import ast
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import trimesh

from sdf_dino.geometry.export import linear_colors
from sdf_dino.parts.segment import segment

SCRIPT = Path(__file__).parent.parent / "docs/blender_open_parts.py"
BALLS = trimesh.util.concatenate([trimesh.creation.icosphere(2, r).apply_translation([x, 0, 0]) for x, r in ((0, 1), (1.6, .7))])


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    path = tmp_path_factory.mktemp("blender") / "parts.tree.glb"
    segment(BALLS, 2).export(path)
    return path


def test_every_part_has_a_node_a_mesh_and_a_material_with_its_colour(tree):
    gltf = pytest.importorskip("pygltflib").GLTF2().load(tree)
    nodes = {node.name: node for node in gltf.nodes}
    assert sorted(nodes["group_0"].children) == sorted(gltf.nodes.index(nodes[name]) for name in ("part_0", "part_1"))
    for part in range(2):
        primitive, = gltf.meshes[nodes[f"part_{part}"].mesh].primitives
        material = gltf.materials[primitive.material]
        assert material.name == f"part_{part}" and material.doubleSided
        assert np.allclose(material.pbrMetallicRoughness.baseColorFactor, [*linear_colors(part), 1])


def test_trimesh_reads_the_same_materials(tree):
    for name, mesh in trimesh.load_scene(tree).geometry.items(): assert mesh.visual.material.name == name


def test_the_script_is_short_and_needs_nothing_but_blender():
    text = SCRIPT.read_text(encoding="utf-8")
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = {getattr(node, "module", None) or node.names[0].name for node in imports}
    assert len(text.splitlines()) <= 150 and names == {"argparse", "sys", "pathlib", "bpy", "mathutils"}


CHECK = """import bpy, json, sys
bpy.ops.wm.open_mainfile(filepath=sys.argv[1])
print("CHECK", json.dumps([[o.name, o.parent and o.parent.name, list(o.delta_location), list(o.active_material.diffuse_color)]
                           for o in bpy.data.objects if o.type == "MESH"]))"""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("bpy") is None, reason="needs bpy")
def test_blender_opens_the_parts_with_colours_and_moves_them_apart(tree, tmp_path):
    blend = tmp_path / "parts.blend"
    subprocess.run([sys.executable, SCRIPT, tree, "--explode", "1", "--save", blend], check=True)
    said = subprocess.run([sys.executable, "-c", CHECK, blend], check=True, capture_output=True, text=True).stdout
    rows = json.loads(next(line for line in said.splitlines() if line.startswith("CHECK"))[6:])
    assert [row[:2] for row in sorted(rows)] == [["part_0", "group_0"], ["part_1", "group_0"]]
    for name, _, shift, color in rows:
        assert np.linalg.norm(shift) > .1 and np.allclose(color[:3], linear_colors(int(name[-1])), atol=1e-3)
