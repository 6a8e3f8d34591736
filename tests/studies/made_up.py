"""Invented study results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dlcli.lecture.studies.catalogue import find_study
from dlcli.lecture.studies.results import StudyResults, Training, VariantResults, first_epoch

Curve = Sequence[float] | None  # None: training diverged in the second epoch


def make_training(seed: int, curve: Curve, test: float, layers: int = 3) -> Training:
    followed = (0.1,) if curve is None else tuple(curve)
    return Training(
        seed=seed,
        curve=followed,
        train_loss=followed,
        seconds=tuple(0.5 * epoch for epoch in range(1, len(followed) + 1)),
        test=None if curve is None else test,
        diverged="the loss is inf" if curve is None else None,
        gradient_norms=tuple(10.0 ** (i - layers) for i in range(layers)),
        moved=(0.0,) * (layers - 1) + (1.5,),
        distinct_units=(64,) * (layers - 1),
        by_chance=0.1,
        n_val=100,
        n_test=100,
    )


def make_results(
    study: str,
    curves: Mapping[str, Sequence[Curve]],
    tests: Mapping[str, Sequence[float]],
    *,
    level: float | None = 0.9,
) -> StudyResults:
    """Return results with the given curves and test metrics, by variant and seed."""
    chosen = find_study(study)
    variants = []
    for variant in chosen.variants:
        pairs = zip(curves[variant.label], tests[variant.label], strict=True)
        trainings = tuple(make_training(seed, curve, test) for seed, (curve, test) in enumerate(pairs, 1))
        reached = tuple(
            None if level is None else first_epoch(training.curve, level, higher=True) for training in trainings
        )
        config = {"model.hidden_sizes": (64, 64)}
        setup = ("digits", "64-64-64-10, sigmoid", "sgd, lr 0.1")
        variants.append(VariantResults(variant.label, config, setup, 0.1, {0.1: 0.5}, trainings, reached))
    n = len(variants[0].trainings)
    return StudyResults(
        study=chosen,
        data="digits",
        metric="accuracy",
        unit="",
        level=level,
        epochs=4,
        tuning_seed=0,
        seeds=tuple(range(1, n + 1)),
        settings=(),
        variants=tuple(variants),
    )


SOON, LATE, NEVER = (0.5, 0.95, 0.96, 0.97), (0.2, 0.4, 0.6, 0.93), (0.1, 0.2, 0.3, 0.4)
