"A set of samples has the same bytes whatever happens: kills, lost workers, crashes, hangs"
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trimesh

from sdf_dino.core.errors import MismatchError, ParameterError
from sdf_dino.core.sandbox import Sandbox
from sdf_dino.core.workers import Journal, borrow_sandbox, close_idle_sandboxes
from sdf_dino.data.conversion import PrepareSettings, convert_source
from sdf_dino.data.prepare import prepare_set
from sdf_dino.data.sources import Source
from sdf_dino.geometry.sampling import Sampler, sample_files

pytestmark = pytest.mark.xdist_group("prepare")  # they share a set that takes a while to make
MESHES = 14
SETTINGS = PrepareSettings(Sampler(3000, 500), max_seconds=60)
# meshes named so cost their own process and nothing else: the conversion is wrapped in the child
SABOTAGE = '''
import os, time
from sdf_dino.data import conversion
original = conversion._convert
def _convert(source, folder, settings):
    if source["name"] == "crash": os.abort()
    if source["name"] == "hang": time.sleep(1000)
    if source["name"] == "bomb": bytearray(8 << 30)
    return original(source, folder, settings)
'''
# a call in a process of its own, to be killed: sources, folder, scheduler
CALL = '''
import sys
from sdf_dino.data.conversion import PrepareSettings
from sdf_dino.data.prepare import prepare_set
from sdf_dino.geometry.sampling import Sampler
settings = PrepareSettings(Sampler(3000, 500), max_seconds=60)
done = prepare_set(sys.argv[1], sys.argv[2], settings, 2, "".join(sys.argv[3:]))
print(done.summary())
sys.exit(done.exit_code)
'''


def contents(folder):
    "Every file of a set but its log"
    files = [p for p in sorted(Path(folder).rglob("*")) if p.is_file() and "log" not in p.parts]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


@pytest.fixture(scope="module")
def meshes(tmp_path_factory):
    "Small meshes, two of one name, one broken"
    folder = tmp_path_factory.mktemp("meshes")
    (folder / "deep").mkdir()
    for i in range(MESHES - 2):
        torus = trimesh.creation.torus(1, 0.1 + 0.03 * i, major_sections=24 + 4 * i)
        torus.export(folder / f"torus{i}.ply")
    trimesh.creation.box().export(folder / "deep" / "torus1.glb")
    (folder / "broken.obj").write_text("v 0 0 0\nf 1 2 9\n")
    return folder


@pytest.fixture(scope="module")
def expected(meshes, tmp_path_factory):
    "Bytes of the set when nothing goes wrong"
    out = tmp_path_factory.mktemp("expected") / "set"
    done = prepare_set(meshes, out, SETTINGS, workers=2)
    assert (done.count("accepted"), done.count("rejected"), done.exit_code) == (13, 1, 0)
    return contents(out)


def start(*args, **env):
    return subprocess.Popen([sys.executable, *map(str, args)], env={**os.environ, **env},
                            start_new_session=True, stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True)


