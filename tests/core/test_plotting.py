"A figure is written only where it has changed"
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
import trimesh

from sdf_dino.core.plotting import image_grid, plot_style, render_mesh, save_figure, save_numbers

RNG = np.random.default_rng(0)
IMAGE, NOISE = RNG.random((60, 60, 3)), RNG.normal(size=50)


def draw(folder, offset=0.):
    "A line, a bar and a picture, all moved by the offset"
    with plot_style():
        fig, axes = plt.subplots(1, 3, figsize=(6, 2))
        axes[0].plot(NOISE + offset)
        axes[1].bar(["a", "b"], [.5 + offset, 1])
        axes[2].imshow((IMAGE + offset).clip(0, 1))
        return save_figure(fig, folder, "figure")


def state(path): return [(p.read_bytes(), p.stat().st_mtime_ns) for p in (path, path.with_suffix(".pdf"))]


def test_rounding_leaves_both_files_alone(tmp_path):
    before = state(draw(tmp_path))
    assert state(draw(tmp_path, 1e-6)) == before


def test_another_number_writes_both_files(tmp_path):
    before = state(draw(tmp_path))
    after = state(draw(tmp_path, .05))
    assert all(old[0] != new[0] for old, new in zip(before, after))


def test_one_label_of_many_points_is_a_change(tmp_path):
    pictures = np.full((2, 200, 200, 3), 200, np.uint8)
    pictures[1, 100:108, 100:108] = 0
    before, after = [save_figure(image_grid([[picture]], side=2), tmp_path, "points").read_bytes() for picture in pictures]
    assert before != after


@pytest.mark.parametrize("contents", [b"", b"\x89PNG\r\n\x1a\nbroken", None])
def test_a_damaged_or_missing_file_is_written_anew(tmp_path, contents):
    path = draw(tmp_path)
    good = path.read_bytes()
    path.unlink() if contents is None else path.write_bytes(contents)
    assert draw(tmp_path).read_bytes() == good


@pytest.mark.parametrize("new, is_written", [
    ({"a": [.5, 2], "b": None}, False), ({"a": [.5 + 1e-6, 2], "b": None}, False), ({"a": [.51, 2], "b": None}, True),
    ({"a": [.5, 3], "b": None}, True), ({"a": [.5], "b": None}, True), ({"a": [.5, 2]}, True)])
def test_numbers_are_written_where_they_changed(tmp_path, new, is_written):
    path = tmp_path / "numbers.json"
    save_numbers(path, {"a": [.5, 2], "b": None})
    before = path.read_bytes()
    save_numbers(path, new)
    assert (path.read_bytes() != before) == is_written


def test_the_compiler_of_torch_is_loaded_before_a_renderer(tmp_path, monkeypatch):
    pyvista = pytest.importorskip("pyvista", reason="pyvista is not installed")
    (tmp_path / "triton.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "triton", None)
    del sys.modules["triton"]       # monkeypatch brings back what was there
    loaded = []

    def plotter(**settings):
        loaded.append("triton" in sys.modules)
        raise LookupError
    monkeypatch.setattr(pyvista, "Plotter", plotter)
    with pytest.raises(LookupError): render_mesh(trimesh.creation.box())
    assert loaded == [True]


def test_a_renderer_shows_its_errors_only():
    pytest.importorskip("pyvista")
    render_mesh(trimesh.creation.box(), size=20)
    logger = sys.modules["vtkmodules.vtkCommonCore"].vtkLogger
    assert logger.GetCurrentVerbosityCutoff() == logger.VERBOSITY_ERROR
