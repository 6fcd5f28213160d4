"Windows and macOS as far as Linux can play them: every module imports there, and the commands run"
import ast
import json
import os
import subprocess
import sys

import pytest
import trimesh
from conftest import ROOT
from other_platform import MISSING, MODULES

from sdf_dino.cli.main import load_app

PACKAGE = ROOT / "sdf_dino"
MODULE_NAMES = sorted(".".join(p.relative_to(ROOT).with_suffix("").parts) for p in PACKAGE.rglob("*.py")
                      if p.name not in ("__init__.py", "_modidx.py"))
SETUP = """
import os, warnings
from other_platform import pretend
pretend(os.environ["SDF_DINO_PRETENDED"])
warnings.filterwarnings("error", category=EncodingWarning, module="sdf_dino")
"""
PROGRAM = """
import contextlib, importlib, io, json, sys
from sdf_dino.cli.main import main
commands, modules = json.load(sys.stdin)
for name in modules: importlib.import_module(name)
for words in commands:
    sys.argv[:] = ["sdf_dino", *words]
    try: main()
    except SystemExit as e: code = e.code
    else: code = 0
    print(json.dumps({"code": code}), flush=True)
"""
QUICK = ["--n-points", "256", "--n-surface", "64"]
COMMANDS = [
    ["segment", "in/box.obj", "-o", "box.glb", "-o", "box.json"],
    ["segment", "in", "-o", "parts", "--to", "ply", "--workers", "2"],
    ["segment", "in", "-o", "parts", "--to", "ply", "--workers", "2"],
    ["prepare", "in", "--out", "set", *QUICK],
    ["prepare", "in", "--out", "set", *QUICK],
    ["solids", "in/box.obj", "-o", "solids.glb", "--parts", "2", "--resolution", "24"],
    ["evaluate", "--tests", "probe_shapes", "--methods", "single_segment", "--ids", "snowman", "--n-points", "64",
     "--no-estimate-k", "--out", "scores"],
    ["runs"], ["jobs"], ["run", "07_dino", "probe", "--dry-run"]]
NAMES = [command.name for command in load_app().registered_commands]


def write_meshes(folder):
    "A solid of two boxes; a name that Windows keeps for itself, and one that differs from another in case alone"
    folder.mkdir()
    boxes = [trimesh.creation.box((2, 1, 1)), trimesh.creation.box((1, 1, 3)).apply_translation([.4, 0, 1.5])]
    trimesh.util.concatenate(boxes).export(folder / "box.obj")
    for name in ("con.ply", "Box.obj"): trimesh.creation.box().export(folder / name)


@pytest.fixture(scope="module")
def call(tmp_path_factory):
    "Runs commands on a platform, one after another in one process; what each printed, with its exit code"
    site = tmp_path_factory.mktemp("site")
    (site / "sitecustomize.py").write_text(SETUP)

    def run(platform, commands, modules=(), **environment):
        folder = tmp_path_factory.mktemp(platform)
        write_meshes(folder / "in")
        path = os.pathsep.join(map(str, (site, ROOT, ROOT / "tests")))
        env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "SDF_DINO_PRETENDED": platform,
               "SDF_DINO_DATA": str(folder / "data"), "PYTHONWARNDEFAULTENCODING": "1", **environment}
        return subprocess.run([sys.executable, "-P", "-c", PROGRAM], input=json.dumps([commands, modules]).encode(),
                              cwd=folder, env=env, capture_output=True)
    return run


def codes(done):
    assert done.returncode == 0, done.stderr.decode()
    lines = done.stdout.decode("cp1252").splitlines()
    return [json.loads(line)["code"] for line in lines if line.startswith('{"code')]


@pytest.mark.slow
@pytest.mark.parametrize("platform", MISSING)
def test_every_module_imports_and_the_commands_run(call, platform):
    done = call(platform, COMMANDS, MODULE_NAMES)
    assert codes(done) == [0] * len(COMMANDS), done.stdout.decode() + done.stderr.decode()
    assert b"Traceback" not in done.stderr and done.stderr.count(b"note: This system cannot limit the memory") == 1


@pytest.mark.slow
def test_a_console_of_windows_gets_every_help_page_and_every_message(call):
    commands = [[*words, "--help"] for words in ([], *([name] for name in NAMES))]
    failing = [["segment", "in/none.obj", "-o", "x.glb"], ["run", "all", "nonsense"], ["evaluate", "--ids", "spoon"]]
    done = call("win32", [*commands, ["segment", "in", "-o", "шары", "--to", "ply"], *failing], PYTHONIOENCODING="cp1252")
    found = codes(done)
    assert found[:len(commands) + 1] == [0] * (len(commands) + 1), done.stdout
    assert all(str(code).startswith("sdf_dino: ") for code in found[len(commands) + 1:])
    assert b"Traceback" not in done.stderr


def _calls(path):
    "(name of the function or method, node) of every call in a file"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call): yield getattr(node.func, "attr", getattr(node.func, "id", "")), node


def _is_binary(node): return any(isinstance(word, ast.Constant) and "b" in str(word.value) for word in node.args[:2])


def test_no_text_is_read_or_written_in_the_encoding_of_the_system():
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for name, node in _calls(path):
            keywords = {keyword.arg for keyword in node.keywords}
            reads = name in ("read_text", "write_text") or name in ("open", "fdopen") and isinstance(node.func, ast.Name)
            if (reads and not _is_binary(node) or keywords & {"text", "universal_newlines"}) and "encoding" not in keywords:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno} {name}")
    assert not found


# where the code looks first whether the system has it
GUARDED = {
    "core/process.py": {"signal.SIGKILL"},
    "core/runtime.py": {"os.sched_getaffinity", "os.sysconf", "resource"},
    "core/sandbox.py": {"fcntl", "resource", "os.killpg", "os.uname", "signal.SIGKILL", "signal.setitimer",
                        "signal.ITIMER_REAL"},
    "core/workers.py": {"fcntl", "os.register_at_fork"},
    "distill/activations.py": {"os.posix_fadvise"},
    "parts/mesh_task.py": {"os.ttyname"}}


def _unix_only(path):
    "What a file uses that Windows has not"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import): yield from {alias.name for alias in node.names} & MODULES["win32"]
        if isinstance(node, ast.ImportFrom) and node.module in MODULES["win32"]: yield node.module
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in MISSING["win32"].get(node.value.id, ()): yield f"{node.value.id}.{node.attr}"


def test_what_windows_lacks_is_used_only_where_the_code_looks_for_it_first():
    found = {path.relative_to(PACKAGE).as_posix(): set(_unix_only(path)) for path in PACKAGE.rglob("*.py")}
    assert {name: uses for name, uses in found.items() if uses - GUARDED.get(name, set())} == {}