def kill(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def wait_for(condition, seconds=60):
    end = time.time() + seconds
    while not condition():
        assert time.time() < end, "waited in vain"
        time.sleep(0.05)


def journal_lines(out):
    path = Path(out) / "log" / "journal.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.slow
def test_a_set_that_was_killed_several_times_has_the_same_bytes(meshes, expected, tmp_path):
    rng, out = random.Random(0), tmp_path / "set"
    for _ in range(3):
        lines = journal_lines(out)
        run = start("-c", CALL, meshes, out)
        wait_for(lambda: run.poll() is not None or journal_lines(out) > lines)
        time.sleep(rng.uniform(0, 0.15))
        kill(run)
        assert all(p.stat().st_size for p in out.glob("samples/[!.]*")), "no half file"
    last = start("-c", CALL, meshes, out)
    assert last.wait(60) == 0, last.communicate()
    assert contents(out) == expected
    with Journal(out / "log" / "journal.jsonl") as journal:
        names = [line["name"] for line in journal.lines]
    assert len(names) == len(set(names)) == MESHES, "nothing twice, nothing lost"


def test_lines_and_files_lost_in_a_kill_are_recovered(meshes, expected, tmp_path):
    prepare_set(meshes, tmp_path / "set", SETTINGS, workers=2)
    journal = tmp_path / "set" / "log" / "journal.jsonl"
    for cut in random.Random(1).sample(range(len(journal.read_bytes())), 4):
        journal.write_bytes(journal.read_bytes()[:cut])
        (tmp_path / "set" / "manifest.parquet").unlink()
        done = prepare_set(meshes, tmp_path / "set", SETTINGS, workers=2)
        assert done.processed <= 1, "only the rejected mesh has no file to recover from"
        assert contents(tmp_path / "set") == expected


def test_a_lost_file_and_a_temporary_one_are_put_right(tmp_path):
    (tmp_path / "in").mkdir()
    for i in range(2): trimesh.creation.icosphere(i + 1).export(tmp_path / "in" / f"ball{i}.ply")
    settings = PrepareSettings(Sampler(300, 100))
    prepare_set(tmp_path / "in", tmp_path / "set", settings, workers=1)
    before = contents(tmp_path / "set")
    (tmp_path / "set/samples/ball0.safetensors").unlink()
    (tmp_path / "set/samples/.ball1.safetensors.1.tmp").write_bytes(b"half")
    assert prepare_set(tmp_path / "in", tmp_path / "set", settings, workers=1).processed == 1
    assert contents(tmp_path / "set") == before


def test_copies_are_named_and_share_their_samples(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a", "b"): trimesh.creation.box().export(tmp_path / "in" / f"{name}.ply")
    settings = PrepareSettings(Sampler(300, 100))
    done = prepare_set(tmp_path / "in", tmp_path / "set", settings, workers=1)
    assert list(done.table.duplicate_of) == ["", "a"]
    assert "1 accepted, but copies of others" in done.summary()


@pytest.mark.parametrize("changes, words", [
    ({"settings": PrepareSettings(Sampler(300, 100), seed=1)}, "seed"),
    ({"sources": "other"}, "not among the sources")])
def test_another_request_to_the_same_folder_is_refused(tmp_path, changes, words):
    for name in ("in", "other"):
        (tmp_path / name).mkdir()
        trimesh.creation.box().export(tmp_path / name / f"{name}.ply")
    settings = PrepareSettings(Sampler(300, 100))
    prepare_set(tmp_path / "in", tmp_path / "set", settings, workers=1)
    request = {"sources": "in", "settings": settings, **changes}
    with pytest.raises(MismatchError, match=words):
        prepare_set(tmp_path / request["sources"], tmp_path / "set", request["settings"], workers=1)


def test_samples_of_sources_that_are_gone_are_pruned_when_asked(tmp_path):
    (tmp_path / "in").mkdir()
    for i in range(2): trimesh.creation.icosphere(i + 1).export(tmp_path / "in" / f"ball{i}.ply")
    settings = PrepareSettings(Sampler(300, 100))
    prepare_set(tmp_path / "in", tmp_path / "set", settings, workers=1)
    (tmp_path / "in/ball0.ply").unlink()
    done = prepare_set(tmp_path / "in", tmp_path / "set", settings, workers=1, prune=True)
    assert list(done.table.name) == ["ball1"]
    assert [p.stem for p in sample_files(tmp_path / "set" / "samples")] == ["ball1"]


@pytest.mark.parametrize("settings, reason", [
    (PrepareSettings(max_faces=9), "too-many-faces"), (PrepareSettings(max_seconds=.001), "time")])
def test_limits_refuse_a_mesh_and_a_set_of_none_has_exit_code_4(tmp_path, settings, reason):
    trimesh.creation.box().export(tmp_path / "box.ply")
    done = prepare_set(tmp_path / "box.ply", tmp_path / "set", settings, workers=1)
    assert list(done.table.reason) == [reason] and done.exit_code == 4


def _through(task, call):
    "Sandbox.call with the conversion replaced by the sabotaged one"
    def sabotaged(self, name, *args, **kwargs):
        if name == "sdf_dino.data.conversion:_convert": name = task
        return call(self, name, *args, **kwargs)
    return sabotaged


def test_a_crash_a_hang_and_a_bomb_cost_only_themselves(tmp_path, monkeypatch):
    (tmp_path / "sabotage.py").write_text(SABOTAGE)
    (tmp_path / "in").mkdir()
    for name in ("crash", "hang", "bomb", "fine"):
        trimesh.creation.box().export(tmp_path / "in" / f"{name}.ply")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(Sandbox, "call", _through("sabotage:_convert", Sandbox.call))
    close_idle_sandboxes()
    settings = PrepareSettings(Sampler(3000, 500), max_seconds=5, max_memory=2000)
    done = prepare_set(tmp_path / "in", tmp_path / "set", settings, workers=2)
    reasons = dict(zip(done.table.name, done.table.reason))
    assert reasons == {"bomb": "memory", "crash": "crash", "fine": "", "hang": "time"}
    assert done.exit_code == 3
    assert [p.stem for p in sample_files(tmp_path / "set" / "samples")] == ["fine"]
    monkeypatch.undo()
    close_idle_sandboxes()
    again = prepare_set(tmp_path / "in", tmp_path / "set", settings, workers=2, retry=True)
    assert again.processed == 3 and again.exit_code == 0


def test_the_death_of_a_child_between_two_meshes_costs_nothing(meshes, tmp_path):
    settings = PrepareSettings(Sampler(500, 100), max_seconds=30)
    sources = [Source(f"torus{i}", "", str(meshes / f"torus{i}.ply")) for i in (1, 2)]
    close_idle_sandboxes()
    assert convert_source(sources[0], tmp_path, settings)[1]["status"] == "accepted"
    with borrow_sandbox(30, 1000) as sandbox:
        os.kill(sandbox.call("os:getpid"), signal.SIGKILL)
    assert convert_source(sources[1], tmp_path, settings)[1]["status"] == "accepted"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture
def cluster(tmp_path):
    "A Dask scheduler and two workers, each a process of its own"
    pytest.importorskip("distributed", reason="pip install 'sdf_dino[cluster]'")
    port = free_port()
    quiet = {"DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "error"}
    scheduler = start("-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1",
                      "--port", port, "--no-dashboard", **quiet)
    address = f"tcp://127.0.0.1:{port}"
    worker = ("-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny",
              "--no-dashboard", "--local-directory")
    workers = [start(*worker, tmp_path / f"w{i}", **quiet) for i in range(2)]
    yield address, workers
    for process in (scheduler, *workers):
        if process.poll() is None: kill(process)


@pytest.mark.slow
def test_a_worker_killed_in_mid_run_loses_nothing(meshes, expected, tmp_path, cluster):
    address, workers = cluster
    out = tmp_path / "set"
    run = start("-c", CALL, meshes, out, address)
    wait_for(lambda: run.poll() is not None or journal_lines(out) >= 2)
    assert run.poll() is None, run.communicate()
    kill(workers[0])
    assert run.wait(60) == 0, run.communicate()
    assert contents(out) == expected


def test_a_scheduler_that_does_not_answer_is_an_error(meshes, tmp_path):
    pytest.importorskip("distributed", reason="Dask's distributed is not installed")
    with pytest.raises(ParameterError, match="does not answer"):
        prepare_set(meshes, tmp_path / "set", scheduler=f"tcp://127.0.0.1:{free_port()}")
