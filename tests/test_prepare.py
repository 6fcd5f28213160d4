"A set of samples is the same bytes whatever happens while it is made: kills, lost workers, meshes that crash or hang"
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

from sdf_dino import prepare_set as module, workers
from sdf_dino.core.errors import ParameterError
from sdf_dino.core.sandbox import Sandbox
from sdf_dino.data.prepare import PrepareSettings, prepare_set
from sdf_dino.geometry.sampling import Sampler, sample_files
from sdf_dino.data.sources import Source
from sdf_dino.core.workers import Journal

pytestmark = pytest.mark.xdist_group("prepare")  # they share a set that takes a while to make
MESHES = 14
# meshes named so cost their own process and nothing else: the conversion is wrapped in the child
SABOTAGE = '''
import os, time
import sdf_dino.data.prepare as p
honest = p._convert
def _convert(source, folder, settings):
    if source["name"] == "crash": os.abort()
    if source["name"] == "hang": time.sleep(1000)
    if source["name"] == "bomb": bytearray(8 << 30)
    time.sleep(float(os.environ.get("SLOW", 0)))
    return honest(source, folder, settings)
p._convert = _convert
'''
CALL = "from sdf_dino.data.prepare import *; from sdf_dino.geometry.sampling import Sampler; import sys; " \
       "done = prepare(sys.argv[1], sys.argv[2], Settings(Sampler(3000, 500), seconds=60), workers=2, " \
       "scheduler=sys.argv[3] if len(sys.argv) > 3 else ''); print(done.summary()); sys.exit(done.exit_code)"


def contents(folder):
    "Every file of a set but its log"
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file() and "log" not in p.parts}


@pytest.fixture(scope="module")
def meshes(tmp_path_factory):
    "Small meshes, two of one name, one broken"
    folder = tmp_path_factory.mktemp("meshes")
    (folder / "deep").mkdir()
    for i in range(MESHES - 2):
        trimesh.creation.torus(1, 0.1 + 0.03 * i, major_sections=24 + 4 * i).export(folder / f"torus{i}.ply")
    trimesh.creation.box().export(folder / "deep" / "torus1.glb")
    (folder / "broken.obj").write_text("v 0 0 0\nf 1 2 9\n")
    return folder


@pytest.fixture(scope="module")
def undisturbed(meshes, tmp_path_factory):
    "Bytes of the set that nothing disturbed"
    out = tmp_path_factory.mktemp("quiet") / "set"
    done = subprocess.run([sys.executable, "-c", CALL, meshes, out], capture_output=True, text=True)
    assert done.returncode == 0 and "13 accepted, 1 rejected" in done.stdout, done.stderr
    return contents(out)


