"Journals survive kills, locks outlive their owners' children, and only files of this program are swept"
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import wait_for

from sdf_dino.core import workers as workers_module
from sdf_dino.core.errors import CheckpointError, InputError, ParameterError
from sdf_dino.core.runtime import available_cores
from sdf_dino.core.sandbox import SandboxError
from sdf_dino.core.workers import (
    Journal, borrow_sandbox, close_idle_sandboxes, lock_folder, run_parallel)

posix = pytest.mark.skipif(os.name == "nt", reason="signals and locks of POSIX")
OURS, THEIRS = ".x.glb.0123456789ab.tmp", ".notes.tmp"


# the journal

def test_entries_keep_the_order_in_which_their_names_came(tmp_path):
    with Journal(tmp_path / "log" / "journal.sqlite") as journal:
        for name in "cab": journal.put(name, n=1)
        journal.put("c", n=2)
        journal.put_many({"d": {}, "a": {"n": 3}})
        assert journal.items() == [("c", {"n": 2}), ("a", {"n": 3}), ("b", {"n": 1}), ("d", {})]
        assert journal.get("e") is None and journal.get("d") == {}


def test_a_group_of_entries_is_written_whole_or_not_at_all(tmp_path):
    with Journal(tmp_path / "journal.sqlite") as journal:
        with pytest.raises(InputError): journal.put_many({"a": {}, ("no", "name"): {}})
        assert journal.items() == []


def test_any_thread_may_use_a_journal(tmp_path):
    with Journal(tmp_path / "journal.sqlite") as journal:
        assert len(list(run_parallel(journal.put, [(f"n{i}",) for i in range(20)], workers=4))) == 20
        assert len(journal.items()) == 20


WRITER = ("import sys, itertools; from sdf_dino.core.workers import Journal\nwith Journal(sys.argv[1]) as journal:\n"
          " for i in itertools.count(): journal.put(f'n{i}', i=i); print(i, flush=True)")


def write_until_killed(path, count):
    "Number of entries that a process reported before it was killed"
    process = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True)
    for _ in range(count): process.stdout.readline()
    process.kill()
    return count + len(process.stdout.read().split())


@posix
def test_what_a_killed_process_has_put_is_there(tmp_path):
    path = tmp_path / "journal.sqlite"
    for count in (3, 40):
        reported = write_until_killed(path, count)
        with Journal(path) as journal: entries = dict(journal.items())
        assert all(entries[f"n{i}"] == {"i": i} for i in range(reported))


@posix
def test_a_log_that_is_cut_anywhere_loses_the_last_entries_only(tmp_path):
    path = tmp_path / "journal.sqlite"
    write_until_killed(path, 8)
    log = Path(f"{path}-wal").read_bytes()
    lengths = []
    for share in (.2, .5, .77, 1):
        copy = tmp_path / f"{share}" / "journal.sqlite"
        copy.parent.mkdir()
        shutil.copy(path, copy)
        Path(f"{copy}-wal").write_bytes(log[:int(len(log) * share)])
        with Journal(copy) as journal: names = [name for name, _ in journal.items()]
        assert names == [f"n{i}" for i in range(len(names))]
        lengths.append(len(names))
    assert lengths == sorted(lengths) and lengths[-1] >= 8


@pytest.mark.parametrize("damage", [lambda data: b"no database " * 100, lambda data: data[:5000] + b"\xff" * 3000])
def test_a_damaged_journal_is_named_with_the_way_out(tmp_path, damage):
    path = tmp_path / "journal.sqlite"
    with Journal(path) as journal: journal.put_many({f"n{i}": {"text": "x" * 200} for i in range(100)})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError, match="journal.sqlite: is damaged .* Delete it"): Journal(path)


def test_a_journal_is_open_once(tmp_path):
    code = "import sys; from sdf_dino.core.workers import Journal; Journal(sys.argv[1])"
    with Journal(tmp_path / "journal.sqlite"):
        done = subprocess.run([sys.executable, "-c", code, tmp_path / "journal.sqlite"], capture_output=True, text=True)
    assert "is being written by another run" in done.stderr
    Journal(tmp_path / "journal.sqlite").close()


def test_a_full_disk_is_an_error_of_ours_and_loses_nothing(tmp_path):
    with Journal(tmp_path / "journal.sqlite") as journal:
        journal.put("a", n=1)
        journal._database.execute("PRAGMA max_page_count = 3")
        with pytest.raises(InputError, match="cannot be written .*full"): journal.put("b", text="x" * 20_000)
        assert journal.items() == [("a", {"n": 1})]


def test_a_place_that_cannot_be_written_is_an_error_of_ours(tmp_path):
    with pytest.raises(InputError, match="cannot be written"): Journal(tmp_path)


# sweeping

def test_only_files_of_this_program_are_removed_and_only_where_the_run_writes(tmp_path):
    for folder in (tmp_path, tmp_path / "project", tmp_path / "samples"):
        folder.mkdir(exist_ok=True)
        for name in (OURS, THEIRS): (folder / name).touch()
    with lock_folder(tmp_path, own=[tmp_path / "samples", tmp_path / "none"]): pass
    left = sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob(".*.tmp"))
    assert left == [THEIRS, OURS, f"project/{THEIRS}", f"project/{OURS}", f"samples/{THEIRS}"]


# locks

