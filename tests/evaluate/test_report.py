"Tables and pages of saved numbers"
import numpy as np
import pandas as pd
import pytest

from conftest import ROOT
from sdf_dino.core.files import write_json
from sdf_dino.evaluate.page_writer import write_result_pages
from sdf_dino.evaluate.report import (
    Column, complete_lines, paired_difference, read_lines, read_scores, results_table)
from sdf_dino.evaluate.score_charts import score_cells, score_chart

ERROR = Column("error", "psb", "rand_index_error", -1)


def line(method, mean, std=0., shapes=280, shape_set="a"):
    return {"test": "psb", "method": method, "metric": "rand_index_error", "mean": mean, "std": std,
            "seeds": 2 if std else 1, "seconds_per_shape": 1.5, "shapes": shapes,
            "shape_set": shape_set}


def bold(*lines):
    table = results_table(lines, [ERROR])
    return {method for method in table.index if table.loc[method, "error"].startswith("**")}


def test_later_lines_replace_earlier_ones(tmp_path):
    write_json(tmp_path / "a" / "metrics.json", {"lines": [line("learned", .2), line("raw", .3)]})
    write_json(tmp_path / "b.json", {"lines": [line("learned", .1)]})
    lines = read_lines([tmp_path / "a", tmp_path / "b.json"])
    assert {r["method"]: r["mean"] for r in lines} == {"raw": .3, "learned": .1}


def test_as_many_other_shapes_are_another_test():
    lines = [line("raw", .1, shapes=70), line("learned", .3, shapes=70, shape_set="b")]
    assert [r["method"] for r in complete_lines(lines)] == ["learned"]
    assert [r["method"] for r in complete_lines(lines[::-1])] == ["raw"]


def test_methods_within_the_spread_of_the_best_are_bold():
    assert bold(line("raw", .152, .001), line("dino", .153, .009), line("learned", .149, .003)) == {
        "raw", "learned"}, "the spread of the others does not help them"


def test_scores_that_print_alike_are_equal():
    assert bold(line("raw", .1501), line("learned", .1499)) == {"raw", "learned"}


def test_rows_of_later_folders_replace_those_of_earlier_ones(tmp_path):
    for folder, seed, error in (("a", 10, .2), ("a", 1, .3), ("b/rows", 1, .1)):
        row = {"id": 81, "category": "Ant", "split": {"rand_index_error": error}}
        write_json(tmp_path / folder / "psb" / "learned" / str(seed) / "81.json", row)
    scores = read_scores([tmp_path / "a", tmp_path / "b"], "psb")
    assert dict(zip(scores["seed"], scores["rand_index_error"])) == {1: .1, 10: .2}


def test_a_shape_without_a_score_is_left_out_of_a_difference():
    rows = [(m, 0, i, e) for m, errors in {"a": (.1, None, .3), "b": (.1, .2, .3)}.items()
            for i, e in enumerate(errors)]
    scores = pd.DataFrame(rows, columns=["method", "seed", "id", "error"])
    assert paired_difference(scores, "error", "a", "b")["shapes"] == 2


def test_a_seed_of_some_shapes_is_no_spread():
    rows = [("a", 0, 1, .2), ("a", 0, 2, .3), ("a", 1, 2, .3)]
    scores = pd.DataFrame(rows, columns=["method", "seed", "id", "error"]).assign(kind="x")
    means, stds = score_cells(scores, "error", "kind")
    assert means.iat[0, 0] == pytest.approx(.25) and np.isnan(stds.iat[0, 0])


@pytest.mark.parametrize("direction, shades", ((1, [1, 0, 1]), (-1, [0, 1, 0])))
def test_people_do_not_set_the_range_of_colours(direction, shades):
    means = pd.DataFrame({"a": [.9, .1, .5]}, index=["human", "raw", "learned"])
    image = score_chart(means, means * np.nan, direction).axes[0].images[0]
    assert np.allclose(image.get_array()[:, 0], shades)


def test_pages_are_those_of_the_saved_numbers(tmp_path):
    for path in write_result_pages(target=tmp_path):
        assert path.read_text() == (ROOT / "docs" / "results" / path.name).read_text(), path.name
