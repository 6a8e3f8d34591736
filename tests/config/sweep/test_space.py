"""Draws and combinations of search spaces."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from config.sweep.spaces import DIABETES, GRIDS, SPACES, load_space
from dlcli.config.files import Source
from dlcli.config.load import load_config
from dlcli.config.sweep.load import LoadedSweep
from dlcli.config.sweep.space import Label, Parameter

DRAWS = 100


class RecordedTrial:
    """Trial that chooses random values and records them; the ends of a range are as likely as a value between them."""

    def __init__(self, seed: int) -> None:
        self.values: dict[str, Any] = {}
        self.drawn: dict[str, Parameter] = {}
        self._rng = random.Random(seed)

    def suggest_categorical(self, name: str, choices: Sequence[Label]) -> Label:
        return self._record(Parameter(name, "choice", tuple(choices)), self._rng.choice(choices))

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None, log: bool) -> float:
        value = self._rng.choice([low, high, self._rng.uniform(low, high)])
        if step is not None:
            value = min(low + round((value - low) / step) * step, high)  # with the error of rounding, as Optuna
        return self._record(Parameter(name, "float", (), low, high, log, step), value)

    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> int:
        value = self._rng.choice([low, high, self._rng.randrange(low, high + 1, step)])
        return self._record(Parameter(name, "int", (), low, high, log, step), value)

    def _record(self, parameter: Parameter, value: Any) -> Any:
        assert parameter.name not in self.drawn, "each parameter is drawn once"
        self.drawn[parameter.name] = parameter
        self.values[parameter.name] = value
        return value


def base_config(name: str) -> Source:
    return Source("mine.yaml", (SPACES | GRIDS)[name][0], "")


def reachable(settings: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each setting of the overrides of a trial, by dotted name."""
    if isinstance(settings, dict):
        for name, value in settings.items():
            yield from reachable(value, f"{key}.{name}" if key else name)
    else:
        yield key, settings


def has_values(config: Any, overrides: dict[str, Any]) -> bool:
    for key, value in reachable(overrides):
        actual = config
        for part in key.split("."):
            actual = getattr(actual, part)
        expected = (value,) if key == "model.hidden_sizes" and isinstance(value, int) else value
        if value is not None and actual != expected:
            return False
    return True


@pytest.mark.parametrize("name", SPACES)
def test_random_draws_of_optuna_are_valid_configs(name: str) -> None:
    optuna = pytest.importorskip("optuna", reason="needs the extra `sweep`")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sweep = load_space(name)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(DRAWS):
        overrides = sweep.space.draw(study.ask())
        loaded = load_config(base_config(name), overrides)
        assert has_values(loaded.config, overrides)
        metric = {"checkpoint": loaded.config.checkpoint.model_copy(update={"monitor": sweep.metric})}
        assert sweep.config(overrides).config == loaded.config.model_copy(update=metric)


@pytest.mark.parametrize("name", SPACES)
def test_both_ends_and_every_choice_are_drawn_and_only_in_their_branch(name: str) -> None:
    sweep = load_space(name)
    expected = {parameter.name: parameter for parameter in sweep.space.parameters}
    seen: dict[str, set[Any]] = {parameter: set() for parameter in expected}
    for seed in range(400):
        trial = RecordedTrial(seed)
        assert sweep.config(sweep.space.draw(trial)).config
        for drawn in trial.drawn.values():
            listed = expected[drawn.name]
            assert (drawn.kind, drawn.choices, drawn.low, drawn.high) == (
                listed.kind,
                listed.choices,
                listed.low,
                listed.high,
            )
            seen[drawn.name].add(trial.values[drawn.name])
        for parameter in sweep.space.parameters:
            assert (parameter.name in trial.drawn) == is_active(parameter, trial.values, expected)
    for parameter in sweep.space.parameters:
        wanted = set(parameter.choices) if parameter.kind == "choice" else {parameter.low, parameter.high}
        assert wanted <= seen[parameter.name], parameter.name


