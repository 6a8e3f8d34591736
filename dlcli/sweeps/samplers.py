"""Samplers of sweeps: the values of a trial depend on its number and the trials before it, not on the worker."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from optuna import Study
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

if TYPE_CHECKING:
    from dlcli.config.schema import SweepSettings
    from dlcli.config.sweep.space import Space

SearchSpace: TypeAlias = dict[str, BaseDistribution]


def build_sampler(settings: SweepSettings, space: Space) -> BaseSampler:
    """Return the sampler of a sweep."""
    match settings.sampler:
        case "grid":
            return GridByNumber(space.combinations())
        case "qmc":
            return SobolSampler([parameter.name for parameter in space.parameters], settings.seed)
        case "random":
            return NumberedSampler(RandomSampler, settings.seed)
        case "tpe":
            return NumberedSampler(TPESampler, settings.seed)
        case "cmaes":
            return NumberedSampler(partial(CmaEsSampler, warn_independent_sampling=False), settings.seed)
        case "gp":
            return NumberedSampler(partial(GPSampler, warn_independent_sampling=False), settings.seed)


def derive_seed(seed: int, *purpose: object) -> int:
    """Return a separate 32-bit seed for each purpose of a sweep."""
    text = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")


class NumberedSampler(BaseSampler):
    """Sampler with a random state for each trial and parameter.

    Optuna's samplers draw from one random state. A trial would thus depend on the trials that its worker has asked for
    before, and two workers with the same seed would draw the same values.

    Args:
        build: Function that returns a sampler for a seed.
        seed: Seed of the sweep.
    """

    def __init__(self, build: Any, seed: int) -> None:
        self._build, self._seed = build, seed
        self._relative: tuple[int, BaseSampler] | None = None

    def _of(self, trial: FrozenTrial) -> BaseSampler:
        """Return the sampler of a trial, which is kept between calls because it may have a state."""
        if self._relative is None or self._relative[0] != trial.number:
            self._relative = trial.number, self._build(seed=derive_seed(self._seed, trial.number))
        return self._relative[1]

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> SearchSpace:
        """Return the parameters that are drawn jointly."""
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: SearchSpace) -> dict[str, Any]:
        """Return the values of parameters that are drawn jointly, even if a killed worker has drawn them before.

        These earlier values are removed, because GPSampler would take them for values of another running trial.
        """
        for key in trial.system_attrs:
            if key.startswith("gp:relative_params:"):
                study._storage.set_trial_system_attr(trial._trial_id, key, "")
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return the value of one parameter, whether or not this process has drawn the parameters before it."""
        sampler = self._build(seed=derive_seed(self._seed, trial.number, param_name))
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Prepare a trial."""
        self._of(trial).before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Record the end of a trial."""
        self._of(trial).after_trial(study, trial, state, values)


class _FixedSampler(BaseSampler):
    """Sampler whose values depend on the number of the trial only."""

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> SearchSpace:  # noqa: ARG002
        """Return no parameters, because each one is drawn on its own."""
        return {}

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: SearchSpace) -> dict[str, Any]:  # noqa: ARG002
        """Return no values."""
        return {}


class GridByNumber(_FixedSampler):
    """Sampler that gives trial k the k-th combination.

    Optuna's GridSampler draws a combination at random when several workers ask, and may draw one twice.

    Args:
        combinations: Value of each parameter, by its name, for each trial.
    """

    def __init__(self, combinations: Sequence[Mapping[str, Any]]) -> None:
        self._combinations = combinations

    def sample_independent(
        self,
        study: Study,  # noqa: ARG002
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,  # noqa: ARG002
    ) -> Any:
        """Return the value of one parameter."""
        return self._combinations[trial.number % len(self._combinations)][param_name]


class SobolSampler(_FixedSampler):
    """Sampler that gives trial k the k-th point of a scrambled Sobol sequence (Sobol, 1967; Owen, 1998).

    Optuna's QMCSampler counts its points in the storage, where two workers can take the same one.

    Args:
        names: Names of the parameters, which must be ranges.
        seed: Seed of the scrambling.
    """

    def __init__(self, names: Sequence[str], seed: int) -> None:
        self._names, self._seed = list(names), derive_seed(seed, "sobol")

    def sample_independent(
        self,
        study: Study,  # noqa: ARG002
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return the value of one parameter."""
        from scipy.stats.qmc import Sobol

        points = Sobol(len(self._names), scramble=True, rng=self._seed)
        if trial.number:  # SciPy cannot fast-forward by 0 points
            points.fast_forward(trial.number)
        position = points.random(1)[0][self._names.index(param_name)]
        assert isinstance(param_distribution, (FloatDistribution, IntDistribution)), "qmc has ranges only"
        return scale(float(position), param_distribution)


def scale(position: float, range_: FloatDistribution | IntDistribution) -> float:
    """Return the value of a range at a position from 0 to 1; all values of a range with steps are equally likely."""
    low, high, step = range_.low, range_.high, range_.step
    if isinstance(range_, IntDistribution) and range_.log:
        return min(int(math.exp(_between(math.log(low), math.log(high + 1), position))), int(high))
    if step is not None:
        count = round((high - low) / step) + 1
        return low + min(int(position * count), count - 1) * step
    value = math.exp(_between(math.log(low), math.log(high), position)) if range_.log else _between(low, high, position)
    return min(max(value, low), high)


def _between(low: float, high: float, position: float) -> float:
    return low * (1 - position) + high * position
