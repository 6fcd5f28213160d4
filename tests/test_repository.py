"The repository is in step with itself: notebooks, module, README, jobs"
import filecmp
import json
import re
import shutil
import sys

import pytest
import yaml
from conftest import ROOT, run

from sdf_dino.core.runs import read_parameters
from sdf_dino.core.launcher import find_job, read_jobs
from sdf_dino.parts.weights import model_card

STAGES = sorted(p for p in (ROOT / "nbs").glob("[0-9]*.ipynb"))
TUTORIALS = sorted((ROOT / "nbs").glob("tutorial_*.ipynb"))
WEIGHTS = sorted(p for p in (ROOT / "sdf_dino" / "weights").iterdir() if p.is_dir())


def exported(folder):
    "A copy of the project in `folder`, freshly exported"
    for name in ("nbs", "sdf_dino"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    shutil.copy(ROOT / "settings.ini", folder)
    run("python", "-c", "import os, sys; os.chdir(sys.argv[1]); from nbdev.export import nb_export; from nbdev.doclinks import nbdev_export; nbdev_export()", folder)
    return folder


def out_of_step(folder):
    "Modules that differ between the project and a fresh export of it"
    mine, fresh = ROOT / "sdf_dino", folder / "sdf_dino"
    names = {p.name for d in (mine, fresh) for p in d.glob("*.py")} - {"__init__.py"}
    return sorted(n for n in names if not ((mine / n).exists() and (fresh / n).exists() and filecmp.cmp(mine / n, fresh / n, False)))


def test_the_module_is_the_export_of_the_notebooks(tmp_path):
    assert out_of_step(exported(tmp_path)) == [], "run `make export`"


def test_an_unsynced_export_is_noticed(tmp_path):
    path = exported(tmp_path) / "sdf_dino" / "core.py"
    path.write_text(path.read_text() + "\nx = 1\n")
    assert out_of_step(tmp_path) == ["core.py"]


def test_every_module_has_its_notebook():
    made = {re.search(r"#\| default_exp (\w+)", p.read_text()).group(1) for p in STAGES if "default_exp" in p.read_text()}
    assert {p.stem for p in (ROOT / "sdf_dino").glob("[a-z]*.py")} == made, "a removed notebook leaves its module"
    assert all(p.stem.split("_", 1)[1] in made for p in STAGES if "default_exp" in p.read_text()), "a module is named as its notebook"


def test_the_readme_is_the_export_of_the_index(tmp_path):
    run("python", ".ci/readme.py", tmp_path / "README.md")
    assert (tmp_path / "README.md").read_text() == (ROOT / "README.md").read_text(), "run `make readme`"


def test_a_stale_readme_is_noticed(tmp_path):
    sys.path.insert(0, str(ROOT / ".ci"))
    from readme import readme
    nb = json.loads((ROOT / "nbs" / "index.ipynb").read_text())
    nb["cells"].append({"cell_type": "markdown", "id": "new", "metadata": {}, "source": ["A line nobody exported"]})
    (tmp_path / "index.ipynb").write_text(json.dumps(nb))
    assert readme(tmp_path / "index.ipynb") != (ROOT / "README.md").read_text()


def test_the_readme_names_every_notebook_and_shows_pictures_that_exist():
    text = (ROOT / "README.md").read_text()
    sentence = lambda p: "".join(json.loads(p.read_text())["cells"][0]["source"]).split("> ")[1].strip()
    assert [p.name for p in STAGES if f"(nbs/{p.name}) | {sentence(p)} |" not in text] == [], "run the index and `make readme`"
    linked = re.findall(r"(?:\]\(|src=\")((?!http)[^)\"#]+)", text)
    assert linked and [path for path in linked if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("path", STAGES + TUTORIALS, ids=lambda p: p.stem)
def test_notebooks_are_clean_and_small(path, tmp_path):
    copy = tmp_path / path.name
    shutil.copy(path, copy)
    run("nbdev_clean", "--fname", copy)
    assert copy.read_text() == path.read_text(), "run `make export`"
    nb = json.loads(path.read_text())
    assert len(nb["cells"]) <= 60 and path.stat().st_size <= 300_000
    assert not [o for c in nb["cells"] for o in c.get("outputs", []) if o["output_type"] == "error"]


@pytest.mark.parametrize("stage, job", [(s, j) for s, jobs in read_jobs().items() for j in jobs])
def test_every_job_has_right_names_and_types(stage, job):
    declared = read_parameters(ROOT / "nbs" / f"{stage}.ipynb")
    assert set(find_job(stage, job).params) == set(declared) and all(p.doc for p in declared.values())


@pytest.mark.parametrize("folder", WEIGHTS, ids=lambda p: p.name)
def test_weights_say_what_they_were_made_from(folder):
    way_out = f"python -c \"from sdf_dino.parts.weights import write_model_card; write_model_card('sdf_dino/weights/{folder.name}')\""
    assert (folder / "README.md").exists() and (folder / "README.md").read_text() == model_card(folder), way_out
    for section in model_card(folder).split("\n## ")[1:]:
        assert "**licence of the data**: " in section and "**data**: " in section and ": \n" not in section, section


def test_the_citation_is_whole_and_in_step():
    "The keys that the Citation File Format 1.2.0 requires, and what settings.ini says too"
    said, settings = yaml.safe_load((ROOT / "CITATION.cff").read_text()), (ROOT / "settings.ini").read_text()
    assert {"cff-version", "message", "title", "authors"} <= set(said) and said["cff-version"] == "1.2.0"
    assert said["authors"] and all(set(a) & {"name", "family-names", "given-names", "alias"} for a in said["authors"])
    assert f"version = {said['version']}\n" in settings and f"author = {said['authors'][0]['name']}\n" in settings
    assert said["license"] == "Apache-2.0" and "Apache License" in (ROOT / "LICENSE").read_text()