def is_active(parameter: Parameter, values: dict[str, Any], all_parameters: dict[str, Parameter]) -> bool:
    """Return whether the condition of a parameter holds, which is read from its text."""
    if not parameter.condition:
        return True
    if parameter.condition.endswith(" > 0"):
        depth = values.get(parameter.condition.removesuffix(" > 0"), 0)
        return depth > 0
    parent, value = parameter.condition.split(" = ", 1)
    return is_active(all_parameters[parent], values, all_parameters) and str(values.get(parent)) == value


def test_numbers_with_a_step_have_no_rounding_error_and_stay_below_the_maximum() -> None:
    space = load_space("steps").space
    assignments = space.combinations()
    assert {space.overrides(assignment)["model.dropout"] for assignment in assignments} == {
        0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8
    }  # fmt: skip
    assert {space.overrides(assignment)["optimizer.lr"] for assignment in assignments} == {0.1, 0.2, 0.3}
    for seed in range(50):
        assert space.overrides(assignments[0]).keys() == space.draw(RecordedTrial(seed)).keys()
        assert space.draw(RecordedTrial(seed)) in [space.overrides(assignment) for assignment in assignments]


LISTED = ["steps", "choices", "sizes", "nested sections", "settings that only fit together", *GRIDS]


@pytest.mark.parametrize("name", LISTED)
def test_combinations_are_all_different_valid_and_as_many_as_counted(name: str) -> None:
    sweep = load_space(name, "sampler: grid")
    combinations = sweep.space.combinations()
    overrides = [repr(sweep.space.overrides(assignment)) for assignment in combinations]
    assert len(combinations) == sweep.space.cardinality == sweep.settings.trials == len(set(overrides))
    for assignment in combinations:
        assert load_config(base_config(name), sweep.space.overrides(assignment)).config
        assert sweep.space.draw(Repeated(assignment)) == sweep.space.overrides(assignment)


class Repeated(RecordedTrial):
    """Trial that gets the values of a combination, and rejects those that its distribution lacks."""

    def __init__(self, assignment: dict[str, Label]) -> None:
        super().__init__(0)
        self._assignment = assignment

    def _record(self, parameter: Parameter, value: Any) -> Any:
        given: Any = self._assignment[parameter.name]
        if parameter.kind == "choice":
            assert given in parameter.choices
        else:
            assert parameter.low <= given <= parameter.high
        return given


def test_ranges_without_a_step_have_no_combinations() -> None:
    space = load_space("learning rate").space
    assert space.cardinality is None
    with pytest.raises(ValueError, match=r"optimizer\.lr has no step"):
        space.combinations()
    assert load_space("whole numbers").space.cardinality == 30 * 505


def shuffled(value: Any, rng: random.Random) -> Any:
    """Return a value with the keys of all its mappings in another order."""
    if isinstance(value, list | tuple):
        return [shuffled(item, rng) for item in value]
    if not isinstance(value, dict):
        return float(value) if isinstance(value, int) and not isinstance(value, bool) and rng.random() < 0.3 else value
    keys = list(value)
    rng.shuffle(keys)
    return {key: shuffled(value[key], rng) for key in keys}


@pytest.mark.parametrize("name", ["optimizers", "linear range", "regression", "zero or a range", "losses"])
def test_spaces_that_differ_in_the_order_of_keys_are_equal(name: str) -> None:
    sweep = load_space(name)
    plain = shuffled(sweep.space.plain(), random.Random(3))
    again = reload(name, plain)
    assert again.space == sweep.space
    assert again.space.to_json() == sweep.space.to_json()
    assert again.space.parameters == sweep.space.parameters


def reload(name: str, space: dict[str, Any]) -> LoadedSweep:
    from config.sweep.spaces import DIGITS
    from dlcli.config.sweep.load import load_sweep

    config: dict[str, Any] = {"extends": "diabetes"} if SPACES[name][0] == DIABETES else {"data": {"name": "digits"}}
    assert SPACES[name][0] in (DIABETES, DIGITS)
    metric = "val/rmse" if SPACES[name][0] == DIABETES else "val/accuracy"
    return load_sweep(config | {"sweep": {"space": space, "metric": metric}})
