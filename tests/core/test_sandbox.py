"A sandbox survives what its calls do"
from pathlib import Path

import pytest

from sdf_dino.core.errors import InputError
from sdf_dino.core.sandbox import Sandbox, SandboxError


def kind_of_failure(sandbox, task, *args):
    with pytest.raises(SandboxError) as error: sandbox.call(task, *args)
    return error.value.kind


def test_what_python_can_catch_costs_no_child():
    with Sandbox(seconds=1, memory=512) as sandbox:
        first = sandbox.call("os:getpid")
        assert kind_of_failure(sandbox, "math:sqrt", -1) == "error"
        assert kind_of_failure(sandbox, "numpy:ones", 10**10) == "memory"
        with pytest.raises(InputError): sandbox.call("sdf_dino.core.files:resolve_path", "/no/such/file")
        assert sandbox.call("os:getpid") == first


def test_a_crash_and_a_hang_cost_one_child_each():
    with Sandbox(seconds=1, memory=512) as sandbox:
        first = sandbox.call("os:getpid")
        assert kind_of_failure(sandbox, "ctypes:string_at", 0) == "crash"
        second = sandbox.call("os:getpid")
        assert kind_of_failure(sandbox, "time:sleep", 30) == "time"
        third = sandbox.call("os:getpid")
    assert len({first, second, third}) == 3
    if Path("/proc").exists(): assert not Path(f"/proc/{third}").exists(), "the last child ends with its sandbox"


def test_a_slow_import_is_not_held_against_the_call(tmp_path):
    (tmp_path / "slow.py").write_text("import time; time.sleep(2); from math import hypot")
    with Sandbox(seconds=1) as sandbox:
        sandbox.call("site:addsitedir", str(tmp_path))
        assert sandbox.call("slow:hypot", 3, 4) == 5


def test_prints_of_a_library_are_no_replies():
    with Sandbox() as sandbox:
        assert sandbox.call("builtins:print", "not a reply") is None
        assert sandbox.call("os:system", "echo neither is this") == 0
