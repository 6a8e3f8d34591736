from __future__ import annotations

import copy
import platform
import sys
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from dlcli.training import onednn
from dlcli.training.layers import Layer, ones_beside
from dlcli.training.onednn import OneDnnLayer, build_layer, measure_gain

needs_onednn = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64" or not torch.backends.mkldnn.is_available(),
    reason="needs torch's oneDNN, as in its builds for Linux on x86-64",
)


@pytest.fixture(autouse=True)
def _probe_anew() -> Iterator[None]:
    measure_gain.cache_clear()
    yield
    measure_gain.cache_clear()


def test_a_layer_is_onednns_only_where_it_is_large_and_gains_much_or_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(onednn, "measure_gain", lambda: 1.8)
    assert type(build_layer(nn.Linear(784, 256), by_units=False, n=64)) is OneDnnLayer
    assert type(build_layer(nn.Linear(64, 64), by_units=False, n=64)) is Layer
    assert type(build_layer(nn.Linear(784, 256).double(), by_units=False, n=64)) is Layer
    assert type(build_layer(nn.Linear(784, 256), by_units=False, n=64, library="torch")) is Layer
    monkeypatch.setattr(onednn, "measure_gain", lambda: 1.1)
    assert type(build_layer(nn.Linear(784, 256), by_units=False, n=64)) is Layer
    assert type(build_layer(nn.Linear(784, 256), by_units=False, n=64, library="onednn")) is OneDnnLayer
    monkeypatch.setattr(onednn, "measure_gain", lambda: 0.0)
    assert type(build_layer(nn.Linear(784, 256), by_units=False, n=64, library="onednn")) is Layer


@needs_onednn
def test_torch_still_has_the_operation_and_a_reduced_precision_would_be_noticed() -> None:
    """If this fails after an update of torch, the usual library is used; see what the operation is called now."""
    torch.manual_seed(0)
    left, right = torch.randn(64, 512), torch.randn(512, 256)
    assert onednn._error(left, right) < 3e-6
    assert onednn._error(left.bfloat16().float(), right) < 3e-6
    rounded = (left.bfloat16().double() @ right.bfloat16().double() - left.double() @ right.double()).abs().max()
    assert rounded / (left @ right).abs().max() > 10 * onednn._MAX_ERROR


def test_where_torch_has_it_no_more_the_usual_library_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Tensor) -> Tensor:
        raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute '_linear_pointwise'")

    monkeypatch.setattr(onednn, "_multiply", missing)
    most = torch.get_num_threads()
    assert measure_gain() == 0
    assert torch.get_num_threads() == most


@needs_onednn
@torch.inference_mode()
def test_its_products_are_those_of_the_usual_library() -> None:
    torch.manual_seed(0)
    original, n = nn.Linear(100, 50), 32
    h, delta = ones_beside(n, 100, dtype=torch.float32, device=torch.device("cpu")), torch.randn(n, 50)
    h[:, :-1].normal_()
    results = []
    for kind in (Layer, OneDnnLayer):
        linear = copy.deepcopy(original)
        layer = kind(linear, by_units=False)
        z, below = torch.empty(n, 50), torch.empty(n, 100)
        layer.forward(h, z)
        layer.pull_back(delta, below)
        gradient = layer.keep_gradient()
        layer.learn(h.t(), delta, 0.1, 1.0)
        layer.gradient = None
        for keep in (1.0, 0.9):
            layer.learn(h.t(), delta, 0.1, keep)
        layer.update_model()
        results.append([z, below, gradient, *linear.parameters()])
    for usual, ours in zip(*results, strict=True):
        torch.testing.assert_close(usual, ours, rtol=1e-5, atol=1e-4)
