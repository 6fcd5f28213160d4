"Furniture in many shells: files of named groups, which parts count, and where the package lies"
import zipfile

import numpy as np
import pytest

from sdf_dino.core.errors import InputError, ParameterError
from sdf_dino.data.furniture import (
    DEBIAN_FOLDER, find_furniture, furniture_files, parse_groups, toy_furniture)
from sdf_dino.evaluate.baselines import mesh_components
from sdf_dino.evaluate.benchmark import EvaluationSettings, evaluate, find_benchmark
from sdf_dino.evaluate.cases import furniture_case
from sdf_dino.evaluate.runner import run_case
from sdf_dino.geometry.loading import load_mesh

SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"


@pytest.fixture
def toy(tmp_path, monkeypatch):
    monkeypatch.setenv("SDF_DINO_DATA", str(tmp_path / "data"))
    return toy_furniture(tmp_path / "furniture", n=8)


def write_piece(folder, text, name="shop/a/a.obj"):
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "shop.sh3f", "w") as archive: archive.writestr(name, text)
    return folder


def test_a_polygon_is_a_fan_of_its_group():
    _, faces, names, labels = parse_groups(SQUARE + "g lid\nf 1/1/1 2/2/1 3/3/1 4/4/1\ng\nf -4 -3 -2\n")
    assert faces.tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 2]]
    assert [names[label] for label in labels] == ["lid", "lid", ""]


def test_a_group_that_comes_back_is_the_same_part():
    _, _, names, labels = parse_groups(SQUARE + "g a\nf 1 2 3\ng b\nf 1 3 4\ng a\nf 2 3 \\\n4\n")
    assert names == ["", "a", "b"] and labels.tolist() == [1, 2, 1]


def test_triangles_are_those_of_load_mesh(tmp_path):
    path = tmp_path / "a.obj"
    path.write_text("# a comment\n" + SQUARE + "vt 0 0\ng a\nusemtl x\nf 1 2 3 4\n")
    vertices, faces, *_ = parse_groups(path.read_text())
    mesh = load_mesh(path)
    assert np.array_equal(mesh.vertices, vertices) and np.array_equal(mesh.faces, faces)


def test_pieces_without_two_parts_that_count_are_left_out(toy):
    assert "toys-box" in furniture_files(toy)
    assert [piece.name for piece in find_furniture(toy)] == [f"toys-table{i}" for i in range(8)]


def test_small_parts_do_not_count(tmp_path, toy):
    big = "v 0 0 0\nv 9 0 0\nv 9 9 5\ng big\nf 1 2 3\n"
    screw = "v 0 0 1\nv .1 0 1\nv 0 .1 1\ng screw\nf 4 5 6\n"
    shop = write_piece(tmp_path / "shop", big + screw)
    piece = furniture_files(shop)["shop-a"]
    assert [piece.part_names[part] for part in piece.counted_parts] == ["big"]
    assert find_furniture(shop) == []


def test_every_piece_is_in_one_half(toy):
    halves = [[piece.name for piece in find_furniture(toy, half)] for half in ("development", "test")]
    assert sorted(sum(halves, [])) == [piece.name for piece in find_furniture(toy)]
    assert all(halves) and not set(halves[0]) & set(halves[1])


def test_equal_vertices_of_two_groups_become_one(tmp_path):
    shop = write_piece(tmp_path / "shop", "g a\n" + SQUARE + "f 1 2 3\ng b\n" + SQUARE + "f 5 7 8\nf 5 5 6\n")
    piece = furniture_files(shop)["shop-a"]
    assert len(piece.mesh.vertices) == 4 and piece.labels.tolist() == [1, 2]


def test_an_empty_folder_names_the_way_out(tmp_path):
    with pytest.raises(InputError, match="apt-get install sweethome3d-furniture"): find_furniture(tmp_path)
    with pytest.raises(InputError, match="dpkg -x"): find_furniture(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ("f 1 2 3\n", "v 0 0\n" + "f 1 1 1\n", SQUARE + "f 1 two 3\n"))
def test_what_is_no_obj_is_refused(tmp_path, text):
    piece = furniture_files(write_piece(tmp_path / "shop", text))["shop-a"]
    with pytest.raises(InputError): piece.mesh


def test_a_broken_zip_is_refused(tmp_path):
    (tmp_path / "shop.sh3f").write_bytes(b"no zip")
    with pytest.raises(InputError, match="no intact zip"): furniture_files(tmp_path)


def test_only_points_of_counted_parts_are_scored(toy):
    row = run_case(furniture_case, "toys-table1", mesh_components, n_points=300, furniture=str(toy))
    assert row["points"]["ari"] == 1 and row["k"] == row["parts"] == 5
    with pytest.raises(ParameterError, match="no piece"): furniture_case("toys-sofa", furniture=str(toy))


def test_both_halves_are_tests_of_evaluate(toy, tmp_path):
    settings = EvaluationSettings(furniture=str(toy), n_points=200, folder=str(tmp_path / "rows"), workers=1)
    lines = list(evaluate(["furniture", "furniture_development"], ["components"], settings))
    shapes = {line["test"]: line["shapes"] for line in lines if line["metric"] == "ari"}
    assert shapes["furniture"] + shapes["furniture_development"] == 8
    assert all(line["mean"] == 1 for line in lines if line["metric"] == "ari")
    assert shapes["furniture/toys"] == shapes["furniture"]


@pytest.mark.slow
def test_the_package_of_debian():
    try: names = find_benchmark("furniture_development").ids("", "")
    except InputError: pytest.skip(f"sweethome3d-furniture is not installed in {DEBIAN_FOLDER}")
    assert len(names) == 289 and len(find_furniture()) == 590
    aris = [run_case(furniture_case, name, mesh_components)["points"]["ari"] for name in names[::20]]
    assert .5 < np.mean(aris) < 1
