"""Gradient check: passes for correct gradients and fails for planted errors."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from conftest import Finished
from torch import Tensor, nn

from dlcli import api
from dlcli.config.load import load_config
from dlcli.lecture import gradcheck as module
from dlcli.lecture import identities
from dlcli.lecture.gradcheck import difference_quotients, relative_error
from dlcli.model import ACTIVATIONS, Heaviside
from dlcli.overview import HEAVISIDE_NOTE
from dlcli.task import Classification
from dlcli.training.fast import activations as elementwise

SMALL = ["model.hidden_sizes=[12, 8]"]
CLASSIFICATION = [
    "{name: cross_entropy}",
    "{name: cross_entropy, label_smoothing: 0.1}",
    "{name: cross_entropy, class_weights: balanced}",
    "{name: cross_entropy, class_weights: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], label_smoothing: 0.2}",
    "{name: mse}",
]
REGRESSION = ["{name: mse}", "{name: l1}", "{name: huber, delta: 0.3}"]


def check(preset: str, *settings: str) -> api.GradcheckResult:
    return api.gradcheck(load_config(preset, [*SMALL, *settings]))


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize(("preset", "init"), [("digits", "normal"), ("diabetes", "xavier_uniform")])
def test_every_activation_passes(preset: str, activation: str, init: str) -> None:
    result = check(preset, f"model.activation={activation}", f"model.init={init}")
    assert result.failures == ()
    assert sum(parameter.sampled for parameter in result.parameters) > 20 * sum(
        parameter.skipped for parameter in result.parameters
    )
    assert all(parameter.formula_error is not None for parameter in result.parameters)


@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
@pytest.mark.parametrize(
    ("preset", "loss"), [*(("digits", loss) for loss in CLASSIFICATION), *(("diabetes", loss) for loss in REGRESSION)]
)
def test_every_loss_passes(preset: str, loss: str, activation: str) -> None:
    result = check(preset, f"loss={loss}", f"model.activation={activation}")
    assert result.failures == ()
    assert all(parameter.sampled for parameter in result.parameters)


@pytest.mark.parametrize("loss", CLASSIFICATION[1:])
def test_the_l1_head_passes_and_its_poles_are_skipped(loss: str) -> None:
    result = check("digits", f"loss={loss}", "model.head=l1")
    assert result.failures == ()
    assert sum(parameter.sampled for parameter in result.parameters) > sum(
        parameter.skipped for parameter in result.parameters
    )
    assert not any("softmax" in identity.formula for identity in result.identities)


@pytest.mark.parametrize("settings", [["model.hidden_sizes=[]"], ["model.dropout=0.5"], ["training.precision=bf16"]])
def test_linear_models_dropout_and_bf16_pass(settings: list[str]) -> None:
    result = check("moons", *settings)
    assert result.failures == ()
    assert any("dropout=0.5 is off" in note for note in result.notes) == (settings == ["model.dropout=0.5"])


def test_batch_norm_is_checked_over_the_batch_against_differences() -> None:
    result = check("moons", "model.batch_norm=true", "model.activation=tanh")
    assert result.failures == ()
    names = ["weight", "bias", "norm weight", "norm bias"]
    expected = [*((layer, name) for layer in (1, 2) for name in names), (3, "weight"), (3, "bias")]
    assert [(parameter.layer, parameter.parameter) for parameter in result.parameters] == expected
    assert all(parameter.formula_error is None and parameter.sampled for parameter in result.parameters)
    assert result.parameters[1].largest < 1e-12, "the batch mean cancels the bias before it"


def test_heaviside_has_zero_gradients_and_a_note(dlcli: Callable[..., Finished]) -> None:
    done = dlcli("gradcheck", "-c", "moons", *SMALL, "model.activation=heaviside")
    assert done.code == 0
    words = " ".join(done.out.split())
    assert "layers 1, 2: autograd, the analytic gradients and finite differences are all exactly 0" in words
    assert HEAVISIDE_NOTE in words
    result = check("moons", "model.activation=heaviside")
    hidden, last = result.parameters[:-2], result.parameters[-2:]
    assert all(
        (parameter.largest, parameter.formula_error, parameter.difference_error) == (0, 0, 0) for parameter in hidden
    )
    assert all(parameter.largest > 0.01 for parameter in last)


def test_a_layer_with_gradients_is_not_reported_as_flat() -> None:
    for activation in ("sigmoid", "relu"):
        assert not any("exactly 0" in note for note in check("moons", f"model.activation={activation}").notes)
    zeros = check("moons", "model.init=zeros")
    assert [note for note in zeros.notes if note.startswith("layers 1, 2")], "all weights above are 0"


def planted(right: elementwise.Elementwise, factor: float) -> elementwise.Elementwise:
    """Return an activation whose derivative is wrong by a factor."""

    def backward(gradient: Tensor, z: Tensor, h: Tensor) -> None:
        right.backward(gradient, z, h)
        gradient.mul_(factor)

    return elementwise.Elementwise(right.apply, backward, right.in_place)


@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - {"heaviside"}))
def test_a_wrong_derivative_exits_with_6_and_names_the_layer(
    dlcli: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    kind = type(ACTIVATIONS[name]())
    monkeypatch.setitem(elementwise.ELEMENTWISE, kind, planted(elementwise.ELEMENTWISE[kind], 1.0001))
    done = dlcli("gradcheck", "-c", "diabetes", *SMALL, f"model.activation={name}")
    assert done.code == 6
    assert done.err.splitlines()[1].startswith("  layer 2, bias: autograd and the analytic gradient differ by 0.0001")
    assert "layer 1, weight" in done.err
    assert "layer 3" not in done.err, "above the activation all is well"
    assert "all agree" not in done.out


def test_a_wrong_loss_gradient_is_reported_in_every_layer(
    dlcli: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Classification.loss_gradient
    monkeypatch.setattr(Classification, "loss_gradient", lambda *args: right(*args) * 1.01)
    done = dlcli("gradcheck", "-c", "digits", *SMALL)
    assert done.code == 6
    assert all(f"layer {layer}, weight" in done.err for layer in (1, 2, 3))
    assert "n ∂L/∂z = p − y does not hold" in done.err


def test_a_softmax_that_differs_from_its_formula_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    right = identities._softmax_differences
    monkeypatch.setattr(identities, "_softmax_differences", lambda logits: right(logits * (1 + 1e-3)))
    softmax = ("∂softmax(z)/∂z = diag(p) − p pᵀ does not hold", "its diagonal = p ⊙ (1 − p) does not hold")
    assert check("digits").failures == softmax


class _HalfSigmoid(torch.autograd.Function):
    """A sigmoid whose derivative by autograd is wrong."""

    @staticmethod
    def forward(context: object, z: Tensor) -> Tensor:
        return z.sigmoid()

    @staticmethod
    def backward(context: object, gradient: Tensor) -> Tensor:
        return gradient / 2


class _WrongActivation(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return _HalfSigmoid.apply(z)  # type: ignore[no-any-return]


def test_autograd_is_checked_for_activations_without_a_formula(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(ACTIVATIONS, "silu", _WrongActivation)
    result = check("diabetes", "model.activation=silu")
    assert {parameter.formula_error for parameter in result.parameters} == {None}
    named = [text for text in result.failures if "differences" in text]
    assert named[0].startswith("layer 2, bias: autograd and finite differences differ by")
    assert not any("layer 3" in text for text in result.failures)
    monkeypatch.setitem(ACTIVATIONS, "silu", nn.Softsign)
    assert check("diabetes", "model.activation=silu").failures == ()


def quotients_of(function: Callable[[Tensor], Tensor], *at: float) -> list[float]:
    parameter = torch.tensor(at, dtype=torch.float64)
    with torch.no_grad():
        quotients = difference_quotients(lambda: function(parameter).sum(), parameter, torch.arange(len(at)), 1e-3)
    assert parameter.tolist() == list(at)
    return quotients.tolist()


def test_differences_are_accurate_where_the_loss_is_smooth() -> None:
    at = [-3.0, 0.0, 0.7, 20.0]
    np.testing.assert_allclose(quotients_of(torch.sin, *at), np.cos(at), atol=1e-8)
    np.testing.assert_allclose(quotients_of(torch.exp, 5.0), np.exp(5), rtol=1e-8)


KINKED: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[float], float]]] = {
    "relu": (torch.relu, lambda t: float(t > 0)),
    "|t|": (torch.abs, np.sign),
    "jump": (Heaviside(), lambda t: 0.0),
    "pole": (torch.reciprocal, lambda t: -1 / t**2),
    "log |t|": (lambda t: t.abs().clamp_min(1e-12).log(), lambda t: 1 / t),
}


@pytest.mark.parametrize("offset", [0, 1e-7, -1e-6, 1.7e-6, 2e-6, -3e-6, 4e-6, -6e-6, 6.05e-6])
@pytest.mark.parametrize("name", KINKED)
def test_a_kink_a_jump_or_a_pole_within_the_step_is_skipped(name: str, offset: float) -> None:
    function, slope = KINKED[name]
    (quotient,) = quotients_of(function, offset)
    if abs(offset) < 6e-6:
        assert np.isnan(quotient)
    else:
        assert np.isnan(quotient) or quotient == pytest.approx(slope(offset), rel=1e-5)


def test_a_kink_beyond_the_step_is_ignored() -> None:
    assert quotients_of(torch.relu, 1e-5, -1e-5) == pytest.approx([1, 0], abs=1e-9)


def test_units_at_their_kink_are_skipped_and_do_not_fail() -> None:
    loaded = load_config("moons", ["model={hidden_sizes: [8, 8], activation: relu, init: kaiming_normal}"])
    experiment = api.build_experiment(loaded.config)
    model = copy.deepcopy(experiment.model).double()
    with torch.no_grad():
        model[0].weight[0] = 0  # type: ignore[index, operator]  # z = b = 0 for every example
    batch = experiment.splits.train.select(torch.arange(32)).to(torch.device("cpu"), torch.float64)
    result = module.check_gradients(model, experiment.task, batch, seed=0)
    assert result.failures == []
    skipped = {(parameter.layer, parameter.parameter): parameter.skipped for parameter in result.parameters}
    assert skipped[1, "bias"] >= 1
    assert skipped[1, "weight"] >= 1
    assert skipped[3, "weight"] == skipped[3, "bias"] == 0


def test_relative_error_is_relative_to_the_larger_number_or_the_floor() -> None:
    a, b = torch.tensor([1.0, 0.0, -2.0]), torch.tensor([1.1, 1e-6, -2.0])
    assert relative_error(a, b, 1e-3) == pytest.approx(0.1 / 1.1)
    assert relative_error(a[1:], b[1:], 1e-3) == pytest.approx(1e-3)
    assert np.isnan(relative_error(a, torch.full((3,), torch.nan), 1e-3))


@pytest.mark.parametrize(
    "arguments", [("digits",), ("diabetes", "loss.name=huber"), ("digits", "model.head=l1", "model.init=normal")]
)
def test_page_fits_80_columns_and_agrees_with_json(dlcli: Callable[..., Finished], arguments: tuple[str, ...]) -> None:
    shown = dlcli("gradcheck", "-c", *arguments)
    assert (shown.code, shown.err) == (0, "")
    assert max(map(len, shown.out.splitlines())) <= 80, shown.out
    assert "all agree" in shown.out
    result = json.loads(dlcli("gradcheck", "-c", *arguments, "--json").out)
    assert result["failures"] == []
    assert f"1 weight  {result['parameters'][0]['entries']:>9,}".replace(" ", "") in shown.out.replace(" ", "")
    assert result["identities"][0]["formula"] in shown.out
