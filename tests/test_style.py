"Notebooks keep the rules of style that a program can check, and every rule finds a planted fault; each test can fail"
import ast
import json

import pytest
from conftest import NOTEBOOKS, ROOT
from style import notebook_faults


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.relative_to(ROOT / "nbs").with_suffix("").as_posix())
def test_a_notebook_keeps_the_rules_of_style(path):
    assert list(notebook_faults(path)) == []


def faults(folder, *sources, kind="code", shelf="api"):
    "Faults of a notebook with these cells"
    cells = [{"cell_type": kind, "id": f"c{i}", "metadata": {}, "source": s} for i, s in enumerate(sources)]
    path = folder / shelf / "a.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"cells": cells}))
    return "\n".join(notebook_faults(path))


GOOD = '#| export\ndef area(\n    radius,   # In metres\n):\n    "The area of a disc"\n    return 3.14*radius**2'


def test_good_cells_have_no_faults(tmp_path):
    assert faults(tmp_path, GOOD, "assert area(0) == 0") == ""


@pytest.mark.parametrize("source, words", [
    ("x = 1" + " "*95 + "# far", "characters"),
    ("x = [[j for j in range(i)] for i in range(3)]", "comprehension"),
    ("f(1), g(2)", "hides several steps"), ("ready and start()", "hides several steps"),
    ("start() if ready else stop()", "hides several steps"),
    ("def f():\n" + "    x = 1\n"*41, "more than 40 lines"),
    ("#| export\ndef f(): return 1", "no docstring"),
    ("#| export\nclass A: pass", "no docstring"),
    (GOOD.replace("   # In metres", ""), "radius has no comment"),
    ("#| export\n" + "x = 1\n"*50, "at most 50"),
    ("assert True\n" * 11, "test cell of 11 lines"),
    ("#| export\n# by heart", "by heart"),
    ("'own number'", "own number")])
def test_a_fault_of_code_is_found(tmp_path, source, words):
    assert words in faults(tmp_path, source)


def test_a_banned_word_in_the_text_is_found(tmp_path):
    assert "scoreboard" in faults(tmp_path, "See the scoreboard.", kind="markdown")


@pytest.mark.parametrize("shelf, cells, allowed", [("api", 61, 60), ("pipeline", 26, 25)])
def test_too_many_cells_are_found(tmp_path, shelf, cells, allowed):
    assert f"at most {allowed}" in faults(tmp_path, *["x = 1"]*cells, shelf=shelf)


def test_too_many_exported_lines_are_found(tmp_path):
    assert "at most 350" in faults(tmp_path, *["#| export\n" + "x = 1\n"*40]*9)


def called_names(node):
    calls = [found.func for found in ast.walk(node) if isinstance(found, ast.Call)]
    return {call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "") for call in calls}


def unchecked_tests(sources):
    "Names of test functions that neither assert, nor expect an error, nor call a function that does"
    nodes = [node for source in sources for node in ast.walk(ast.parse(source))]
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    checks, n_known = {"raises", "warns"}, 0
    while n_known < len(checks):
        n_known = len(checks)
        for function in functions:
            asserts = any(isinstance(node, ast.Assert) for node in ast.walk(function))
            if asserts or called_names(function) & checks: checks.add(function.name)
    tests = [function.name for function in functions if function.name.startswith("test_")]
    return [name for name in tests if name not in checks]


def test_every_test_checks_something():
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")]
    assert unchecked_tests(sources) == []


def test_a_test_that_cannot_fail_is_found():
    good = "def check(): assert x\ndef test_a(): check()\ndef test_b():\n with pytest.raises(E): f()\n"
    assert unchecked_tests([good, "def test_c(): print(f())"]) == ["test_c"]
