"Every variant of the decoder against its textbook form, and backbones on disk"
import copy
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import sdf_dino
from sdf_dino.core.errors import CheckpointError, ParameterError
from sdf_dino.core.files import read_json, write_json
from sdf_dino.field.decoder import Backbone, DecoderConfig, DeepSDF, positional_encoding, query_decoder

POINTS = np.random.default_rng(0).random((70, 3)) - .5
ACTIVATIONS = {
    "relu": torch.relu, "gelu": F.gelu, "sine": lambda x: torch.sin(30 * x),
    "softplus": lambda x: torch.log1p(torch.exp(-(100 * x).abs())) / 100 + x.relu()}
VARIANTS = [
    {}, {"skip": 2}, {"weight_norm": True}, {"activation": "softplus"}, {"activation": "gelu"},
    {"expose": "pre"}, {"activation": "sine", "frequencies": 0},
    {"encoding": "hash", "skip": 1, "weight_norm": True, "expose": "pre"}]


def textbook(net, points, codes):
    "The decoder of the paper: the code is concatenated to every point"
    config = net.config
    repeated = codes[:, None].expand(-1, points.shape[1], -1)
    x = hidden = torch.cat([net.encode(points, codes), repeated], -1)
    layers = []
    for i, layer in enumerate(net.hidden):
        if i and i == config.skip: hidden = torch.cat([hidden, x], -1)
        before = layer(hidden)
        hidden = ACTIVATIONS[config.activation](before)
        layers.append(hidden if config.expose == "post" else before)
    return net.out(hidden)[..., 0], layers


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_a_variant_has_the_numbers_of_the_textbook(settings):
    torch.manual_seed(0)
    codes, points = torch.randn(2, 64), torch.rand(2, 50, 3) - .5
    net = DeepSDF(DecoderConfig(**settings))
    sdf, activations = net(points, codes, store_activations=True)
    expected, layers = textbook(net, points, codes)
    assert torch.allclose(sdf, expected, atol=1e-5)
    assert torch.allclose(net(points[1], codes[1]), sdf[1], atol=1e-5), "a single shape"
    assert [a.shape for a in activations] == [(2, 50, width) for width in net.widths]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(activations, layers))
    sdf.sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_the_network_of_the_deepsdf_paper():
    net = DeepSDF(DecoderConfig(256, 512, 8, skip=4, weight_norm=True, exposed="3,7"))
    _, activations = net(torch.rand(5, 3), torch.zeros(256), store_activations=True)
    assert net.widths == [a.shape[-1] for a in activations] == [512, 512]


def test_names_and_sizes_of_stored_weights():
    net = DeepSDF()
    assert net.hidden[0].in_features == 103
    assert list(net.state_dict())[:2] == ["hidden.0.weight", "hidden.0.bias"]


@pytest.mark.parametrize("settings", [
    {"activation": "relux"}, {"skip": 3}, {"exposed": "2,0"}, {"exposed": "3"}, {"expose": "both"},
    {"encoding": "none"}, {"layers": 0}], ids=str)
def test_impossible_settings_are_refused_by_name(settings):
    with pytest.raises(ParameterError, match=list(settings)[0]): DecoderConfig(**settings)


def test_sine_layers_start_with_equal_spread():
    torch.manual_seed(0)
    net = DeepSDF(DecoderConfig(16, 256, 6, frequencies=0, activation="sine"))
    _, activations = net(torch.rand(4000, 3) - .5, .01 * torch.randn(16), True)
    spread = [a.std().item() for a in activations[1:]]
    assert max(spread) < 1.3 * min(spread)
    assert .6 < spread[-1] < .8, "arcsine distributed: the root of a half"


@pytest.mark.parametrize("seed", range(20))
def test_some_of_the_field_starts_within_the_clamp(seed):
    "With torch's own bias of the output four of these seeds had no gradient anywhere"
    torch.manual_seed(seed)
    net = DeepSDF(DecoderConfig(16, 64, 3, 4))
    assert (net(torch.rand(500, 3) - .5, .01 * torch.randn(16)).abs() < .1).any()


