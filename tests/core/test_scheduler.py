"Jobs run side by side in the order of their references; a failure stops only its readers; a stop leaves no process"
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import wait_for, write_notebook

from sdf_dino.core import launcher
from sdf_dino.core.errors import ParameterError, SdfDinoError
from sdf_dino.core.files import data_dir, read_json
from sdf_dino.core.launcher import Job, jobs_named
from sdf_dino.core.scheduler import Schedule, launch_side_by_side

START = "from pathlib import Path\nimport os, time\nfrom sdf_dino.core.runs import Run\nrun = Run.start('{}', globals())"
MEET = """(run.path.parents[1]/'{}').touch()
end = time.monotonic() + 600
while not (run.path.parents[1]/'{}').exists():
    assert time.monotonic() < end, 'the other one does not run'
    time.sleep(.05)"""
THREADS = "run.finish({'threads': os.environ['OMP_NUM_THREADS']})"


@pytest.fixture
def jobs(project):
    "10_a and 20_b wait for each other, 30_c reads a and fails, 40_d reads c, 50_e reads b"
    (project / "sdf_dino").rmdir()
    cells = {"10_a": [MEET.format("a", "b"), THREADS], "20_b": [MEET.format("b", "a"), THREADS],
             "30_c": ["assert False, 'unlucky'"], "40_d": ["run.finish({})"], "50_e": ["run.finish({'text': source})"]}
    for name, sources in cells.items():
        write_notebook(project / f"nbs/pipeline/{name}.ipynb", "source:str = ''", START.format(name), *sources)
    reads = {"30_c": "{10_a/probe}", "40_d": "{30_c/probe}", "50_e": "{20_b/probe}"}
    listed = {name: {"probe": {"source": reads.get(name, "")}} for name in cells}
    (launcher.project_root() / "nbs/jobs.yml").write_text(yaml.safe_dump(listed))


def test_what_most_others_wait_for_comes_first():
    a, b = Job("a", "x", {}, ()), Job("b", "x", {}, ())
    c = Job("c", "x", {}, (b,))
    d = Job("d", "x", {}, (c, Job("elsewhere", "x", {}, ())))
    schedule = Schedule([d, a, c, b])
    assert [schedule.next_job() for _ in range(3)] == [b, a, None]
    schedule.finish(b)
    assert schedule.next_job() == c and schedule.drop_readers(c) == [d] and schedule.next_job() is None


def test_jobs_run_side_by_side_and_a_failure_stops_only_its_readers(jobs):
    lines = []
    with pytest.raises(SdfDinoError, match="30_c probe.*not run: 40_d probe") as error:
        launch_side_by_side(jobs_named("probe"), 2, say=lines.append)
    assert "50_e" not in str(error.value) and any("unlucky" in line for line in lines)
    done = {job.notebook for job in jobs_named("probe") if job.is_done()}
    assert done == {"10_a", "20_b", "50_e"} and len(lines) == 4
    assert all(read_json(job.path / "metrics.json")["threads"] == "1" for job in jobs_named("probe")[:2])
    lines.clear()
    launch_side_by_side([job for job in jobs_named("probe") if job.is_done()], 2, say=lines.append)
    assert len(lines) == 3 and all("skipped" in line for line in lines)


def test_a_negative_number_of_workers_is_refused(jobs):
    with pytest.raises(ParameterError, match="workers"): launch_side_by_side([], -1)


def processes_in(folder):
    "Processes that stand in this folder or below it"
    def stands_in(process):
        try: return Path(os.readlink(process / "cwd")).is_relative_to(folder)
        except OSError: return False
    return [process for process in Path("/proc").glob("[0-9]*") if stands_in(process)]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_command_leaves_no_process(jobs, project, number):
    code = "import sys; from sdf_dino.cli.main import main; sys.argv[1:] = 'run all probe --workers 1'.split(); main()"
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True) as command:
        wait_for(lambda: (data_dir() / "runs/a").exists() or (data_dir() / "runs/b").exists())
        command.send_signal(number)
    wait_for(lambda: processes_in(project) == [Path(f"/proc/{os.getpid()}")])
    assert not any(job.is_done() for job in jobs_named("probe"))
