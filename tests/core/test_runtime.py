"How large the machine is, and bars without a screen"
import io
import math
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from sdf_dino.core import runtime
from sdf_dino.core.runtime import StageTimer, available_cores, available_memory, progress

ALL = 2**63 - 4096      # what version 1 says for no limit


@pytest.fixture
def groups(tmp_path, monkeypatch):
    "Writes control groups: their list and files; a machine of 8 cores"
    def write(listed, **files):
        (tmp_path / "list").write_text(listed)
        for name, text in files.items():
            path = tmp_path / "root" / name.replace("__", "/").replace("_OF_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    monkeypatch.setattr(runtime, "_CGROUP_LIST", tmp_path / "list")
    monkeypatch.setattr(runtime, "_CGROUP_ROOT", tmp_path / "root")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    return write


def test_without_control_groups_affinity_and_memory_of_the_machine_count(groups):
    assert available_cores() == 8
    assert available_memory() == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.parametrize("quota, cores", [("200000 100000", 2), ("150000 100000", 2), ("10000 100000", 1), ("max 100000", 8)])
def test_the_quota_of_a_group_counts(groups, quota, cores):
    groups("0::/a/b\n", a__b__cpu_OF_max=quota + "\n")
    assert available_cores() == cores


def test_the_tightest_group_around_the_process_counts(groups):
    groups("0::/a/b\n", a__cpu_OF_max="300000 100000", a__b__cpu_OF_max="max 100000",
           a__memory_OF_max=f"{300 * 2**20}\n", a__b__memory_OF_max="max")
    assert (available_cores(), available_memory()) == (3, 300)


def test_groups_of_version_1_count_also_when_their_path_is_that_of_the_host(groups):
    groups("4:memory:/docker/1\n2:cpu,cpuacct:/docker/1\n1:name=systemd:/\n",
           memory__memory_OF_limit_in_bytes=str(500 * 2**20), cpu__cpu_OF_cfs_quota_us="100000\n",
           cpu__cpu_OF_cfs_period_us="50000\n")
    assert (available_cores(), available_memory()) == (2, 500)


def test_no_limit_of_version_1_is_none(groups):
    groups("4:memory:/\n2:cpu:/\n", memory__memory_OF_limit_in_bytes=str(ALL), cpu__cpu_OF_cfs_quota_us="-1",
           cpu__cpu_OF_cfs_period_us="100000")
    assert available_cores() == 8 and available_memory() < ALL / 2**20


def test_where_nobody_knows_memory_is_infinite(groups, monkeypatch):
    monkeypatch.delattr(os, "sysconf")
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert (available_cores(), available_memory()) == (1, float("inf"))


@pytest.mark.skipif(os.name == "nt", reason="Windows does not tell")
def test_peak_memory_knows_that_a_mac_counts_bytes(monkeypatch):
    status, usage = runtime.peak_memory(), 2**12 * 2**20
    assert 10 < status < available_memory()
    monkeypatch.setattr(runtime, "Path", lambda path: Path("/no/such/file"))
    monkeypatch.setattr("resource.getrusage", lambda who: SimpleNamespace(ru_maxrss=usage))
    for platform, expected in (("darwin", 2**12), ("linux", 2**22)):
        monkeypatch.setattr(sys, "platform", platform)
        assert runtime.peak_memory() == expected


def test_where_nobody_tells_the_peak_of_memory_is_no_number(monkeypatch):
    monkeypatch.setattr(runtime, "Path", lambda path: Path("/no/such/file"))
    monkeypatch.setitem(sys.modules, "resource", None)
    assert math.isnan(runtime.peak_memory())


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [None, closed(), object()])
def test_without_stderr_a_loop_has_no_bar(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    assert list(progress(range(3))) == [0, 1, 2]
    with progress(total=2) as bar: bar.update()


def test_the_bar_names_the_stage_at_work():
    timer = StageTimer(("load", "fit"))
    timer.finish("load")
    assert timer._bar.n == 1 and timer._bar.desc.startswith("fit")
    timer.finish("fit")
    assert list(timer.seconds) == ["load", "fit"]
