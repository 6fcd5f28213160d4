"The command line from the outside: refusals in one line, exit codes, methods of one's own"
import json
import subprocess
import sys

import pytest
from faults import sdf_dino_command
from typer.testing import CliRunner

from sdf_dino.cli import main as cli
from sdf_dino.cli import research
from sdf_dino.core.errors import ParameterError, SdfDinoError


def invoke(*words): return CliRunner().invoke(cli.load_app(), [str(word) for word in words])


def process(*words, cwd=None):
    command = [sys.executable, "-m", "sdf_dino.cli.main", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


@pytest.mark.parametrize("words", [
    "run all toy -p lr=1", "run 04_deepsdf toy -p lr", "run deepsdff toy", "segment -o a.glb",
    "segment a.glb -o a.stl", "segment a.glb -o a.glb --parts few", "segment a.glb b.glb -o a.glb",
    "segment a.glb -o a.glb --to ply", f"solids a.glb -o {sys.executable}/a.glb", "runs nothing-here",
    "evaluate --tests ten", "evaluate --methods magic", "evaluate --methods json:nothing", "evaluate --ids spoon"])
def test_a_wrong_call_is_refused_with_an_error_of_ours(words):
    assert isinstance(invoke(*words.split()).exception, SdfDinoError)


def test_an_override_names_its_notebook_or_means_the_one_that_runs():
    pairs = ["lr=1", "01_probe_shapes.n=2", "pipeline/01_probe_shapes.seed=3"]
    assert research._parse_overrides("04_deepsdf", pairs) == {
        "04_deepsdf": {"lr": "1"}, "01_probe_shapes": {"n": "2", "seed": "3"}}
    with pytest.raises(ParameterError): research._parse_overrides("all", ["lr=1"])


def test_a_path_in_an_override_is_meant_from_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "meshes").mkdir()
    monkeypatch.chdir(tmp_path)
    assert research._parse_overrides("04_deepsdf", ["samples=./meshes", "only=meshes"]) == {
        "04_deepsdf": {"samples": "./meshes", "only": "meshes"}}
    monkeypatch.chdir(tmp_path.parent)
    path = f"{tmp_path.name}/meshes"
    assert research._parse_overrides("04_deepsdf", [f"samples={path}"])["04_deepsdf"]["samples"] == str(tmp_path / "meshes")


@pytest.mark.parametrize("name", ["07_dino", "pipeline/07_dino", "dino", "07"])
def test_a_notebook_is_run_by_any_of_its_names(name):
    listed = invoke("run", name, "probe", "--dry-run")
    assert listed.exit_code == 0 and listed.output.startswith("07_dino probe →")


@pytest.mark.parametrize("name", ["sweep", "experiments/sweep"])
def test_an_experiment_is_run_by_its_name(name):
    listed = invoke("run", name, "toy", "--dry-run")
    assert listed.exit_code == 0 and listed.output.startswith("sweep toy →")


def test_a_dry_run_of_all_lists_every_job_with_its_parameters():
    listed = invoke("run", "all", "probe", "--dry-run")
    assert listed.exit_code == 0 and "04_deepsdf probe →" in listed.output and "  steps = " in listed.output


def test_a_comparison_lines_up_and_marks_what_is_missing():
    rows = [{"kind": "parameter", "name": "steps", "a": 5, "b": None},
            {"kind": "metric", "name": "ari", "a": .7512345, "b": .5}]
    lines = research._comparison_table(rows).splitlines()
    assert [line.split() for line in lines] == [
        ["kind", "name", "a", "b"], ["parameter", "steps", "5", "–"], ["metric", "ari", "0.7512", "0.5"]]


def test_a_refusal_of_a_process_is_one_line_and_code_1():
    done = process("run", "all", "nonsense")
    assert done.returncode == 1 and done.stderr.startswith("sdf_dino: nonsense")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("error, words", [
    (PermissionError(13, "Permission denied", "a/x.ply"), "a/x.ply: Permission denied. Check"),
    (OSError("disk"), "OSError: disk")])
def test_a_refusal_of_the_system_is_one_line(monkeypatch, error, words):
    def failing_app(): raise error
    monkeypatch.setattr(cli, "load_app", lambda: failing_app)
    monkeypatch.setattr(cli, "set_up_command", lambda: None)    # it would change this very process
    with pytest.raises(SystemExit) as stop: cli.main()
    assert str(stop.value).startswith(f"sdf_dino: {words}")


@pytest.mark.parametrize("command, codes", [("segment", "01234"), ("prepare", "01234"), ("solids", "0123")])
def test_the_help_lists_the_exit_codes(command, codes):
    listed = invoke(command, "--help").output.partition("Exit codes:")[2].partition("Arguments")[0]
    assert [word for word in listed.split() if word.isdigit()] == list(codes)


def test_the_help_names_every_command():
    commands = {"run", "runs", "jobs", "prepare", "segment", "solids", "bench", "evaluate"}
    assert commands <= set(invoke("--help").output.split())


def evaluation(method, folder):
    words = f"evaluate --tests probe_shapes --methods {method} --ids snowman --n-points 50 --no-estimate-k --json"
    return [*words.split(), "--out", folder]


def test_a_method_of_the_package_is_scored(tmp_path):
    done = sdf_dino_command(*evaluation("single_segment", tmp_path / "rows"), cwd=tmp_path)
    row = json.loads(done.stdout.splitlines()[0])
    assert (row["test"], row["method"]) == ("probe_shapes", "single_segment")
    assert (row["metric"], row["mean"]) == ("ari", 0.)


@pytest.mark.slow
@pytest.mark.parametrize("body, code", [("(shape.points[:, 2] > 0).astype(int)", 0), ("shape.nothing", 1)])
def test_a_method_of_ones_own_is_found_in_the_current_folder(tmp_path, body, code):
    (tmp_path / "my_method.py").write_text(f"def cut(shape, k, seed): return {body}\n")
    done = process(*evaluation("my_method:cut", tmp_path / "rows"), cwd=tmp_path)
    assert done.returncode == code and json.loads(done.stdout.splitlines()[0])["failed"] == code
    if code: assert "every shape" in done.stderr
