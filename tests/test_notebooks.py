"Every notebook is a test, in a process of its own; and a notebook that fails is seen to fail"
import pytest
from conftest import NOTEBOOKS, ROOT, run


def nbdev_test(path):
    return run("nbdev_test", "--path", path, "--n_workers", "0", "--do_print", check=False, timeout=300)


def name_of(path): return path.relative_to(ROOT / "nbs").with_suffix("").as_posix()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_notebook(path, tmp_path, monkeypatch):
    monkeypatch.setenv("SDF_DINO_DATA", str(tmp_path))
    done = nbdev_test(path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_a_failing_notebook_fails():
    done = nbdev_test(ROOT / "tests" / "must_fail.ipynb")
    assert done.returncode != 0 and "AssertionError" in done.stdout + done.stderr
