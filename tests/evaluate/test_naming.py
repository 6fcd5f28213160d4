"Arenas of naming and retrieval"
import numpy as np
import pandas as pd
import pytest

from sdf_dino.core.errors import ParameterError
from sdf_dino.evaluate.naming import (
    NAMING_METHODS, NamedParts, benchmark_parts, best_naming, category_naming, label_scores,
    naming_lines, naming_scores, retrieval_scores)
from sdf_dino.geometry.visibility import Visibility
from sdf_dino.geometry.part_descriptors import part_samples


def named(id, names, category="thing", n=12, wrong=0):
    "A shape whose parts have these names; of each part so many samples have another name"
    rng = np.random.default_rng(sum(map(ord, id)))
    part = np.repeat(np.arange(len(names)), n)
    points = rng.normal(size=(len(part), 3)) + 9*part[:, None]
    normals = np.tile([0, 0, 1.], (len(part), 1))
    seen = Visibility(points, normals, np.eye(len(part), dtype=bool), np.ones(len(part)))
    true = np.array(names, dtype="<U9")[part]
    true[np.arange(len(part)) % n < wrong] = "other"
    return NamedParts(id, category, part_samples(points, normals, seen, part), true)


SHAPES = [named("a", ["leg", "leg", "seat"]), named("b", ["seat", "leg"]), named("c", ["leg"])]
PERFECT = [np.array([[float(name == "leg")] for name in shape.part_names]) for shape in SHAPES]


def test_vectors_that_are_the_names_score_one():
    assert naming_scores(SHAPES, PERFECT, 2) == {"miou": 1, "acc": 1}
    scores = retrieval_scores(SHAPES, PERFECT)
    assert scores["map"] == scores["precision_1"] == 1 and scores["chance"] < 1


def test_equal_vectors_are_at_chance():
    same = [np.zeros((shape.samples.n_parts, 2)) for shape in SHAPES]
    assert naming_scores(SHAPES, same, 2)["acc"] == 4/6       # all are legs


def test_the_best_naming_is_bound_by_the_cuts():
    shapes = [named("a", ["leg", "seat"], wrong=3)]
    assert best_naming(shapes)["acc"] == .75
    assert best_naming(SHAPES)["acc"] == 1


def test_samples_without_a_name_do_not_count():
    shape = named("a", ["leg", "seat", ""])
    assert best_naming([shape])["acc"] == 1
    assert shape.part_names.tolist() == ["leg", "seat", ""]


def test_answers_of_the_own_shape_or_category_are_none():
    shapes = [named("a", ["leg", "leg"], "chair"), named("b", ["leg"], "table"),
              named("c", ["seat", "leg"], "chair")]
    near = [np.array([[0.], [1]]), np.array([[5.]]), np.array([[.1], [9]])]
    within = retrieval_scores(shapes, near)
    across = retrieval_scores(shapes, near, among="categories")
    assert within["precision_1"] < 1      # the seat of c is nearest to a's first leg
    assert across["precision_1"] == 1     # a table has a leg only
    with pytest.raises(ParameterError): retrieval_scores(shapes, near, among="rooms")


def test_a_name_nobody_else_has_is_no_query():
    shapes = [named("a", ["leg"]), named("b", ["seat"])]
    scores = retrieval_scores(shapes, [np.zeros((1, 1))]*2)
    assert scores == dict.fromkeys(scores)


@pytest.mark.parametrize("method", NAMING_METHODS)
def test_every_method_gives_finite_vectors_of_one_width(method):
    vectors = NAMING_METHODS[method]([shape.samples for shape in SHAPES])
    assert [len(own) for own in vectors] == [3, 2, 1]
    assert len({own.shape[1] for own in vectors}) == 1
    assert all(np.isfinite(own).all() for own in vectors)


def test_a_table_has_a_row_a_category():
    shapes = SHAPES + [named("d", ["a", "b"], "cup"), named("e", ["a", "b"], "cup")]
    vectors = PERFECT + [np.array([[0.], [1]])]*2
    table = category_naming(shapes, vectors)
    assert table.index.tolist() == ["thing", "cup"] and (table["miou"] == 1).all()


def test_labels_that_are_shared_by_all_shapes_need_no_clusters():
    labels = [own[:, 0].astype(int) for own in PERFECT]
    assert label_scores(SHAPES, labels)["miou"] == 1
    assert category_naming(SHAPES, PERFECT, labels=labels).loc["thing", "miou_labels"] == 1


def test_lines_leave_out_what_a_method_was_not_scored_by():
    rows = [("a", seed, name, .5 + seed, None) for seed in (0, 1) for name in ("cup", "chair")]
    rows += [("b", 0, name, .5, .25) for name in ("cup", "chair")]
    scores = pd.DataFrame(rows, columns=["method", "seed", "id", "miou", "miou_labels"])
    lines = naming_lines("naming", scores, 30)
    found = {(line["method"], line["metric"]): (line["mean"], line["seeds"]) for line in lines}
    assert found == {("a", "miou"): (1., 2), ("b", "miou"): (.5, 1), ("b", "miou_labels"): (.25, 1)}
    assert {line["shapes"] for line in lines} == {30}


def test_unknown_cuts_are_refused():
    with pytest.raises(ParameterError, match="human or engine"): benchmark_parts(None, "mine")
