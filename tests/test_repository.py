"The repository is in step with itself: notebooks, package, README, jobs, weights"
import filecmp
import json
import re
import shutil

import pytest
import yaml
from conftest import NOTEBOOKS, ROOT, run

from sdf_dino.core.launcher import find_job, read_jobs
from sdf_dino.core.runs import notebook_path, read_parameters
from sdf_dino.parts.weights import model_card

API = ROOT / "nbs" / "api"
PACKAGE = ROOT / "sdf_dino"
WEIGHTS = sorted(p for p in (PACKAGE / "weights").iterdir() if p.is_dir())
JOBS = [(notebook, job) for notebook, jobs in read_jobs().items() for job in jobs]
EXPORT = "import os, sys; os.chdir(sys.argv[1]); from nbdev.doclinks import nbdev_export; nbdev_export()"


def modules(package):
    "Paths of the modules of a package folder, relative to it"
    return {p.relative_to(package) for p in package.rglob("*.py") if "weights" not in p.parts}


def exported(folder):
    "A copy of the notebooks in `folder`, freshly exported"
    ignore = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    shutil.copytree(ROOT / "nbs", folder / "nbs", ignore=ignore)
    (folder / "sdf_dino").mkdir()
    shutil.copy(PACKAGE / "__init__.py", folder / "sdf_dino")       # written by hand
    shutil.copy(ROOT / "settings.ini", folder)
    run("python", "-c", EXPORT, folder)
    return folder / "sdf_dino"


def out_of_step(fresh):
    "Modules that differ between the package and a fresh export"
    def same(name):
        files = PACKAGE / name, fresh / name
        return all(f.exists() for f in files) and filecmp.cmp(*files, shallow=False)
    return sorted(str(name) for name in modules(PACKAGE) | modules(fresh) if not same(name))


def test_the_package_is_the_export_of_the_notebooks(tmp_path):
    assert out_of_step(exported(tmp_path)) == [], "run `make export`"


def test_an_export_out_of_step_is_noticed(tmp_path):
    fresh = exported(tmp_path)
    before = set(out_of_step(fresh))
    (fresh / "core/files.py").write_text("x = 1\n")
    (fresh / "core/__init__.py").unlink()
    (fresh / "geometry/new.py").touch()
    found = {"core/files.py", "core/__init__.py", "geometry/new.py"}
    assert set(out_of_step(fresh)) == before | found


def test_every_module_has_the_api_notebook_of_its_path():
    names = {p.with_suffix("") for p in modules(PACKAGE) if not p.name.startswith("_")}
    notebooks = {p.relative_to(API).with_suffix("") for p in API.rglob("*.ipynb") if p in NOTEBOOKS}
    assert names == notebooks, "a removed notebook leaves its module, a new one wants `make export`"


@pytest.mark.parametrize("path", sorted(API.rglob("*.ipynb")), ids=lambda p: p.stem)
def test_an_api_notebook_exports_to_its_path(path):
    (target,) = re.findall(r"#\| default_exp ([\w.]+)", path.read_text())
    assert target == ".".join(path.relative_to(API).with_suffix("").parts)


def test_the_readme_is_the_export_of_the_index(tmp_path):
    run("python", ".ci/readme.py", tmp_path / "README.md")
    assert (tmp_path / "README.md").read_text() == (ROOT / "README.md").read_text(), "run `make readme`"


def test_a_stale_readme_is_noticed(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / ".ci"))
    from readme import readme
    notebook = json.loads((ROOT / "nbs/index.ipynb").read_text())
    cell = {"cell_type": "markdown", "id": "new", "metadata": {}, "source": ["A line nobody exported"]}
    notebook["cells"].append(cell)
    (tmp_path / "index.ipynb").write_text(json.dumps(notebook))
    assert readme(tmp_path / "index.ipynb") != (ROOT / "README.md").read_text()


def test_links_and_pictures_of_the_readme_exist():
    text = (ROOT / "README.md").read_text()
    linked = re.findall(r"(?:\]\(|src=\")((?!http)[^)\"#]+)", text)
    assert linked and [path for path in linked if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_is_clean_and_small(path, tmp_path, monkeypatch):
    from nbdev.clean import nbdev_clean
    monkeypatch.chdir(ROOT)     # where nbdev finds its settings
    copy = tmp_path / path.name
    shutil.copy(path, copy)
    nbdev_clean(str(copy))
    assert copy.read_text() == path.read_text(), "run `make export`"
    notebook = json.loads(path.read_text())
    assert len(notebook["cells"]) <= 60 and path.stat().st_size <= 300_000
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output["output_type"] == "error"]


@pytest.mark.parametrize("notebook, job", JOBS)
def test_a_job_has_right_names_and_types(notebook, job):
    declared = read_parameters(notebook_path(notebook))
    assert set(find_job(notebook, job).params) == set(declared)
    assert all(parameter.doc for parameter in declared.values())


@pytest.mark.parametrize("folder", WEIGHTS, ids=lambda p: p.name)
def test_weights_say_what_they_were_made_from(folder):
    fix = (f"python -c \"from sdf_dino.parts.weights import write_model_card; "
           f"write_model_card('sdf_dino/weights/{folder.name}')\"")
    card = model_card(folder)
    assert (folder / "README.md").exists() and (folder / "README.md").read_text() == card, fix
    for section in card.split("\n## ")[1:]:
        assert "**licence of the data**: " in section and "**data**: " in section, section
        assert ": \n" not in section, section


def test_the_citation_agrees_with_the_settings():
    "The keys that the Citation File Format 1.2.0 requires, and what settings.ini says too"
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    settings = (ROOT / "settings.ini").read_text()
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    names = {"name", "family-names", "given-names", "alias"}
    assert citation["authors"] and all(set(author) & names for author in citation["authors"])
    assert f"version = {citation['version']}\n" in settings
    assert f"author = {citation['authors'][0]['name']}\n" in settings
    assert citation["license"] == "Apache-2.0" and "Apache License" in (ROOT / "LICENSE").read_text()
