"Methods on tests: names, children, failures, and rows that are kept"
import os
import sys
from unittest.mock import patch

import numpy as np
import pytest

from sdf_dino.core.errors import ParameterError
from sdf_dino.core.files import load_tensors
from sdf_dino.core.workers import close_idle_sandboxes
from sdf_dino.data.psb import psb_models, toy_archive
from sdf_dino.evaluate import runner
from sdf_dino.evaluate.cases import EvalCase
from sdf_dino.evaluate.metrics import HumanSegmentations
from sdf_dino.evaluate.runner import (
    import_function, latest_lines, result_lines, rows_folder, rows_revision, run_case, run_cases)
from sdf_dino.geometry.validation import MeshRejected

PSB_CASE, LABELS = "sdf_dino.evaluate.cases:psb_case", "sdf_dino.evaluate.metrics:labelled_parts"


def two_halves(id, seed, scale=1.):
    "Six numbers, the first three one part; shape 9 has no people"
    def score(found): return {"plain": {"same": scale * np.mean(found == [0, 0, 0, 1, 1, 1])}}
    def human_scores(): return {"plain": {"same": .9}}
    people = None if id == 9 else human_scores
    return EvalCase(np.arange(6), 6, 2, score, {"kind": "numbers"}, people)


def thirds(x, k, seed): return x // 3 if k else x * 0 + seed


@pytest.fixture
def archive(tmp_path): return toy_archive(tmp_path / "psb")


@pytest.fixture
def user_module(tmp_path):
    "A module that children find, with methods that die and wait"
    (tmp_path / "of_a_user.py").write_text(
        "import os, time\ndef dies(s, k, seed): os.abort()\n"
        "def waits(s, k, seed): time.sleep(60)\n")
    close_idle_sandboxes()      # waiting children do not know the new path
    path = os.pathsep.join([*sys.path, str(tmp_path)])
    with patch.object(sys, "path", [*sys.path, str(tmp_path)]), \
            patch.dict(os.environ, PYTHONPATH=path): yield


@pytest.mark.parametrize("name", (
    "sdf_dino.core:nothing", "no_module:f", "plain", "json:__name__"))
def test_a_name_without_a_function_is_refused(name):
    with pytest.raises(ParameterError, match="module:function"): import_function(name)


def test_a_broken_module_says_why(tmp_path, monkeypatch):
    (tmp_path / "half_written.py").write_text("def f(x, k, seed) return x")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ParameterError, match="SyntaxError"): import_function("half_written:f")


def test_labels_are_kept(tmp_path):
    run_case(two_halves, 1, thirds, labels_path=tmp_path / "labels.safetensors")
    labels = load_tensors(tmp_path / "labels.safetensors")[0]["labels"]
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_method_that_estimates_k_is_given_none():
    assert run_case(two_halves, 1, thirds, estimate_k=True, seed=1, scale=2.)["plain"]["same"] == 1


def test_people_and_one_part():
    assert run_case(two_halves, 1, "human")["plain"] == {"same": .9}
    assert run_case(two_halves, 1, None)["parts"] == 1
    with pytest.raises(ParameterError, match="no human"): run_case(two_halves, 9, "human")


def test_too_few_labels_are_refused():
    def too_few(x, k, seed): return x[:5]
    with pytest.raises(ParameterError, match=r"\(5,\)"): run_case(two_halves, 1, too_few)


def test_a_reference_sees_labels_and_a_method_does_not(archive):
    model, seen = psb_models(archive)[0], []

    def method(shape, k, seed):
        seen.append(shape)
        return (shape.points[:, 0] > 0).astype(int)

    row = run_case(PSB_CASE, 81, LABELS, data=str(archive))
    assert row["split"] == HumanSegmentations(model).score(model.parts()[1])
    assert run_case(PSB_CASE, 81, method, data=str(archive))["parts"] == 2
    assert not any(hasattr(seen[0], name) for name in ("parts", "segmentations"))


