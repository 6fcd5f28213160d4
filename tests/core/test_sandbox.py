"A sandbox survives what its calls do, and its child dies with it"
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import wait_for

import sdf_dino
from sdf_dino.core import sandbox as sandbox_module
from sdf_dino.core.errors import InputError, MismatchError
from sdf_dino.core.runtime import available_memory
from sdf_dino.core.sandbox import Sandbox, SandboxError, is_out_of_memory

PID = "os:getpid"
posix = pytest.mark.skipif(os.name == "nt", reason="signals and forks")
linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc")


def kind_of_failure(sandbox, task, *args):
    with pytest.raises(SandboxError) as error: sandbox.call(task, *args)
    return error.value.kind


def value(sandbox, expression): return sandbox.call("builtins:eval", expression)


def alive(pid):
    try: return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError: return False


def test_what_python_can_catch_costs_no_child():
    with Sandbox(seconds=1, memory=512) as sandbox:
        first = sandbox.call(PID)
        assert kind_of_failure(sandbox, "math:sqrt", -1) == "error"
        with pytest.raises(InputError): sandbox.call("sdf_dino.core.files:resolve_path", "/no/such/file")
        assert sandbox.call(PID) == first


def test_a_crash_and_a_hang_cost_one_child_each():
    with Sandbox(seconds=1, memory=512) as sandbox:
        first = sandbox.call(PID)
        assert kind_of_failure(sandbox, "ctypes:string_at", 0) == "crash"
        second = sandbox.call(PID)
        assert kind_of_failure(sandbox, "time:sleep", 30) == "time"
        third = sandbox.call(PID)
        assert kind_of_failure(sandbox, "numpy:ones", 10**10) == "memory"
        fourth = sandbox.call(PID)      # the third may hold half of a module
    assert len({first, second, third, fourth}) == 4
    if Path("/proc").exists(): assert not Path(f"/proc/{fourth}").exists(), "the last child ends with its sandbox"


@pytest.mark.parametrize("seconds", [1e7, 1e12, float("inf")])
def test_a_limit_longer_than_any_clock_is_none(seconds):
    with Sandbox(seconds) as sandbox: assert sandbox.call("math:hypot", 3, 4) == 5


def test_a_slow_import_is_not_held_against_the_call(tmp_path):
    (tmp_path / "slow.py").write_text("import time; time.sleep(2); from math import hypot")
    with Sandbox(seconds=1) as sandbox:
        sandbox.call("site:addsitedir", str(tmp_path))
        assert sandbox.call("slow:hypot", 3, 4) == 5


def test_prints_of_a_library_are_no_replies():
    with Sandbox() as sandbox:
        assert sandbox.call("builtins:print", "not a reply") is None
        assert sandbox.call("os:system", "echo neither is this") == 0


@posix
def test_the_reply_of_an_interrupted_call_is_not_taken_for_that_of_the_next(request):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)     # a shell's background jobs ignore it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    with Sandbox() as sandbox:
        sandbox.call(PID)
        interrupt = threading.main_thread().ident, signal.SIGINT
        threading.Timer(.5, signal.pthread_kill, interrupt).start()
        with pytest.raises(KeyboardInterrupt): sandbox.call("time:sleep", 60)
        assert sandbox.call("math:hypot", 3, 4) == 5


def test_relative_paths_are_meant_from_where_the_caller_stands(tmp_path, monkeypatch):
    with Sandbox() as sandbox:
        sandbox.call(PID)
        monkeypatch.chdir(tmp_path)
        assert sandbox.call("os:getcwd") == os.path.realpath(tmp_path)


# which code a child runs

