"Copies of the Princeton Segmentation Benchmark for tests: a small one made on the spot, and the published one"
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import trimesh

from sdf_dino.data.psb import category
from sdf_dino.evaluate.benchmark import HUMAN_RAND_INDEX_ERROR
from sdf_dino.geometry.csg import solid_to_mesh
from sdf_dino.geometry.primitives import Cylinder, Sphere
from sdf_dino.geometry.shapes import Shape, probe_shapes, random_compound

PARTS = ["torso", "head", "leg", "antenna"]
_ANT_PARTS = [0, 1, 2, 2, 2, 2, 3, 3]


@dataclass
class BenchmarkCopy:
    "Where a copy of the benchmark lies, and what is known of it from elsewhere"
    folder: Path
    models: dict           # Category → number of models
    ants: range            # Numbers of the ants
    ant_segmentations: int
    ant_parts: int         # Number of names of parts of ants, with those of `PARTS`
    human_error: dict      # Category → Rand-index error of people against people


def published(folder):
    "The copy that its authors publish"
    models = dict.fromkeys(HUMAN_RAND_INDEX_ERROR, 20)
    return BenchmarkCopy(folder, models, range(81, 101), 229, 6, HUMAN_RAND_INDEX_ERROR)


def ant():
    "A round body with a head, four legs and two antennae"
    leg, antenna = Cylinder(.12, .4), Cylinder(.06, .3).along("x")
    legs = [leg.moved(x, y, -.45) for x in (-.3, .3) for y in (-.2, .2)]
    return Shape("ant", [Sphere(.4), Sphere(.25).moved(.55), *legs, antenna.moved(.9, .12), antenna.moved(.9, -.12)])


def write_small_copy(folder):
    "Five meshes in the benchmark's folders and formats, each segmented by three made-up people"
    shapes = {81: ant().normalised(), 82: random_compound(0), 83: random_compound(2),
              101: probe_shapes()["chair"], 381: random_compound(3)}
    errors = {}
    for number, shape in shapes.items():
        mesh = solid_to_mesh(shape, 36)
        people = [shape.label(mesh.triangles_center + shift) for shift in (0, .004, -.008)]
        errors.setdefault(category(number), []).append(rand_index_error_by_pairs(mesh, people))
        write_model(Path(folder), number, mesh, people)
    models = {name: len(values) for name, values in errors.items()}
    human_error = {name: np.mean(values) for name, values in errors.items()}
    return BenchmarkCopy(Path(folder), models, range(81, 84), 9, 4, human_error)


def write_model(folder, number, mesh, people):
    "The files of one model; all legs of number 81 have one name"
    mesh.export(make_parent(folder / f"off/{number}.off"))
    for person, labels in enumerate(people):
        path = make_parent(folder / f"seg/Benchmark/{number}/{number}_{person}.seg")
        path.write_text("".join(f"{label}\n" for label in labels))
    name = np.array(_ANT_PARTS)[people[0]] if number == 81 else people[0] % len(PARTS)
    lines = [f"{PARTS[i]}\n{' '.join(map(str, np.flatnonzero(name == i) + 1))}\n" for i in np.unique(name)]
    make_parent(folder / f"labels/{number}_labels.txt").write_text("".join(lines))


def make_parent(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def rand_index_error_by_pairs(mesh, people):
    "Mean share of pairs of faces that two people judge differently, counted pair by pair"
    together = []
    for labels in people:
        edges = mesh.face_adjacency[np.ptp(labels[mesh.face_adjacency], axis=1) == 0]
        segment = trimesh.graph.connected_component_labels(edges, len(labels))
        together.append(segment[:, None] == segment)
    n_pairs = len(mesh.faces) * (len(mesh.faces) - 1)
    return np.mean([(a != b).sum() / n_pairs for a, b in combinations(together, 2)])
