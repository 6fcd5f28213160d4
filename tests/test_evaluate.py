"The benchmark at hand: people score what its authors published, and runs resume"
from itertools import combinations

import numpy as np
import pytest

from sdf_dino.data.psb import psb_models
from sdf_dino.evaluate.benchmark import (
    HUMAN_RAND_INDEX_ERROR, EvaluationSettings, evaluate, human_score_deviations)
from sdf_dino.evaluate.cases import psb_case
from sdf_dino.evaluate.metrics import HumanSegmentations, rand_index_error
from sdf_dino.evaluate.perturbations import PERTURBATIONS, perturbed_case
from sdf_dino.evaluate.runner import run_cases
from sdf_dino.geometry.smoothing import face_adjacency, split_components


def human_error(model):
    "Mean Rand-index error over pairs of human segmentations, each split into connected components"
    pairs = face_adjacency(model.mesh.faces)[0]
    segmentations = [split_components(labels, pairs) for labels in model.segmentations()]
    return np.mean([rand_index_error(a, b) for a, b in combinations(segmentations, 2)])


def test_people_score_what_is_known_of_them(psb):
    errors = {}
    for model in psb_models(psb.folder):
        errors.setdefault(model.category, []).append(human_error(model))
    assert {name: len(of_category) for name, of_category in errors.items()} == psb.models
    means = {category: np.mean(of_category) for category, of_category in errors.items()}
    assert means == pytest.approx(psb.human_error, abs=.001)
    is_published = psb.human_error is HUMAN_RAND_INDEX_ERROR
    assert bool(human_score_deviations(means)) != is_published


def test_legs_of_one_name_are_many_segments(psb):
    model = psb_models(psb.folder, "Ant")[0]
    people, (names, part) = HumanSegmentations(model), model.parts()
    split, whole = people.score(part), people.score(part, split=False)
    assert split["n_segments"] > whole["n_segments"] == len(names)
    assert split["rand_index_error"] < whole["rand_index_error"] / 2 and split["ari"] > whole["ari"]
    assert split["cut_discrepancy"] == pytest.approx(whole["cut_discrepancy"]), "the same borders"


def test_a_run_resumes(psb, tmp_path):
    calls = []

    def halves(shape, k, seed):
        calls.append(len(shape.points))
        return (shape.points[:, 0] > np.median(shape.points[:, 0])).astype(int)

    faces = {model.id: len(model.mesh.faces) for model in psb_models(psb.folder, "Ant")}
    first = run_cases(psb_case, [82], halves, tmp_path, data=psb.folder)
    both = run_cases(psb_case, [81, 82], halves, tmp_path, workers=1, data=psb.folder)
    assert calls == [faces[82], faces[81]] and both[1] == first[0]


def test_lines_of_real_models(psb, tmp_path):
    settings = EvaluationSettings(str(psb.folder), ids="81-83", smooth=0, folder=str(tmp_path))
    lines = evaluate(["psb"], ["human", "single_segment"], settings)
    error = {(r["test"], r["method"]): r for r in lines if r["metric"] == "rand_index_error"}
    people, single = error["psb", "human"], error["psb", "single_segment"]
    ants = [model for model in psb_models(psb.folder, "Ant") if model.id in (81, 82, 83)]
    assert people["mean"] == pytest.approx(np.mean([human_error(model) for model in ants]))
    assert people["mean"] < 0.5 < single["mean"] and single["shapes"] == 3
    assert error["psb/fold_B", "human"] | {"test": "psb"} == people


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_people_agree_on_a_perturbed_mesh_as_before(name, psb):
    data = str(psb.folder)
    cases = [perturbed_case(f"81.{n}", data=data) for n in ("original", name)]
    before, after = (rand_index_error(*case.labelled.segmentations()[:2]) for case in cases)
    assert abs(before - after) < 0.03
