"Jobs are resolved, checked, run, skipped, archived, listed and compared"
import json

import pytest
import yaml
from conftest import write_notebook
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdf_dino.core import launcher
from sdf_dino.core.errors import ParameterError, SdfDinoError
from sdf_dino.core.files import read_json, relative_to_root
from sdf_dino.core.launcher import (
    check_overrides, compare_runs, find_job, jobs_named, launch_job, launch_jobs, list_runs, notebook_name, prune_runs,
    read_jobs)

PARAMETERS = "K:int = 1  # prototypes\nlr:float = 1e-3\nsource:str = ''"
WRITES = ["from sdf_dino.core.runs import Run\nrun = Run.start('10_a', globals())",
          "(run.path/'out.txt').write_text(str(K))", "assert K != 13, 'unlucky'", "run.finish({'K': K})"]
READS = ["from sdf_dino.core.runs import Run\nfrom sdf_dino.core.files import resolve_path",
         "run = Run.start('20_b', globals())", "run.finish({'text': resolve_path(source).read_text()})"]
JOBS = {"10_a": {"probe": {"K": 5}}, "20_b": {"probe": {"source": "{10_a/probe}/out.txt"}, "bad": {"k": 1}}}


def write_jobs(jobs): (launcher.project_root() / "nbs/jobs.yml").write_text(yaml.safe_dump(jobs))


@pytest.fixture
def jobs(project):
    "10_a writes a file, 20_b reads it; the project has no package, so the installed one may run it"
    (project / "sdf_dino").rmdir()
    write_notebook(project / "nbs/pipeline/10_a.ipynb", PARAMETERS, *WRITES)
    write_notebook(project / "nbs/pipeline/20_b.ipynb", PARAMETERS, *READS)
    write_jobs(JOBS)


def test_references_become_run_directories(jobs):
    a, b = jobs_named("probe")
    assert a.params == {"K": 5, "lr": 1e-3, "source": ""} and b.needs == (a,) and not a.is_done()
    assert b.params["source"] == relative_to_root(a.path) + "/out.txt" and a.path.name.startswith("probe-")


def test_a_notebook_has_four_names(jobs):
    assert {notebook_name(name) for name in ("20_b", "pipeline/20_b", "20", "b")} == {"20_b"}
    with pytest.raises(ParameterError, match="20_b"): notebook_name("experiments/20_b")


def test_the_list_is_parsed_once_per_version(jobs, monkeypatch):
    calls = []
    load = yaml.safe_load
    monkeypatch.setattr(launcher.yaml, "safe_load", lambda text: calls.append(text) or load(text))
    for _ in range(3): read_jobs()
    write_jobs({**JOBS, "10_a": {"probe": {}}})
    assert read_jobs()["10_a"] == {"probe": {}} and len(calls) <= 2


def test_a_name_stands_for_its_variants_and_a_variant_for_itself(jobs):
    write_jobs({**JOBS, "10_a": {"probe": {}, "probe-wide": {"K": 9}, "other": {}}})
    assert [job.name for job in jobs_named("probe")] == ["probe", "probe-wide", "probe"]
    assert [job.name for job in jobs_named("probe-wide")] == ["probe-wide"]


def test_what_a_job_reads_comes_first(jobs):
    write_jobs({"10_a": {"probe": {"source": "{20_b/probe}/x.json"}}, "20_b": {"probe": {}}})
    assert [job.notebook for job in jobs_named("probe")] == ["20_b", "10_a"]


def test_an_override_upstream_moves_what_depends_on_it(jobs):
    changed = find_job("20_b", "probe", {"10_a": {"K": "7"}})
    assert changed.needs[0].params["K"] == 7 and changed.path != find_job("20_b", "probe").path


@pytest.mark.parametrize("text, number", [("1e-2", .01), ("1e3", 1000.), ("2", 2.), ("0.5", .5), ("010", 10.)])
def test_numbers_are_read_as_people_write_them(jobs, text, number):
    assert find_job("10_a", "probe", {"10_a": {"lr": text}}).params["lr"] == number


@pytest.mark.parametrize("notebook, job, overrides, words", [
    ("20_b", "bad", {}, ["20_b: k", "K"]), ("10_a", "prob", {}, ["Did you mean probe"]),
    ("10_a", "probe", {"10_a": {"K": "many"}}, ["must be int", "prototypes"]),
    ("10_a", "probe", {"10_a": {"K": "1.5"}}, ["must be int"]), ("10_c", "probe", {}, ["10_a"])])
def test_wrong_names_and_types_are_refused(jobs, notebook, job, overrides, words):
    with pytest.raises(ParameterError) as error: find_job(notebook, job, overrides)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize("text, number", [("010", 10), ("1e3", 1000), ("-5", -5), ("+5", 5), ("1_0", None), ("1:30", None)])
def test_whole_numbers_are_decimal(jobs, text, number):
    overrides = {"10_a": {"K": text}}
    if number is None:
        with pytest.raises(ParameterError, match="must be int"): find_job("10_a", "probe", overrides)
    else: assert find_job("10_a", "probe", overrides).params["K"] == number


