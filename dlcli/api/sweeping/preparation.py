"""Data and model of a trial, and the trials that can be stacked with it."""

from __future__ import annotations

from dataclasses import dataclass

from dlcli.config.load import LoadedConfig
from dlcli.config.schema import Config
from dlcli.data.splits import Splits
from dlcli.errors import DlcliError
from dlcli.experiment import Experiment, build_experiment
from dlcli.runs.parent import ParentFile, find_parent
from dlcli.training.state import TrainingState
from dlcli.training.together.members import Member
from dlcli.training.together.plan import Kind, place, stack_size


class DataCache:
    """Splits that several trials use, by the settings that they depend on; only the last ones are kept."""

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._splits: Splits | None = None

    def find(self, config: Config) -> Splits | None:
        """Return the splits of a config, if the last trial had the same."""
        return self._splits if data_key(config) in self._keys else None

    def keep(self, splits: Splits, *configs: Config) -> None:
        """Keep splits in place of those before, under a config as it was written and as it is saved with a run."""
        self._keys, self._splits = {data_key(config) for config in configs}, splits


def data_key(config: Config) -> str:
    """Return the settings that the splits of a config depend on."""
    settings = config.seed, config.data.model_dump_json(), config.model.init
    return " ".join(map(str, (*settings, config.training.device, config.training.precision)))


@dataclass(frozen=True)
class Stackable:
    """Trials that can be stacked with a trial, if they have the same data and are at the same position.

    Attributes:
        kind: Value that is equal for these; None if there are none.
        most: Largest number of trials in a stack.
    """

    kind: Kind | None = None
    most: int = 1


def build_trial(loaded: LoadedConfig, cache: DataCache) -> tuple[LoadedConfig, ParentFile | None, Experiment]:
    """Return the config of a new trial with its parent, the parent, and the experiment.

    Raises:
        DataError: If the data cannot be used.
        DeviceError: If the device is missing, or its memory is too small.
    """
    loaded, parent = find_parent(loaded)
    given = parent.parent if parent else None
    experiment = build_experiment(loaded.config, splits=cache.find(loaded.config), parent=given)
    cache.keep(experiment.splits, loaded.config, experiment.config)
    return loaded, parent, experiment


def member_of(experiment: Experiment, state: TrainingState | None = None) -> Member:
    """Return the training of an experiment, from the first epoch or from a state."""
    model, task, splits, config = experiment.model, experiment.task, experiment.splits, experiment.config
    return Member(model, task, splits, config, state, arithmetic=experiment.arithmetic)


def find_stackable(loaded: LoadedConfig, cache: DataCache) -> Stackable:
    """Return which trials can be stacked with a new trial of this config.

    There are none with `training.together: never`, none on a GPU, where a stack differs from training alone by
    rounding, and none for a trial that cannot be trained: its training reports the reason.
    """
    if loaded.config.training.together == "never":
        return Stackable()
    try:
        member = member_of(build_trial(loaded, cache)[2])
    except DlcliError:
        return Stackable()
    placement = place(member)
    return Stackable() if placement.is_batched else Stackable(placement.kind, stack_size(member))
