"""Catalogue of all studies."""

from __future__ import annotations

from dlcli.config.suggest import closest
from dlcli.errors import UsageError
from dlcli.lecture.studies.answers import (
    answer_distance,
    answer_gradients,
    answer_movement,
    answer_pair,
    answer_seconds,
    answer_settings,
    answer_symmetry,
)
from dlcli.lecture.studies.study import BaseConfig, Study, Variant

# Two sigmoid layers, Xavier initialisation, plain SGD at a constant learning rate. The validation split of digits is
# larger than usual because the curves are measured on it, and a tenth of 1,438 examples is too coarse.
_COMMON = ("model.init=xavier_uniform", "optimizer={name: sgd, momentum: 0}", "scheduler=null", "early_stopping=null")
_NETWORK = ("model.hidden_sizes=[64, 64]", "training.batch_size=64", *_COMMON)
_DIGITS = BaseConfig("digits", ("data.val_fraction=0.2", "training.epochs=30", *_NETWORK), level=0.9)
_FASHION = BaseConfig("fashion_mnist", ("training.epochs=5", *_NETWORK), level=0.85)
_IMAGES = {"digits": _DIGITS, "fashion_mnist": _FASHION}
_LRS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


def _extend(base_configs: dict[str, BaseConfig], *settings: str) -> dict[str, BaseConfig]:
    """Return the base configs with additional settings, which take precedence."""
    return {
        data: BaseConfig(base.preset, (*base.settings, *settings), base.level) for data, base in base_configs.items()
    }


_LOSSES = Study(
    name="mse-vs-cross-entropy",
    question="How much worse is squared error on probabilities?",
    lecture="Squared error on the probabilities can work, but in reality does not work well.",
    base_configs=_IMAGES,
    variants=(
        Variant("cross-entropy", ("loss.name=cross_entropy",)),
        Variant("squared error", ("loss.name=mse",)),
    ),
    reference="cross-entropy",
    answer=answer_pair,
    lrs=_LRS,
)

_HEADS = Study(
    name="softmax-vs-l1",
    question="Is learning faster with softmax than with the L1 norm?",
    lecture="Many maps reach the simplex; with softmax the gradient is linear, so learning is faster.",
    base_configs=_IMAGES,
    variants=(Variant("softmax", ("model.head=softmax",)), Variant("L1 norm", ("model.head=l1",))),
    reference="softmax",
    answer=answer_pair,
    lrs=_LRS,
)

_STEPS = Study(
    name="sigmoid-vs-heaviside",
    question="What do the layers below a step function learn?",
    lecture="The Heaviside step has a useless gradient, so it is replaced by the sigmoid.",
    base_configs=_IMAGES,
    variants=(
        Variant("sigmoid", ("model.activation=sigmoid",)),
        Variant("Heaviside", ("model.activation=heaviside",)),
    ),
    reference="sigmoid",
    answer=answer_movement,
    lrs=_LRS,
    panel="moved",
)

_DEPTHS = Study(
    name="depth",
    question="Do more sigmoid layers learn better?",
    lecture="Each sigmoid layer multiplies the gradient by σ(1 − σ), which is at most 1/4.",
    base_configs=_IMAGES,
    variants=tuple(
        Variant(f"{n} layer{'' if n == 1 else 's'}", (f"model.hidden_sizes=[{', '.join(['64'] * n)}]",), n)
        for n in (1, 2, 4, 8)
    ),
    reference="1 layer",
    answer=answer_gradients,
    lrs=_LRS,
    panel="gradients",
)

_RATES = Study(
    name="learning-rate",
    question="What if the learning rate is too low or too high?",
    lecture="θ ← θ − α J: the learning rate α is ours to choose.",
    # Unlike sigmoid, ReLU has no upper bound, so training diverges visibly if steps are too large.
    base_configs=_extend(_IMAGES, "model.activation=relu"),
    variants=tuple(Variant(f"α={lr:g}", (f"optimizer.lr={lr}",), lr) for lr in (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)),
    reference="α=0.1",
    answer=answer_settings,
    panel="settings",
)

_BATCHES = Study(
    name="batch-size",
    question="Do smaller batches, with more steps per epoch, help?",
    lecture="Gradient descent takes the gradient over the whole set (X, Y) in each step.",
    base_configs=_extend(_IMAGES, "training.epochs=20") | {"fashion_mnist": _FASHION},
    variants=(
        Variant("the whole set", ("training.batch_size=full",)),
        *(Variant(f"batches of {n}", (f"training.batch_size={n}",), n) for n in (512, 64, 8, 1)),
    ),
    reference="batches of 64",
    answer=answer_seconds,
    lrs=_LRS,
    panel="seconds",
    compares_times=True,
)

_STARTS = Study(
    name="initialisation",
    question="Does the starting point of gradient descent matter?",
    lecture="Gradient descent begins with θ ← N(0, 1).",
    base_configs=_IMAGES,
    variants=(
        Variant("N(0, 1)", ("model.init=normal",)),
        Variant("zeros", ("model.init=zeros",)),
        Variant("torch's default", ("model.init=default",)),
        Variant("Xavier", ("model.init=xavier_uniform",)),
        Variant("Kaiming", ("model.init=kaiming_uniform",)),
    ),
    reference="N(0, 1)",
    answer=answer_symmetry,
    lrs=_LRS,
)

_LINEAR = ("model.hidden_sizes=[]", "training.epochs=300", "data.val_fraction=0.2", *_COMMON)

_SOLUTIONS = Study(
    name="closed-form-vs-sgd",
    question="Does gradient descent reach the least-squares solution?",
    lecture="Linear regression with squared error has one minimum, θ = (Xᵀ X)⁻¹ Xᵀ Y.",
    base_configs={
        "diabetes": BaseConfig("diabetes", _LINEAR, level=0.2),
        "synthetic_regression": BaseConfig("linear_regression", _LINEAR, level=0.01),
    },
    variants=(
        Variant("least squares", is_solved=True),
        Variant("gradient descent", ("training.batch_size=full", "scheduler={name: none}")),
        Variant("SGD", ("training.batch_size=32", "scheduler={name: none}")),
        Variant("cosine SGD", ("training.batch_size=32", "scheduler={name: cosine}")),
    ),
    reference="least squares",
    answer=answer_distance,
    lrs=(0.003, 0.01, 0.03, 0.1, 0.3),
    curve="distance",
    kept=("task", "model.hidden_sizes", "loss"),
)

STUDIES = {study.name: study for study in (_LOSSES, _HEADS, _STEPS, _DEPTHS, _RATES, _BATCHES, _STARTS, _SOLUTIONS)}


def find_study(name: str) -> Study:
    """Return the study with the given name.

    Raises:
        UsageError: If no study has this name.
    """
    if name not in STUDIES:
        guess = closest(name, list(STUDIES))
        hint = f"did you mean `dlcli study {guess}`?" if guess else "list all studies with `dlcli study --list`"
        raise UsageError(f"no study is named {name!r}", hint=hint)
    return STUDIES[name]
