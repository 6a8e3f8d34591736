"""Checks of a search space against the config that it varies."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pydantic import BaseModel

from dlcli.config.load import check, with_values
from dlcli.config.schema import Config, is_path_setting, section_models, section_name, setting_owners
from dlcli.config.suggest import all_settings, unknown_key
from dlcli.config.sweep.corners import Corners, assignments, corners_of
from dlcli.config.sweep.parse import Entry
from dlcli.config.sweep.ranges import Report
from dlcli.config.tree import Document, KeyPath, Value, dotted
from dlcli.config.variants import read_variants
from dlcli.errors import Problem
from dlcli.text import join

# Settings that are not for a sweep, with the reason; a section stands for all of its settings.
_REFUSED = {
    "schema_version": "it is the format of the file",
    "name": "it is the name of the runs",
    "seed": "its best value is the luckiest one, use `sweep.seeds_per_trial=3` for several seeds",
    "task": "the metrics of two tasks cannot be compared",
    "sweep": "the settings of a sweep are not settings of its trials",
    "extends": "the base config is the same for all trials",
    "plots": "it changes no result",
    "checkpoint": "all trials are compared by the same metric, `sweep.metric`",
    "early_stopping.monitor": "all trials are compared by the same metric, `sweep.metric`",
    "data.name": "results on two data sources cannot be compared",
    "data.seed": "all trials are compared on the same examples",
    "data.val_fraction": "all trials are compared on the same examples",
    "data.test_fraction": "all trials are compared on the same examples",
    "data.split": "all trials are compared on the same examples",
    "data.time": "all trials are compared on the same examples",
    "data.group": "all trials are compared on the same examples",
    "data.target": "results for two targets cannot be compared",
}


class _Branch(NamedTuple):
    """Option that decides the variant of a section, such as an optimizer."""

    at: KeyPath
    model: type[BaseModel]


@dataclass(frozen=True)
class SpaceCheck:
    """Check of the settings of a space.

    Attributes:
        base: Document of the base config, which is valid.
        config: Base config.
        report: Problems, with the document of the whole file.
    """

    base: Document
    config: Config
    report: Report

    def check(self, entries: Sequence[Entry]) -> None:
        """Add every problem of the space to the report."""
        usable = [entry for entry in entries if not self._is_refused(entry) and not self._is_unknown(entry, entries)]
        found: dict[tuple[str, int | None, int | None, str], Problem] = {}
        for corners in assignments(usable):
            for problem in self._problems(corners):
                found.setdefault((problem.file, problem.line, problem.column, problem.key), problem)
        self.report.problems.extend(found.values())

    def _is_refused(self, entry: Entry) -> bool:
        """Report a setting that must be the same for all trials."""
        names = [dotted(entry.key[:length]) for length in range(1, len(entry.key) + 1)]
        reason = next((_REFUSED[name] for name in names if name in _REFUSED), None)
        if reason is None and any(is_path_setting(owner, str(entry.key[-1])) for owner in setting_owners(entry.key)):
            reason = "all trials are compared on the same data" if entry.key[0] == "data" else None
        if reason is None and entry.key == ("data",):
            reason = "results on two data sources cannot be compared"
        if reason is not None:
            self.report.add(entry.at, entry.key, f"cannot be in a sweep: {reason}", "delete it from `space`")
        return reason is not None

    def _is_unknown(self, entry: Entry, entries: Sequence[Entry]) -> bool:
        """Report a setting that does not exist, that an option lacks or that an option has already."""
        key, section = entry.key, entry.key[:1]
        if key not in all_settings():
            models = section_models(Config, str(key[0]))
            model = Config if len(key) == 1 else type(getattr(self.config, str(key[0]))) if models else None
            self._report_unknown(entry, model)
            return True
        if len(key) == 1:
            return False
        branches = self._branches(section, entries)
        lacking = [branch for branch in branches if str(key[1]) not in branch.model.model_fields]
        if not lacking:
            return self._is_set_already(entry, entries)
        if len(branches) == 1:
            self._report_unknown(entry, branches[0].model)
            return True
        names = join(dict.fromkeys(section_name(branch.model) for branch in lacking), "or")
        message = f"is not a setting of {names}, which `{dotted(section)}` can be too"
        hint = f"move it into the options that have it: `{dotted(section)}: [{{name: …, {key[1]}: …}}, …]`"
        if len(lacking) == len(branches):
            message, hint = f"is not a setting of {names}", "delete it: no option has it"
        self.report.add(entry.at, key, message, hint)
        return True

    def _report_unknown(self, entry: Entry, model: type[BaseModel] | None) -> None:
        message, hint = unknown_key(entry.key, model)
        self.report.problems.append(self.report.document.problem(entry.at, message, _for_sweep(hint)))

    def _branches(self, section: KeyPath, entries: Sequence[Entry]) -> list[_Branch]:
        """Return every variant that a section can have: one per option, or that of the base config."""
        deciding = [entry for entry in entries if entry.key in (section, (*section, "name"))]
        values: list[tuple[KeyPath, Mapping[str, Value]]] = [
            (corner.at[entry.key], {dotted(entry.key): corner.value})
            for entry in deciding
            for corner in corners_of(entry.node, entry.key, entry.at)
        ]
        branches = []
        for at, overrides in values or [(section, {})]:
            model = read_variants(with_values(self.base, overrides).tree).get(str(section[0]))
            if model is None and len(section_models(Config, str(section[0]))) == 1:
                model = type(getattr(self.config, str(section[0])))
            if model is not None:  # otherwise, the name is unknown, which is a problem of the option
                branches.append(_Branch(at, model))
        return branches

    def _is_set_already(self, entry: Entry, entries: Sequence[Entry]) -> bool:
        """Report a setting that an option of its section sets too."""
        for outer in entries:
            if outer.key != entry.key and entry.key[: len(outer.key)] == outer.key:
                for corner in corners_of(outer.node, outer.key, outer.at):
                    if entry.key in corner.at:
                        place = self.report.document.problem(corner.at[entry.key], "")
                        message = f"is set by an option of `{dotted(outer.key)}` too, on line {place.line}"
                        self.report.add(entry.at, entry.key, message, "delete one of the two")
                        return True
        return False

    def _problems(self, corners: Corners) -> list[Problem]:
        """Return the problems of one assignment, at the places of its values."""
        overrides = {key: corner.value for key, corner in corners.items()}
        _, problems = check(with_values(self.base, overrides))
        return [self._place(problem, corners) for problem in problems]

    def _place(self, problem: Problem, corners: Corners) -> Problem:
        """Return a problem at the value of the space that causes it."""
        parts = problem.key.split(".")
        written = {dotted(path): at for corner in corners.values() for path, at in corner.at.items()}
        keys = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
        at = next((written[key] for key in keys if key in written), None)
        if at is None:  # a setting of the base config that does not fit to a value of the space
            key = next((key for key in corners if self._is_solved_without(key, problem, corners)), next(iter(corners)))
            at = next(iter(corners[key].at.values()))
        elif "is not a setting" in problem.message:
            at = _path_of_key(at, parts[-1])
        placed = self.report.document.problem(at, problem.message, _for_sweep(problem.hint))
        return Problem(placed.file, placed.line, placed.column, problem.key, placed.message, placed.hint, placed.text)

    def _is_solved_without(self, key: str, problem: Problem, corners: Corners) -> bool:
        overrides = {other: corner.value for other, corner in corners.items() if other != key}
        return problem.key not in [left.key for left in check(with_values(self.base, overrides))[1]]


def _path_of_key(at: KeyPath, name: str) -> KeyPath:
    """Return the path of the setting that a value belongs to, where a value may be an entry of a list."""
    lengths = (length for length in range(len(at), 0, -1) if str(at[length - 1]).split(".")[-1] == name)
    return at[: next(lengths, len(at))]


def _for_sweep(hint: str | None) -> str | None:
    """Return the hint for an override as one for a space: `optimizer.lr=0.1` becomes `optimizer.lr: [0.1, …]`."""
    if hint is None:
        return None
    hint = re.sub(r"; delete it or set `[^`]*=null`", "; delete it, or move it into such an option", hint)
    return re.sub(r"`([a-z_.]+)=([^`]+)`", r"`\1: [\2, …]`", hint)
