"Parameters, fingerprints and run directories"
import pytest
import yaml
from conftest import write_notebook

from sdf_dino.core import runs
from sdf_dino.core.errors import InputError, MismatchError
from sdf_dino.core.files import data_dir, project_root, read_json, resolve_path, write_json
from sdf_dino.core.runs import (
    Run, archive_stale_run, check_checkout, fingerprint, fingerprint_changes, notebook_path, read_parameters,
    run_dir)


def test_parameters_are_read_with_type_default_and_comment(tmp_path):
    cell = "K:int = 32  # prototypes\nlr:float = 1\nname:str = 'a=b'  # any\nfast:bool = False"
    declared = read_parameters(write_notebook(tmp_path / "a.ipynb", cell))
    assert [(p.name, p.type, p.default, p.doc) for p in declared.values()] == [
        ("K", int, 32, "prototypes"), ("lr", float, 1., ""), ("name", str, "a=b", "any"), ("fast", bool, False, "")]


@pytest.mark.parametrize("line", ["K = 32", "K:int = f(3)", "K:list = []", "print(1)"])
def test_other_lines_in_the_parameters_cell_are_refused(tmp_path, line):
    write_notebook(tmp_path / "a.ipynb", line)
    with pytest.raises(InputError) as error: read_parameters(tmp_path / "a.ipynb")
    assert line in str(error.value)


def test_parameters_are_read_again_when_the_notebook_changes(tmp_path):
    for default in (1, 22):
        write_notebook(tmp_path / "a.ipynb", f"K:int = {default}")
        assert read_parameters(tmp_path / "a.ipynb")["K"].default == default


def test_a_notebook_is_found_by_stem_and_by_folder_and_never_in_the_api(project):
    write_notebook(project / "nbs/experiments/sweep.ipynb", "K:int = 1")
    (project / "nbs/api").mkdir()
    write_notebook(project / "nbs/api/sweep.ipynb", "K:int = 1")
    assert notebook_path("sweep") == notebook_path("experiments/sweep")
    assert notebook_path("sweep").parent.name == "experiments"


def code_of(notebook): return fingerprint(notebook, {})["code"]


def test_prose_and_parameters_do_not_change_the_code(tmp_path):
    use = "from sdf_dino.geometry.shapes import probe_shapes\nprobe_shapes()"
    first = write_notebook(tmp_path / "a.ipynb", "K:int = 1", f"# why\n{use}")
    same = write_notebook(tmp_path / "b.ipynb", "K:int = 2", f"'prose'\n{use}  # other words")
    other = write_notebook(tmp_path / "c.ipynb", "K:int = 1", f"{use}\ng(K)")
    assert code_of(first) == code_of(same) != code_of(other)
    assert "geometry.primitives" in code_of(first)["modules"]


def test_code_named_in_a_parameter_counts(tmp_path):
    notebook = write_notebook(tmp_path / "a.ipynb", "methods:str = ''", "x = 1")
    code = fingerprint(notebook, {"methods": "raw,evaluate.methods:visibility"})["code"]
    assert "geometry.rays" in code["modules"] or "evaluate.methods" in code["modules"]


@pytest.mark.parametrize("cell", ["%matplotlib inline\nx = 1", "!ls\nx = 1", "%%time\nx = 1", "x?\n%pip list"])
def test_magic_in_a_cell_is_no_error_and_counts(tmp_path, cell):
    first = write_notebook(tmp_path / "a.ipynb", "K:int = 1", cell)
    second = write_notebook(tmp_path / "b.ipynb", "K:int = 1", "x = 1")
    assert code_of(first) != code_of(second)


def test_a_cell_that_is_no_python_is_named(tmp_path):
    with pytest.raises(InputError, match="x ="): fingerprint(write_notebook(tmp_path / "a.ipynb", "K:int = 1", "x = = 2"), {})


def test_packaged_weights_count_where_the_code_can_load_them(tmp_path, monkeypatch):
    loads = write_notebook(tmp_path / "a.ipynb", "w:str = 'auto'", "from sdf_dino.parts.weights import load_weights\nload_weights(w)")
    plain = write_notebook(tmp_path / "b.ipynb", "w:str = 'auto'", "from sdf_dino.geometry.csg import union\nunion")
    before = [fingerprint(notebook, {"w": "auto"}) for notebook in (loads, plain)]
    monkeypatch.setattr(runs, "weights_revision", lambda: "other")
    after = [fingerprint(notebook, {"w": "auto"}) for notebook in (loads, plain)]
    assert [fingerprint_changes(*pair)[1] for pair in zip(before, after)] == [["weights in the package"], []]


