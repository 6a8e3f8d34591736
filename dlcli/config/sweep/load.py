"""Loading of sweeps: base config, settings and search space, with all problems at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dlcli.config.compose import read_with_bases, resolve_paths, without_nulls
from dlcli.config.files import Source
from dlcli.config.load import (
    SWEEP,
    ConfigSource,
    LoadedConfig,
    Overrides,
    as_assignments,
    check,
    finish,
    in_order,
    load_config,
    override,
    read_given,
    with_values,
)
from dlcli.config.paths import escape_path
from dlcli.config.problems import validate_settings
from dlcli.config.render import deciding_settings, render_yaml
from dlcli.config.schema import HIGHER_IS_BETTER, SweepFile, SweepSettings, path_settings
from dlcli.config.sweep.check import SpaceCheck
from dlcli.config.sweep.limits import (
    check_counts,
    check_loss,
    check_metric,
    check_sampler,
    metric_of,
    trials_of,
)
from dlcli.config.sweep.nodes import canonical_json
from dlcli.config.sweep.parse import SPACE, Entry, read_space, set_space
from dlcli.config.sweep.ranges import Report
from dlcli.config.sweep.space import Space
from dlcli.config.tree import Document, Place, delete_value, dotted, value_at
from dlcli.errors import ConfigError, UsageError

# Settings that may change when a sweep continues.
_EXTENT = ("trials", "seconds", "confirm_seeds", "keep")


@dataclass(frozen=True)
class LoadedSweep:
    """Validated sweep.

    Attributes:
        base: Config that each trial varies, without the `sweep` section. Its monitor is the metric of the sweep.
        settings: Settings of the sweep, with its metric and number of trials.
        space: Values to try.
        text: Exact text of the config file.
    """

    base: LoadedConfig
    settings: SweepSettings
    space: Space
    text: str
    _document: Document = field(repr=False, compare=False)

    @property
    def metric(self) -> str:
        """Metric to improve, such as `val/accuracy`."""
        assert self.settings.metric is not None
        return self.settings.metric

    @property
    def is_maximized(self) -> bool:
        """Whether higher values of the metric are better."""
        return self.metric.removeprefix("val/") in HIGHER_IS_BETTER

    def config(self, overrides: Mapping[str, Any]) -> LoadedConfig:
        """Return the config of a trial; its text trains it alone.

        Args:
            overrides: Values by dotted key, as drawn from the space.

        Raises:
            ConfigError: If the config is invalid.
        """
        loaded = finish(with_values(self._document, overrides), self.text)
        drawn = {tuple(key.split(".")) for key in overrides}
        origins = {path: Place(SWEEP) for path in loaded.places if any(path[: len(key)] == key for key in drawn)}
        places = {**loaded.places, **origins}
        body = render_yaml(loaded.config, lambda _section, _field, path: "from the sweep" if path in origins else "")
        return replace(loaded, places=places, text=body)

    def identity(self) -> dict[str, Any]:
        """Return the settings that must agree for two sweeps to be the same, as JSON.

        These are the settings of the base config that determine results, the space, and the settings of the sweep
        except for its extent, which may change when a sweep continues.
        """
        settings = self.settings.model_dump(mode="json", exclude=set(_EXTENT))
        return {"config": deciding_settings(self.base.config), "sweep": settings, "space": self.space.plain()}

    def to_yaml(self) -> str:
        """Return the sweep as YAML that `load_sweep` reads back, from any folder and without the files it extends."""
        tree = without_nulls(self._document.tree)
        resolve_paths(tree, self._document)
        for path in path_settings():
            if isinstance(value := value_at(tree, path), str):
                section: Any = value_at(tree, path[:-1])
                section[path[-1]] = escape_path(value)
        settings = self.settings.model_dump(mode="json") | {"space": self.space.plain()}
        lines = [f"{key}: {canonical_json(value)}" for key, value in {"name": self.base.config.name, **tree}.items()]
        return "\n".join([*lines, f"{SWEEP}:", *(f"  {key}: {canonical_json(settings[key])}" for key in settings), ""])


def load_sweep(source: ConfigSource, overrides: Overrides = (), *, space: Sequence[str] = ()) -> LoadedSweep:
    """Load a config with a `sweep` section.

    Args:
        source: Config as for `load_config`.
        overrides: Assignments as for `load_config`, also of settings of the sweep, such as `sweep.trials=100`.
        space: Settings to try, such as `optimizer.lr={min: 1e-3, max: 1, log: true}`; each replaces the values that the
            file has for the setting.

    Raises:
        UsageError: If no such file or preset exists, or it cannot be read.
        ConfigError: If the config, its sweep or a trial of it is invalid; lists all problems at once.
    """
    if isinstance(source, LoadedConfig):
        raise UsageError(
            "a sweep needs a file or a preset. Got a loaded config instead", hint="pass the name of its file"
        )
    given = read_given(source)
    document = _read(given, overrides, space)
    if document.tree.get(SWEEP) is None:
        raise _no_sweep(document)
    base = document.copy()
    delete_value(base, (SWEEP,))
    report = Report(document)
    config, problems = check(base)
    settings = _read_settings(document, report)
    entries, is_complete = _read_entries(report)
    drawn = Space(tuple((dotted(entry.key), entry.node) for entry in entries))
    space_check = SpaceCheck(base, None if problems else config, report)
    space_check.check(entries)
    if is_complete and not problems and not report.problems:
        space_check.check_size(drawn)
    if settings is not None and is_complete:
        check_sampler(settings, drawn, report)
    if settings is not None and config is not None:
        check_metric(settings, config, report)
        check_loss(settings, config, entries, report)
        check_counts(settings, config, entries, report)
        if settings.sampler == "grid" and not report.problems:
            space_check.check_doubles(entries)
    problems += report.problems
    if problems or config is None or settings is None:
        raise ConfigError(given.name, in_order(problems, given.name))
    final = settings.model_copy(update={"metric": metric_of(settings, config), "trials": trials_of(settings, drawn)})
    if settings.metric is not None:
        base = with_values(base, {"checkpoint.monitor": settings.metric})
        base.places["checkpoint", "monitor"] = document.places[SWEEP, "metric"]
    return LoadedSweep(finish(base, given.text), final, drawn, given.text, base)


def load_either(source: ConfigSource) -> LoadedConfig | LoadedSweep:
    """Load a config, as a sweep if it describes one."""
    if isinstance(source, LoadedConfig):
        return source
    given = read_given(source)
    return load_config(given) if read_with_bases(given).tree.get(SWEEP) is None else load_sweep(given)


def difference(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Return a line for each setting that differs between the identities of two sweeps, with both values."""
    lines = []
    for part in dict.fromkeys([*a, *b]):
        first, second = a.get(part, {}), b.get(part, {})
        for key in dict.fromkeys([*first, *second]):
            texts = [canonical_json(side[key]) if key in side else "nothing" for side in (first, second)]
            if texts[0] != texts[1]:
                names = {"config": key, "sweep": f"sweep.{key}", "files": f"SHA-256 of {key}"}
                name = names.get(part, f"sweep.space: {key}")
                lines.append(f"{name} is {texts[0]} and {texts[1]}")
    return lines


