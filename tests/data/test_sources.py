"Which files a folder, a list, a selection or ShapeNet's layout stands for, and their names"
import pandas as pd
import pytest

from sdf_dino.core.errors import InputError
from sdf_dino.data import sources
from sdf_dino.data.sources import find_sources

FORMATS = ("glb", "ply", "stl", "obj")


@pytest.fixture
def folder(tmp_path):
    "Meshes in folders, and a model in ShapeNet's layout"
    for name in ("in/one/thing.glb", "in/two/thing.ply", "in/thing.stl",
                 "shapenet/02691156/abc/models/model_normalized.obj"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    taxonomy = '[{"synsetId": "02691156", "name": "airplane,plane"}]'
    (tmp_path / "shapenet/taxonomy.json").write_text(taxonomy)
    return tmp_path


def test_names_differ_also_where_case_does_not_count():
    keys = ("a/chair.glb", "a-chair.obj", "A/Chair.stl", "b/Chair 1.glb", "b/Chair 1.glb")
    found = sources._make_sources([(key, "/x", {}) for key in keys])
    assert len({source.name.casefold() for source in found}) == len(found) == 4
    assert len(sources._file_stem("x"*300)) < 110


def test_a_file_that_is_named_twice_is_taken_once(folder):
    several = [folder / "in/one", folder / "in/two", folder / "in/one/thing.glb"]
    assert len(find_sources(several, FORMATS)) == 2


def test_the_same_key_in_two_folders_is_two_files(folder):
    (folder / "in/two/thing.glb").touch()
    found = find_sources([folder / "in/one", folder / "in/two"], FORMATS)
    assert {source.key for source in found} == {"one/thing.glb", "two/thing.glb", "thing.ply"}


def test_a_list_skips_remarks_and_keeps_what_is_missing(folder):
    (folder / "list.txt").write_text("in/thing.stl\n\n# a remark\nin/thing.stl\nin/gone.glb\n")
    assert [s.name for s in find_sources(folder / "list.txt", FORMATS)] == ["in-gone", "in-thing"]


def test_shapenet_has_categories(folder):
    plane, = find_sources(folder / "shapenet", FORMATS)
    assert (plane.name, plane.metadata["category"]) == ("02691156-abc", "airplane")


def test_a_selection_carries_its_metadata(folder):
    table = pd.DataFrame({"uid": ["u1"], "file": ["in/thing.stl"], "licence": ["by"]})
    table.to_parquet(folder / "chosen.parquet")
    source, = find_sources(folder / "chosen.parquet", FORMATS)
    assert source.key == "u1" and source.metadata == {"licence": "by"}


@pytest.mark.parametrize("name, words", [
    ("shapenet/taxonomy.json", "neither"), ("nowhere", "does not exist"), ("in/one", "Looked for")])
def test_what_is_no_source_is_refused(folder, name, words):
    with pytest.raises(InputError, match=words): find_sources(folder / name, ("obj",))


def test_a_selection_without_files_is_refused(folder):
    pd.DataFrame({"uid": ["u1"]}).to_parquet(folder / "chosen.parquet")
    with pytest.raises(InputError, match="no column file"):
        find_sources(folder / "chosen.parquet", FORMATS)