@given(st.integers(-10**12, 10**12), st.floats(allow_nan=False, allow_infinity=False), st.text(st.characters(codec="ascii", exclude_characters="{}\r\n"), max_size=20))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_value_comes_back_from_the_command_line(jobs, whole, number, text):
    overrides = {"10_a": {"K": str(whole), "lr": repr(number), "source": text}}
    found = find_job("10_a", "probe", overrides).params
    assert found == {"K": whole, "lr": number, "source": text}
    assert type(found["K"]) is int and type(found["lr"]) is float


@given(st.text(max_size=12))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_for_a_number_is_read_or_refused(jobs, text):
    try: found = find_job("10_a", "probe", {"10_a": {"K": text}}).params["K"]
    except ParameterError: return
    assert type(found) is int and float(found) == float(text.strip().strip("'\""))


def test_settings_to_share_are_no_jobs(jobs):
    path = launcher.project_root() / "nbs/jobs.yml"
    path.write_text("_shared: [&many {K: 9}]\n10_a:\n  probe: {<<: *many}\n")
    assert list(read_jobs()) == ["10_a"] and find_job("10_a", "probe").params["K"] == 9


def test_an_unused_override_is_refused(jobs):
    a, b = jobs_named("probe")
    check_overrides({"10_a": {"K": 7}}, [b])
    with pytest.raises(ParameterError, match="20_b"): check_overrides({"20_b": {"source": "x"}}, [a])
    with pytest.raises(ParameterError, match="no notebook"): jobs_named("papre")


def test_jobs_run_are_skipped_and_archived(jobs, capfd):
    a, b = jobs_named("probe")
    with pytest.raises(SdfDinoError, match="sdf_dino run 10_a probe"): launch_job(b)
    launch_jobs([a, b], say=lambda line: None)
    assert "WARN" not in capfd.readouterr().err, "the kernel's own warnings are not for the terminal"
    assert read_json(b.path / "metrics.json")["text"] == "5" and (a.path / "notebook.ipynb").exists() and a.is_done()
    assert launch_job(a) is False and launch_job(a, force=True) is True
    assert a.path.with_name(a.path.name + ".previous-1").exists()
    assert [(row["notebook"], row["K"]) for row in list_runs("10_a")] == [("10_a", 5)], "archived runs are not listed"


def test_a_finished_run_of_earlier_code_is_kept_on_request_and_else_set_aside(jobs):
    a = find_job("10_a", "probe")
    launch_job(a)
    notebook = a.source.read_text()
    a.source.write_text(notebook.replace("run.finish({'K': K})", "run.finish({'K': K + 1})"))
    lines = []
    launch_jobs([a], accept_code=True, say=lines.append)
    assert "finished by earlier code: kept" in lines[-1] and read_json(a.path / "metrics.json")["K"] == 5
    launch_jobs([a], say=lines.append)
    assert any("previous-1 (changed: notebook)" in line for line in lines)
    assert read_json(a.path / "metrics.json")["K"] == 6 and prune_runs() == [a.path.with_name(a.path.name + ".previous-1")]


def test_a_failed_run_keeps_its_notebook_and_files(jobs):
    failing = find_job("10_a", "probe", {"10_a": {"K": 13}})
    with pytest.raises(SdfDinoError, match="unlucky") as error: launch_job(failing)
    assert "notebook.ipynb" in str(error.value)
    assert (failing.path / "notebook.ipynb").exists() and (failing.path / "out.txt").exists() and not failing.is_done()


@pytest.fixture
def finished(project):
    "Three run directories as notebooks leave them"
    for run, params, metrics in (
            ("07_dino/probe-1a", {"K": 5, "lr": .1}, {"ari": .5, "verdict": "healthy"}),
            ("07_dino/probe-2b", {"K": 7, "lr": .1}, {"ari": .625, "verdict": "healthy", "rows": []}),
            ("05_layer_probe/toy-3c", {"K": 5}, {"xyz": .25})):
        folder = project / "data/runs" / run
        folder.mkdir(parents=True)
        (folder / "params.yml").write_text(yaml.safe_dump(params))
        (folder / "metrics.json").write_text(json.dumps(metrics))
        (folder / "env.json").write_text("{}")


@pytest.mark.parametrize("which, runs", [
    ((), ["probe-1a", "probe-2b", "toy-3c"]), (["dino"], ["probe-1a", "probe-2b"]),
    (["07_dino/probe"], ["probe-1a", "probe-2b"]), (["pipeline/07_dino/probe-2"], ["probe-2b"]),
    (["probe-1a", "probe-2"], ["probe-1a", "probe-2b"]), (["layer_probe"], ["toy-3c"])])
def test_runs_are_named_by_notebook_and_first_letters(finished, which, runs):
    assert sorted(row["run"] for row in list_runs(*which)) == runs


def test_an_unknown_run_is_refused_with_the_closest(finished):
    with pytest.raises(ParameterError, match="Did you mean probe-1a"): list_runs("prob-1a")


def test_a_comparison_shows_what_differs_parameters_first(finished):
    rows = compare_runs(list_runs("dino"))
    a, b = "07_dino/probe-1a", "07_dino/probe-2b"
    assert [(row["kind"], row["name"], row[a], row[b]) for row in rows] == [
        ("parameter", "K", 5, 7), ("metric", "ari", .5, .625)]
    assert {row["name"]: row[a] for row in compare_runs(list_runs())}["xyz"] is None
    with pytest.raises(ParameterError, match="at least two"): compare_runs(list_runs("toy-3c"))
