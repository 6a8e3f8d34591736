"""Statistics and comparison of groups of seeds."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from groups import make_group

from dlcli.errors import UsageError
from dlcli.evaluation.group import measure_group, seed_values
from dlcli.evaluation.group_comparison import compare_groups
from dlcli.evaluation.group_sentences import name_seeds
from dlcli.evaluation.split_interval import wilson_interval
from dlcli.runs.files import to_json
from dlcli.runs.group.run import GroupRun


def test_a_seed_that_diverged_is_counted_and_one_that_has_not_ended_is_left_out() -> None:
    statistics = measure_group(make_group(diverged=[3], unfinished=[8, 9]))
    assert (statistics.diverged, statistics.unfinished) == ([3], [8, 9])
    assert list(statistics.metrics) == ["test/accuracy", "test/loss", "val/accuracy", "val/loss", "train/loss"]
    for spread in statistics.metrics.values():
        assert list(spread.values) == [0, 1, 2, 3, 4, 5, 6, 7]
        assert spread.values[3] is None
        assert (spread.n, spread.diverged) == (7, 1)


def test_the_record_is_json_with_every_value_by_seed() -> None:
    record = json.loads(to_json(asdict(measure_group(make_group(seeds=[7, 8, 9], diverged=[8])))))
    accuracy = record["metrics"]["test/accuracy"]
    assert accuracy["values"].keys() == {"7", "8", "9"}
    assert accuracy["values"]["8"] is None
    assert accuracy["mean"] == pytest.approx(np.mean([accuracy["values"][seed] for seed in "79"]))
    assert record["headline"] == "test/accuracy"


def test_values_that_are_not_finite_count_as_diverged() -> None:
    group = make_group("diabetes", is_tested=False)
    records = [
        replace(record, val={**record.val, "r2": None}) if record.seed == 2 else record for record in group.seeds
    ]
    spread = measure_group(replace(group, seeds=records)).metrics["val/r2"]
    assert (spread.values[2], spread.n, spread.diverged) == (None, 9, 1)


def test_the_test_set_gives_the_median_model_a_binomial_interval() -> None:
    statistics = measure_group(make_group(seeds=range(5)))
    test_set = statistics.test_set
    assert test_set is not None
    assert test_set.value == statistics.metrics["test/accuracy"].median
    assert (test_set.examples, test_set.interval) == (360, wilson_interval(round(360 * test_set.value), 360))
    assert measure_group(make_group(is_tested=False)).test_set is None


def test_a_group_whose_seeds_all_diverged_has_no_metrics() -> None:
    statistics = measure_group(make_group(seeds=[0, 1], diverged=[0, 1]))
    assert (statistics.headline, statistics.metrics, statistics.diverged) == (None, {}, [0, 1])


def test_macro_f1_is_left_out_where_classes_are_balanced_unless_it_is_monitored() -> None:
    group = make_group()
    assert "val/macro_f1" not in measure_group(group).metrics
    assert "val/macro_f1" in measure_group(replace(group, manifest={})).metrics
    assert "val/macro_f1" in measure_group(make_group("digits", ["checkpoint.monitor=val/macro_f1"])).metrics


@pytest.mark.parametrize(
    ("settings", "metric", "why"),
    [
        ([], "test/loss", "the monitored metric"),
        (["checkpoint.monitor=val/accuracy"], "test/accuracy", "the groups monitor different metrics"),
        (["loss.label_smoothing=0.1"], "test/accuracy", "the groups have different losses"),
    ],
)
def test_the_monitored_metric_decides_if_the_groups_share_it(settings: list[str], metric: str, why: str) -> None:
    comparison = compare_groups([make_group(), make_group("digits", settings, name="other", better=1)])
    assert (comparison.metric, comparison.why) == (metric, why)
    assert next(iter(comparison.metrics)) == metric


def test_validation_decides_if_a_group_was_not_tested() -> None:
    groups = [make_group(), make_group("digits", ["model.activation=relu"], is_tested=False)]
    assert compare_groups(groups).metric == "val/loss"
    assert compare_groups(groups, "val/accuracy").metric == "val/accuracy"
    with pytest.raises(UsageError, match="the groups do not both have test/accuracy") as error:
        compare_groups(groups, "test/accuracy")
    assert error.value.hint == "both have val/accuracy, val/loss, train/loss"


def test_seeds_are_paired_and_a_diverged_seed_is_lost() -> None:
    first, second = make_group(seeds=range(10), diverged=[4]), make_group("moons", seeds=range(3, 12), name="x")
    second = replace(second, config=first.config, path="runs/digits/x")
    comparison = compare_groups([first, second])
    assert comparison.seeds == [3, 4, 5, 6, 7, 8, 9]
    mine, others = (seed_values(group, "test/loss") for group in (first, second))
    expected = {seed: None if seed == 4 else mine[seed] - others[seed] for seed in comparison.seeds}
    assert comparison.paired.difference.values == expected
    assert (comparison.paired.losses, comparison.paired.ties) == (1, 6)
    assert list(comparison.metrics["test/loss"].second.values) == comparison.seeds


def test_groups_that_cannot_be_compared_are_refused() -> None:
    def refuse(*groups: GroupRun) -> str:
        with pytest.raises(UsageError) as error:
            compare_groups(groups)
        assert error.value.hint
        return error.value.message

    digits = make_group()
    assert refuse(digits, digits, digits) == "groups of seeds are compared in pairs. Got 3 groups instead"
    assert refuse(digits, make_group("diabetes")).startswith("the groups have different tasks")
    assert refuse(digits, make_group("moons")).startswith("the groups have different data")
    assert refuse(digits, make_group(seeds=[20, 21])).endswith("have no seed in common")


def test_seeds_are_named_as_a_range_or_a_list() -> None:
    assert [name_seeds(seeds) for seeds in ([3], [3, 4], [3, 4, 5], [1, 3, 4], list(range(0, 40, 2)))] == [
        *("3", "3 and 4", "3 to 5", "1, 3 and 4", "0, 2, 4, 6, 8, 10, 12, 14, …")
    ]
