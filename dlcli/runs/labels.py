"""Short unique labels of runs, from the settings that differ between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from dlcli.config.render import deciding_settings, describe_setting, is_choice
from dlcli.config.tree import Value
from dlcli.errors import one_line
from dlcli.runs.run import Record

_MOST_PARTS = 3  # largest number of settings in a label
_MOST_LETTERS = 28


def label_runs(runs: Sequence[Record]) -> list[str]:
    """Return a short unique label for each run or group: the settings that differ, such as `relu, lr 0.1`.

    Settings at their default in every run are left out, such as the different default learning rates of two optimizers.
    If no setting differs, the label is the name of the config or of the folder. If too many settings differ, it is the
    name of the config and a number.
    """
    keys = _differing_settings(runs)
    names = [one_line(run.config.name) for run in runs]
    if not keys:
        folders = [one_line(Path(run.path).absolute().name) for run in runs]
        return next((texts for texts in (names, folders) if _are_short_and_unique(texts)), _number(names, "{} {}"))
    labels = [_join(deciding_settings(run.config), keys) for run in runs]
    if len(keys) <= _MOST_PARTS and all(map(_is_short, labels)):
        return _number(labels, "{} ({})")
    return _number(names, "{} {}")


def _differing_settings(runs: Sequence[Record]) -> list[str]:
    """Return the settings that affect results, differ between the runs, and are not the default in every run.

    If the kind of a section differs, such as `optimizer.name`, its settings that some runs lack are left out.
    """
    settings = [deciding_settings(run.config) for run in runs]
    differing = [
        key
        for key in dict.fromkeys(key for values in settings for key in values)
        if len({repr(values.get(key)) for values in settings}) > 1
        and any(run.origins.get(key) != "default" for run in runs)
    ]
    shared = [
        key
        for key in differing
        if f"{key.partition('.')[0]}.name" not in differing or all(key in values for values in settings)
    ]
    return sorted(shared, key=lambda key: (key == "seed", not is_choice(key)))  # choices like `relu` first, seed last


def _join(settings: Mapping[str, Value], keys: Sequence[str]) -> str:
    return ", ".join(describe_setting(key, settings[key]) for key in keys if key in settings)


def _is_short(text: str) -> bool:
    return 0 < len(text) <= _MOST_LETTERS


def _are_short_and_unique(texts: Sequence[str]) -> bool:
    return len(set(texts)) == len(texts) and all(map(_is_short, texts))


def _number(labels: Sequence[str], form: str) -> list[str]:
    """Return labels made unique by a number after each repeated label."""
    total, seen = Counter(labels), Counter[str]()
    numbered = []
    for label in labels:
        seen[label] += 1
        numbered.append(label if total[label] == 1 else form.format(label, seen[label]))
    return numbered