def test_a_failed_shape_is_scored_as_one_part_and_tried_again(tmp_path):
    calls = []

    def fails_once(x, k, seed):
        calls.append(seed)
        if len(calls) == 2: raise MeshRejected("mesh", "flat")
        return thirds(x, k, seed)

    rows = run_cases(two_halves, [1, 2], fails_once, tmp_path, workers=1)
    assert rows[1]["seconds"] is None and rows[1]["parts"] == 1 and rows[1]["plain"]["same"] == .5
    again = run_cases(two_halves, [2, 1], fails_once, tmp_path)
    assert len(calls) == 3 and again[1] == rows[0] and "error" not in again[0]


@pytest.mark.parametrize("changed", (
    {"seed": 1}, {"estimate_k": True}, {"stamp": "x"}, {"scale": 2.}, {"force": True}))
def test_other_settings_make_another_row(changed, tmp_path):
    calls = []

    def counted(x, k, seed):
        calls.append(seed)
        return thirds(x, k, seed)

    for options in ({}, {}, changed): run_cases(two_halves, [1], counted, tmp_path, **options)
    assert len(calls) == 2


def test_a_wrong_parameter_ends_the_run(tmp_path):
    def wrong(x, k, seed): raise ParameterError("k", "is odd", "Use another")
    for method in (wrong, "no_module:f"):
        with pytest.raises(ParameterError): run_cases(two_halves, [1], method, tmp_path)
    assert not list(tmp_path.glob("*.json"))


def test_a_named_method_runs_in_a_child_with_the_same_result(archive, tmp_path):
    here = run_case(PSB_CASE, 81, LABELS, data=str(archive))
    row, = run_cases(PSB_CASE, [81], LABELS, tmp_path / "rows", data=str(archive))
    assert row.get("error") is None
    assert row["split"] == here["split"]


@pytest.mark.slow
@pytest.mark.parametrize("method, seconds", (("dies", 900.), ("waits", 2.)))
def test_a_crash_or_a_timeout_costs_one_shape(method, seconds, user_module, archive, tmp_path):
    row, = run_cases(PSB_CASE, [81], f"of_a_user:{method}", tmp_path / "rows", seconds=seconds,
                     data=str(archive))
    assert "error" in row and row["seconds"] is None and row["split"]["n_segments"] == 1


def test_a_path_of_weights_stays_below_its_folder(tmp_path):
    assert rows_folder(tmp_path, "my.module:fn@../w", 0).parent == tmp_path / "my.module.fn@...w"


def test_lines_on_other_shapes_stand_beside_each_other():
    line = {"test": "psb", "method": "m", "metric": "x", "shapes": 2, "shape_set": "a", "mean": 1.}
    other, newer = {**line, "shape_set": "b"}, {**line, "mean": 0.}
    assert latest_lines([line, other, newer]) == [other, newer]


def test_a_metric_that_is_nowhere_defined_has_no_mean():
    rows = [{"id": 1, "seconds": None, "split": {"cut": None}, "error": "x"}]
    line, = result_lines("psb", "m", [rows], "split")
    assert line["mean"] is None and line["seconds_per_shape"] is None and line["failed"] == 1


def test_a_row_is_as_old_as_its_code(tmp_path, monkeypatch):
    calls = []

    def counted(x, k, seed):
        calls.append(seed)
        return thirds(x, k, seed)

    run_cases(two_halves, [1], counted, tmp_path)
    monkeypatch.setattr(runner, "rows_revision", lambda *functions: "other code")
    kept, = run_cases(two_halves, [1], counted, tmp_path, accept_code=True)
    assert len(calls) == 1 and result_lines("t", "m", [[kept]], "plain")[0]["earlier_code"] == 1
    made, = run_cases(two_halves, [1], counted, tmp_path)
    assert len(calls) == 2 and result_lines("t", "m", [[made]], "plain")[0]["earlier_code"] == 0


def test_the_code_behind_rows_is_that_of_the_method_and_the_test():
    changed = [rows_revision(PSB_CASE, f"sdf_dino.evaluate.methods:{name}") for name in ("visibility_method", "dino")]
    assert changed[0] != changed[1] != rows_revision(PSB_CASE, "of_a_user:f")
