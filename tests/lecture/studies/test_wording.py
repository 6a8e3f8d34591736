"""Sentences about study results, which must follow from the numbers."""

from __future__ import annotations

import pytest
from studies.made_up import LATE, NEVER, SOON, make_results

from dlcli.evaluation.seed_statistics import MeanSd
from dlcli.lecture.studies.sentences import (
    format_difference,
    format_spread,
    state_speed,
    write_method,
    write_paragraph,
)
from dlcli.text import join

A, B = "cross-entropy", "squared error"
GOOD, BAD = (0.98, 0.97, 0.99), (0.91, 0.89, 0.92)


def pair(first: object, second: object, tests: tuple[tuple[float, ...], tuple[float, ...]] = (GOOD, BAD)) -> object:
    return make_results("mse-vs-cross-entropy", {A: first, B: second}, dict(zip((A, B), tests, strict=True)))  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("first", "second", "title"),
    [
        ([SOON] * 3, [LATE] * 3, "Validation accuracy 0.9 is reached after 2 epochs with A, 4 with B"),
        ([LATE] * 3, [SOON] * 3, "Validation accuracy 0.9 is reached after 4 epochs with A, 2 with B"),
        (
            [SOON] * 3,
            [NEVER] * 3,
            "Validation accuracy 0.9 is reached after 2 epochs with A; not within 4 epochs with B",
        ),
        ([NEVER] * 3, [NEVER] * 3, "Validation accuracy 0.9 is not reached within 4 epochs with A or B"),
        ([SOON] * 3, [None] * 3, "Validation accuracy 0.9 is reached after 2 epochs with A; training diverges with B"),
        (
            [SOON] * 3,
            [NEVER, None, NEVER],
            "Validation accuracy 0.9 is reached after 2 epochs with A; not within 4 epochs with B (1 of 3 diverged)",
        ),
        ([None] * 3, [None] * 3, "Training diverges with A and B"),
        (
            [SOON, SOON, LATE],
            [LATE, SOON, SOON],
            "Validation accuracy 0.9 is reached after 2.7 epochs with A, 2.7 with B; "
            "the seeds disagree on which is faster",
        ),
        (
            [SOON] * 3,
            [LATE, NEVER, NEVER],
            "Validation accuracy 0.9 is reached after 2 epochs with A, 4 with B (in 1 of 3 seeds)",
        ),
    ],
)
def test_a_title_states_when_each_variant_reaches_the_level(first: object, second: object, title: str) -> None:
    text = state_speed(pair(first, second))  # type: ignore[arg-type]
    assert text.replace(A, "A").replace(B, "B") == title


def test_conclusions_are_reversed_with_the_numbers() -> None:
    worse = write_paragraph(pair([SOON] * 3, [LATE] * 3))  # type: ignore[arg-type]
    assert "it is lower by 0.0733 ± 0.0058 with squared error, in 3 of 3 seeds" in worse
    assert "In 3 of 3 seeds, squared error reaches the level later than cross-entropy. It needs 2.0 times" in worse
    better = write_paragraph(pair([LATE] * 3, [SOON] * 3, (BAD, GOOD)))  # type: ignore[arg-type]
    assert "it is higher by 0.0733 ± 0.0058 with squared error, in 3 of 3 seeds" in better
    assert "In 3 of 3 seeds, cross-entropy reaches the level later than squared error. It needs 2.0 times" in better


def test_a_difference_within_its_sd_is_reported_as_none() -> None:
    text = write_paragraph(pair([SOON] * 3, [SOON] * 3, (GOOD, (0.97, 0.98, 0.985))))  # type: ignore[arg-type]
    assert "the same within one standard deviation with squared error (lower by 0.002 ± 0.010, in 2 of 3 seeds)" in text
    assert "later" not in text
    same = write_paragraph(pair([SOON] * 3, [SOON] * 3, (GOOD, GOOD)))  # type: ignore[arg-type]
    assert "it is the same to 4 decimals with squared error" in same
    assert "disagree" not in same


def test_divergence_is_reported_as_a_result() -> None:
    some = write_paragraph(pair([SOON] * 3, [SOON, None, SOON]))  # type: ignore[arg-type]
    assert "0.915 ± 0.007 with squared error (1 of 3 diverged)" in some
    assert "in 2 of 2 seeds" in some
    everything = write_paragraph(pair([None] * 3, [None] * 3))  # type: ignore[arg-type]
    assert "Training diverges with every variant and every seed, so nothing can be compared." in everything


def test_conclusions_about_learning_rates_follow_from_the_best() -> None:
    labels = ("α=0.001", "α=0.01", "α=0.1", "α=1", "α=10", "α=100")
    tests = dict.fromkeys(labels, (0.9, 0.91))

    def describe(*curves: object) -> str:
        return write_paragraph(make_results("learning-rate", dict(zip(labels, curves, strict=True)), tests))  # type: ignore[arg-type]

    usual = describe([NEVER] * 2, [LATE] * 2, [SOON] * 2, [LATE] * 2, [NEVER] * 2, [None] * 2)
    assert "reached in the fewest epochs with α=0.1. Of the smaller values, α=0.001 does not" in usual
    assert "Of the larger values, α=10 does not reach the level in any seed." in usual
    assert "Training diverges with α=100 (in 2 of 2 seeds, in epoch 2)" in usual
    smallest = describe([SOON] * 2, [NEVER] * 2, [None, NEVER], [NEVER] * 2, [NEVER] * 2, [NEVER] * 2)
    assert "with α=0.001. Of the larger values, α=0.01, α=0.1, α=1, α=10 and α=100 do not" in smallest
    none = describe(*[[NEVER] * 2] * 6)
    assert "No value reaches the level in every seed" in none


def test_unchanged_layers_are_distinguished_from_changed_layers() -> None:
    results = make_results(
        "sigmoid-vs-heaviside",
        {"sigmoid": [SOON] * 2, "Heaviside": [NEVER] * 2},
        {"sigmoid": (0.9, 0.9), "Heaviside": (0.5, 0.6)},
    )
    text = write_paragraph(results)
    assert "With Heaviside, the weights of the 2 layers below the last did not change at all" in text
    for training in results.variants[1].trainings:
        object.__setattr__(training, "moved", (0.004, 0.5, 1.5))
    text = write_paragraph(results)
    assert "With Heaviside, the weights moved by 0.4 % in layer 1, 50 % in layer 2 and 150 %" in text


def test_the_method_lists_seeds_and_warns_if_they_are_few() -> None:
    text = write_method(pair([SOON] * 3, [LATE] * 3))  # type: ignore[arg-type]
    assert "each of the 3 seeds 1 to 3" in text
    assert "a training with seed 0, which is not used again" in text
    assert "With only 3 seeds" in text


def test_numbers_have_a_sensible_number_of_digits() -> None:
    assert format_spread(MeanSd(0.98412, 0.00312, 5)) == "0.984 ± 0.003"
    assert format_spread(MeanSd(57.481, 1.123, 5)) == "57.48 ± 1.12"
    assert format_spread(None) == "-"
    assert format_difference(MeanSd(-0.00561, 0.0042, 5), sign=True) == "−0.0056 ± 0.0042"
    assert format_difference(MeanSd(1.25, 0.79, 5), sign=True) == "+1.25 ± 0.79"
    assert join(["a", "b", "c"]) == "a, b and c"
