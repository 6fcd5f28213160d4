"A selection of Objaverse through a hub that misbehaves: cut short, missing, busy, wrong, silent, and a kill in the middle"
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed; pip install 'sdf_dino[objaverse]'")

from sdf_dino.core.errors import InputError, MismatchError
from sdf_dino.core.files import file_hash
from sdf_dino.data.download import HubClient, HubUnavailable, LocalHub, fetch_file
from sdf_dino.data.objaverse import Filters, Group, TOY, candidate_objects, choose_objects, collect_objects, read_mapping, toy_layout, unseen_categories
from sdf_dino.data.prepare import PrepareSettings
from sdf_dino.geometry.sampling import Sampler

pytestmark = pytest.mark.xdist_group("objaverse")  # they share a set that takes a while to make
QUICK = PrepareSettings(Sampler(1000, 200), seconds=60)
# a collect in a process of its own, to be killed: endpoint, folder, cache
CALL = """
import sys
from sdf_dino.data.download import HubClient
from sdf_dino.data.objaverse import TOY, Group, collect_objects, read_mapping
from sdf_dino.data.prepare import PrepareSettings
from sdf_dino.geometry.sampling import Sampler
groups = {n: Group(g.shapes, tuple(c for c in g.lvis if c in TOY), g.sketchfab) for n, g in read_mapping().items()}
hub, settings = Hub(sys.argv[3], sys.argv[1], pause=0), Settings(Sampler(1000, 200), seconds=60)
collect(sys.argv[2], 14, hub, settings=settings, groups=groups, workers=1, streams=2)
"""


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    toy_layout(folder)
    return folder


@pytest.fixture(scope="module")
def groups():
    "The project's groups with the toy's categories only"
    return {name: Group(g.shapes, tuple(c for c in g.lvis if c in TOY), g.sketchfab) for name, g in read_mapping().items()}


def contents(out):
    files = [p for p in Path(out).rglob("*") if p.is_file() and "log" not in p.parts and p.name != "downloads.parquet"]
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in files}


@pytest.fixture(scope="module")
def undisturbed(layout, groups, tmp_path_factory):
    tmp = tmp_path_factory.mktemp("quiet")
    with LocalHub(layout) as local:
        got = collect_objects(tmp / "out", 14, HubClient(str(tmp / "cache"), local.endpoint), settings=QUICK, groups=groups, workers=1)
    assert got.prepared.count("accepted") == 14 and not got.short
    return got, contents(got.path)


def test_a_hub_that_fails_in_every_way_gives_the_same_set_in_the_end(layout, groups, undisturbed, tmp_path):
    quiet, bytes_ = undisturbed
    paths = list(quiet.downloads.path)
    faults = {paths[0]: ["short"], paths[1]: ["429"], paths[2]: ["flip"], paths[3]: ["404"], paths[4]: ["flip"] * 9, paths[5]: ["short", "flip"],
              "object-paths.json.gz": ["flip"], "metadata/000-001.json.gz": ["short"]}
    with LocalHub(layout, faults) as local:
        hub = HubClient(str(tmp_path / "cache"), local.endpoint, pause=0)
        first = collect_objects(tmp_path / "out", 14, hub, settings=QUICK, groups=groups, workers=1)
        assert dict(zip(first.downloads.path, first.downloads.problem)) == {**dict.fromkeys(paths, ""), paths[3]: "missing", paths[4]: "checksum"}
        assert Counter(first.prepared.table.reason) == {"": 12, "missing": 2} and first.prepared.exit_code == 3
        local.faults, local.asked = {}, []
        second = collect_objects(tmp_path / "out", 14, hub, settings=QUICK, groups=groups, workers=1)
    assert set(local.asked) == {paths[3], paths[4]}, "what is had is not asked for again"
    assert second.prepared.exit_code == 0 and second.prepared.made == 2
    assert contents(tmp_path / "out") == bytes_


