from __future__ import annotations

import copy
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from dlcli.training import onednn
from dlcli.training.layers import Layer, ones_beside
from dlcli.training.onednn import Library, OneDnnLayer, build_layer, measure_gain

CPU_INFO = Path("/proc/cpuinfo").read_text() if sys.platform == "linux" else ""
needs_onednn = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() != "AVX512" or "amx_tile" in CPU_INFO,
    reason="needs AVX-512, without the matrix units that oneDNN would round for",
)


@pytest.fixture(autouse=True)
def _probe_anew() -> Iterator[None]:
    measure_gain.cache_clear()
    yield
    measure_gain.cache_clear()


@pytest.mark.parametrize(
    ("gain", "is_amd", "library", "batch_sizes"),  # of the three below that are given to oneDNN
    [
        (1.8, False, None, [64, 512]),
        (1.1, True, None, [512]),
        (1.1, False, None, []),
        (1.1, False, "onednn", [512]),
        (0.0, True, "onednn", []),
        (1.8, True, "torch", []),
    ],
)
def test_large_layers_are_onednns_where_it_is_faster_or_was_taken_before(
    monkeypatch: pytest.MonkeyPatch, gain: float, is_amd: bool, library: Library | None, batch_sizes: list[int]
) -> None:
    monkeypatch.setattr(onednn, "measure_gain", lambda: gain)
    monkeypatch.setattr(onednn, "is_amd", lambda: is_amd)
    linear = nn.Linear(784, 256)
    layers = {n: build_layer(linear, by_units=False, n=n, library=library) for n in (8, 64, 512)}
    assert [n for n, layer in layers.items() if type(layer) is OneDnnLayer] == batch_sizes
    assert type(build_layer(linear.double(), by_units=False, n=512, library=library)) is Layer


@needs_onednn
def test_torch_still_multiplies_by_onednn_where_it_may_round_and_only_there(capfd: pytest.CaptureFixture[str]) -> None:
    """If this fails after an update of torch, the usual library is used; see how oneDNN is chosen now."""
    left, right = torch.randn(64, 512), torch.randn(512, 256)
    with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
        with onednn._onednn():
            left @ right
        left @ right
    assert len(re.findall("exec,cpu,matmul", capfd.readouterr().out)) == 1


@needs_onednn
def test_it_is_as_accurate_as_float32_and_a_reduced_precision_would_be_noticed() -> None:
    torch.manual_seed(0)
    left, right = torch.randn(64, 512), torch.randn(512, 256)
    assert onednn._error(left, right) < 3e-6
    assert onednn._error(left.bfloat16().float(), right) < 3e-6
    rounded = (left.bfloat16().double() @ right.bfloat16().double() - left.double() @ right.double()).abs().max()
    assert rounded / (left @ right).abs().max() > 10 * onednn._MAX_ERROR


def test_where_it_rounds_the_usual_library_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "_error", lambda *_: 1e-3)
    most = torch.get_num_threads()
    assert measure_gain() == 0
    assert torch.get_num_threads() == most


def test_where_torch_cannot_be_told_the_usual_library_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def onednn_() -> None:
        raise AttributeError("Unknown attribute fp32_precision")

    monkeypatch.setattr(onednn, "_onednn", onednn_)
    assert measure_gain() == 0


@needs_onednn
@torch.inference_mode()
def test_its_products_are_those_of_the_usual_library() -> None:
    torch.manual_seed(0)
    original, n = nn.Linear(100, 50), 32
    h, delta = ones_beside(n, 100, dtype=torch.float32, device=torch.device("cpu")), torch.randn(n, 50)
    h[:, :-1].normal_()
    results = []
    for build in (lambda linear: Layer(linear, by_units=False), OneDnnLayer):
        linear = copy.deepcopy(original)
        layer = build(linear)
        z, below = torch.empty(n, 50), torch.empty(n, 100)
        layer.forward(h, z)
        layer.pull_back(delta, below)
        layer.keep_gradient()
        gradient = layer.gradient
        layer.learn(h.t(), delta, 0.1, 1.0)
        layer.gradient = None
        for keep in (1.0, 0.9):
            layer.learn(h.t(), delta, 0.1, keep)
        layer.update_model()
        results.append([z, below, gradient, *linear.parameters()])
    for usual, ours in zip(*results, strict=True):
        torch.testing.assert_close(usual, ours, rtol=1e-5, atol=1e-4)