def test_a_child_runs_the_package_of_its_parent_wherever_another_lies(tmp_path, monkeypatch):
    (tmp_path / "sdf_dino").mkdir()
    (tmp_path / "sdf_dino" / "__init__.py").write_text("raise SystemExit('another one')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Sandbox() as sandbox:
        assert value(sandbox, "__import__('sdf_dino').__file__") == os.path.realpath(sdf_dino.__file__)
        assert value(sandbox, "__import__('sys').path[0]") == str(tmp_path), "nothing else moves"


def test_another_package_in_the_child_is_an_error_that_names_it(monkeypatch):
    monkeypatch.setattr(sandbox_module, "_who_am_i", lambda: ["9.9", "/opt/sdf_dino"])
    with pytest.raises(MismatchError, match="sdf_dino: children import it in place of /opt"), Sandbox() as sandbox:
        sandbox.call(PID)


@pytest.mark.parametrize("reply", [
    ("os", "system", ["exit 3"]), ("sdf_dino.core.sandbox", "subprocess", []), ("sdf_dino.core.sandbox", "Sandbox", [1])])
def test_a_child_that_was_taken_over_cannot_make_its_parent_call_anything(reply):
    with pytest.raises(SandboxError): sandbox_module._raise_reply(*reply)


# limits

@pytest.mark.parametrize("error", [
    MemoryError(), OSError(12, "Cannot allocate memory"), RuntimeError("std::bad_alloc"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried to"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
    RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), RuntimeError("can't start new thread"),
    RuntimeError("MPS backend out of memory"), RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"),
    ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    type("OutOfMemoryError", (RuntimeError,), {})("Tried to get 2 GiB")])
def test_a_lack_of_memory_is_known_in_any_words(error): assert is_out_of_memory(error)


def test_other_errors_are_no_lack_of_memory():
    for error in (ValueError("no triangles"), OSError(2, "No such file"), RuntimeError("CUDA error: invalid device"),
                  ImportError("a.so: failed to map segment from shared object: Operation not permitted")):
        assert not is_out_of_memory(error)


@linux
def test_a_call_imports_without_the_limit_of_the_call_before():
    with Sandbox(memory=50) as sandbox:
        first = sandbox.call(PID)
        sandbox.memory = 2000
        assert sandbox.call("torch:is_grad_enabled") is True and sandbox.call(PID) == first


@linux
def test_torch_out_of_memory_is_of_the_kind_memory():
    with Sandbox(memory=2000) as sandbox: assert kind_of_failure(sandbox, "torch:ones", 10**10) == "memory"


@linux
def test_no_limit_is_larger_than_the_machine_and_infinity_is_none():
    limits = "__import__('resource').getrlimit(__import__('resource').RLIMIT_AS)"
    with Sandbox(memory=1e9) as sandbox:
        assert 0 < value(sandbox, limits)[0] < (available_memory() + 4096) * 2**20
        sandbox.memory = float("inf")
        assert value(sandbox, limits)[0] == value(sandbox, limits)[1]


def test_where_memory_cannot_be_limited_this_is_said_once(monkeypatch, recwarn):
    monkeypatch.setattr(sandbox_module, "_held_memory", lambda: None)
    sandbox_module._warn_without_limits.cache_clear()
    with Sandbox() as sandbox:
        for _ in range(2): sandbox.call(PID)
    assert ["cannot limit" in str(warning.message) for warning in recwarn] == [True]
    sandbox_module._warn_without_limits.cache_clear()


def test_a_sandbox_needs_nothing_that_windows_lacks(monkeypatch):
    monkeypatch.setattr(subprocess.Popen, "kill", lambda self: os.kill(self.pid, 9))
    for name in ("SIGKILL", "SIGALRM", "setitimer"): monkeypatch.delattr(signal, name, raising=False)
    for name in ("killpg", "register_at_fork"): monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setattr(sandbox_module, "fcntl", None)
    with Sandbox(seconds=1) as sandbox:
        assert sandbox.call("math:hypot", 3, 4) == 5
        assert kind_of_failure(sandbox, "time:sleep", 30) == "time"
        assert kind_of_failure(sandbox, "os:abort") == "crash"


def test_threads_are_limited_in_the_child_and_inherited_otherwise(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    for threads, expected in ((3, "3"), (0, "7")):
        with Sandbox(threads=threads) as sandbox: assert sandbox.call("os:getenv", "OMP_NUM_THREADS") == expected


# killed means dead

LATE = "import os, sys, time\ndef late(pid, out):\n open(pid, 'w').write(str(os.getpid())); time.sleep(4); open(out, 'w')"
PARENT = "import sys; from sdf_dino.core.sandbox import Sandbox; Sandbox(60).call('late:late', *sys.argv[1:])"


@linux
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_dies_with_its_parent_and_writes_nothing_afterwards(tmp_path, number):
    (tmp_path / "late.py").write_text(LATE)
    pid, out = tmp_path / "pid", tmp_path / "out"
    path = os.pathsep.join([str(tmp_path), str(Path(sdf_dino.__file__).parents[1])])
    parent = subprocess.Popen([sys.executable, "-c", PARENT, pid, out], env={**os.environ, "PYTHONPATH": path})
    wait_for(lambda: pid.exists() and pid.read_text())
    parent.send_signal(number)
    parent.wait()
    wait_for(lambda: not alive(pid.read_text()))
    assert not out.exists()


@posix
@pytest.mark.slow
def test_without_help_of_the_kernel_a_child_finds_its_parent_dead(tmp_path):
    child = ("import sys, time; sys.platform = 'other'; from sdf_dino.core.process import end_with_parent; "
             "end_with_parent(int(sys.argv[1])); open(sys.argv[2], 'w'); time.sleep(6); open(sys.argv[3], 'w')")
    files = [str(tmp_path / name) for name in ("begun", "out")]
    parent = (f"import os, subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}, str(os.getpid()), "
              f"*{files!r}], stdout=sys.stdout).wait()")
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE)
    wait_for((tmp_path / "begun").exists)
    process.kill()
    process.stdout.read()       # ends when the child, which holds it too, has ended
    assert not (tmp_path / "out").exists()


def test_a_child_outlives_the_thread_that_started_it():
    with Sandbox() as sandbox:
        found = []
        for _ in range(2):
            thread = threading.Thread(target=lambda: found.append(sandbox.call(PID)))
            thread.start()
            thread.join()
        time.sleep(.2)
        assert [*found, sandbox.call(PID)] == found[:1] * 3


@posix
def test_a_fork_leaves_the_children_of_its_parent_alone():
    with Sandbox() as sandbox:
        first = sandbox.call(PID)
        fork = os.fork()
        if fork == 0:
            sandbox.close()
            os._exit(0)
        os.waitpid(fork, 0)
        assert sandbox.call(PID) == first


@posix
def test_a_signal_to_all_processes_leaves_the_child_to_its_parent():
    with Sandbox() as sandbox:
        first = sandbox.call(PID)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): os.kill(first, number)
        assert sandbox.call(PID) == first


def test_a_stopped_sandbox_ends_the_call_of_another_thread_and_takes_no_more():
    with Sandbox() as sandbox:
        sandbox.call(PID)
        threading.Timer(.5, sandbox.stop).start()
        assert kind_of_failure(sandbox, "time:sleep", 60) == "crash"
        assert kind_of_failure(sandbox, PID) == "crash"
