"Scores of the layer probe on made-up features"
import numpy as np
import pytest

from sdf_dino.field.layer_probe import (
    PROPOSAL_TABLE, linear_probe, oracle_layer_rows, summarise_probe)


def test_the_proposal_table_has_the_mean_that_the_proposal_states():
    assert np.mean([ari for _, ari, _ in PROPOSAL_TABLE.values()]) == pytest.approx(.559, abs=.001)


def test_the_mean_over_shapes_is_taken_within_each_seed():
    rows = [{"shape": shape, "features": "xyz", "seed": seed, "ari": seed}
            for shape in ("a", "b") for seed in (0, 1)]
    table = summarise_probe(rows)["xyz"]
    assert table["a"] == table["mean"] == (.5, np.std([0, 1], ddof=1))


def test_the_oracle_chooses_among_layers_alone():
    rows = [{"shape": "a", "features": kind, "ari": ari}
            for kind, ari in (("xyz", .9), ("layer_0", .2), ("layer_1", .4), ("all_layers", .3))]
    assert oracle_layer_rows(rows) == [
        {"shape": "a", "features": "oracle_layer", "ari": .4, "layer": "layer_1"}]


def test_features_that_only_name_the_shape_do_not_predict_a_held_out_one():
    fold = np.arange(400) % 4
    position = np.random.default_rng(0).normal(size=(400, 3))
    kind = np.array(["a", "b", "b", "a"])[fold]
    targets = {"position": position, "normal": position, "kind": kind}
    assert linear_probe(np.eye(4)[fold], targets, fold)["primitive_accuracy"] < .6
