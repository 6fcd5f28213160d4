"People against people on the benchmark at hand: the scores that its authors record, and no score but by the protocol"
from itertools import combinations

import numpy as np
import pytest

from sdf_dino.evaluate import Panel, judge_all, rand_index_error
from sdf_dino.psb import models
from sdf_dino.scoreboard import HUMAN_RAND
from sdf_dino.smooth import face_pairs, split_components


def test_people_score_what_the_benchmark_records(shared):
    "Two categories by the definition itself: every unordered pair, each model the same weight"
    for category in ("Octopus", "Ant"):
        means = []
        for m in models(shared / "psb", category):
            pairs = face_pairs(m.mesh.faces)[0]
            drawn = [split_components(s, pairs) for s in m.segmentations()]
            means.append(np.mean([rand_index_error(a, b) for a, b in combinations(drawn, 2)]))
        assert len(means) == 20 and abs(np.mean(means) - HUMAN_RAND[category]) < 1e-3, (category, np.mean(means))


def test_the_split_decides_the_score_of_labelled_parts(shared):
    "Legs of one name are one segment to the labels and many to the benchmark"
    m = models(shared / "psb", "Ant")[0]
    split, whole = (Panel(m).score(m.parts()[1], split) for split in (True, False))
    assert split["segments"] > whole["segments"] == len(m.parts()[0]) and split["rand"] < whole["rand"] / 2
    assert split["ari"] > whole["ari"] and split["cut"] == pytest.approx(whole["cut"]), "the borders are the same"


def test_a_run_goes_on_where_it_was_cut(shared, tmp_path):
    "One file a model: what is there is not made again, whatever order it was made in"
    calls = []

    def halves(model, k, seed):
        calls.append(model.id)
        return (model.mesh.triangles_center[:, 0] > np.median(model.mesh.triangles_center[:, 0])).astype(int)

    first = judge_all(shared / "psb", halves, tmp_path, ids=[82])
    both = judge_all(shared / "psb", halves, tmp_path, ids=[81, 82], workers=1)
    assert calls == [82, 81] and both[1] == first[0] and 0.1 < both[0]["split"]["rand"] < 0.9
