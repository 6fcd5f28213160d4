"Modules come from where they are installed, children end with their parents, and a command ends in order"
import os
import subprocess
import sys

import pytest
import trimesh
from conftest import BIN

from sdf_dino.core.process import import_path, import_safely

EARLY = ["json", "re", "sitecustomize", "sdf_dino"]     # imported before a command can do anything
ABSENT = ["rtree", "shapely", "xatlas"]        # not installed here, and asked for by trimesh
LATE = [*ABSENT, "typer", "yaml", "trimesh", "numpy/__init__", "torch", "pysdf", "scipy/__init__"]


@pytest.fixture
def meshes(tmp_path):
    "A downloaded folder: a mesh, and modules that leave a trace when they are imported"
    folder = tmp_path / "meshes"
    for name in EARLY + LATE:
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"open({str(tmp_path / 'trace')!r}, 'a').write(__name__)\nraise ImportError('hostile')")
    trimesh.creation.box().export(folder / "a.ply")
    return folder


def command(folder, *words, **environment):
    "A command as users run it, in this folder; what it prints"
    env = {**os.environ, "SDF_DINO_DATA": str(folder.parent / "data"), "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run([BIN / "sdf_dino", *words], cwd=folder, env=env, capture_output=True, text=True)
    trace = folder.parent / "trace"
    assert not trace.exists(), trace.read_text()
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("words", [
    "--help", "solids --help", "segment a.ply -o parts.glb", "segment . -o ../parts",
    "prepare a.ply --out set --n-points 256 --n-surface 64",
    "evaluate --tests probe_shapes --methods kmeans_xyz --ids lollipop --out scores"])
def test_no_command_imports_from_the_folder_it_is_called_in(meshes, words): command(meshes, *words.split())


@pytest.mark.slow
def test_nor_do_relative_entries_of_pythonpath_make_it(meshes):
    (meshes / "sub").mkdir()
    for name in EARLY: (meshes / f"{name}.py").unlink()
    command(meshes, *"segment a.ply -o parts.glb".split(), PYTHONPATH=os.pathsep.join(["", ".", "sub/..", "/nowhere"]))


@pytest.mark.slow
def test_evaluate_finds_a_method_in_the_current_folder_after_everything_else(meshes):
    for name in ABSENT: (meshes / f"{name}.py").unlink()     # who names a method here trusts the folder
    (meshes / "mine.py").write_text("def halves(shape, k, seed): return (shape.points[:, 2] > 0).astype(int)")
    out = command(meshes, "evaluate", "--tests", "probe_shapes", "--methods", "mine:halves", "--ids", "lollipop",
                  "--out", "scores", "--json")
    assert '"failed": 0' in out and '"method": "mine:halves"' in out


def test_the_import_path_of_children_ends_with_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["lib", "/opt/lib"]))
    monkeypatch.setattr(sys, "path", ["", str(tmp_path / "lib"), "/opt/lib", str(tmp_path), "/usr/lib"])
    assert import_path() == ["/opt/lib", "/usr/lib", "", str(tmp_path / "lib"), str(tmp_path)]


def test_the_environment_of_children_loses_what_depends_on_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    environment = {"PYTHONPATH": os.pathsep.join(["", ".", "lib", str(tmp_path), "/opt/lib"])}
    import_safely(environment)
    assert environment == {"PYTHONPATH": "/opt/lib", "PYTHONSAFEPATH": "1"}
    environment = {"PYTHONPATH": ""}
    import_safely(environment)
    assert environment == {"PYTHONSAFEPATH": "1"}


COMMAND = ["-c", "from sdf_dino.core.process import set_up_command; set_up_command(); "
                 "import os, signal, sys, warnings; {}"]


def program(code, **options):
    "A program that is set up as a command; its standard streams as options say"
    return subprocess.run([sys.executable, *COMMAND[:1], COMMAND[1].format(code)], timeout=60, **options)


def test_sigterm_runs_what_stands_in_finally_and_a_second_one_does_not_disturb_it(tmp_path):
    code = (f"\ntry: os.kill(os.getpid(), signal.SIGTERM)\n"
            f"finally:\n os.kill(os.getpid(), signal.SIGTERM); open({str(tmp_path / 'done')!r}, 'w')")
    assert program(code).returncode == 143 and (tmp_path / "done").exists()


def test_a_console_that_lacks_a_character_gets_a_replacement():
    done = program("print('a → b ± шар')", env={**os.environ, "PYTHONIOENCODING": "cp1252"}, stdout=subprocess.PIPE)
    assert done.returncode == 0 and done.stdout.split() == [b"a", b"?", b"b", b"\xb1", b"???"]


@pytest.mark.skipif(os.name == "nt", reason="a shell that closes streams")
@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_no_error_and_no_file_takes_their_number(tmp_path, closed):
    code = (f"print('out'); print('err', file=sys.stderr); f = open({str(tmp_path / 'f')!r}, 'w'); "
            "os.write(2, b'noise'); sys.exit(0 if f.fileno() > 2 else 9)")
    script = COMMAND[1].format(code)
    done = subprocess.run(["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, script])
    assert done.returncode == 0 and (tmp_path / "f").read_text() == ""


def test_the_library_leaves_threads_signals_and_imports_of_its_host_alone():
    state = "(signal.getsignal(signal.SIGTERM), sys.path[:], os.environ.get('OMP_WAIT_POLICY'))"
    code = f"import os, signal, sys; before = {state}; import sdf_dino.cli.main, sdf_dino.core.workers; "
    done = subprocess.run([sys.executable, "-c", f"{code} sys.exit(before != {state})"])
    assert done.returncode == 0
