"Closed parts of a labelled mesh"
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from sdf_dino.core.errors import ParameterError
from sdf_dino.field.fitting import FitConfig
from sdf_dino.geometry.primitives import Box, Sphere
from sdf_dino.geometry.sampling import Sampler
from sdf_dino.geometry.shapes import Shape
from sdf_dino.geometry.surface import zero_set
from sdf_dino.parts.editing import PartFitConfig
from sdf_dino.parts.learned import Preset
from sdf_dino.parts.segment import Segmentation
from sdf_dino.parts import solids
from sdf_dino.parts.solids import make_solids, move_labels_to_creases, solids_command

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


def test_parts_of_an_older_call_go_and_other_files_stay(made, tmp_path):
    for name in ("part_7.ply", "part_seat.ply"): (tmp_path / name).touch()
    made.export(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["part_0.ply", "part_1.ply", "part_seat.ply"]


@pytest.mark.parametrize("target, cause", [
    ("old.glb", "exists already"), ("old.obj", "exists already"), ("new.txt", "has no format")])
def test_a_bad_target_is_refused_before_anything_is_read(tmp_path, target, cause):
    (tmp_path / "old.glb").touch()
    (tmp_path / "old.mtl").touch()
    with pytest.raises(ParameterError, match=cause): solids_command(Path("nowhere.ply"), tmp_path / target)


def test_a_part_without_an_inside_is_named_and_the_others_stay(made):
    thin = Shape("thin", [*TWO.parts, Box((.3, .3, .0005)).moved(z=.4)])
    meshes, lost = solids._part_meshes(thin, 32, made.normalisation)
    assert list(meshes) == [0, 1]
    assert len(lost) == 1 and "part 2" in lost[0] and "--resolution 64" in lost[0]


@pytest.mark.parametrize("name", ["parts.glb", "parts.obj", "parts.ply", "folder"])
def test_solids_far_from_the_origin_are_closed_in_the_file(made, tmp_path, name):
    shifted = [trimesh.Trimesh(m.vertices + [500_000, 5_200_000, 100], m.faces, process=False) for m in made.meshes]
    far = replace(made, meshes=shifted)
    files = far.export(tmp_path / name)
    assert far.check_written(files) == []


def test_solids_that_a_file_has_rounded_are_not_called_closed(made, tmp_path):
    files = made.export(tmp_path / "parts.ply")
    rounded = trimesh.load(files[0], process=False)
    rounded.vertices = rounded.vertices.round(2)
    rounded.export(files[0])
    assert made.check_written(files)
