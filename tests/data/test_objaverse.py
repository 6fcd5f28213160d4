"A selection of Objaverse through a hub that fails in every way, and kills in the middle"
import gzip
import json
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("huggingface_hub", reason="pip install 'sdf_dino[objaverse]'")

from faults import count_files, start, stop, wait_until
from local_hub import LocalHub

from sdf_dino.core.errors import InputError, MismatchError
from sdf_dino.core.files import file_hash
from sdf_dino.core.workers import lock_folder
from sdf_dino.data.conversion import PrepareSettings
from sdf_dino.data.download import HubClient
from sdf_dino.data import objaverse
from sdf_dino.data.objaverse import collect_objects, download_objects
from sdf_dino.data.selection import (
    DownloadFilters, candidate_objects, choose_objects, read_category_groups, toy_objaverse,
    unseen_categories)
from sdf_dino.geometry.sampling import Sampler

QUICK = PrepareSettings(Sampler(1000, 200), max_seconds=60)
GROUPS = """
furniture: {shapes: 2, lvis: [chair, table], sketchfab: [furniture-home]}
architecture: {shapes: 1, lvis: [windmill], sketchfab: []}
vehicles: {shapes: 1, lvis: [boat], sketchfab: []}
living: {shapes: 1, lvis: [dog], sketchfab: []}
mechanical: {shapes: 1, lvis: [wrench], sketchfab: []}
simple: {shapes: 1, lvis: [ball], sketchfab: []}
"""
# a selection in a process of its own, to be killed: endpoint, folder, cache, groups
CALL = """
import sys
from sdf_dino.data.conversion import PrepareSettings
from sdf_dino.data.download import HubClient
from sdf_dino.data.objaverse import collect_objects
from sdf_dino.data.selection import read_category_groups
from sdf_dino.geometry.sampling import Sampler
endpoint, out, cache, groups = sys.argv[1:]
settings = PrepareSettings(Sampler(1000, 200), max_seconds=60)
hub = HubClient(cache, endpoint, pause=0)
groups = read_category_groups(groups)
collect_objects(out, 14, hub, settings=settings, groups=groups, workers=1, streams=2)
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    toy_objaverse(folder)
    return folder


@pytest.fixture(scope="module")
def groups_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("groups") / "groups.yml"
    path.write_text(GROUPS)
    return path


@pytest.fixture(scope="module")
def groups(groups_file): return read_category_groups(groups_file)


def collect(folder, local, groups, **kwargs):
    "Fourteen shapes, collected into `out` of a folder"
    hub = HubClient(str(folder / "cache"), local.endpoint, pause=0)
    return collect_objects(folder / "out", 14, hub, settings=QUICK, groups=groups, workers=1,
                           **kwargs)


def contents(out):
    "Every file but logs and the list of downloads, which names places in the cache"
    files = [p for p in Path(out).rglob("*") if p.is_file() and "log" not in p.parts]
    files = [p for p in files if p.name != "downloads.parquet"]
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in files}


@pytest.fixture(scope="module")
def expected(repository, groups, tmp_path_factory):
    "The selection when nothing goes wrong, and its bytes"
    with LocalHub(repository) as local:
        found = collect(tmp_path_factory.mktemp("expected"), local, groups)
    assert found.prepared.count("accepted") == 14 and not found.shortfall
    return found, contents(found.path)


def test_a_hub_that_fails_in_every_way_gives_the_same_set(repository, groups, expected, tmp_path):
    paths = list(expected[0].downloads.path)
    faults = {paths[0]: ["short"], paths[1]: ["429"], paths[2]: ["flip"], paths[3]: ["404"],
              paths[4]: ["flip"] * 9, paths[5]: ["short", "flip"],
              "object-paths.json.gz": ["flip"], "metadata/000-001.json.gz": ["short"]}
    with LocalHub(repository, faults) as local:
        first = collect(tmp_path, local, groups)
        local.faults, local.requested = {}, []
        second = collect(tmp_path, local, groups)
    problems = dict(zip(first.downloads.path, first.downloads.problem))
    assert problems == {**dict.fromkeys(paths, ""), paths[3]: "missing", paths[4]: "checksum"}
    assert Counter(first.prepared.table.reason) == {"": 12, "missing": 2}
    assert first.prepared.exit_code == 3
    assert set(local.requested) == {paths[3], paths[4]}, "only what was missing is requested"
    assert second.prepared.exit_code == 0 and second.prepared.processed == 2
    assert contents(tmp_path / "out") == expected[1]


def kill_when(reached, command):
    "Start a command, and kill it as soon as a condition holds"
    run = start([sys.executable, *command])
    assert wait_until(reached, run), f"it ended before it could be killed: {run.communicate()[0]}"
    stop(run)


@pytest.mark.slow
def test_kills_during_download_and_conversion_lose_nothing(
        repository, groups, groups_file, expected, tmp_path):
    def partial_downloads(): return list((tmp_path / "cache").rglob("*.incomplete"))

    def converting(): return count_files(tmp_path / "out" / "set" / "samples") > 2

    with LocalHub(repository, {expected[0].downloads.path[9]: ["stall"]}) as local:
        command = ("-c", CALL, local.endpoint, tmp_path / "out", tmp_path / "cache", groups_file)
        for reached in (partial_downloads, converting): kill_when(reached, command)
        last = collect(tmp_path, local, groups)
    assert not partial_downloads() and last.prepared.processed <= 12
    assert contents(tmp_path / "out") == expected[1]


def test_authors_and_licences_are_those_of_the_annotations(expected, repository):
    found, annotations = expected[0], {}
    for shard in (repository / "metadata").glob("*"):
        annotations |= json.loads(gzip.decompress(shard.read_bytes()))
    table = pd.read_csv(found.path / "attribution.csv")
    assert len(table) == len(found.index) == 14
    for row in table.to_dict("records"):
        annotation = annotations[row["uid"]]
        assert (row["title"], row["author"]) == (annotation["name"], annotation["user"]["username"])
        assert (row["url"], row["licence"]) == (annotation["viewerUrl"], annotation["license"])


def test_filters_keep_out_and_count_what_may_not_be_used(expected, repository):
    found = expected[0]
    refused = json.loads((found.path / "refused.json").read_text())
    assert {"licence", "age", "animated", "faces", "no group"} <= set(refused)
    assert set(pd.read_csv(found.path / "attribution.csv").licence) <= {"by", "cc0"}
    for file, path in zip(found.downloads.file, found.downloads.path):
        assert file_hash(found.path / file) == file_hash(repository / path)


def test_splits_keep_categories_apart_and_stay_as_the_set_grows(repository, groups, tmp_path):
    filters = DownloadFilters(licences=("by", "by-nc", "cc0"))
    with LocalHub(repository) as local:
        hub = HubClient(str(tmp_path), local.endpoint)
        table, _ = candidate_objects(hub, groups, filters)
        other, _ = candidate_objects(hub, groups, filters, seed=1)
    small, large = choose_objects(table, groups, 10), choose_objects(table, groups, 30)
    split = dict(zip(large.uid, large.split))
    assert all(split[uid] == name for uid, name in zip(small.uid, small.split))
    assert not set(large[large.split != "unseen"].category) & unseen_categories(groups, 0)
    assert not choose_objects(other, groups, 10).equals(small), "another seed, another choice"


def test_categories_of_a_group_take_turns(expected):
    chosen = expected[0].downloads
    assert {"chair", "table"} <= set(chosen[chosen.group == "furniture"].category)


def test_a_category_in_two_groups_is_refused(tmp_path):
    path = tmp_path / "twice.yml"
    entry = "{shapes: 1, lvis: [cat], sketchfab: []}"
    path.write_text(f"a: {entry}\nb: {entry}")
    with pytest.raises(InputError, match="names cat twice"): read_category_groups(path)


def test_another_request_to_the_same_folder_is_refused(expected, repository, groups):
    folder = expected[0].path.parent
    with LocalHub(repository) as local, pytest.raises(MismatchError, match="another seed"):
        collect(folder, local, groups, seed=1)


def test_filters_that_leave_nothing_are_an_error(repository, groups, tmp_path):
    with LocalHub(repository) as local, pytest.raises(InputError, match="Loosen them"):
        hub = HubClient(str(tmp_path), local.endpoint)
        candidate_objects(hub, groups, DownloadFilters(licences=("none",)))


def test_parts_of_other_data_sets_in_the_cache_stay(repository, tmp_path):
    own, other = tmp_path / "datasets--allenai--objaverse", tmp_path / "datasets--other--set"
    for folder in (own, other):
        (folder / "blobs").mkdir(parents=True)
        (folder / "blobs" / "half.incomplete").touch()
    with LocalHub(repository) as local:
        download_objects(pd.DataFrame({"path": []}), HubClient(str(tmp_path), local.endpoint), tmp_path / "out")
    assert list(tmp_path.glob("datasets--*/blobs/*")) == [other / "blobs" / "half.incomplete"]


def test_two_downloads_into_one_cache_are_refused(repository, tmp_path):
    with LocalHub(repository) as local, lock_folder(tmp_path / "sdf_dino"):
        with pytest.raises(InputError, match="is being written by another run"):
            download_objects(pd.DataFrame({"path": []}), HubClient(str(tmp_path), local.endpoint), tmp_path)


def test_a_title_is_no_formula():
    texts = ["=HYPERLINK(1)", "+1", "-1", "@sum", "\t=1", "\r=1", "a=b", "", "'quoted"]
    assert [objaverse._plain_text(text) for text in texts] == [f"'{text}" for text in texts[:6]] + texts[6:]
