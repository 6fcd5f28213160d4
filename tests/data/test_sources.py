"Which files a folder, a list, a selection or ShapeNet's layout stands for, their names, and what makes them new"
import json
import os
import re
import sys
import unicodedata

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdf_dino.core.errors import InputError
from sdf_dino.data import sources
from sdf_dino.data.sources import Source, find_sources

FORMATS = ("glb", "ply", "stl", "obj")
WORDS = st.sampled_from(["a", "b", "_", ".", "-", "A", "con", "nul", "é", "椅", " ", "obj", "~", ":", "ß", "\u0301"])
PARTS = st.one_of(st.lists(WORDS, min_size=1, max_size=6).map("".join),
                  st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1))
RELAXED = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
KEYS = st.lists(PARTS, min_size=1, max_size=3).map("/".join)


def names(keys):
    "Key in form NFC → name"
    made = sources._make_sources([(key, f"/meshes/{unicodedata.normalize('NFC', key)}", {}) for key in keys])
    return {source.key: source.name for source in made}


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


@RELAXED
@given(st.lists(KEYS, min_size=1, max_size=8, unique=True))
def test_different_keys_have_different_names_also_where_case_does_not_count(keys):
    found = names(keys)
    assert found.keys() == {unicodedata.normalize("NFC", key) for key in keys}
    assert len({name.casefold() for name in found.values()}) == len(found)


@RELAXED
@given(KEYS)
def test_every_file_system_takes_a_name(key):
    name, = names([key]).values()
    assert len(name.encode()) <= 180 and unicodedata.is_normalized("NFC", name)
    assert re.fullmatch(r"[\w.+-]+", name) and name[0] not in ".-" and name[-1] != "."
    assert not re.fullmatch(r"con|prn|aux|nul|(com|lpt)\d", name.split(".")[0].casefold())


@RELAXED
@given(KEYS, st.lists(KEYS, max_size=5))
def test_a_name_does_not_depend_on_others(key, others):
    key = unicodedata.normalize("NFC", key)
    assert names([key, *others])[key] == names([key])[key]


@RELAXED
@given(KEYS)
def test_both_unicode_forms_of_a_name_are_one_key(key):
    assert names([unicodedata.normalize("NFD", key)]) == names([unicodedata.normalize("NFC", key)])


@pytest.mark.parametrize("key, name", [
    ("chair.obj", "chair_obj"), ("off/1.off", "off__1_off"), ("02691156/abc", "02691156__abc"),
    ("v1.2.obj", "v1.2_obj"), ("椅子.glb", "椅子_glb"), ("0123456789abcdef", "0123456789abcdef")])
def test_plain_keys_have_readable_names(key, name): assert names([key]) == {key: name}


def test_a_folder_that_grows_keeps_its_names(tmp_path):
    (tmp_path / "chair.ply").touch()
    before = find_sources(tmp_path, FORMATS)
    for name in ("chair.stl", "Chair.ply", "chair_ply.obj"): (tmp_path / name).touch()
    assert before[0] in find_sources(tmp_path, FORMATS)


def test_a_name_of_200_characters_of_three_bytes_is_an_ordinary_source(tmp_path):
    (tmp_path / ("部品" * 40)).mkdir()
    (tmp_path / ("部品" * 40) / f"{'椅' * 83}.obj").touch()
    (tmp_path / "list.txt").write_text("椅" * 200 + ".obj\n", encoding="utf-8")
    sources = [*find_sources(tmp_path, FORMATS), *find_sources(tmp_path / "list.txt", FORMATS)]
    for source in sources: (tmp_path / f".{source.name}.safetensors.0123456789ab.tmp").touch()
    assert len({source.name for source in sources}) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="names are Unicode elsewhere")
def test_a_name_that_is_no_utf8_is_an_ordinary_source(tmp_path):
    open(os.fsencode(tmp_path) + b"/\xff.obj", "w").close()
    (tmp_path / "list.txt").write_bytes(b"\xff.obj\n")
    one, other = find_sources(tmp_path, FORMATS), find_sources(tmp_path / "list.txt", FORMATS)
    assert one == other and one[0].key == "\\xff.obj" and os.path.exists(one[0].path)
    one[0].name.encode()


def test_a_list_in_another_unicode_form_finds_its_files(tmp_path):
    (tmp_path / "caf\u00e9.obj").touch()
    (tmp_path / "list.txt").write_text("\ufeffcafe\u0301.obj\ncaf\u00e9.obj\n", encoding="utf-8")
    source, = find_sources(tmp_path / "list.txt", FORMATS)
    assert os.path.exists(source.path)


def test_a_file_that_is_named_twice_is_taken_once(folder):
    several = [folder / "in/one", folder / "in/two", folder / "in/one/thing.glb"]
    assert len(find_sources(several, FORMATS)) == 2


