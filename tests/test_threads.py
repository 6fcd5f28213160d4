"No function takes more threads than the process was given: children share the cores of a machine"
import ast

from conftest import ROOT

ALL_CORES = {"workers", "n_jobs", "num_threads", "nthreads", "max_workers"}


def greedy_calls(source):
    "Lines of calls that ask for all cores of the machine, by -1 or by counting them"
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call): continue
        for keyword in node.keywords:
            value = ast.unparse(keyword.value)
            if keyword.arg in ALL_CORES and (value.startswith("-") or "cpu_count" in value): yield node.lineno


def test_a_greedy_call_is_found():
    assert list(greedy_calls("cKDTree(x).query(y, workers=-1)\nParallel(n_jobs=os.cpu_count())\nf(workers=2)")) == [1, 2]


def test_no_call_of_the_package_takes_all_cores():
    found = [f"{path.relative_to(ROOT)}:{line}" for path in sorted((ROOT / "sdf_dino").rglob("*.py"))
             for line in greedy_calls(path.read_text(encoding="utf-8"))]
    assert found == []