def _read(given: Source, overrides: Overrides, space: Sequence[str]) -> Document:
    """Return the document of a sweep with all overrides; an override of the space replaces all values of a setting.

    Raises:
        UsageError: If an option `--space` is given twice for a setting.
    """
    keys = [text.partition("=")[0].strip() for text in space]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise UsageError(f"--space {twice} is given twice", hint="write all its values in one list")
    document = read_with_bases(given)
    prefix, assignments = f"{dotted(SPACE)}.", as_assignments(overrides)
    override(document, [assignment for assignment in assignments if not assignment.startswith(prefix)])
    for assignment in [text.removeprefix(prefix) for text in assignments if text.startswith(prefix)] + list(space):
        set_space(assignment, document)
    return document


def _no_sweep(document: Document) -> ConfigError:
    example = "sweep:\n  space: {optimizer.lr: {min: 1e-3, max: 1, log: true}}"
    hint = f"add the settings to try to the file, such as\n{example}"
    return ConfigError(document.file, [document.problem((SWEEP,), "the config describes no sweep", hint)])


def _read_settings(document: Document, report: Report) -> SweepSettings | None:
    tree = without_nulls({SWEEP: document.tree[SWEEP]})
    read, problems = validate_settings(SweepFile, tree, document)
    report.problems.extend(problems)
    return read.sweep if read is not None else None


def _read_entries(report: Report) -> tuple[list[Entry], bool]:
    """Return the settings of the space that have no problem, and whether these are all settings."""
    section = report.document.tree[SWEEP]
    space = section.get("space") or {} if isinstance(section, dict) else None
    if not isinstance(space, dict):
        return [], False  # reported as a problem of the settings of the sweep
    if not space:
        hint = "add the settings to try, such as `optimizer.lr: {min: 1e-3, max: 1, log: true}`"
        report.add(SPACE, SPACE, "has no settings", hint)
        return [], False
    entries, problems = read_space(report.document)
    report.problems.extend(problems)
    return entries, not problems
