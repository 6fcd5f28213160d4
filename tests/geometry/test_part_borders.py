"Borders between parts after a cut"
import numpy as np

from sdf_dino.geometry.part_borders import move_borders, refine_borders

ROW = np.stack([np.arange(59), np.arange(1, 60)], 1)     # sixty samples in a row


def test_a_border_moves_to_where_the_features_change():
    place = np.eye(2)[np.repeat([0, 1], 30)]
    moved = move_borders(place, np.repeat([0, 1], [26, 34]), ROW, np.zeros(59))
    assert moved.tolist() == [0]*30 + [1]*30


def test_a_border_without_a_change_of_features_stays_in_its_crease():
    place = np.linspace(-1, 1, 60)[:, None] * .1 + np.array([1., 0])
    crease = np.zeros(59)
    crease[19] = .7
    moved = move_borders(place, np.repeat([0, 1], [20, 40]), ROW, crease)
    assert moved.tolist() == [0]*20 + [1]*40


def test_a_lone_sample_joins_its_neighbours_and_labels_of_shells_stay():
    lone = np.zeros(60, int)
    lone[30] = 1
    assert (move_borders(np.ones((60, 2)), lone, ROW, np.zeros(59)) == 0).all()
    assert refine_borders(None, lone) is lone
