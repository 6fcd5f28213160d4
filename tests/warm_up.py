"""What every program of the tests would do again, done once at import: `faults.Program` makes forks of a process
that has imported this module. Imports of everything, and the syntax trees of the code that notebooks reach"""
import ast
import contextlib
import gc
import json
import pkgutil
from importlib import import_module
from pathlib import Path

import nbdev.test
import matplotlib_inline.backend_inline

import sdf_dino
from sdf_dino.core.revision import code_revision

NBS = Path(__file__).resolve().parents[1] / "nbs"


def code_of(notebook):
    "The code cells of a notebook, without those of IPython; empty where they are no Python"
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    code = "\n".join(source for source in sources if not source.startswith(("%", "!")))
    try: ast.parse(code)
    except SyntaxError: return ""
    return code


def imported_modules(code):
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import): yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and not node.level: yield node.module


notebooks = [*sorted(NBS.glob("pipeline/*.ipynb")), *sorted(NBS.glob("experiments/*.ipynb"))]
runs = "\n".join(map(code_of, notebooks))
modules = {found.name for found in pkgutil.walk_packages(sdf_dino.__path__, "sdf_dino.")} - {"sdf_dino._modidx"}
late = {"fastcore.test", "k3d", "tensorboardX", "torch._dynamo"}     # what others import when they are first used
for name in sorted(modules | late | {*imported_modules(runs)}):
    with contextlib.suppress(Exception): import_module(name)     # whoever needs it will say what is wrong
code_revision(source=runs)
gc.collect()
gc.freeze()     # a fork that searched all this for garbage would copy it