def start(*args, **env):
    return subprocess.Popen([sys.executable, *map(str, args)], env={**os.environ, **env}, start_new_session=True,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


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


def test_a_set_that_was_killed_again_and_again_is_the_same_bytes(meshes, undisturbed, tmp_path):
    rng, out = random.Random(0), tmp_path / "set"
    for _ in range(3):
        had = journal_lines(out)
        run = start("-c", CALL, meshes, out)
        wait_for(lambda: run.poll() is not None or journal_lines(out) > had)
        time.sleep(rng.uniform(0, 0.15))
        kill(run)
        assert all(p.stat().st_size for p in out.glob("samples/[!.]*")), "no half file under a final name"
    last = start("-c", CALL, meshes, out)
    assert last.wait(60) == 0, last.communicate()
    assert contents(out) == undisturbed
    with Journal(out / "log" / "journal.jsonl") as journal:
        assert len(journal.lines) == len({line["name"] for line in journal.lines}) == MESHES, "nothing twice, nothing lost"


def test_lines_and_files_lost_in_a_kill_are_found_again(meshes, undisturbed, tmp_path):
    settings = PrepareSettings(Sampler(3000, 500), seconds=60)
    prepare_set(meshes, tmp_path / "set", settings, workers=2)
    journal = tmp_path / "set" / "log" / "journal.jsonl"
    for cut in random.Random(1).sample(range(len(journal.read_bytes())), 4):
        journal.write_bytes(journal.read_bytes()[:cut])
        (tmp_path / "set" / "manifest.parquet").unlink()
        done = prepare_set(meshes, tmp_path / "set", settings, workers=2)
        assert done.made <= 1, "only the refused mesh has no file to tell its verdict"
        assert contents(tmp_path / "set") == undisturbed


def test_a_crash_a_hang_and_a_bomb_cost_themselves_only(meshes, undisturbed, tmp_path, monkeypatch):
    (tmp_path / "sabotage.py").write_text(SABOTAGE)
    (tmp_path / "in").mkdir()
    for name in ("crash", "hang", "bomb", "fine"):
        trimesh.creation.box().export(tmp_path / "in" / f"{name}.ply")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(Sandbox, "call", _through("sabotage:_convert", Sandbox.call))
    workers.dismiss()
    done = prepare_set(tmp_path / "in", tmp_path / "set", PrepareSettings(Sampler(3000, 500), seconds=5, memory=2000), workers=2)
    assert dict(zip(done.table.name, done.table.reason)) == {"bomb": "memory", "crash": "crash", "fine": "", "hang": "time"}
    assert done.exit_code == 3 and [p.stem for p in sample_files(tmp_path / "set" / "samples")] == ["fine"]
    monkeypatch.undo()
    workers.dismiss()
    again = prepare_set(tmp_path / "in", tmp_path / "set", PrepareSettings(Sampler(3000, 500), seconds=5, memory=2000), workers=2, retry=True)
    assert again.made == 3 and again.exit_code == 0


def _through(task, call):
    "Guard.call with the conversion replaced by the saboteur's"
    return lambda self, asked, *args, **kwargs: call(self, task if asked == "sdf_dino.data.prepare:_convert" else asked, *args, **kwargs)


def test_the_death_of_a_child_between_two_meshes_costs_nothing(meshes, tmp_path):
    settings = PrepareSettings(Sampler(500, 100), seconds=30)
    sources = [Source("a", "a", str(meshes / "torus1.ply")), Source("b", "b", str(meshes / "torus2.ply"))]
    workers.dismiss()
    assert module._one(sources[0], tmp_path, settings)[1]["status"] == "accepted"
    with workers.child(30, 1000) as guard:
        os.kill(guard.call("os:getpid"), signal.SIGKILL)
    assert module._one(sources[1], tmp_path, settings)[1]["status"] == "accepted"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture
def cluster(tmp_path):
    "A Dask scheduler and two workers, each a process of its own"
    pytest.importorskip("distributed", reason="Dask's distributed is not installed; pip install 'sdf_dino[cluster]'")
    address, made = f"tcp://127.0.0.1:{free_port()}", []
    quiet = {"DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "error"}
    made.append(start("-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", address.rpartition(":")[2], "--no-dashboard", **quiet))
    for i in range(2):
        made.append(start("-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard",
                          "--local-directory", tmp_path / f"w{i}", SLOW="1", **quiet))
    yield address, made[1:]
    for p in made:
        if p.poll() is None:
            kill(p)


def test_a_worker_killed_in_mid_run_loses_nothing(meshes, undisturbed, tmp_path, cluster):
    address, workers = cluster
    out = tmp_path / "set"
    run = start("-c", CALL, meshes, out, address)
    wait_for(lambda: run.poll() is not None or journal_lines(out) >= 2)
    assert run.poll() is None, run.communicate()
    kill(workers[0])
    assert run.wait(60) == 0, run.communicate()
    assert contents(out) == undisturbed


def test_no_scheduler_is_said_so(meshes, tmp_path):
    pytest.importorskip("distributed", reason="Dask's distributed is not installed")
    with pytest.raises(ParameterError, match="does not answer"):
        prepare_set(meshes, tmp_path / "set", scheduler=f"tcp://127.0.0.1:{free_port()}")