def test_a_kill_in_the_middle_of_a_download_and_of_the_conversion(layout, groups, undisturbed, tmp_path):
    quiet, bytes_ = undisturbed
    journal, half = tmp_path / "out" / "set" / "log" / "journal.jsonl", lambda: list((tmp_path / "cache").rglob("*.incomplete"))
    with LocalHub(layout, {quiet.downloads.path[9]: ["stall"]}) as local:
        for reached in (half, lambda: journal.exists() and journal.read_bytes().count(b"\n") > 2):
            run = subprocess.Popen([sys.executable, "-c", CALL, local.endpoint, tmp_path / "out", tmp_path / "cache"], start_new_session=True)
            end = time.time() + 60
            while not reached() and run.poll() is None and time.time() < end:
                time.sleep(0.02)
            assert run.poll() is None, "it ended before it could be killed"
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
        hub = HubClient(str(tmp_path / "cache"), local.endpoint, pause=0)
        last = collect_objects(tmp_path / "out", 14, hub, settings=QUICK, groups=groups, workers=1)
    assert not half() and last.prepared.made <= 12
    assert contents(tmp_path / "out") == bytes_


def test_what_is_kept_and_what_is_told(undisturbed, layout):
    got, _ = undisturbed
    notes = [json.loads(gzip.decompress(p.read_bytes())) for p in (layout / "metadata").glob("*")]
    notes = {uid: note for shard in notes for uid, note in shard.items()}
    thanks = pd.read_csv(got.path / "attribution.csv")
    assert len(thanks) == len(got.index) == 14 and list(thanks) == ["uid", "title", "author", "url", "licence"]
    for row in thanks.to_dict("records"):
        note = notes[row["uid"]]
        assert (row["title"], row["author"], row["url"], row["licence"]) == (note["name"], note["user"]["username"], note["viewerUrl"], note["license"])
        assert note["license"] in ("by", "cc0") and not note["animationCount"] and not note["isAgeRestricted"] and note["faceCount"] < 200_000
    refused = json.loads((got.path / "refused.json").read_text())
    assert {"licence", "age", "animated", "faces", "no group"} <= set(refused)
    assert all(file_hash(got.path / f) == file_hash(layout / p) for f, p in zip(got.downloads.file, got.downloads.path))


def test_splits_keep_categories_apart_and_do_not_move_as_the_set_grows(layout, groups, tmp_path):
    with LocalHub(layout) as local:
        table, _ = candidate_objects(HubClient(str(tmp_path), local.endpoint), groups, Filters(licences=("by", "by-nc", "cc0")))
    small, large = choose_objects(table, groups, 10), choose_objects(table, groups, 30)
    split = lambda t: dict(zip(t.uid, t.split))
    assert split(small).items() <= split(large).items()
    by_split = {s: set(large[large.split == s].category) for s in ("train", "validation", "test")}
    assert not set().union(*by_split.values()) & unseen_categories(groups, 0)
    assert not choose_objects(candidates_with(table, 1), groups, 10).equals(small)


def candidates_with(table, seed):
    "The same table drawn with another seed"
    rng = random.Random(seed)
    return table.assign(draw=[rng.random() for _ in table.uid]).sort_values(["group", "tier", "turn", "draw"], ignore_index=True)


def test_another_request_to_the_same_folder_is_refused(undisturbed, layout, groups):
    got, _ = undisturbed
    with LocalHub(layout) as local:
        with pytest.raises(MismatchError, match="another seed"):
            collect_objects(got.path, 14, HubClient(str(got.path.parent / "cache"), local.endpoint), settings=QUICK, groups=groups, seed=1)


def test_no_hub_at_all_is_said_so(tmp_path, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(HubUnavailable, match="no answer"):
        fetch_file(HubClient(str(tmp_path), "http://127.0.0.1:9", tries=1), "lvis-annotations.json.gz")


def test_filters_that_leave_nothing_say_so(layout, groups, tmp_path):
    with LocalHub(layout) as local, pytest.raises(InputError, match="Loosen them"):
        candidate_objects(HubClient(str(tmp_path), local.endpoint), groups, Filters(licences=("none",)))
