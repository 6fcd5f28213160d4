"Weights: what is missing is named, and cards say what they must"
import pytest
import torch

from sdf_dino.core.errors import InputError, MismatchError
from sdf_dino.core.files import write_json
from sdf_dino.distill.head import HeadConfig, ProjectionHead, save_head
from sdf_dino.field.decoder import Backbone, DecoderConfig, DeepSDF
from sdf_dino.geometry.sampling import Sampler, sample_sdf
from sdf_dino.geometry.shapes import probe_shapes
from sdf_dino.parts import weights as weights_module
from sdf_dino.parts.weights import (
    card_text, choose_weights, load_weights, model_card, used_parts, weights_dir, write_model_card)


def test_the_missing_part_is_named(tmp_path):
    write_json(tmp_path / "backbone" / "config.json", {})
    with pytest.raises(InputError, match="has no head yet"): weights_dir(tmp_path)


def test_a_self_attention_head_is_refused(tmp_path):
    backbone = Backbone(DeepSDF(DecoderConfig(8, 16, 3)), {"a": torch.zeros(8)}).save(tmp_path / "backbone")
    save_head(ProjectionHead(HeadConfig(48, prototypes=8, attend=1)), tmp_path / "head", backbone.hash)
    with pytest.raises(MismatchError, match="attend = 0"): load_weights(tmp_path)
    save_head(ProjectionHead(HeadConfig(48, prototypes=8)), tmp_path / "head", backbone.hash)
    assert load_weights(tmp_path)[0].hash == backbone.hash


@pytest.fixture
def folders(tmp_path):
    "Two folders of untrained weights"
    for name in "ab":
        latents = {"shape": torch.zeros(8)}
        backbone = Backbone(DeepSDF(DecoderConfig(8, 16, 3)), latents).save(tmp_path / name / "backbone")
        save_head(ProjectionHead(HeadConfig(48, prototypes=8)), tmp_path / name / "head", backbone.hash)
    return [tmp_path / "a", tmp_path / "b"]


def test_a_process_reads_weights_once_for_all_meshes(folders, monkeypatch):
    loaded, load, samples = [], Backbone.load, sample_sdf(probe_shapes()["snowman"], Sampler(500, 100))
    monkeypatch.setattr(weights_module.Backbone, "load", lambda folder, *device: loaded.append(folder) or load(folder, *device))
    for _ in range(3):
        chosen = choose_weights(samples, folders)
        load_weights(chosen)
    assert sorted(loaded) == [folder / "backbone" for folder in folders]


def test_weights_that_are_trained_again_are_read_again(folders):
    before = load_weights(folders[0])[0]
    Backbone(DeepSDF(DecoderConfig(8, 16, 3)), {"new": torch.zeros(8)}).save(folders[0] / "backbone")
    with pytest.raises(MismatchError): load_weights(folders[0])
    backbone = Backbone.load(folders[0] / "backbone")
    save_head(ProjectionHead(HeadConfig(48, prototypes=8)), folders[0] / "head", backbone.hash)
    assert load_weights(folders[0])[0].hash == backbone.hash != before.hash


def test_weights_that_a_caller_changes_are_the_callers_own(folders):
    head = load_weights(folders[0])[1]
    with torch.no_grad(): next(head.parameters()).fill_(9.)
    assert (next(load_weights(folders[0])[1].parameters()) != 9.).all()


def test_auto_may_read_all_packaged_weights():
    assert {path.parent.name for path in used_parts("auto")} == set(weights_module.packaged_weights())


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
