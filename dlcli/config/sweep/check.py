"""Checks of a search space against the config that it varies."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from pydantic import BaseModel

from dlcli.config.examples import show
from dlcli.config.load import check, with_values
from dlcli.config.schema import Config, section_models, section_name
from dlcli.config.suggest import all_settings, unknown_key
from dlcli.config.sweep.corners import Corners, assignments, corners_of
from dlcli.config.sweep.nodes import Range
from dlcli.config.sweep.parse import SPACE, Entry
from dlcli.config.sweep.ranges import SIZES, Report
from dlcli.config.sweep.space import Space
from dlcli.config.tree import Document, KeyPath, Value, dotted
from dlcli.config.variants import read_variants
from dlcli.errors import Problem
from dlcli.text import join

# Settings that are the same for all trials, with the reason; a section stands for all of its settings.
_FIXED = {
    "schema_version": "it is the format of the file",
    "name": "it is the name of the runs",
    "seed": "differences between seeds are chance",
    "task": "results of two tasks cannot be compared",
    "sweep": "the settings of a sweep are not those of its trials",
    "extends": "all trials start from the same config",
    "plots": "it changes no result",
    "checkpoint": "all trials are compared by the same metric, `sweep.metric`",
    "early_stopping.monitor": "all trials are compared by the same metric, `sweep.metric`",
    "data": "all trials are compared on the same examples",
}
_HINTS = {"seed": "average over several seeds with `seeds_per_trial: 3`"}

# Data settings that a space may vary, because they only change how the same examples are prepared.
_PREPARATION = (
    *("normalize", "pad", "size", "color_mode", "resize", "background"),
    *("features", "ignore", "types", "unknown", "min_frequency", "max_categories"),
)

_MOST_VALUES = 1000  # settings with at least this many values are not checked for equal configs


class _Branch(NamedTuple):
    """Option that decides the variant of a section, such as an optimizer."""

    at: KeyPath
    model: type[BaseModel]


@dataclass(frozen=True)
class SpaceCheck:
    """Check of the settings of a space.

    Attributes:
        base: Document of the base config.
        config: Base config; None if it is invalid. Checks that depend on the base config are then skipped.
        report: Problems found so far, and the document of the whole file.
        causes: Setting of the space that causes a problem in the base config, by the key and message of the problem.
    """

    base: Document
    config: Config | None
    report: Report
    causes: dict[tuple[str, str], str] = field(default_factory=dict)

    def check(self, entries: Sequence[Entry]) -> None:
        """Add every problem of the space to the report."""
        known = [entry for entry in entries if not self._is_fixed(entry) and not self._is_unknown(entry)]
        if self.config is None:
            return
        settled = [entry for entry in known if entry.is_settled]
        usable = [entry for entry in settled if not self._is_misplaced(entry, settled, self.config)]
        found: dict[tuple[str, int | None, int | None, str], Problem] = {}
        for corners in assignments(usable):
            for problem in self._problems(corners):
                setting = re.sub(r"(\.[0-9]+)+$", "", problem.key)  # all entries of a list are one setting
                found.setdefault((problem.file, problem.line, problem.column, setting), problem)
        self.report.problems.extend(found.values())

    def check_doubles(self, entries: Sequence[Entry]) -> None:
        """Report settings with two values that give the same config, so that a grid would train it twice."""
        for entry in entries:
            key = dotted(entry.key)
            alone = Space(((key, entry.node),))
            if isinstance(entry.node, Range) or (alone.cardinality or _MOST_VALUES) >= _MOST_VALUES:
                continue
            configs: dict[str, Value] = {}
            for assignment in alone.combinations():
                overrides = alone.overrides(assignment)
                config, problems = check(with_values(self.base, overrides))
                if config is None or problems:  # the value is valid only together with other settings
                    continue
                text = config.model_dump_json()
                if text in configs:
                    values = f"{show(configs[text])} and {show(overrides[key])}"
                    message = f"has two values that give the same config: {values}"
                    self.report.add(entry.at, entry.key, message, "delete one of the two")
                    break
                configs[text] = overrides[key]

    def check_size(self, space: Space) -> None:
        """Report a space with a single config."""
        if space.cardinality == 1:
            hint = "add a value to one of its settings, or train the config with `dlcli train`"
            self.report.add(SPACE, SPACE, "has a single combination of values, so all trials would be equal", hint)

    def _is_fixed(self, entry: Entry) -> bool:
        """Report a setting that must be the same for all trials."""
        names = [dotted(entry.key[:length]) for length in range(1, len(entry.key) + 1)]
        name = next((name for name in names if name in _FIXED), None)
        if name is None or (name == "data" and len(entry.key) > 1 and entry.key[1] in _PREPARATION):
            return False
        if entry.key[0] not in ("sweep", "extends") and entry.key not in all_settings():
            return False  # `_is_unknown` reports the setting with a suggestion
        message = f"must be the same for all trials: {_FIXED[name]}"
        self.report.add(entry.at, entry.key, message, _HINTS.get(name, "delete it from `space`"))
        return True

    def _is_unknown(self, entry: Entry) -> bool:
        """Report a setting that does not exist."""
        if entry.key in all_settings():
            return False
        if entry.key[:2] == SIZES:
            message = f"{dotted(entry.key)} is not a setting"
            hint = f"write it like `{dotted(SIZES)}: {{depth: [1, 2], width: {{min: 16, max: 256}}}}`"
            self.report.problems.append(self.report.document.problem(entry.at, message, hint))
            return True
        variants = (Config,) if len(entry.key) == 1 else section_models(Config, str(entry.key[0]))
        if self.config is not None and len(variants) > 1:
            variants = (type(getattr(self.config, str(entry.key[0]))),)
        self._report_unknown(entry, variants[0] if len(variants) == 1 else None)
        return True

    def _is_misplaced(self, entry: Entry, entries: Sequence[Entry], config: Config) -> bool:
        """Report a setting that an option of its section does not have, or sets as well."""
        if len(entry.key) == 1:
            return False
        section, name = dotted(entry.key[:1]), str(entry.key[1])
        branches = self._branches(section, entries, config)
        lacking = [branch for branch in branches if name not in branch.model.model_fields]
        if not lacking:
            return self._is_set_already(entry, entries)
        if len(branches) == 1:
            self._report_unknown(entry, branches[0].model)
            return True
        names = join(dict.fromkeys(section_name(branch.model) for branch in lacking), "or")
        owners = [section_name(branch.model) for branch in branches if branch not in lacking]
        if owners:
            message = f"is not a setting of {names}, an option of `{section}` on line {self._line(lacking[0].at)}"
            hint = f"move it into the options that have it: `{section}: [{{name: {owners[0]}, {name}: …}}, …]`"
        else:
            message, hint = f"is not a setting of {names}", f"delete it: no option of `{section}` has it"
        self.report.add(entry.at, entry.key, message, hint)
        return True

    def _line(self, at: KeyPath) -> str:
        line = self.report.document.problem(at, "").line
        return "–" if line is None else str(line)

    def _report_unknown(self, entry: Entry, model: type[BaseModel] | None) -> None:
        message, hint = unknown_key(entry.key, model)
        self.report.problems.append(self.report.document.problem(entry.at, message, _for_sweep(hint)))

    def _branches(self, section: str, entries: Sequence[Entry], config: Config) -> list[_Branch]:
        """Return every variant that a section can have: one per option, or the variant of the base config."""
        values: list[tuple[KeyPath, Mapping[str, Value]]] = [
            (corner.at[entry.key], {dotted(entry.key): corner.value})
            for entry in entries
            if entry.key in ((section,), (section, "name"))
            for corner in corners_of(entry.node, entry.key, entry.at)
        ]
        branches = []
        for at, overrides in values or [((section,), {})]:
            model = read_variants(with_values(self.base, overrides).tree).get(section)
            if model is None and len(section_models(Config, section)) == 1:
                model = type(getattr(config, section))
            if model is not None:  # otherwise, the name is unknown, which is a problem of the option
                branches.append(_Branch(at, model))
        return branches

    def _is_set_already(self, entry: Entry, entries: Sequence[Entry]) -> bool:
        """Report a setting that an option of its section sets as well."""
        for outer in entries:
            if outer.key != entry.key and entry.key[: len(outer.key)] == outer.key:
                for corner in corners_of(outer.node, outer.key, outer.at):
                    if entry.key in corner.at:
                        line = self._line(corner.at[entry.key])
                        message = f"is set by an option of `{dotted(outer.key)}` too, on line {line}"
                        self.report.add(entry.at, entry.key, message, "delete one of the two")
                        return True
        return False

    def _problems(self, corners: Corners) -> Iterator[Problem]:
        """Yield the problems of one assignment, located at the values that cause them."""
        _, problems = check(with_values(self.base, {key: corner.value for key, corner in corners.items()}))
        written = {dotted(path): at for corner in corners.values() for path, at in corner.at.items()}
        for problem in problems:
            at, hint = _innermost(written, problem.key), problem.hint
            if at is None:
                at = self._cause(problem, corners)
            else:
                at = _path_of_key(at, problem.key.split(".")[-1]) if "is not a setting" in problem.message else at
                hint = _for_sweep(hint, is_end=at[-1] in ("min", "max"))
            yield replace(self.report.document.problem(at, problem.message, hint), key=problem.key)

    def _cause(self, problem: Problem, corners: Corners) -> KeyPath:
        """Return the path of the value in the space that causes a problem in the base config; cached per problem."""
        key = self.causes.get((problem.key, problem.message))
        if key is None or key not in corners:
            key = next((key for key in corners if self._is_solved_without(key, problem, corners)), next(iter(corners)))
            self.causes[problem.key, problem.message] = key
        return next(iter(corners[key].at.values()))

    def _is_solved_without(self, key: str, problem: Problem, corners: Corners) -> bool:
        overrides = {other: corner.value for other, corner in corners.items() if other != key}
        return problem.key not in [left.key for left in check(with_values(self.base, overrides))[1]]


def _innermost(written: Mapping[str, KeyPath], key: str) -> KeyPath | None:
    """Return the path where a setting is written, or the innermost written section around it; None if there is none."""
    parts = key.split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((written[name] for name in names if name in written), None)


def _path_of_key(at: KeyPath, name: str) -> KeyPath:
    """Return the path of the setting that a value belongs to; the value may be an entry of a list."""
    lengths = (length for length in range(len(at), 0, -1) if str(at[length - 1]).split(".")[-1] == name)
    return at[: next(lengths, len(at))]


def _for_sweep(hint: str | None, *, is_end: bool = False) -> str | None:
    """Rewrite the hint for an override as a hint for a space: `optimizer.lr=0.1` becomes `optimizer.lr: [0.1, …]`."""
    if hint is None:
        return None
    hint = re.sub(r"; delete it or set `[^`]*=null`", "; delete it, or move it into such an option", hint)
    hint = re.sub(r"did you mean `[a-z_.]+=([^`]+)`", r"did you mean `\1`", hint)
    if is_end:
        hint = re.sub(r"write it like `[a-z_.]+=([^`[]+)`", r"write an end like `\1`", hint)
    return re.sub(r"`([a-z_.]+)=([^`]+)`", r"`\1: [\2, …]`", hint)
