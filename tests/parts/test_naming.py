"One name for parts of a kind across files"
import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from typer.testing import CliRunner

from sdf_dino.cli.app import app
from sdf_dino.cli import meshes     # registers the commands
from sdf_dino.core.errors import InputError, ParameterError
from sdf_dino.geometry.architecture import architecture_shapes
from sdf_dino.geometry.csg import solid_to_mesh
from sdf_dino.geometry.export import write_parts
from sdf_dino.geometry.loading import load_mesh
from sdf_dino.parts.naming import (
    joint_names, name_files, name_letters, named_glb, naming_text)


def write_dumbbells(folder, n=3):
    "Segmented files of two balls and a rod, each turned; their parts are numbered differently"
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(n):
        rod = trimesh.creation.cylinder(.1, 1.2 + .1*i)
        balls = [trimesh.creation.icosphere(2, .3).apply_translation([0, 0, z]) for z in (-.7, .7)]
        pieces = [rod, *balls] if i % 2 else [*balls, rod]
        mesh = trimesh.boolean.union(pieces)
        nearest = np.abs(mesh.triangles_center[:, 2]) > .45 + .05*i
        upper = mesh.triangles_center[:, 2] > 0
        labels = np.where(nearest, 1 + upper, 0) if i % 2 else np.where(nearest, upper, 2)
        turn = trimesh.transformations.random_rotation_matrix(rng.random(3))
        mesh.apply_transform(turn)
        write_parts(mesh, labels, folder/f"dumbbell_{i}.glb")
    return folder


def test_parts_of_a_kind_have_one_name_whatever_their_number(tmp_path):
    table = name_files(write_dumbbells(tmp_path/"in"), tmp_path/"out", names=2, workers=1)
    by_file = {}
    for row in table["parts"]: by_file.setdefault(row["file"], []).append(row["name"])
    assert [sorted(names) for names in by_file.values()] == [["A", "A", "B"]]*3     # A: the balls
    first = {row["part"]: row["name"] for row in table["parts"] if "_0" in row["file"]}
    second = {row["part"]: row["name"] for row in table["parts"] if "_1" in row["file"]}
    assert (first[2], second[0]) == ("B", "B")


def test_named_files_keep_faces_and_can_be_named_again(tmp_path):
    source = write_dumbbells(tmp_path/"in", 2)
    once = name_files(source, tmp_path/"once", names=2, workers=1)
    again = name_files(tmp_path/"once", tmp_path/"again", names=2, workers=1)
    assert [row["name"] for row in once["names"]] == [row["name"] for row in again["names"]]
    assert [row["parts"] for row in once["names"]] == [row["parts"] for row in again["names"]]
    written = sorted((tmp_path/"again").glob("*.glb"))
    faces = [len(load_mesh(file).faces) for file in written]
    assert faces == [len(load_mesh(file).faces) for file in sorted(source.glob("*.glb"))]


@pytest.mark.parametrize("folder", ["named", "."])
def test_written_files_are_no_sources_of_the_next_call(tmp_path, folder):
    write_dumbbells(tmp_path, 1)
    first, second = (name_files(tmp_path, tmp_path/folder, 2, workers=1, force=True) for _ in "ab")
    assert first == second


def test_a_folder_of_nothing_but_written_files_is_named(tmp_path):
    write_dumbbells(tmp_path/"out", 1).joinpath("dumbbell_0.glb").rename(tmp_path/"out"/"a_ply.glb")
    with pytest.raises(InputError, match="has written"): name_files(tmp_path, tmp_path/"out")


def test_a_name_of_others_that_looks_like_ours_does_not_count_as_segmented(tmp_path):
    scene = trimesh.Scene()
    for name, x in (("LEG_1", 0), ("TOP_1", 3)):
        box = trimesh.creation.box().apply_translation([x, 0, 0])
        scene.add_geometry(box, node_name=name, geom_name=name)
    scene.export(tmp_path/"a.glb")
    assert len(name_files(tmp_path, tmp_path/"out", 1, parts=1, workers=1)["parts"]) == 1


