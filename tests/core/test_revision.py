"A revision moves with what can change a number, and with nothing else"
import pytest

import sdf_dino
from sdf_dino.core import revision
from sdf_dino.core.errors import InputError, ParameterError
from sdf_dino.core.revision import code_revision, revision_changes, revision_id, weights_revision

SHAPES = """
import numpy as np
from .solids import volume
from ..core.files import write_json
SCALE = 2
def area(x): return SCALE*np.sum(volume(x))
def other(x): return x
"""
SOLIDS = """
TEXTS = {"flat": "has no volume"}
class Flat(ValueError):
    def __init__(self, reason): super().__init__(TEXTS[reason])
def volume(x):
    "Volume"
    if x < 0: raise ValueError("negative")
    if x == 0: raise Flat("flat")
    try: return x
    except Flat as e: return 0
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    "A package of its own with geometry.shapes, which uses geometry.solids"
    for module, code in {"geometry/shapes": SHAPES, "geometry/solids": SOLIDS, "core/files": "x = 1"}.items():
        write(tmp_path, module, code)
    monkeypatch.setattr(revision, "package_dir", lambda: tmp_path)
    return tmp_path


def write(package, module, code):
    path = package / f"{module}.py"
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text(code)


def area(): return code_revision("geometry.shapes:area")


@pytest.mark.parametrize("module, old, new", [
    ("geometry/shapes", "SCALE = 2", "SCALE = 3"), ("geometry/shapes", "np.sum", "np.max"),
    ("geometry/solids", "return x\n", "return x + 1\n"), ("geometry/solids", "x < 0", "x < 1")])
def test_code_that_is_reached_counts(package, module, old, new):
    before = area()
    write(package, module, (package / f"{module}.py").read_text().replace(old, new))
    assert revision_changes(before, area()) == [module.replace("/", ".")]
    assert revision_id(before) != revision_id(area())


@pytest.mark.parametrize("module, old, new", [
    ("geometry/shapes", "def other(x): return x", "def other(x): return -x"), ("geometry/solids", "negative", "below 0"),
    ("geometry/solids", '"Volume"', '"Its volume"'), ("geometry/solids", "return x\n", "return x  # half\n"),
    ("geometry/solids", "has no volume", "is flat"),
    ("core/files", "x = 1", "x = 2")])
def test_prose_errors_core_and_other_definitions_do_not(package, module, old, new):
    before = area()
    write(package, module, (package / f"{module}.py").read_text().replace(old, new))
    assert area() == before


@pytest.mark.parametrize("use", [
    "def area(x): return call('geometry.solids:volume', x)", "from . import solids\ndef area(x): return solids.volume(x)",
    "from .solids import *\ndef area(x): return volume(x)", "import sdf_dino\ndef area(x): return sdf_dino.geometry.solids.volume(x)",
    "def area(x):\n    from sdf_dino.geometry.solids import volume\n    return volume(x)",
    "from .solids import volume\nclass A: f = staticmethod(volume)\ndef area(x): return A.f(x)",
    "from .solids import volume\nTABLE = {}\nTABLE['v'] = volume\ndef area(x): return TABLE['v'](x)"])
def test_every_way_to_mention_a_function_is_followed(package, use):
    write(package, "geometry/shapes", use)
    before = area()
    write(package, "geometry/solids", "def volume(x): return 7")
    assert revision_changes(before, area()) == ["geometry.solids"]


def test_a_notebook_counts_with_what_it_mentions(package):
    source = "from sdf_dino.geometry.shapes import area\narea(1)"
    before = code_revision(source=source)
    assert revision_changes(before, code_revision(source=source + "  # why")) == []
    assert revision_changes(before, code_revision(source=source.replace("1", "2"))) == ["notebook"]
    write(package, "geometry/solids", "def volume(x): return 7")
    assert revision_changes(before, code_revision(source=source)) == ["geometry.solids"]


def test_a_module_that_is_left_out_is_not_followed(package):
    assert list(code_revision("geometry.shapes:area", without=("geometry.solids",))["modules"]) == ["geometry.shapes"]


@pytest.mark.parametrize("version, stale", [("2.4.6", False), ("2.4.5+local", False), ("2.5.0", True), ("3.0", True)])
def test_a_patch_of_a_library_does_not_count(package, monkeypatch, version, stale):
    monkeypatch.setattr(revision.metadata, "version", lambda name: "2.4.5")
    before = area()
    monkeypatch.setattr(revision.metadata, "version", lambda name: version)
    assert bool(revision_changes(before, area())) == stale


def test_only_libraries_that_are_used_count(package):
    assert list(area()["libraries"]) == ["numpy"] and code_revision("geometry.shapes:other")["libraries"] == {}


def test_a_module_that_does_not_exist_is_refused():
    with pytest.raises(ParameterError, match="names no module"): code_revision("geometry.nothing:f")


def test_weights_count_by_content(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder / "head").mkdir(parents=True)
        (tmp_path / folder / "head/model.safetensors").write_bytes(b"1")
        (tmp_path / folder / "head/state.safetensors").write_bytes(folder.encode())
    assert weights_revision([tmp_path / "a"]) == weights_revision([tmp_path / "b"])
    (tmp_path / "b/head/model.safetensors").write_bytes(b"2")
    assert weights_revision([tmp_path / "a"]) != weights_revision([tmp_path / "b"])
    (tmp_path / "c").mkdir()
    with pytest.raises(InputError, match="holds no weights"): weights_revision([tmp_path / "c"])


def test_the_revision_of_the_product_is_quick_and_sees_the_rays():
    found = code_revision("parts.segment:segment")
    assert {"geometry.rays", "geometry.part_tree", "parts.segment"} <= set(found["modules"])
    assert not {"core.sandbox", "geometry.export", "parts.batch"} & set(found["modules"])
    assert sdf_dino.__file__.startswith(str(revision.package_dir()))


def test_a_data_file_beside_the_code_counts(package):
    write(package, "geometry/shapes", "def area(x): return read('kinds.yml')[x]")
    (package / "geometry/kinds.yml").write_text("a: 1")
    before = area()
    (package / "geometry/kinds.yml").write_text("a: 22")
    assert revision_changes(before, area()) == ["geometry.shapes"]
