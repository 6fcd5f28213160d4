"Meshes that describe a known solid badly, with its signed distance: sign and distance have a right answer"
import numpy as np
import trimesh
from trimesh.transformations import translation_matrix

from sdf_dino.geometry.surface import sample_mesh_surface


def _torus_sdf(points):
    from_axis = np.hypot(points[:, 0], points[:, 1])
    return np.hypot(from_axis - .3, points[:, 2]) - .12


def _two_balls_sdf(points):
    left, right = (np.linalg.norm(points - [x, 0, 0], axis=1) - .25 for x in (-.15, .15))
    return np.minimum(left, right)


def _shell_sdf(points): return np.abs(np.linalg.norm(points, axis=1) - .3) - .1


def _boxes_sdf(points, boxes):
    "Signed distance to the union of axis-aligned boxes (exact outside)"
    q = np.stack([np.abs(points - box.bounds.mean(0)) - box.extents/2 for box in boxes])
    outside = np.linalg.norm(np.maximum(q, 0), axis=2)
    return (outside + np.minimum(q.max(2), 0)).min(0)


def _torus(n_faces):
    side = (n_faces/2)**.5
    sections = {"major_sections": int(1.3*side), "minor_sections": int(side/1.3)}
    return trimesh.creation.torus(.3, .12, **sections)


def _table_boxes():
    def box(extents, position): return trimesh.creation.box(extents, translation_matrix(position))
    legs = [box((.08, .08, .8), (x, y, -.05)) for x in (-.4, .4) for y in (-.25, .25)]
    return [box((.9, .6, .1), (0, 0, .4)), *legs]


def damaged_mesh(
    mesh:trimesh.Trimesh,     # A sound mesh
    damage:str,               # holes (5 % of the faces), half flipped, double sided or inside out
    rng:np.random.Generator,  # Chooses the faces
)->trimesh.Trimesh:
    "A copy of a mesh with one kind of damage"
    faces, n = mesh.faces, len(mesh.faces)
    if damage == "holes": faces = faces[rng.permutation(n)[n//20:]]
    if damage == "half flipped":
        flip = rng.random(n)[:, None] < .5
        faces = np.where(flip, faces[:, ::-1], faces)
    if damage == "double sided": faces = np.concatenate([faces, faces[:, ::-1]])
    if damage == "inside out": faces = faces[:, ::-1]
    return trimesh.Trimesh(mesh.vertices, faces, process=False)


def difficult_meshes()->dict:
    "Name → (mesh, signed distance function of the solid that it describes)"
    rng = np.random.default_rng(0)
    torus = _torus(5000)
    boxes = _table_boxes()
    balls = [trimesh.creation.icosphere(4, .25).apply_translation([x, 0, 0]) for x in (-.15, .15)]
    cavity = trimesh.creation.icosphere(4, .2)
    cavity.invert()
    shell = trimesh.util.concatenate([trimesh.creation.icosphere(4, .4), cavity])
    cases = {"table": (trimesh.util.concatenate(boxes), lambda points: _boxes_sdf(points, boxes)),
             "overlap": (trimesh.util.concatenate(balls), _two_balls_sdf),
             "cavity": (shell, _shell_sdf),
             "sound": (torus, _torus_sdf)}
    for damage in ("holes", "half flipped", "double sided", "inside out"):
        cases[damage] = damaged_mesh(torus, damage, rng), _torus_sdf
    return cases


def near_surface_points(
    mesh:trimesh.Trimesh,  # Mesh in the cube
    n:int,                 # Number of points
)->np.ndarray:             # (n,3)
    "Points about the surface of a mesh, at normal offsets of standard deviation 0.02"
    surface, _ = sample_mesh_surface(mesh, n)
    return surface + np.random.default_rng(0).normal(0, .02, surface.shape)
