"The wheel: what is inside, and that its commands work where only the base packages are installed"
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from configparser import ConfigParser

import pytest
import trimesh
from conftest import ROOT, run
from packaging.metadata import Metadata

from sdf_dino.cli.main import load_app

PACKAGE = ROOT / "sdf_dino"
OPTIONAL = ("torch", "pysdf", "warp", "pyvista", "vtkmodules", "k3d", "ipywidgets", "IPython", "papermill", "nbclient",
            "accelerate", "tensorboardX", "distributed", "huggingface_hub", "coacd", "nbdev")
BLOCKER = f"""
import importlib.util
import os
import sys
absent = [name for name in {OPTIONAL} if name != "torch" or "WITH_TORCH" not in os.environ]
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name.partition(".")[0] in absent else found(name, *rest)
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent: raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
"""

pytestmark = [pytest.mark.slow,
              pytest.mark.skipif(not importlib.util.find_spec("build"), reason="needs the package build")]


NAMES = [command.name for command in load_app().registered_commands]


def read_from(wheel, name):
    "A file of the wheel's description"
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(next(path for path in archive.namelist() if path.endswith(f".dist-info/{name}")))


def settings():
    ini = ConfigParser(delimiters=["="])
    ini.read(ROOT / "settings.ini")
    return ini["DEFAULT"]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    "Folder with the wheel and the source distribution, each built from the one before"
    folder = tmp_path_factory.mktemp("built")
    for name in ("setup.py", "settings.ini", "MANIFEST.in", "README.md", "LICENSE", "CITATION.cff", "CHANGELOG.md"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(PACKAGE, folder / "sdf_dino", ignore=shutil.ignore_patterns("__pycache__"))
    run("python", "-m", "build", "--no-isolation", "-o", folder / "dist", folder)
    return folder / "dist"


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    "Runs a command of the wheel in a folder of its own, without a checkout and without optional packages"
    site, work = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("work")
    (wheel,) = built.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(site)
    (site / "sitecustomize.py").write_text(BLOCKER)
    trimesh.creation.box().export(work / "box.obj")
    code = "import sys; from sdf_dino.cli.main import main; sys.argv[0] = 'sdf_dino'; main()"

    def call(*words, **environment):
        command = [sys.executable, "-P", "-c", code, *words]
        env = {**os.environ, "PYTHONPATH": str(site), **environment}
        return subprocess.run(command, cwd=work, env=env, text=True, capture_output=True)
    call.folder = work
    return call


def test_the_wheel_has_every_module_all_weights_and_no_more(built):
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("sdf_dino/")}
    expected = {str(p.relative_to(ROOT)) for p in PACKAGE.rglob("*") if p.is_file()}
    expected = {name for name in expected if "__pycache__" not in name}
    assert inside == expected - {"sdf_dino/_modidx.py"}
    assert not [name for name in inside if "experiments" in name]
    assert any(name.endswith("licenses/LICENSE") for name in zipfile.ZipFile(wheel).namelist())
    assert any(name.endswith("/settings.ini") for name in tarfile.open(sdist).getnames())
    assert {"sdf_dino/data/objaverse_categories.yml", "sdf_dino/weights/compounds/README.md"} <= inside
    assert wheel.stat().st_size < 17e6


def test_the_wheel_tells_where_it_comes_from_and_how_to_cite_it(built):
    (wheel,) = built.glob("*.whl")
    about = Metadata.from_email(read_from(wheel, "METADATA"), validate=True)
    assert {"source", "citation", "changelog", "issues", "documentation"} <= {name.lower() for name in about.project_urls}
    tested = [line.rpartition(" ")[2] for line in about.classifiers if line.startswith("Programming Language :: Python :: 3.")]
    assert tested[0] == settings()["min_python"] and f"{sys.version_info[0]}.{sys.version_info[1]}" in tested
    assert about.license_files == ["LICENSE"]


def test_parts_and_samples_need_no_optional_package(installed):
    for words in (["segment", "box.obj", "-o", "out.glb", "-o", "out.json", "-o", "out.tree.json"],
                  ["prepare", "box.obj", "--out", "set"], ["solids", "box.obj", "-o", "solids.glb", "--primitives", "box.scad"]):
        done = installed(*words)
        assert done.returncode == 0, done.stderr
    assert (installed.folder / "out.glb").exists() and len(list((installed.folder / "set/samples").iterdir())) == 1


def test_methods_are_scored_with_the_base_packages(installed):
    words = "evaluate --tests probe_shapes --methods single_segment --ids snowman --n-points 64 --no-estimate-k --out rows"
    done = installed(*words.split(), WITH_TORCH="1")
    assert done.returncode == 0 and "single_segment" in done.stdout, done.stderr


@pytest.mark.parametrize("words, says", [
    (["segment", "box.obj", "-o", "x.glb", "--method", "learned"], "torch: is not installed"),
    (["segment", "box.obj", "-o", "x.html"], "sdf_dino[notebooks]"), (["segment", "box.obj", "-o", "x.png"], "sdf_dino[render]"),
    (["solids", "box.obj", "-o", "x.glb", "--fit"], "torch: is not installed"),
    (["prepare", "box.obj", "--out", "other", "--backend", "pysdf"], "sdf_dino[pysdf]"),
    (["evaluate", "--tests", "probe_shapes", "--methods", "visibility"], "torch: is not installed"),
    (["run", "all", "probe"], "Run inside a checkout")])
def test_what_is_missing_is_named_with_the_way_to_get_it(installed, words, says):
    done = installed(*words)
    assert done.returncode == 1 and says in done.stderr and "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize("words", [["runs"], *([*words, "--help"] for words in ([], *([name] for name in NAMES)))])
def test_help_works_everywhere(installed, words): assert installed(*words).returncode == 0


def test_the_settings_name_bounds_where_they_matter():
    base = settings()["requirements"].split()
    assert [name for name in base if ">=" not in name] == []
    assert "trimesh>=5" in base, "4.x reads files outside the folder of a glTF"
    assert not [name for name in base if name.startswith(("pysdf", "pyvista", "jupyterlab", "papermill"))]
