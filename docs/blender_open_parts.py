"""Open the parts of a mesh in Blender: colours, hierarchy, and a slider that moves the parts apart.

    blender --python blender_open_parts.py -- parts.glb --explode 0.5
    python blender_open_parts.py parts.glb --save parts.blend      (with `pip install bpy`)

Without this script, File > Import > glTF 2.0 opens the same file: each part is an object with its own material.
To see the colours in Solid mode, choose Viewport Shading > Color > Material.
"""
import argparse
import sys
from pathlib import Path

import bpy
from mathutils import Vector

CONTROL = "Explode"    # The empty whose property moves the parts


def parse(words):
    "The arguments, after `--` when Blender itself was started with others"
    parser = argparse.ArgumentParser(prog="blender_open_parts.py", description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="a .glb that `sdf_dino segment` or `sdf_dino solids` wrote")
    parser.add_argument("--explode", type=float, default=0., help="0 together, 1 apart by the distance from the middle")
    parser.add_argument("--save", type=Path, help="write a .blend file")
    parser.add_argument("--keep", action="store_true", help="keep what is in the scene, such as Blender's cube")
    return parser.parse_args(words[words.index("--") + 1:] if "--" in words else words)


def clear_scene():
    "Remove Blender's cube, lamp and camera"
    for thing in list(bpy.data.objects): bpy.data.objects.remove(thing, do_unlink=True)


def import_parts(file):
    "The objects of a GLB: meshes, and an empty for each group of the part tree"
    before = set(bpy.data.objects)
    bpy.ops.import_scene.gltf(filepath=str(file.resolve()))
    return [thing for thing in bpy.data.objects if thing not in before]


def collect(objects, name):
    "Put the objects into a collection of their own"
    folder = bpy.data.collections.new(name)
    bpy.context.scene.collection.children.link(folder)
    for thing in objects:
        for old in list(thing.users_collection): old.objects.unlink(thing)
        folder.objects.link(thing)


def show_colors(parts):
    "Use the part colours in Solid mode too"
    for part in parts:
        for material in part.data.materials:
            shader = material.node_tree.nodes.get("Principled BSDF") if material.use_nodes else None
            if shader: material.diffuse_color = shader.inputs["Base Color"].default_value[:]
    for screen in bpy.data.screens:
        for area in screen.areas:
            if area.type == "VIEW_3D": area.spaces.active.shading.color_type = "MATERIAL"


def middle(part):
    "Centre of the bounding box of an object, in the world"
    corners = [part.matrix_world @ Vector(corner) for corner in part.bound_box]
    return sum(corners, Vector())/len(corners)


def add_slider(parts, value):
    "An empty with the property `explode`, which moves each part away from the common middle"
    control = bpy.data.objects.new(CONTROL, None)
    bpy.context.scene.collection.objects.link(control)
    control["explode"] = value
    control.id_properties_ui("explode").update(min=0., soft_max=2., description="How far the parts are apart")
    centres = [middle(part) for part in parts]
    common = sum(centres, Vector())/len(centres)
    control.location = common
    for part, centre in zip(parts, centres): move_with(part, centre - common, control)
    return control


def move_with(part, direction, control):
    "Let an object move along a direction of the world as the property says"
    if part.parent: direction = part.parent.matrix_world.to_3x3().inverted() @ direction
    for axis in range(3):
        driver = part.driver_add("delta_location", axis).driver
        variable = driver.variables.new()
        variable.name = "explode"
        variable.targets[0].id = control
        variable.targets[0].data_path = '["explode"]'
        driver.expression = f"{direction[axis]:.9g} * explode"


def main(words):
    options = parse(words)
    if not options.file.is_file(): sys.exit(f"{options.file}: is no file. Name a .glb of `sdf_dino segment`")
    if not options.keep: clear_scene()
    objects = import_parts(options.file)
    parts = [thing for thing in objects if thing.type == "MESH"]
    if not parts: sys.exit(f"{options.file}: holds no parts. Write it with `sdf_dino segment mesh.glb -o parts.glb`")
    collect(objects, options.file.stem)
    show_colors(parts)
    bpy.context.view_layer.update()
    add_slider(parts, options.explode)
    bpy.context.view_layer.update()
    if options.save: bpy.ops.wm.save_as_mainfile(filepath=str(options.save.resolve()))
    for part in parts:
        print(f"{part.name}: {len(part.data.polygons)} faces, materials {[m.name for m in part.data.materials]}")


if __name__ == "__main__": main(sys.argv[1:])
