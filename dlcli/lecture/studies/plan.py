"""Plan of a study: its configs, learning rates and seeds, validated before training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dlcli.config.load import load_config
from dlcli.config.schema import HEADLINE, HIGHER_IS_BETTER, Config
from dlcli.config.suggest import closest
from dlcli.errors import UsageError
from dlcli.lecture.studies.study import Study

_LR = "optimizer.lr"


@dataclass(frozen=True)
class Plan:
    """Validated plan of a study.

    Attributes:
        study: Study to run.
        data: Name of the data source.
        level: Value that the curves should reach; None compares the ends of the curves.
        settings: User overrides for all variants.
        configs: Configs by variant label, before seed and learning rate are set.
        lrs: Candidate learning rates for each variant; empty keeps the learning rates of the configs.
        tuning_seed: Seed for the choice of learning rates.
        seeds: Seeds to train every variant with.
        notes: Notes about settings that are not used.
    """

    study: Study
    data: str
    level: float | None
    settings: tuple[str, ...]
    configs: Mapping[str, Config]
    lrs: tuple[float, ...]
    tuning_seed: int
    seeds: tuple[int, ...]
    notes: tuple[str, ...] = ()

    @property
    def epochs(self) -> int:
        """Number of epochs per training."""
        return next(iter(self.configs.values())).training.epochs

    @property
    def metric(self) -> str:
        """Name of the metric on the test split."""
        return HEADLINE[next(iter(self.configs.values())).task]

    @property
    def is_curve_rising(self) -> bool:
        """Whether higher values on a curve are better."""
        return self.study.curve == "val" and self.metric in HIGHER_IS_BETTER

    def best_lr(self, scores: Mapping[float, float | None]) -> float:
        """Return the learning rate with the best score; the smallest if there is a tie or if all diverged."""
        sign = 1 if self.is_curve_rising else -1

        def rank(lr: float) -> tuple[float, float]:
            score = scores[lr]
            return (-math.inf if score is None else sign * score), -lr

        return max(scores, key=rank)


def make_plan(chosen: Study, settings: tuple[str, ...], data: str | None, n_seeds: int) -> Plan:
    """Build the plan of a study and validate all its configs.

    Args:
        chosen: Study to run.
        settings: Overrides `key=value` for all variants.
        data: Name of the data source; None selects the study's first data source.
        n_seeds: Number of seeds, counted from the seed after the config's.

    Raises:
        UsageError: If the study cannot run with these arguments.
    """
    if n_seeds < 2:
        raise UsageError("a study needs at least 2 seeds to estimate the spread", hint="use `--seeds 5`")
    data = data or next(iter(chosen.base_configs))
    if data not in chosen.base_configs:
        hint = f"use `--data {closest(data, list(chosen.base_configs)) or next(iter(chosen.base_configs))}`"
        raise UsageError(f"{chosen.name} runs on {' or '.join(chosen.base_configs)}, not on {data}", hint=hint)
    _check_settings(chosen, settings)
    base = chosen.base_configs[data]
    loaded = {
        variant.label: load_config(base.preset, [*base.settings, *settings, *variant.settings])
        for variant in chosen.variants
    }
    configs = {label: variant.config for label, variant in loaded.items()}
    if chosen.curve == "val" and not all(config.data.val_fraction for config in configs.values()):
        raise UsageError(
            f"{chosen.name} measures the validation split, and data.val_fraction is 0",
            hint="write it like `data.val_fraction=0.2`",
        )
    first = next(iter(configs.values())).seed
    load_config(base.preset, [f"seed={first + n_seeds}"])  # raises if the last seed is too large
    return Plan(
        study=chosen,
        data=data,
        level=base.level,
        settings=settings,
        configs=configs,
        notes=tuple(dict.fromkeys(note for variant in loaded.values() for note in variant.notes)),
        lrs=() if {_key(setting) for setting in settings} & {_LR, "optimizer"} else chosen.lrs,
        tuning_seed=first,
        seeds=tuple(range(first + 1, first + n_seeds + 1)),
    )


def _key(setting: str) -> str:
    return setting.partition("=")[0]


def _check_settings(chosen: Study, settings: Sequence[str]) -> None:
    """Check that no override touches a setting that defines the study.

    Raises:
        UsageError: If an override sets such a setting.
    """
    reserved = dict.fromkeys(chosen.varied, "which the study varies") | dict.fromkeys(
        chosen.kept, "which the study keeps fixed"
    )
    reserved["data.name"] = "which --data sets"
    for setting in settings:
        key = _key(setting)
        for path, why in reserved.items():
            if f"{path}.".startswith(f"{key}.") or key.startswith(f"{path}."):
                hint = "use `--data fashion_mnist`" if path == "data.name" else f"remove `{setting}`"
                raise UsageError(f"{chosen.name} does not accept {key}: it would set {path}, {why}", hint=hint)
