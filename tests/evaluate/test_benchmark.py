"What is refused before the first shape, which shapes are chosen, and when a row counts as made"
from dataclasses import replace

import pytest

from sdf_dino.core.errors import InputError, MismatchError, ParameterError
from sdf_dino.core.files import read_json
from sdf_dino.data.psb import toy_archive
from sdf_dino.evaluate.benchmark import (
    EvaluationSettings, evaluate, find_benchmark, select_ids, weights_stamp)
from sdf_dino.evaluate.methods import METHODS, find_method
from sdf_dino.geometry.shapes import probe_shapes


@pytest.fixture
def settings(tmp_path):
    return EvaluationSettings(data=str(toy_archive(tmp_path / "psb")), ids="81", seeds=2, smooth=0,
                              folder=str(tmp_path / "rows"), estimate_k=False)


@pytest.mark.parametrize("name, value", (
    ("step", 0), ("seeds", 0), ("workers", 0), ("n_points", 0), ("smooth", -1), ("seconds", 0)))
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(ParameterError, match=name): EvaluationSettings(**{name: value})


@pytest.mark.parametrize("tests, methods", (
    ("psb", "magic"), ("ten", "single_segment"), ("psb", "raw@nothing"),
    ("coseg", "spectral_exact"), ("coseg", "learned@nothing"), ("architecture", "human"),
    ("psb", ""), ("", "single_segment")))
def test_a_mistake_is_found_before_the_first_shape(tests, methods, settings):
    with pytest.raises((ParameterError, InputError)):
        next(evaluate(tests.split(), methods.split(), replace(settings, ids="")))


def test_categories_without_a_test_that_has_them_are_refused(settings):
    asked = replace(settings, ids="", categories="Cup")
    with pytest.raises(ParameterError, match="categories"):
        next(evaluate(["probe_shapes"], ["single_segment"], asked))


def test_a_folder_belongs_to_one_copy_of_the_benchmark(settings, tmp_path):
    list(evaluate(["psb"], ["single_segment"], settings))
    (toy_archive(tmp_path / "other") / "off/101.off").unlink()
    with pytest.raises(MismatchError, match="another copy"):
        next(evaluate(["psb"], ["single_segment"], replace(settings, data=str(tmp_path / "other"))))


def test_a_second_call_gives_the_same_lines(settings):
    methods = ["single_segment", "labelled_parts", "kmeans_xyz"]
    lines = list(evaluate(["psb"], methods, settings))
    assert {line["test"] for line in lines} == {"psb", "psb/whole", "psb/fold_B"}
    assert list(evaluate(["psb"], methods, settings)) == lines
    assert read_json(settings.rows_path / "metrics.json")["lines"] == lines


def test_an_unknown_id_is_refused():
    with pytest.raises(ParameterError, match="7"): select_ids([1], "1,7")


def test_ids_are_chosen_by_name_and_by_number():
    assert select_ids(["table", "chair"], "chair") == ["chair"]
    assert select_ids([1, 81, 101], "81, 101") == [81, 101]
    assert find_benchmark("probe_shapes").ids("", "") == list(probe_shapes())


@pytest.mark.parametrize("name, words", (
    ("magic", "kmeans_xyz"), ("kmeans_xyz@psb", "takes no weights"), ("", "kmeans_xyz"),
    ("json:dumps", "shape, k, seed")))
def test_a_method_that_cannot_be_called_is_refused(name, words):
    with pytest.raises(ParameterError, match=words): find_method(name)


def test_every_method_has_a_description():
    assert all(method.description for method in METHODS.values())


def test_an_edited_method_or_its_weights_are_run_again(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    source, weights = tmp_path / "mine.py", tmp_path / "mine.bin"
    source.write_text("def all_one(x, k, seed): return x.face*0")
    weights.write_text("1")
    without, with_weights = "mine:all_one", f"mine:all_one@{weights}"
    before = weights_stamp(without, ()), weights_stamp(with_weights, ())
    weights.write_text("2")
    assert weights_stamp(without, ()) == before[0] and weights_stamp(with_weights, ()) != before[1]
    source.write_text("def all_one(x, k, seed): return x.face*0 + 1")
    assert weights_stamp(without, ()) != before[0]


def test_a_method_of_a_user_may_use_the_weights_that_a_shape_names():
    offered = weights_stamp("learned", ("probe9",))
    assert weights_stamp("builtins:len", ("probe9",)) == offered
    assert weights_stamp("builtins:len", ("compounds",)) != offered


def test_missing_weights_are_refused():
    with pytest.raises(InputError): weights_stamp("learned@nothing", ("probe9",))


def test_a_file_that_a_method_imports_counts(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "users_method.py").write_text("from users_helper import K\ndef f(shape, k, seed): return K")
    (tmp_path / "users_helper.py").write_text("K = 1")
    before = weights_stamp("users_method:f", ("probe9",))
    (tmp_path / "users_helper.py").write_text("K = 2")
    assert weights_stamp("users_method:f", ("probe9",)) != before
