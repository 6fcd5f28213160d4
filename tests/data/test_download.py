"Downloads from a hub that fails: wrong bytes, missing files, too many requests, silence"
import pytest

pytest.importorskip("huggingface_hub", reason="pip install 'sdf_dino[objaverse]'")

from local_hub import LocalHub

from sdf_dino.data.download import HubClient, HubUnavailable, cached_file, fetch_file


@pytest.fixture
def repository(tmp_path):
    "A repository of four small files"
    folder = tmp_path / "repository"
    (folder / "deep").mkdir(parents=True)
    for name in ("a", "b", "c", "deep/d"): (folder / name).write_text(name*1000)
    return folder


def client(local, tmp_path, attempts=2):
    cache = str(tmp_path / "cache")
    return HubClient(cache, local.endpoint, local.commit, attempts=attempts, pause=0)


def test_a_wrong_byte_and_a_busy_hub_are_tried_again(repository, tmp_path):
    with LocalHub(repository, {"a": ["flip"], "c": ["429"]}) as local:
        hub = client(local, tmp_path)
        assert fetch_file(hub, "a").read_text() == "a"*1000
        assert fetch_file(hub, "c") == cached_file(hub, "c")


@pytest.mark.parametrize("name, cause", [
    ("b", "checksum"), ("deep/d", "missing"), ("nothing", "missing"), ("../x", "ValueError")])
def test_a_file_that_cannot_be_had_names_the_cause(repository, tmp_path, name, cause):
    with LocalHub(repository, {"b": ["flip"]*9, "deep/d": ["404"]}) as local:
        with pytest.raises(HubUnavailable) as error: fetch_file(client(local, tmp_path), name)
    assert error.value.cause == cause


def test_a_cached_file_of_a_known_commit_is_not_requested_again(repository, tmp_path):
    with LocalHub(repository) as local:
        hub = client(local, tmp_path)
        first = fetch_file(hub, "deep/d")
        requests = len(local.requested)
        assert fetch_file(hub, "deep/d") == first and len(local.requested) == requests


def test_a_hub_that_does_not_answer_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    hub = HubClient(str(tmp_path), "http://127.0.0.1:9", attempts=1)
    with pytest.raises(HubUnavailable, match="no answer"): fetch_file(hub, "a")
