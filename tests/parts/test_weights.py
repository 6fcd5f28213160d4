"Weights: what is missing is named, and cards say what they must"
import pytest
import torch

from sdf_dino.core.errors import InputError, MismatchError
from sdf_dino.core.files import write_json
from sdf_dino.distill.head import HeadConfig, ProjectionHead, save_head
from sdf_dino.field.decoder import Backbone, DecoderConfig, DeepSDF
from sdf_dino.parts.weights import card_text, load_weights, model_card, weights_dir, write_model_card


def test_the_missing_part_is_named(tmp_path):
    write_json(tmp_path / "backbone" / "config.json", {})
    with pytest.raises(InputError, match="has no head yet"): weights_dir(tmp_path)


def test_a_self_attention_head_is_refused(tmp_path):
    backbone = Backbone(DeepSDF(DecoderConfig(8, 16, 3)), {"a": torch.zeros(8)}).save(tmp_path / "backbone")
    save_head(ProjectionHead(HeadConfig(48, prototypes=8, attend=1)), tmp_path / "head", backbone.hash)
    with pytest.raises(MismatchError, match="attend = 0"): load_weights(tmp_path)
    save_head(ProjectionHead(HeadConfig(48, prototypes=8)), tmp_path / "head", backbone.hash)
    assert load_weights(tmp_path)[0].hash == backbone.hash


def test_values_of_a_card_fit_on_a_line():
    assert card_text([1/3, "x", None]) == "0.3333, x, None"
    assert card_text({"a": list(range(9)), "b": []}, 3) == "a 9: 0, 1, 2, …, b none"


def test_a_model_card_says_files_licence_and_loss_but_no_settings(tmp_path):
    toy = tmp_path / "toy"
    card = {"note": "", "data": ["ball"], "licence of the data": ["unknown"], "params": {"lr": .1}}
    write_json(toy / "net" / "card.json", card)
    (toy / "net" / "model.safetensors").write_bytes(bytes(2000))
    (toy / "net" / "curve.png").touch()
    write_model_card(toy)
    text = (toy / "README.md").read_text()
    assert "# Weights toy" in text and "net/model.safetensors 2 kB" in text and "(net/curve.png)" in text
    assert "## net\n\n- **data**: ball\n- **licence of the data**: unknown\n- **settings**" in text
    assert "lr" not in text.split("## net")[1] and "note" not in text


def test_a_score_without_spread_is_one_number(tmp_path):
    write_json(tmp_path / "head" / "card.json", {"scores": {"a": [.5, 0], "b": [.5, .125]}})
    assert "- **scores**: a 0.5, b 0.5 ± 0.12" in model_card(tmp_path)
