"""JSON record of a study, for `results.json` and `--json`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from dlcli.evaluation.seed_statistics import MeanSd
from dlcli.lecture.studies.headline import write_conclusions, write_short, write_title
from dlcli.lecture.studies.results import StudyResults, VariantResults
from dlcli.lecture.studies.sentences import write_method


def make_record(results: StudyResults) -> dict[str, Any]:
    """Return all measured values of a study and its conclusions."""
    study = results.study
    return {
        "schema": 1,
        "study": study.name,
        "question": study.question,
        "lecture": study.lecture,
        "title": write_title(results),
        "short": write_short(results),
        "paragraph": write_conclusions(results),
        "method": write_method(results),
        "data": results.data,
        "metric": f"test/{results.metric}",
        "unit": results.unit,
        "curve": f"val/{results.metric}" if study.curve == "val" else study.curve,
        "level": results.level,
        "epochs": results.epochs,
        "reference": study.reference,
        "tuning_seed": results.tuning_seed,
        "seeds": results.seeds,
        "settings": results.settings,
        "trained_together": results.is_together,
        "variants": [_record_variant(results, variant) for variant in results.variants],
    }


def _record_variant(results: StudyResults, variant: VariantResults) -> dict[str, Any]:
    comparison = results.compare_test(variant)
    return {
        "label": variant.label,
        "config": dict(variant.config),
        "lr": variant.lr,
        "is_added": variant.label in {design.label for design in results.study.variants if design.is_added},
        "lrs_tried": [{"lr": lr, "mean_of_curve": score} for lr, score in variant.tried.items()],
        "test": _record_spread(variant.test),
        "difference": {**_record_spread(comparison.difference), "same_sign": comparison.same_sign},
        "epochs_to_level": {**_record_spread(variant.epochs), "by_seed": variant.reached},
        "seconds_to_level": _record_spread(variant.seconds),
        "diverged": variant.diverged,
        "trainings": [asdict(training) for training in variant.trainings],
    }


def _record_spread(spread: MeanSd | None) -> dict[str, Any]:
    return {"mean": None, "sd": None, "n": 0} if spread is None else asdict(spread)
