"Parameters, fingerprints and run directories"
import pytest
import yaml
from conftest import write_notebook

from sdf_dino.core.errors import InputError
from sdf_dino.core.files import read_json
from sdf_dino.core.runs import Run, code_hash, fingerprint, notebook_path, read_parameters, run_dir


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


def test_prose_and_parameters_do_not_change_the_code_hash(tmp_path):
    use = "from sdf_dino.geometry.shapes import *\nf(K)"
    first = write_notebook(tmp_path / "a.ipynb", "K:int = 1", f"# why\n{use}")
    same = write_notebook(tmp_path / "b.ipynb", "K:int = 2", f"'prose'\n{use}  # other words")
    other = write_notebook(tmp_path / "c.ipynb", "K:int = 1", f"{use}\ng(K)")
    assert code_hash(first) == code_hash(same) != code_hash(other)


@pytest.fixture
def modules(project):
    "A project whose notebook imports geometry.shapes, which imports geometry.primitives"
    for package in ("geometry", "data"): (project / "sdf_dino" / package).mkdir()
    (project / "sdf_dino/geometry/shapes.py").write_text("from .primitives import *\nfrom ..core.files import *")
    (project / "sdf_dino/geometry/primitives.py").write_text("x = 1")
    write_notebook(project / "x.ipynb", "K:int = 1", "from sdf_dino.geometry.shapes import *")
    return project / "sdf_dino"


def test_a_module_behind_a_module_counts(modules):
    before = code_hash("x.ipynb")
    (modules / "geometry/primitives.py").write_text("x = 2")
    assert code_hash("x.ipynb") != before


def test_modules_named_in_code_or_parameters_count(modules):
    (modules / "geometry/primitives.py").write_text('x = "data.other:function"')
    before = code_hash("x.ipynb"), code_hash("x.ipynb", "sdf_dino.data.mine:function")
    for name in ("other", "mine"): (modules / f"data/{name}.py").write_text("x = 3")
    after = code_hash("x.ipynb"), code_hash("x.ipynb", "sdf_dino.data.mine:function")
    assert before[0] != after[0] and before[1] != after[1] and after[0] != after[1]


def test_core_modules_do_not_count(modules):
    before = code_hash("x.ipynb")
    (modules / "core").mkdir()
    (modules / "core/files.py").write_text("x = 1")
    assert code_hash("x.ipynb") == before


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


def test_a_run_records_parameters_and_is_done_only_when_finished(project):
    write_notebook(project / "nbs/pipeline/99_toy.ipynb", "K:int = 1\nseed:int = 0")
    run = Run.start("99_toy", {"K": 5, "seed": 0, "other": 1})
    assert run.path == run_dir("99_toy", "manual", {"K": 5, "seed": 0})
    assert yaml.safe_load((run.path / "params.yml").read_text()) == {"K": 5, "seed": 0}
    assert not (run.path / "metrics.json").exists()
    run.finish({"ari": 1.})
    assert read_json(run.path / "metrics.json")["ari"] == 1. and read_json(run.path / "env.json")["seed"] == 0
    Run.start("99_toy", {"K": 5, "seed": 0})
    assert not (run.path / "metrics.json").exists(), "a run that starts again is not done"