def test_the_lock_waits_for_children_of_a_killed_run(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    with lock_folder(tmp_path): pass
    orphan = open(tmp_path / "log" / "writers")
    fcntl.flock(orphan, fcntl.LOCK_SH)
    threading.Timer(1, orphan.close).start()
    with lock_folder(tmp_path): assert orphan.closed


def test_a_child_that_goes_on_keeps_the_folder_locked(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    with lock_folder(tmp_path): pass
    monkeypatch.setattr(workers_module, "_PATIENCE", .2)
    with open(tmp_path / "log" / "writers") as orphan:
        fcntl.flock(orphan, fcntl.LOCK_SH)
        with pytest.raises(InputError, match="a run that was killed"), lock_folder(tmp_path): pass
    with lock_folder(tmp_path): pass


def test_a_child_holds_a_lock_of_its_own_while_it_writes(tmp_path):
    pytest.importorskip("fcntl")
    exclusive = f"__import__('fcntl').flock(open({str(tmp_path / 'log' / 'writers')!r}, 'a'), 6)"
    with lock_folder(tmp_path), borrow_sandbox(30, 1000) as sandbox:
        with pytest.raises(SandboxError, match="BlockingIOError"): sandbox.call("builtins:eval", exclusive)
    with borrow_sandbox(30, 1000) as sandbox: assert sandbox.call("builtins:eval", exclusive) is None


LATE = ("import os, time; from pathlib import Path; p = Path({!r}); "
        "p.with_suffix('.begun').write_text(str(os.getpid())); time.sleep(3); p.touch()")


def write_late(path):
    "Has a child write a file after three seconds; nothing for an empty path"
    if not path: return
    with borrow_sandbox(60, 1000) as sandbox: sandbox.call("builtins:exec", LATE.format(path))


def alive(file):
    "Whether the process whose number a file holds is there"
    try: os.kill(int(file.read_text()), 0)
    except ProcessLookupError: return False
    return True


@posix
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_a_run_that_stops_ends_its_children_before_the_folder_is_free(tmp_path, error):
    out, begun = tmp_path / "late", tmp_path / "late.begun"
    with pytest.raises(error), lock_folder(tmp_path):
        for _ in run_parallel(write_late, [("",), (str(out),)], workers=2):
            wait_for(lambda: begun.exists() and begun.read_text())
            raise error
    assert not alive(begun) and not out.exists()


def test_a_run_that_stops_leaves_another_one_of_the_process_alone(tmp_path):
    def other():
        with lock_folder(tmp_path / "b"): finished.extend(run_parallel(write_late, [(str(tmp_path / "late"),)]))
    finished, thread = [], threading.Thread(target=other)
    with lock_folder(tmp_path / "a"):
        thread.start()
        wait_for((tmp_path / "late.begun").exists)
    thread.join()
    assert finished == [None] and (tmp_path / "late").exists()


@posix
def test_results_that_nobody_takes_are_not_computed_on(tmp_path):
    begun = tmp_path / "late.begun"
    results = run_parallel(write_late, [("",), (str(tmp_path / "late"),)], workers=2)
    next(results)
    wait_for(lambda: begun.exists() and begun.read_text())
    results.close()
    assert not alive(begun)


COMMAND = """
import sys
sys.path[:0] = {path!r}
from sdf_dino.core.process import set_up_command
set_up_command()
from sdf_dino.core.workers import lock_folder, run_parallel
from test_workers import write_late
tasks = [(sys.argv[1] + "/a",), (sys.argv[1] + "/b",)]
with lock_folder(sys.argv[1]): list(run_parallel(write_late, tasks, workers=2))
"""


@posix
@pytest.mark.slow
@pytest.mark.parametrize("name, code", [("SIGTERM", 143), ("SIGINT", -2), ("SIGKILL", -9)])
def test_a_second_run_never_meets_a_child_of_the_first(tmp_path, name, code):
    script = COMMAND.format(path=[str(Path(__file__).parent), *sys.path])
    process = subprocess.Popen([sys.executable, "-c", script, tmp_path])
    files = [tmp_path / "a.begun", tmp_path / "b.begun"]
    wait_for(lambda: all(file.exists() and file.read_text() for file in files))
    process.send_signal(getattr(signal, name))
    def locked():
        try:
            with lock_folder(tmp_path): return [alive(file) for file in files]
        except InputError: return None
    wait_for(lambda: locked() == [False, False] or locked())
    assert process.wait() == code
    assert not (tmp_path / "a").exists() and not (tmp_path / "b").exists()


# how many at a time

def test_by_default_there_are_as_many_calls_at_a_time_as_cores(monkeypatch):
    monkeypatch.setattr(workers_module, "available_cores", lambda: 3)
    with_threads = list(run_parallel(time.sleep, [(0,)] * 4))
    asked = []
    monkeypatch.setattr(workers_module, "Parallel", lambda n, **settings: asked.append(n) or (lambda calls: (call for call in ())))
    for workers in (0, 2): list(run_parallel(time.sleep, [], workers))
    assert with_threads == [None] * 4 and asked == [3, 2]
    with pytest.raises(ParameterError): next(run_parallel(time.sleep, [], -1))


def test_an_idle_sandbox_is_used_again_by_calls_with_as_many_threads():
    close_idle_sandboxes()
    with borrow_sandbox(30, 1000, 1) as sandbox: first = sandbox.call("os:getpid")
    with borrow_sandbox(30, 1000, 2) as sandbox: second = sandbox.call("os:getpid")
    with borrow_sandbox(30, 1000, 1) as sandbox: assert sandbox.call("os:getpid") == first
    assert second != first
    close_idle_sandboxes()
