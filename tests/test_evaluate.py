"People against people on the benchmark at hand: the scores that its authors record, and no score but by the protocol"
from itertools import combinations

import numpy as np
import pytest

from sdf_dino.evaluate.cases import psb_case
from sdf_dino.evaluate.metrics import HumanSegmentations, rand_index_error
from sdf_dino.data.psb import psb_models
from sdf_dino.evaluate.perturbations import HOW, perturbed_case
from sdf_dino.evaluate.benchmark import EvaluationSettings, evaluate, far_from_record
from sdf_dino.geometry.smoothing import face_adjacency, split_components
from sdf_dino.evaluate.runner import run_cases


def among_people(model):
    "The mean Rand-index error over the pairs of its human segmentations, each split into connected pieces"
    pairs = face_adjacency(model.mesh.faces)[0]
    pieces = [split_components(seg, pairs) for seg in model.segmentations()]
    return np.mean([rand_index_error(a, b) for a, b in combinations(pieces, 2)])


def test_people_score_what_the_benchmark_records(shared):
    "Every category, by the definition itself: every unordered pair, each model the same weight"
    means = {}
    for m in psb_models(shared / "psb"):
        means.setdefault(m.category, []).append(among_people(m))
    assert {len(v) for v in means.values()} == {20}
    assert not far_from_record({category: np.mean(v) for category, v in means.items()})


def test_the_split_decides_the_score_of_labelled_parts(shared):
    "Legs of one name are one segment to the labels and many to the benchmark"
    m = psb_models(shared / "psb", "Ant")[0]
    split, whole = (HumanSegmentations(m).score(m.parts()[1], split) for split in (True, False))
    assert split["segments"] > whole["segments"] == len(m.parts()[0]) and split["rand"] < whole["rand"] / 2
    assert split["ari"] > whole["ari"] and split["cut"] == pytest.approx(whole["cut"]), "the borders are the same"


def test_a_run_goes_on_where_it_was_cut(shared, tmp_path):
    "One file a model: what is there is not made again, whatever order it was made in"
    calls = []

    def halves(subject, k, seed):
        calls.append(len(subject.points))
        return (subject.points[:, 0] > np.median(subject.points[:, 0])).astype(int)

    where, faces = {"data": shared / "psb"}, {m.id: len(m.mesh.faces) for m in psb_models(str(shared / "psb"))}
    assert faces[81] != faces[82], "by their faces they are told apart"
    first = run_cases(psb_case, [82], halves, tmp_path, **where)
    both = run_cases(psb_case, [81, 82], halves, tmp_path, workers=1, **where)
    assert calls == [faces[82], faces[81]] and both[1] == first[0] and 0.1 < both[0]["split"]["rand"] < 0.9


def test_lines_of_real_models(shared, tmp_path):
    "People against people and one segment for all, through the call that the command makes"
    asked = EvaluationSettings(str(shared / "psb"), ids="81-83", smooth=0, folder=str(tmp_path))
    lines = {(r["test"], r["method"], r["metric"]): r for r in evaluate(["psb"], ["human", "one"], asked)}
    people = lines["psb", "human", "rand"]["mean"]
    assert people == pytest.approx(np.mean([among_people(m) for m in psb_models(str(shared / "psb")) if m.id in (81, 82, 83)]))
    assert people < 0.5 < lines["psb", "one", "rand"]["mean"]
    assert lines["psb", "one", "rand"]["shapes"] == 3 and lines["psb/B", "human", "rand"] | {"test": "psb"} == lines["psb", "human", "rand"]


@pytest.mark.parametrize("how", HOW)
def test_people_agree_on_a_disturbed_mesh_as_before(how, shared):
    "Labels carried to another mesh of the same shape keep what people agree on"
    data = str(shared / "psb")
    before, after = (rand_index_error(*perturbed_case(f"81.{name}", data=data).truth.segmentations()[:2]) for name in ("as_it_is", how))
    assert abs(before - after) < 0.03
