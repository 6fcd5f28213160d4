"""The structure of the package: packages import only from those before them, modules lie in packages,
public names are unique, and light modules stay light. Planted faults show that each check can fail."""
import ast
import builtins
import subprocess
import symtable
import sys
from collections import defaultdict

import pytest
from conftest import ROOT

PACKAGE = ROOT / "sdf_dino"
ORDER = ["core", "geometry", "data", "field", "distill", "parts", "evaluate", "cli"]
FLAT = {"__init__", "_modidx"}       # modules that may lie outside the packages


def sources(root):
    "Dotted name → syntax tree of each module below a package folder; nbdev's index is left out"
    found = {}
    for path in sorted(root.rglob("*.py")):
        if path.stem == "_modidx" or "weights" in path.relative_to(root).parts: continue
        name = ".".join(path.relative_to(root).with_suffix("").parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def imports(tree, module):
    "Dotted names in the package that a module imports, also inside functions"
    parents = module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = parents[:len(parents) - node.level + 1]
            target = ".".join([*base, node.module] if node.module else base)
            yield from [target] if target else [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sdf_dino"):
            target = node.module.partition(".")[2]
            yield from [target] if target else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from [a.name.partition(".")[2] for a in node.names if a.name.startswith("sdf_dino.")]


def backward_imports(root):
    "Imports from a package that comes later, as `module → imported`"
    for module, tree in sources(root).items():
        package = module.partition(".")[0]
        if package not in ORDER: continue
        for target in imports(tree, module):
            other = target.partition(".")[0]
            if other in ORDER and ORDER.index(other) > ORDER.index(package): yield f"{module} → {target}"


def misplaced_modules(root):
    "Modules outside the packages, and packages that are not in the order"
    for module in sources(root):
        package, dot, _ = module.partition(".")
        if package not in (ORDER if dot else FLAT): yield module


def repeated_names(root):
    "Public names (of `__all__`) that two modules define, as `name: module, module`"
    homes = defaultdict(list)
    for module, tree in sources(root).items():
        if module == "__init__": continue       # names them again, on purpose
        for node in tree.body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
                for name in ast.literal_eval(node.value): homes[name].append(module)
    for name, modules in sorted(homes.items()):
        if len(modules) > 1: yield f"{name}: {', '.join(modules)}"


def test_packages_import_only_from_those_before_them(): assert list(backward_imports(PACKAGE)) == []


def test_modules_lie_in_packages(): assert list(misplaced_modules(PACKAGE)) == []


def test_public_names_are_unique(): assert list(repeated_names(PACKAGE)) == []


@pytest.mark.parametrize("modules", [
    "sdf_dino, sdf_dino.cli.main", ", ".join(f"sdf_dino.core.{p.stem}" for p in (PACKAGE / "core").glob("[a-z]*.py")),
    ", ".join(f"sdf_dino.geometry.{p.stem}" for p in (PACKAGE / "geometry").glob("[a-z]*.py"))],
    ids=["sdf_dino", "core", "geometry"])
def test_torch_is_not_imported_where_it_is_not_needed(modules):
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def plant(root, **texts):
    "A package of modules; `a__b` is the module `a.b`"
    for name, text in texts.items():
        path = root / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize("line, target", [
    ("from ..parts.segment import segment", "parts.segment"),
    ("from sdf_dino.parts.segment import segment", "parts.segment"),
    ("def f():\n    from ..parts import segment", "parts"),
    ("from .. import parts", "parts"), ("from sdf_dino import parts", "parts"),
    ("import sdf_dino.parts.segment", "parts.segment")])
def test_a_backward_import_is_found(tmp_path, line, target):
    root = plant(tmp_path, geometry__loading=line, parts__segment="from ..geometry.loading import load_mesh")
    assert list(backward_imports(root)) == [f"geometry.loading → {target}"]


def test_an_import_within_a_package_is_no_fault(tmp_path):
    assert list(backward_imports(plant(tmp_path, core__runs="from .files import read_json\nimport os"))) == []


def test_a_flat_module_and_an_unknown_package_are_found(tmp_path):
    root = plant(tmp_path, mesh="", studies__scale="", cli__main="", core__files="")
    assert sorted(misplaced_modules(root)) == ["mesh", "studies.scale"]


def test_a_repeated_name_is_found(tmp_path):
    root = plant(tmp_path, geometry__a="__all__ = ['f', 'g']", data__b="__all__ = ['f']", cli__main="__all__ = ['main']")
    assert list(repeated_names(root)) == ["f: data.b, geometry.a"]


def undefined_names(table, known):
    "Names that code of a module uses, and that neither the module nor Python defines"
    for symbol in table.get_symbols():
        if symbol.is_referenced() and symbol.is_global() and symbol.get_name() not in known: yield symbol.get_name()
    for inner in table.get_children(): yield from undefined_names(inner, known)


def undefined_in_modules(root):
    "Undefined names of each module of a package, as `module: name`"
    given = {*dir(builtins), "__file__", "__name__"}
    for path in sorted(root.rglob("*.py")):
        table = symtable.symtable(path.read_text(encoding="utf-8"), str(path), "exec")
        known = given | {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
        for name in undefined_names(table, known): yield f"{path.stem}: {name}"


def test_modules_use_no_name_that_is_not_defined(): assert list(undefined_in_modules(PACKAGE)) == []


def test_a_name_that_is_not_defined_is_found(tmp_path):
    text = "import sys\ndef f(x): return [os.environ[y] for y in x if sys]\ndef g(): return f(g, __file__, len)"
    assert list(undefined_in_modules(plant(tmp_path, core__files=text))) == ["files: os"]
