"""What a study is to train, checked before anything is trained."""

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
    """What is to be trained.

    Attributes:
        study: What is asked.
        data: The data source.
        level: What curves are to reach.
        settings: What the user changed for all variants.
        configs: By variant, but for seed and chosen learning rate.
        lrs: Learning rates to choose each variant's from; none leaves the configs' own.
        tuning_seed: With which they are chosen.
        seeds: With which every variant is trained.
    """

    study: Study
    data: str
    level: float
    settings: tuple[str, ...]
    configs: Mapping[str, Config]
    lrs: tuple[float, ...]
    tuning_seed: int
    seeds: tuple[int, ...]

    @property
    def epochs(self) -> int:
        """How long each model is trained."""
        return next(iter(self.configs.values())).training.epochs

    @property
    def metric(self) -> str:
        """What is measured on the test split."""
        return HEADLINE[next(iter(self.configs.values())).task]

    @property
    def is_curve_rising(self) -> bool:
        """Whether a higher curve is a better one."""
        return self.study.curve == "val" and self.metric in HIGHER_IS_BETTER

    def best_lr(self, scores: Mapping[float, float | None]) -> float:
        """Return the learning rate with the best score, the smallest of equals; the smallest if all diverged."""
        sign = 1 if self.is_curve_rising else -1

        def rank(lr: float) -> tuple[float, float]:
            score = scores[lr]
            return (-math.inf if score is None else sign * score), -lr

        return max(scores, key=rank)


def make_plan(chosen: Study, settings: tuple[str, ...], data: str | None, n_seeds: int) -> Plan:
    """Return what to train; every config is checked before anything is trained.

    Args:
        chosen: What is asked.
        settings: `key=value` for all variants.
        data: The data source; None takes the study's first.
        n_seeds: How many seeds, those after the config's.

    Raises:
        UsageError: If the study cannot run so.
    """
    if n_seeds < 2:
        raise UsageError("a study needs at least 2 seeds: one has no spread", hint="--seeds 5")
    data = data or next(iter(chosen.grounds))
    if data not in chosen.grounds:
        hint = f"--data {closest(data, list(chosen.grounds)) or next(iter(chosen.grounds))}"
        raise UsageError(f"{chosen.name} runs on {' or '.join(chosen.grounds)}, not on {data}", hint=hint)
    _check_settings(chosen, settings)
    ground = chosen.grounds[data]
    configs = {
        variant.label: load_config(ground.preset, [*ground.settings, *settings, *variant.settings]).config
        for variant in chosen.variants
    }
    first = next(iter(configs.values())).seed
    load_config(ground.preset, [f"seed={first + n_seeds}"])  # which may be too large
    return Plan(
        study=chosen,
        data=data,
        level=ground.level,
        settings=settings,
        configs=configs,
        lrs=() if {_key(one) for one in settings} & {_LR, "optimizer"} else chosen.lrs,
        tuning_seed=first,
        seeds=tuple(range(first + 1, first + n_seeds + 1)),
    )


def _key(setting: str) -> str:
    return setting.partition("=")[0]


def _check_settings(chosen: Study, settings: Sequence[str]) -> None:
    """Refuse settings that would make variants alike, or the study another one.

    Raises:
        UsageError: If there is such a setting.
    """
    own = dict.fromkeys(chosen.varied, "which it varies") | dict.fromkeys(chosen.kept, "which it stands on")
    own["data.name"] = "which --data does"
    for setting in settings:
        key = _key(setting)
        for path, why in own.items():
            if f"{path}.".startswith(f"{key}.") or key.startswith(f"{path}."):
                hint = "--data fashion_mnist" if path == "data.name" else f"leave `{setting}` out"
                raise UsageError(f"{chosen.name} takes no {key}: that would set {path}, {why}", hint=hint)