def test_two_files_of_one_key_are_an_error_that_names_both(folder):
    (folder / "in/two/thing.glb").touch()
    with pytest.raises(InputError, match="one/thing.glb have the same name.*the folder or a list of both"):
        find_sources([folder / "in/one", folder / "in/two"], FORMATS)


def test_sources_with_names_of_ones_own_pass_through(folder):
    own = Source("off-1", "off/1.off", "/x/1.off")
    assert find_sources([own, folder / "in/one", own], FORMATS)[0] == own
    with pytest.raises(InputError, match="both named OFF-1"):
        find_sources([own, Source("OFF-1", "2", "/x/2.off")], FORMATS)


def test_a_list_skips_remarks_and_keeps_what_is_missing(folder):
    (folder / "list.txt").write_text("in/thing.stl\n\n# a remark\nin/thing.stl\nin/gone.glb\n")
    assert [s.key for s in find_sources(folder / "list.txt", FORMATS)] == ["in/gone.glb", "in/thing.stl"]


def test_shapenet_has_categories(folder):
    (folder / "shapenet/02691156/abc/model.obj").touch()
    plane, = find_sources(folder / "shapenet", FORMATS)
    assert (plane.name, plane.metadata["category"]) == ("02691156__abc", "airplane")


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


@pytest.mark.parametrize("container", ["gltf", "glb"])
def test_a_buffer_beside_a_gltf_belongs_to_its_stamp_and_hash(tmp_path, container):
    document = json.dumps({"buffers": [{"uri": "my%20part.bin"}, {"byteLength": 4}, {"uri": "data:x"}]}).encode()
    mesh, part = tmp_path / f"mesh.{container}", tmp_path / "my part.bin"
    header = b"glTF" + np.array([2, 0, len(document)], np.uint32).tobytes() + b"JSON"
    mesh.write_bytes((header if container == "glb" else b"") + document)
    part.write_bytes(b"one")
    stamp, digest = sources.source_stamp(mesh), sources.source_hash(mesh)
    assert sources.stamp_holds(mesh, stamp) and sources.source_hash(mesh) == digest
    part.write_bytes(b"another")
    assert not sources.stamp_holds(mesh, stamp) and sources.source_hash(mesh) != digest


def test_a_buffer_counts_in_whatever_encoding_and_form_it_is_named(tmp_path):
    name = unicodedata.normalize("NFD", "Stück.bin")
    (tmp_path / name).write_bytes(b"one")
    text = json.dumps({"buffers": [{"uri": unicodedata.normalize("NFC", name)}]}, ensure_ascii=False)
    (tmp_path / "mesh.gltf").write_bytes(text.encode("utf-16"))
    stamp = sources.source_stamp(tmp_path / "mesh.gltf")
    (tmp_path / name).write_bytes(b"another")
    assert not sources.stamp_holds(tmp_path / "mesh.gltf", stamp)


@pytest.mark.parametrize("text", [
    '{"buffers": 3}', '{"buffers": [{"uri": "../x.bin"}]}', '{"buffers": [{"uri": "/dev/zero"}]}', '{"uri"',
    '{"buffers": [{"uri": "a\\u0000b"}, {"uri": 5}, 7]}', '[["uri"]]', '{"uri":' + "[" * 100_000])
def test_a_hostile_gltf_names_no_other_file(tmp_path, text):
    (tmp_path / "mesh.gltf").write_text(text)
    assert list(sources.source_stamp(tmp_path / "mesh.gltf")) == ["mesh.gltf"]
    assert len(sources.source_hash(tmp_path / "mesh.gltf")) == 64


def test_a_stamp_changes_when_a_missing_file_comes(tmp_path):
    stamp = sources.source_stamp(tmp_path / "mesh.obj")
    assert stamp == {"mesh.obj": None} and not sources.stamp_holds(tmp_path / "mesh.obj", None)
    (tmp_path / "mesh.obj").touch()
    assert not sources.stamp_holds(tmp_path / "mesh.obj", stamp)


def test_links_to_nothing_and_pipes_are_sources_that_the_result_names(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.ply").write_text("ply")
    (tmp_path / "in/gone.ply").symlink_to(tmp_path / "nowhere.ply")
    os.mkfifo(tmp_path / "in/pipe.ply")
    assert [source.name for source in find_sources(tmp_path / "in", ("ply",))] == ["a_ply", "gone_ply", "pipe_ply"]


def test_a_folder_without_meshes_is_named_as_it_was_given(tmp_path):
    with pytest.raises(InputError, match=rf"^{tmp_path}: holds no files"): find_sources([tmp_path], ("ply",))