def test_a_folder_counts_by_content_and_not_by_date(project):
    notebook = write_notebook(project / "a.ipynb", "meshes:str = ''")
    for folder in ("one", "two"):
        (project / folder).mkdir()
        (project / folder / "a.obj").write_text("v 0 0 0")
    digests = [fingerprint(notebook, {"meshes": folder})["inputs"][folder] for folder in ("one", "two")]
    (project / "two/a.obj").write_text("v 0 0 1")
    assert digests[0] == digests[1] != fingerprint(notebook, {"meshes": "two"})["inputs"]["two"]


def test_inputs_are_found_where_the_data_folder_was_moved(project, tmp_path_factory, monkeypatch):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.setenv("SDF_DINO_DATA", str(elsewhere))
    (elsewhere / "sdf").mkdir()
    assert resolve_path("data/sdf") == elsewhere / "sdf"
    notebook = write_notebook(project / "a.ipynb", "shapes:str = ''")
    assert "data/sdf" in fingerprint(notebook, {"shapes": "data/sdf"})["inputs"]


def test_another_project_is_not_taken_for_this_one(project):
    other = project / "other"
    (other / "nbs").mkdir(parents=True)
    (other / "settings.ini").write_text("[DEFAULT]\nlib_name = other_lib\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(other / "nbs")
        assert project_root() == project and data_dir() == project / "data"


def test_a_checkout_that_is_not_the_code_that_runs_is_refused(project):
    with pytest.raises(MismatchError, match="the code that runs is"): check_checkout()


def made(path, name, code="1", inputs=None):
    "A run directory of some code with one result in it"
    write_json(path / "env.json", {"fingerprint": of_code(code, inputs)})
    write_json(path / f"{name}.json", {})


def of_code(code, inputs=None):
    return {"parameters": "p", "code": {"modules": {"geometry.repair": code}, "libraries": {}}, "inputs": inputs or {},
            "weights": ""}


def test_nothing_computed_is_deleted_however_often_the_code_changes(tmp_path):
    path = tmp_path / "probe-1a"
    for code, name in (("1", "48 hours"), ("2", "1 hour"), ("3", "1 minute")):
        said = archive_stale_run(path, of_code(code))
        assert not said or "geometry.repair" in said
        made(path, name, code)
    kept = {file.stem for file in tmp_path.rglob("*.json")}
    assert kept >= {"48 hours", "1 hour", "1 minute"}


def test_a_directory_without_a_record_is_kept_when_it_holds_results(tmp_path):
    path = tmp_path / "probe-1a"
    write_json(path / "env.json", {})
    write_json(path / "state.json", "checkpoint")
    assert "previous-1" in archive_stale_run(path, of_code("1"))
    assert (tmp_path / "probe-1a.previous-1/state.json").exists()


def test_accepted_code_resumes_and_other_inputs_do_not(tmp_path):
    made(tmp_path / "a", "state", "1")
    assert archive_stale_run(tmp_path / "a", of_code("2"), accept_code=True) == ""
    assert "meshes" in archive_stale_run(tmp_path / "a", of_code("2", {"meshes": "x"}), accept_code=True)


def test_input_files_count_and_targets_do_not(project):
    notebook = write_notebook(project / "a.ipynb", "meshes:str = ''  # Files\nout:str = ''  # Target folder")
    params = {"meshes": f"pyvista:ant, {project / 'in.txt'}", "out": str(project / "made")}
    (project / "in.txt").write_text("1")
    before = fingerprint(notebook, params)
    (project / "made").mkdir()
    (project / "made/x").touch()
    assert fingerprint(notebook, params) == before, "what a run writes is no input of it"
    (project / "in.txt").write_text("2")
    assert fingerprint(notebook, params) != before
    fingerprint(notebook, {**params, "meshes": "word " * 200})      # too long for a file name: no error


def test_a_run_records_parameters_and_is_done_only_when_finished(project, monkeypatch):
    monkeypatch.setattr(runs, "check_checkout", lambda: None)
    write_notebook(project / "nbs/pipeline/99_toy.ipynb", "K:int = 1\nseed:int = 0")
    run = Run.start("99_toy", {"K": 5, "seed": 0, "other": 1})
    assert run.path == run_dir("99_toy", "manual", {"K": 5, "seed": 0})
    assert yaml.safe_load((run.path / "params.yml").read_text()) == {"K": 5, "seed": 0}
    assert not (run.path / "metrics.json").exists()
    run.finish({"ari": 1.})
    assert read_json(run.path / "metrics.json")["ari"] == 1. and read_json(run.path / "env.json")["seed"] == 0
    Run.start("99_toy", {"K": 5, "seed": 0})
    assert not (run.path / "metrics.json").exists(), "a run that starts again is not done"


@pytest.mark.parametrize("recorded", [{}, {"parameters": "p"}, [], "", None])
def test_a_record_that_is_none_counts_as_changed(recorded):
    assert fingerprint_changes(recorded, of_code("1")) == ([], ["the record of the run"])
