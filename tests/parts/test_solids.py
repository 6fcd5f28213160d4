"Learned fields of the parts of a labelled mesh"
import numpy as np
import pytest
import trimesh

from sdf_dino.field.fitting import FitConfig
from sdf_dino.geometry.primitives import Box, Sphere
from sdf_dino.geometry.sampling import Sampler
from sdf_dino.geometry.shapes import Shape
from sdf_dino.geometry.surface import zero_set
from sdf_dino.parts.editing import PartFitConfig
from sdf_dino.parts.learned import Preset
from sdf_dino.parts.segment import Segmentation
from sdf_dino.parts import solids
from sdf_dino.parts.solids import make_solids, move_labels_to_creases

TWO = Shape("two", [Box((.3, .2, .1)).moved(z=-.1), Sphere(.18).moved(z=.1)])
MESH = zero_set(TWO.sdf, 32)
HEIGHT = MESH.triangles_center[:, 2]


def test_labels_keep_their_numbers():
    assert set(move_labels_to_creases(TWO, MESH, 2*(HEIGHT > .05))) == {0, 2}


def test_a_border_far_from_its_crease_is_not_moved_all_the_way():
    true, far = TWO.label(MESH.triangles_center), (HEIGHT > .2).astype(int)
    moved = move_labels_to_creases(TWO, MESH, far)
    assert (moved != far).any() and (moved != true).any()


def test_no_part_is_lost():
    cap = (HEIGHT > .27).astype(int)
    elsewhere = Shape("one part is far away", [TWO, Sphere(.01).moved(x=3)])
    assert 0 < cap.mean() < .02 and np.array_equal(move_labels_to_creases(elsewhere, MESH, cap), cap)


@pytest.fixture(scope="module")
def made():
    quick = Preset(FitConfig(1, 5, 256), 0, Sampler(1000, 100))
    config = PartFitConfig(FitConfig(finetune_steps=100, finetune_points=1024), samples=8000)
    labelled = Segmentation(MESH, (HEIGHT > .05).astype(int), {})
    return make_solids(labelled, "probe9", quick, config, 32, move_seams=False)


def test_seams_stay_when_asked(made):
    assert np.array_equal(made.labels, HEIGHT > .05) and made.info["moved_faces"] == 0
    assert list(made.info["stages"]) == ["fit", "parts", "meshes"]


def test_every_node_and_file_is_closed(made, tmp_path):
    nodes = trimesh.load_scene(made.export(tmp_path / "parts.glb")[0]).geometry
    assert sorted(nodes) == ["part_0", "part_1"]
    assert all(trimesh.Trimesh(g.vertices, g.faces).is_watertight for g in nodes.values())
    assert all(trimesh.load(path).is_watertight for path in made.export(tmp_path / "parts"))


def test_no_file_of_an_older_call_is_deleted(made, tmp_path):
    for name in ("part_7.ply", "part_seat.ply"): (tmp_path / name).touch()
    made.export(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["part_0.ply", "part_1.ply", "part_7.ply", "part_seat.ply"]


def test_a_part_without_an_inside_is_named_and_the_others_stay(made):
    thin = Shape("thin", [*TWO.parts, Box((.3, .3, .0005)).moved(z=.4)])
    meshes, lost = solids._part_meshes(thin, 32, made.normalisation)
    assert list(meshes) == [0, 1]
    assert len(lost) == 1 and "part 2" in lost[0] and "--resolution 64" in lost[0]