@pytest.mark.parametrize("settings", [{"activation": "sine", "frequencies": 0}, {"encoding": "hash"}], ids=str)
def test_flat_starts_lie_within_the_clamp(settings):
    torch.manual_seed(0)
    net = DeepSDF(DecoderConfig(**settings))
    assert net(torch.rand(2, 50, 3) - .5, torch.randn(2, 64)).abs().max() < .1


@pytest.fixture
def rich(tmp_path):
    "A saved backbone with settings other than the default"
    config = DecoderConfig(8, 16, 3, skip=1, weight_norm=True, activation="gelu", encoding="hash")
    torch.manual_seed(0)
    return Backbone(DeepSDF(config), {"a": torch.randn(8)}).save(tmp_path)


def test_a_backbone_comes_back_with_its_settings(rich, tmp_path):
    loaded = Backbone.load(tmp_path)
    assert loaded.decoder.config == rich.decoder.config and loaded.hash == rich.hash
    found = query_decoder(copy.deepcopy(loaded.decoder), POINTS, loaded.latents["a"])
    assert np.array_equal(found, query_decoder(rich.decoder, POINTS, rich.latents["a"]))


def test_what_is_exposed_is_part_of_the_hash(rich, tmp_path):
    shown = rich.exposing("pre", "0,2")
    _, activations = query_decoder(shown.decoder, POINTS, rich.latents["a"], activations=True)
    assert shown.decoder.widths == [16, 16] and rich.decoder.widths == [16] * 3
    assert np.min(activations) < -.2, "gelu alone is never below -0.17"
    assert shown.hash != rich.hash == rich.exposing().hash
    assert shown.save(tmp_path / "shown").hash == rich.exposing("pre", "0,2").hash


def test_the_encoded_input_can_be_exposed(rich):
    code = rich.latents["a"]
    _, (encoded,) = query_decoder(rich.exposing("input").decoder, POINTS, code, activations=True)
    expected = rich.decoder.encode(torch.from_numpy(POINTS), code).detach()
    assert np.allclose(encoded, expected, atol=1e-6)
    with pytest.raises(ParameterError, match="empty"): rich.exposing("input", "0")


def test_settings_of_a_later_version_are_refused(rich, tmp_path):
    config = read_json(tmp_path / "config.json")
    config["decoder"]["fancy"] = 1
    write_json(tmp_path / "config.json", config)
    with pytest.raises(CheckpointError, match="fancy"): Backbone.load(tmp_path)


def test_a_folder_of_two_backbones_is_refused(rich, tmp_path):
    Backbone(DeepSDF(rich.decoder.config), {}).save(tmp_path / "other")
    (tmp_path / "other" / "model.safetensors").replace(tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="model.safetensors"): Backbone.load(tmp_path)


@pytest.mark.parametrize("name", ["probe9", "compounds", "psb", "psb_a", "psb_b"])
def test_shipped_weights_load(name):
    backbone = Backbone.load(Path(sdf_dino.__file__).parent / "weights" / name / "backbone")
    assert backbone.exposing().hash == backbone.hash and backbone.info["train"]["clamp"] == .1


def test_shipped_distances_are_those_of_the_plain_formula():
    shipped = Backbone.load(Path(sdf_dino.__file__).parent / "weights" / "probe9" / "backbone")
    points = (np.random.default_rng(0).random((5000, 3)) - .5).astype(np.float32)
    code = shipped.latents["chair"]
    weights = {name: value.double() for name, value in shipped.decoder.state_dict().items()}
    encoded = positional_encoding(torch.from_numpy(points).double())
    x = torch.cat([encoded, code.double().expand(len(points), -1)], -1)
    for i in range(3): x = torch.relu(x @ weights[f"hidden.{i}.weight"].T + weights[f"hidden.{i}.bias"])
    true = (x @ weights["out.weight"].T + weights["out.bias"])[:, 0].numpy()
    assert abs(query_decoder(shipped.decoder, points, code) - true).max() < 2e-6
    error = abs(query_decoder(shipped.decoder, points, code, precision="bfloat16") - true)[abs(true) < .02]
    assert 0 < error.mean() < 1.5e-4 and error.max() < 1e-3, "bfloat16 is near, not equal"
