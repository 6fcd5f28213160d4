"A set of samples has the same bytes whatever happens: kills, lost workers, crashes, hangs"
import errno
import json
import os
import random
import signal
import socket
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import trimesh
from faults import Command, Program, count_files, kill_and_resume, seconds_of, start, stop, wait_until
from typer.testing import CliRunner

from sdf_dino.cli.main import load_app
from sdf_dino.core import revision, workers
from sdf_dino.core.errors import CheckpointError, InputError, MismatchError, ParameterError
from sdf_dino.core.sandbox import Sandbox
from sdf_dino.core.workers import Journal, borrow_sandbox, close_idle_sandboxes
from sdf_dino.data import conversion, prepare
from sdf_dino.data.conversion import FAILURE_REASONS, PrepareSettings, convert_source
from sdf_dino.data.manifest import read_manifest
from sdf_dino.data.prepare import prepare_set
from sdf_dino.data.sources import Source
from sdf_dino.geometry.sampling import Sampler, SDFSamples, sample_files
from sdf_dino.geometry.validation import REJECTION_REASONS

MESHES = 14
SETTINGS = PrepareSettings(Sampler(3000, 500), max_seconds=60)
QUICK = PrepareSettings(Sampler(300, 100))
# meshes named so cost their own process and nothing else: the conversion is wrapped in the child
SABOTAGE = '''
import os, time
from sdf_dino.data import conversion
original = conversion._convert
def _convert(source, *args):
    if source["name"] == "crash_ply": os.abort()
    if source["name"] == "hang_ply": time.sleep(1000)
    if source["name"] == "bomb_ply": bytearray(8 << 30)
    return original(source, *args)
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


def command(*args): return [sys.executable, "-c", CALL, *args]


def journal_entries(out):
    with Journal(Path(out) / "log" / "journal.sqlite") as journal: return dict(journal.items())


@pytest.fixture
def in_process(monkeypatch):
    "Conversions in this process, where a test can put faults into them"
    def convert(source, folder, settings, code=""):
        return conversion._convert(asdict(source), str(folder), asdict(settings), code)
    monkeypatch.setattr(conversion, "_convert_in_sandbox", convert)


def balls(folder, n=2):
    "A folder of `n` small meshes"
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n): trimesh.creation.icosphere(1, 1 + i).export(folder / f"ball{i}.ply")
    return folder


@pytest.mark.slow
def test_a_set_that_was_killed_at_twenty_moments_has_the_same_bytes(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    for i in range(36):
        torus = trimesh.creation.torus(1, 0.1 + 0.02 * i, major_sections=24 + 4 * i)
        torus.export(source / f"torus{i}.ply")
    (source / "broken.obj").write_text("v 0 0 0\nf 1 2 9\n")
    def begin(folder): return Program(CALL, source, tmp_path / folder)
    span = seconds_of(lambda: begin("whole")) / 10
    met = kill_and_resume(lambda: begin("set"), 20, span, lambda: count_files(tmp_path / "set" / "samples"))
    assert met >= 10, "most kills must meet a conversion"
    assert contents(tmp_path / "set") == contents(tmp_path / "whole")
    assert len(journal_entries(tmp_path / "set")) == 37, "nothing twice, nothing lost"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_set_that_was_interrupted_has_the_same_bytes(meshes, expected, tmp_path, number):
    words = [sys.executable, "-m", "sdf_dino.cli.main", "prepare", meshes, "--out", tmp_path / "set", "--workers", "2",
             "--n-points", "3000", "--n-surface", "500", "--seconds", "60"]
    samples = tmp_path / "set" / "samples"
    kill_and_resume(lambda: Command(*words), 4, 4., lambda: count_files(samples), number)
    assert contents(tmp_path / "set") == expected


def test_a_damaged_journal_is_made_again_from_the_samples(meshes, expected, tmp_path, capsys):
    prepare_set(meshes, tmp_path / "set", SETTINGS, workers=2)
    journal = tmp_path / "set" / "log" / "journal.sqlite"
    size, rng = journal.stat().st_size, random.Random(1)
    for damage in ("middle", "header", "cut"):
        data = bytearray(journal.read_bytes())
        if damage == "middle": data[4096:] = rng.randbytes(len(data) - 4096)
        if damage == "header": data[:100] = rng.randbytes(100)
        if damage == "cut": data = data[:size // 2]
        journal.write_bytes(data)
        (tmp_path / "set" / "manifest.parquet").unlink()
        done = prepare_set(meshes, tmp_path / "set", SETTINGS, workers=2)
        assert done.processed <= 1, "only the rejected mesh has no file to recover from"
        assert "is damaged" in capsys.readouterr().err and contents(tmp_path / "set") == expected
    assert len(list(journal.parent.glob("*.damaged-[123]"))) == 3, "all are kept"


def test_a_lost_journal_is_made_again_without_conversions(meshes, expected, tmp_path):
    prepare_set(meshes, tmp_path / "set", SETTINGS, workers=2)
    (tmp_path / "set" / "log" / "journal.sqlite").unlink()
    assert prepare_set(meshes, tmp_path / "set", SETTINGS, workers=2).processed == 1
    assert contents(tmp_path / "set") == expected


def test_a_lost_file_and_a_temporary_one_are_put_right(tmp_path, in_process):
    balls(tmp_path / "in")
    prepare_set(tmp_path / "in", tmp_path / "set", QUICK, workers=1)
    before = contents(tmp_path / "set")
    (tmp_path / "set/samples/ball0_ply.safetensors").unlink()
    (tmp_path / "set/samples/.ball1_ply.safetensors.0123456789ab.tmp").write_bytes(b"half")
    assert prepare_set(tmp_path / "in", tmp_path / "set", QUICK, workers=1).processed == 1
    assert contents(tmp_path / "set") == before


def test_copies_are_named_and_share_their_samples(tmp_path, in_process):
    (tmp_path / "in").mkdir()
    for name in ("a", "b"): trimesh.creation.box().export(tmp_path / "in" / f"{name}.ply")
    done = prepare_set(tmp_path / "in", tmp_path / "set", QUICK, workers=1)
    assert list(done.table.duplicate_of) == ["", "a_ply"]
    assert "1 accepted, but copies of others" in done.summary()


def test_a_folder_that_grows_resumes(tmp_path, in_process):
    box = trimesh.creation.box()
    (tmp_path / "in").mkdir()
    box.export(tmp_path / "in/chair.ply")
    prepare_set(tmp_path / "in", tmp_path / "set", QUICK, workers=1)
    box.export(tmp_path / "in/chair.stl")
    done = prepare_set(tmp_path / "in", tmp_path / "set", QUICK, workers=1)
    assert done.processed == 1 and list(done.table.name) == ["chair_ply", "chair_stl"]


def test_a_name_of_200_characters_of_three_bytes_is_an_ordinary_row(tmp_path):
    (tmp_path / ("部品" * 40)).mkdir()
    trimesh.creation.box().export(tmp_path / ("部品" * 40) / f"{'椅' * 83}.ply")
    done = prepare_set(tmp_path, tmp_path / "set", QUICK, workers=1)
    assert list(done.table.status) == ["accepted"]


def write_gltf(folder, scale):
    "A box as glTF with its geometry in a file beside it; the JSON is the same for every scale"
    folder.mkdir(parents=True, exist_ok=True)
    box = trimesh.creation.box(extents=(1, 1, scale))
    data = box.vertices.astype(np.float32).tobytes() + box.faces.astype(np.uint32).tobytes()
    views = [{"buffer": 0, "byteOffset": 0, "byteLength": 96}, {"buffer": 0, "byteOffset": 96, "byteLength": 144}]
    accessors = [{"bufferView": 0, "componentType": 5126, "count": 8, "type": "VEC3", "min": [-1] * 3, "max": [1] * 3},
                 {"bufferView": 1, "componentType": 5125, "count": 36, "type": "SCALAR"}]
    meshes = [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}]
    document = {"asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}],
                "meshes": meshes, "accessors": accessors, "bufferViews": views,
                "buffers": [{"uri": "scene.bin", "byteLength": len(data)}]}
    (folder / "scene.gltf").write_text(json.dumps(document))
    (folder / "scene.bin").write_bytes(data)


def test_a_changed_buffer_beside_a_gltf_is_a_changed_mesh(tmp_path, in_process):
    for name, scale in (("a", 1), ("b", 2)): write_gltf(tmp_path / "in" / name, scale)
    first = prepare_set(tmp_path / "in", tmp_path / "set", QUICK, workers=1)
    assert first.count("accepted") == 2 and list(first.table.duplicate_of) == ["", ""], "equal JSON is no copy"
    write_gltf(tmp_path / "in" / "b", 1)
    again = prepare_set(tmp_path / "in", tmp_path / "set", QUICK, workers=1)
    assert again.processed == 1 and list(again.table.duplicate_of) == ["", "a__scene_gltf"]


def test_a_mesh_that_is_saved_during_its_conversion_is_converted_again(tmp_path, in_process, monkeypatch):
    balls(tmp_path / "in", 1)
    convert = conversion._convert_in_sandbox

    def save_meanwhile(*args):
        reply = convert(*args)
        trimesh.creation.box().export(tmp_path / "in" / "ball0.ply")
        return reply

    with monkeypatch.context() as patch:
        patch.setattr(conversion, "_convert_in_sandbox", save_meanwhile)
        prepare_set(tmp_path / "in", tmp_path / "set", QUICK, workers=1)
    done = prepare_set(tmp_path / "in", tmp_path / "set", QUICK, workers=1)
    assert done.processed == 1 and list(done.table.faces) == [12]


@pytest.fixture
def moved_code(monkeypatch):
    "A call after which a numeric module has another content"
    def move():
        real = revision.code_revision("data.conversion:_sample_mesh")
        changed = {**real, "modules": {**real["modules"], "geometry.repair": "0" * 12}}
        monkeypatch.setattr(prepare, "code_revision", lambda *targets: changed)
    return move


def test_a_set_of_earlier_code_is_neither_used_nor_mixed_in_silence(tmp_path, in_process, moved_code):
    prepare_set(balls(tmp_path / "in"), tmp_path / "set", QUICK, workers=1)
    moved_code()
    with pytest.raises(MismatchError, match=r"2 meshes of earlier code \(geometry.repair\).*--remake.*--accept-code"):
        prepare_set(tmp_path / "in", tmp_path / "set", QUICK, workers=1)
    done = prepare_set(tmp_path / "in", tmp_path / "set", QUICK, workers=1, remake=True)
    assert done.processed == 2 and done.table.revision.nunique() == 1
    assert prepare_set(tmp_path / "in", tmp_path / "set", QUICK, workers=1).processed == 0


def test_meshes_of_earlier_code_are_kept_and_shown_apart_when_one_accepts_it(tmp_path, in_process, moved_code):
    prepare_set(balls(tmp_path / "in"), tmp_path / "set", QUICK, workers=1)
    moved_code()
    balls(tmp_path / "in", 3)
    done = prepare_set(tmp_path / "in", tmp_path / "set", QUICK, workers=1, accept_code=True)
    assert done.processed == 1 and done.table.revision.nunique() == 2
    assert prepare_set(tmp_path / "in", tmp_path / "set", QUICK, workers=1).processed == 0, "asked once"
    assert prepare_set(tmp_path / "in", tmp_path / "set", QUICK, workers=1, remake=True).processed == 2


def test_a_patch_release_of_a_library_does_not_stop_a_set(tmp_path, in_process, monkeypatch):
    prepare_set(balls(tmp_path / "in", 1), tmp_path / "set", QUICK, workers=1)
    version = revision.metadata.version
    monkeypatch.setattr(revision.metadata, "version", lambda name: f"{version(name)}1")
    balls(tmp_path / "in", 2)
    assert prepare_set(tmp_path / "in", tmp_path / "set", QUICK, workers=1).processed == 1
    monkeypatch.setattr(revision.metadata, "version", lambda name: "99.0")
    with pytest.raises(MismatchError, match="numpy .* → 99.0"):
        prepare_set(tmp_path / "in", tmp_path / "set", QUICK, workers=1)


def test_the_manifest_is_there_from_the_start_and_after_an_interrupt(tmp_path, in_process, monkeypatch):
    convert, seen = conversion._convert_in_sandbox, []

    def interrupted(*args):
        seen.append(list(read_manifest(tmp_path / "set").status))
        if len(seen) == 2: raise KeyboardInterrupt
        return convert(*args)

    monkeypatch.setattr(conversion, "_convert_in_sandbox", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare_set(balls(tmp_path / "in", 2), tmp_path / "set", QUICK, workers=1)
    assert seen[0] == ["pending"] * 2
    assert sorted(read_manifest(tmp_path / "set").status) == ["accepted", "pending"]


def test_a_full_disk_ends_the_call_names_the_file_and_loses_nothing(tmp_path, in_process, monkeypatch):
    def full(samples, path): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    balls(tmp_path / "in")
    with monkeypatch.context() as patch:
        patch.setattr(SDFSamples, "save", full)
        with pytest.raises(InputError, match="ball0_ply.safetensors: cannot be written .No space left.*run again"):
            prepare_set(tmp_path / "in", tmp_path / "set", QUICK, workers=1)
    assert list(read_manifest(tmp_path / "set").status) == ["failed", "pending"]
    done = prepare_set(tmp_path / "in", tmp_path / "set", QUICK, workers=1)
    assert done.processed == done.count("accepted") == 2, "without --retry"


def test_what_a_file_holds_but_nobody_reads_is_noted(tmp_path, in_process, monkeypatch):
    load = conversion.load_mesh

    def with_notes(path):
        mesh = load(path)
        mesh.metadata["notes"] = ["2 cameras ignored", "1 light ignored"]
        return mesh

    monkeypatch.setattr(conversion, "load_mesh", with_notes)
    done = prepare_set(balls(tmp_path / "in", 1), tmp_path / "set", QUICK, workers=1)
    assert list(done.table.notes) == ["2 cameras ignored; 1 light ignored"]


@pytest.mark.parametrize("option, value", [
    ("backend", "nope"), ("max_seconds", 0), ("max_memory", -1), ("max_faces", 0), ("max_ambiguous", 2),
    ("max_ambiguous", float("nan"))])
def test_a_setting_that_cannot_be_meant_is_refused(option, value):
    with pytest.raises(ParameterError, match=option): PrepareSettings(**{option: value})


def test_a_wrong_option_leaves_no_folder_behind(tmp_path, monkeypatch):
    for options in (["--backend", "nope"], ["--workers", "-1"], ["--remake", "--accept-code"]):
        words = ["prepare", str(balls(tmp_path / "in")), "--out", str(tmp_path / "set"), *options]
        assert isinstance(CliRunner().invoke(load_app(), words).exception, ParameterError)
    monkeypatch.setitem(sys.modules, "pysdf", None)
    with pytest.raises(ParameterError, match=r"sdf_dino\[pysdf\]"):
        prepare_set(tmp_path / "in", tmp_path / "set", PrepareSettings(backend="pysdf"))
    assert not (tmp_path / "set").exists()


def test_settings_bind_from_the_first_verdict_on(tmp_path, in_process, monkeypatch):
    balls(tmp_path / "in", 1)
    with monkeypatch.context() as patch:
        patch.setattr(prepare, "run_parallel", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError): prepare_set(tmp_path / "in", tmp_path / "set", SETTINGS)
    assert prepare_set(tmp_path / "in", tmp_path / "set", QUICK, workers=1).exit_code == 0


def test_reasons_of_prepare_say_what_to_do():
    assert {"too-many-faces", "ambiguous-inside"} <= REJECTION_REASONS.keys() - set(FAILURE_REASONS)


@pytest.mark.parametrize("changes, words", [
    ({"settings": PrepareSettings(Sampler(300, 100), seed=1)}, "seed"),
    ({"sources": "other"}, "not among the sources")])
def test_another_request_to_the_same_folder_is_refused(tmp_path, changes, words, in_process):
    for name in ("in", "other"):
        (tmp_path / name).mkdir()
        trimesh.creation.box().export(tmp_path / name / f"{name}.ply")
    prepare_set(tmp_path / "in", tmp_path / "set", QUICK, workers=1)
    request = {"sources": "in", "settings": QUICK, **changes}
    with pytest.raises(MismatchError, match=words):
        prepare_set(tmp_path / request["sources"], tmp_path / "set", request["settings"], workers=1)


def test_a_folder_of_another_version_is_refused(tmp_path, in_process):
    prepare_set(balls(tmp_path / "in"), tmp_path / "set", QUICK, workers=1)
    (tmp_path / "set" / "settings.json").write_text('{"format": 1}')
    with pytest.raises(MismatchError, match="another version of prepare"):
        prepare_set(tmp_path / "in", tmp_path / "set", QUICK, workers=1)
    (tmp_path / "set" / "settings.json").unlink()
    with pytest.raises(MismatchError, match="no intact settings.json"):
        prepare_set(tmp_path / "in", tmp_path / "set", QUICK, workers=1)


def test_samples_of_sources_that_are_gone_are_pruned_when_asked(tmp_path, in_process):
    balls(tmp_path / "in")
    prepare_set(tmp_path / "in", tmp_path / "set", QUICK, workers=1)
    (tmp_path / "in/ball0.ply").unlink()
    done = prepare_set(tmp_path / "in", tmp_path / "set", QUICK, workers=1, prune=True)
    assert list(done.table.name) == ["ball1_ply"]
    assert [p.stem for p in sample_files(tmp_path / "set" / "samples")] == ["ball1_ply"]


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


@pytest.mark.slow
def test_a_crash_a_hang_and_a_bomb_cost_only_themselves(tmp_path, monkeypatch):
    (tmp_path / "sabotage.py").write_text(SABOTAGE)
    (tmp_path / "in").mkdir()
    for name in ("crash", "hang", "bomb", "fine"):
        trimesh.creation.box().export(tmp_path / "in" / f"{name}.ply")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(Sandbox, "call", _through("sabotage:_convert", Sandbox.call))
    close_idle_sandboxes()
    settings = PrepareSettings(Sampler(3000, 500), max_seconds=20, max_memory=2000)
    done = prepare_set(tmp_path / "in", tmp_path / "set", settings, workers=2)
    reasons = dict(zip(done.table.name, done.table.reason))
    assert reasons == {"bomb_ply": "memory", "crash_ply": "crash", "fine_ply": "", "hang_ply": "time"}
    assert done.exit_code == 3
    assert [p.stem for p in sample_files(tmp_path / "set" / "samples")] == ["fine_ply"]
    monkeypatch.undo()
    close_idle_sandboxes()
    again = prepare_set(tmp_path / "in", tmp_path / "set", settings, workers=2, retry=True)
    assert again.processed == 3 and again.exit_code == 0


def test_the_death_of_a_child_between_two_meshes_costs_nothing(meshes, tmp_path):
    settings = PrepareSettings(Sampler(500, 100), max_seconds=30)
    sources = [Source(f"torus{i}", "", str(meshes / f"torus{i}.ply")) for i in (1, 2)]
    close_idle_sandboxes()
    assert convert_source(sources[0], tmp_path, settings)[1]["verdict"]["status"] == "accepted"
    with borrow_sandbox(30, 1000) as sandbox:
        os.kill(sandbox.call("os:getpid"), signal.SIGKILL)
    assert convert_source(sources[1], tmp_path, settings)[1]["verdict"]["status"] == "accepted"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture
def cluster(tmp_path):
    "A Dask scheduler and two workers, each a process of its own"
    pytest.importorskip("distributed", reason="pip install 'sdf_dino[cluster]'")
    port, quiet = free_port(), {"DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "error"}
    scheduler = start([sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1",
                       "--port", port, "--no-dashboard"], quiet)
    address = f"tcp://127.0.0.1:{port}"
    worker = (sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny",
              "--no-dashboard", "--local-directory")
    workers = [start([*worker, tmp_path / f"w{i}"], quiet) for i in range(2)]
    yield address, workers
    for process in (scheduler, *workers): stop(process)


@pytest.mark.slow
def test_a_worker_killed_in_mid_run_loses_nothing(meshes, expected, tmp_path, cluster):
    address, workers = cluster
    out = tmp_path / "set"
    run = start(command(meshes, out, address))
    assert wait_until(lambda: count_files(out / "samples") >= 2, run), run.communicate()
    stop(workers[0])
    output = run.communicate()[0]
    assert run.returncode == 0, output
    assert contents(out) == expected


def lying_workers(monkeypatch, truthful_from=99):
    "Replace a cluster by one whose files do not arrive before a certain round"
    monkeypatch.setattr(prepare, "check_scheduler", lambda address: None)
    rounds = []

    def answers(function, tasks, *args, **kwargs):
        rounds.append(len(tasks))
        for task in tasks:
            name, entry = function(*task)
            if len(rounds) < truthful_from: (task[1] / f"{name}.safetensors").unlink()
            yield name, {**entry, "log": {"worker": "node7:42"}}

    monkeypatch.setattr(prepare, "run_parallel", answers)
    monkeypatch.setattr(workers, "_ARRIVAL_SECONDS", .2)
    return rounds


def test_a_cluster_whose_files_do_not_arrive_is_an_error_that_names_it(tmp_path, in_process, monkeypatch):
    rounds = lying_workers(monkeypatch)
    with pytest.raises(InputError, match="set/samples: lacks 2 files that worker node7:42 .*Mount this folder"):
        prepare_set(balls(tmp_path / "in"), tmp_path / "set", QUICK, scheduler="tcp://x:1")
    assert rounds == [2, 2, 2] and not journal_entries(tmp_path / "set")
    assert list(read_manifest(tmp_path / "set").status) == ["pending"] * 2


def test_a_file_that_is_lost_on_its_way_is_made_again(tmp_path, in_process, monkeypatch):
    rounds = lying_workers(monkeypatch, truthful_from=2)
    done = prepare_set(balls(tmp_path / "in"), tmp_path / "set", QUICK, scheduler="tcp://x:1")
    assert rounds == [2, 2] and done.exit_code == 0


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer_is_an_error(meshes, tmp_path, monkeypatch):
    pytest.importorskip("distributed", reason="Dask's distributed is not installed")
    monkeypatch.setattr("sdf_dino.core.cluster._ANSWER_SECONDS", .1)
    with pytest.raises(ParameterError, match="does not answer"):
        prepare_set(meshes, tmp_path / "set", scheduler=f"tcp://127.0.0.1:{free_port()}")
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: socket.socket(socket.AF_UNIX).bind(str(path))], ids=["pipe", "socket"])
def test_what_is_no_file_is_rejected_by_name_and_never_opened(tmp_path, in_process, monkeypatch, make):
    balls(tmp_path / "in", 1)
    monkeypatch.chdir(tmp_path / "in")      # the name of a socket must be short
    make(Path("odd.gltf"))
    table = prepare_set(tmp_path / "in", tmp_path / "set", QUICK, workers=1).table
    assert list(table.status) == ["accepted", "rejected"] and table.reason[1] == "not-a-file"


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_text('{"format": 2, "sett')])
def test_lost_settings_cost_no_samples(tmp_path, damage):
    def prepared(**options):
        return prepare_set(balls(tmp_path / "in"), tmp_path / "set", PrepareSettings(Sampler(64, 16)), workers=1, **options)
    prepared()
    damage(tmp_path / "set" / "settings.json")
    with pytest.raises(MismatchError, match="accept-code"): prepared()
    assert prepared(accept_code=True).processed == 0


def test_a_negative_seed_is_refused():
    with pytest.raises(ParameterError, match="seed"): PrepareSettings(seed=-1)