def test_a_part_keeps_the_number_in_the_name_of_its_node(tmp_path):
    box = trimesh.creation.box()
    write_parts(box, np.repeat([3, 7], 6), tmp_path/"a.glb")
    table = name_files(tmp_path, tmp_path/"out", 1, workers=1)
    assert [row["part"] for row in table["parts"]] == [3, 7]


def test_a_broken_file_does_not_stop_the_others(tmp_path):
    source = write_dumbbells(tmp_path/"in", 2)
    (source/"broken.glb").write_bytes(b"glTF no more")
    result = CliRunner().invoke(app, ["name", str(source), "-o", str(tmp_path/"out"),
                                      "--workers", "1"])
    table = json.loads((tmp_path/"out"/"names.json").read_text())
    assert result.exit_code == 3 and len(table["failed"]) == 1
    assert len({row["file"] for row in table["parts"]}) == 2
    assert "failed" in result.output and "broken" in result.output


def test_a_failure_says_which_mesh_it_is_of():
    table = {"names": [], "parts": [], "failed": {"chair_glb": "no memory is left"}}
    assert "chair_glb failed: no memory is left" in naming_text(table, Path("out"))


def test_existing_files_are_kept(tmp_path):
    source = write_dumbbells(tmp_path/"in", 1)
    (tmp_path/"out").mkdir()
    (tmp_path/"out"/"names.json").write_text("mine")
    with pytest.raises(ParameterError, match="exists already"):
        name_files(source, tmp_path/"out", workers=1)
    assert (tmp_path/"out"/"names.json").read_text() == "mine"


@pytest.mark.parametrize("names", [0, -1, "many", "prototypes", 2.5])
def test_an_impossible_number_of_names_is_refused_before_work(tmp_path, names):
    with pytest.raises(ParameterError): name_files(tmp_path, tmp_path/"out", names)
    assert not (tmp_path/"out").exists()


def test_a_folder_without_meshes_is_an_error(tmp_path):
    with pytest.raises(InputError): name_files(tmp_path, tmp_path/"out")


def test_more_names_than_parts_are_as_many_as_parts():
    described = [{"size": np.array([[0., 0], [1, 1]])}]
    assert sorted(joint_names(described, [np.array([.6, .4])], 9)[0]) == [0, 1]


def test_letters_are_as_those_of_columns():
    assert [name_letters(i) for i in (0, 26, 51, 52)] == ["A", "AA", "AZ", "BA"]


def test_a_part_without_samples_has_no_name():
    box = trimesh.creation.box()
    _, nodes = named_glb(box, np.repeat([0, 1], 6), {0: 0, 1: -1})
    assert nodes == {0: "A_1", 1: "unnamed_1"}


@pytest.mark.slow
def test_ten_generated_chairs_and_tables(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path/"in").mkdir()
    for i in range(10):
        shape = architecture_shapes(i // 2)[f"{('chair', 'table')[i % 2]}_{i // 2}"]
        mesh = solid_to_mesh(shape, 64)
        mesh.apply_transform(trimesh.transformations.random_rotation_matrix(rng.random(3)))
        write_parts(mesh, shape.label(solid_to_mesh(shape, 64).triangles_center),
                    tmp_path/"in"/f"{shape.name}.glb")
    table = name_files(tmp_path/"in", tmp_path/"out", workers=1)
    assert not table["failed"]
    for i in range(5):      # two plates and four legs of each chair
        chair = sorted((row for row in table["parts"] if f"chair_{i}" in row["file"]),
                       key=lambda row: -row["area"])
        plates, legs = {row["name"] for row in chair[:2]}, {row["name"] for row in chair[-4:]}
        assert len(legs) == 1 and not legs & plates
