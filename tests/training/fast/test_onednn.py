from __future__ import annotations

import copy
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from dlcli.training.fast import onednn
from dlcli.training.fast.layers import Layer, with_ones_column
from dlcli.training.fast.onednn import Library, OneDnnLayer, build_layer

CPU_INFO = Path("/proc/cpuinfo").read_text() if sys.platform == "linux" else ""
needs_onednn = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() != "AVX512" or "amx_tile" in CPU_INFO,
    reason="needs AVX-512, without the matrix units that oneDNN would round for",
)


@pytest.fixture(autouse=True)
def _nothing_cached() -> Iterator[None]:
    onednn._faster_from.cache_clear()
    yield
    onednn._faster_from.cache_clear()


def pretend(monkeypatch: pytest.MonkeyPatch, *, family: int | None, accurate: bool = True) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(onednn, "_amd_family", lambda: family)
    monkeypatch.setattr(onednn, "_is_accurate", lambda: accurate)


@pytest.mark.parametrize(
    ("family", "accurate", "library", "batch_sizes"),  # of the three below that are given to oneDNN
    [
        (26, True, "onednn", [64, 512]),
        (27, True, "onednn", [64, 512]),
        (25, True, "onednn", [512]),
        (23, True, "onednn", []),
        (None, True, "onednn", []),
        (26, False, "onednn", []),
        (26, True, "torch", []),
    ],
)
def test_large_layers_use_onednn_on_processors_where_it_is_faster(
    monkeypatch: pytest.MonkeyPatch, family: int | None, accurate: bool, library: Library, batch_sizes: list[int]
) -> None:
    pretend(monkeypatch, family=family, accurate=accurate)
    linear = nn.Linear(784, 256)
    layers = {n: build_layer(linear, unit_major=False, n=n, library=library) for n in (8, 64, 512)}
    assert [n for n, layer in layers.items() if type(layer) is OneDnnLayer] == batch_sizes
    assert type(build_layer(linear.double(), unit_major=False, n=512, library=library)) is Layer


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("vendor_id\t: AuthenticAMD\ncpu family\t: 26\nmodel\t\t: 2\n", 26),
        ("vendor_id\t: GenuineIntel\ncpu family\t: 6\n", None),
        ("AMD64 Family 25 Model 97 Stepping 2, AuthenticAMD", 25),
        ("", None),
    ],
)
def test_the_processor_family_is_read_from_the_system(
    monkeypatch: pytest.MonkeyPatch, text: str, family: int | None
) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_arguments, **_options: text)
    assert onednn._amd_family() == family


@needs_onednn
def test_torch_uses_onednn_only_if_it_may_round(capfd: pytest.CaptureFixture[str]) -> None:
    """If this fails after an update of torch, the usual library is used; see how oneDNN is chosen now."""
    left, right = torch.randn(64, 512), torch.randn(512, 256)
    with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
        with onednn._onednn():
            left @ right
        left @ right
    assert len(re.findall("exec,cpu,matmul", capfd.readouterr().out)) == 1


@needs_onednn
def test_onednn_is_as_accurate_as_float32_and_lower_precision_is_detected() -> None:
    torch.manual_seed(0)
    left, right = torch.randn(64, 512), torch.randn(512, 256)
    assert onednn._error(left, right) < 3e-6
    assert onednn._error(left.bfloat16().float(), right) < 3e-6
    rounded = (left.bfloat16().double() @ right.bfloat16().double() - left.double() @ right.double()).abs().max()
    assert rounded / (left @ right).abs().max() > 10 * onednn._MAX_ERROR


def test_the_default_library_is_used_if_onednn_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "_error", lambda *_: 1e-3)
    most = torch.get_num_threads()
    assert not onednn._is_accurate()
    assert torch.get_num_threads() == most


def test_the_default_library_is_used_if_torch_has_no_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    def onednn_() -> None:
        raise AttributeError("Unknown attribute fp32_precision")

    monkeypatch.setattr(onednn, "_onednn", onednn_)
    assert not onednn._is_accurate()


@needs_onednn
@torch.inference_mode()
def test_onednn_products_agree_with_the_default_library() -> None:
    torch.manual_seed(0)
    original, n = nn.Linear(100, 50), 32
    h, delta = with_ones_column(n, 100, dtype=torch.float32, device=torch.device("cpu")), torch.randn(n, 50)
    h[:, :-1].normal_()
    results = []
    for build in (lambda linear: Layer(linear, unit_major=False), OneDnnLayer):
        linear = copy.deepcopy(original)
        layer = build(linear)
        z, below = torch.empty(n, 50), torch.empty(n, 100)
        layer.forward(h, z)
        layer.backward_input(delta, below)
        layer.keep_gradient()
        gradient = layer.gradient
        layer.update(h.t(), delta, 0.1, 1.0)
        layer.gradient = None
        for keep in (1.0, 0.9):
            layer.update(h.t(), delta, 0.1, keep)
        layer.update_model()
        results.append([z, below, gradient, *linear.parameters()])
    for usual, ours in zip(*results, strict=True):
        torch.testing.assert_close(usual, ours, rtol=1e-5, atol=1e-4)


def test_only_the_last_layer_has_padding_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hidden layer of few units is example-major, also where oneDNN would be faster."""
    monkeypatch.setattr(onednn, "choose_library", lambda _: "onednn")
    for units in range(1, 20):
        hidden = build_layer(nn.Linear(50, units), unit_major=False, n=64, library="onednn")
        assert hidden.padding_units == 0, units
