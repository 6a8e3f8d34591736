"""Run folders: their creation, the paths of their files, and the records in them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlcli.config.paths import expand_path
from dlcli.errors import DataError, DlcliError
from dlcli.runs.files import read_json

MANIFEST, SUMMARY, DATA = "manifest.json", "summary.json", "data.npz"
GROUP = "group.json"  # manifest of a group of seeds
MOST_SEEDS = 10_000


def runs_root() -> Path:
    """Return the folder that contains all runs: $DLCLI_RUNS, or `runs` in the working folder.

    Raises:
        UsageError: If $DLCLI_RUNS cannot be expanded.
    """
    return Path(expand_path(os.environ.get("DLCLI_RUNS") or "runs", "DLCLI_RUNS"))


@dataclass(frozen=True)
class RunFolder:
    """Paths of the files of a run.

    Attributes:
        path: Run folder.
    """

    path: Path

    @property
    def config(self) -> Path:
        """Copy of the config file as the user wrote it."""
        return self.path / "config.yaml"

    @property
    def resolved(self) -> Path:
        """Config with every setting and its origin."""
        return self.path / "resolved.yaml"

    @property
    def manifest(self) -> Path:
        """Record of how the run was started: command, versions, data, device."""
        return self.path / MANIFEST

    @property
    def summary(self) -> Path:
        """Results of the run; missing during training."""
        return self.path / SUMMARY

    @property
    def data(self) -> Path:
        """Arrays passed to training in Python; missing in other runs."""
        return self.path / DATA

    @property
    def tensorboard(self) -> Path:
        """Folder with the log for TensorBoard; missing without `--log tensorboard`."""
        return self.path / "tensorboard"

    @property
    def baselines(self) -> Path:
        """Metrics of the baselines on the data of the run; missing until first computed."""
        return self.path / "baselines.json"

    @property
    def evaluation(self) -> Path:
        """Test metrics of the best checkpoint, as evaluated after training; missing until then."""
        return self.path / "evaluation.json"

    def checkpoint(self, which: str) -> Path:
        """Return the path of a checkpoint.

        Args:
            which: `best`, `last`, their predecessors `best-previous` and `previous`, or `parent`, the copy of the
                checkpoint that training starts from.
        """
        return self.path / "checkpoints" / f"{which}.safetensors"

    @property
    def status(self) -> str:
        """How training ended, or `unfinished`; `unreadable` if summary.json cannot be read."""
        try:
            return str(self.read_summary()["status"])
        except DlcliError:
            return "unreadable"

    @property
    def is_group(self) -> bool:
        """Whether this is the folder of a group of seeds."""
        return self.manifest.name == GROUP

    @property
    def is_unpacked(self) -> bool:
        """Whether the folder is a seed that was unpacked from a group, and can be unpacked again."""
        with suppress(DlcliError):
            return isinstance(self.read_manifest().get("group"), dict)
        return False

    def read_manifest(self) -> dict[str, Any]:
        """Load manifest.json.

        Raises:
            DataError: If the manifest cannot be read.
        """
        return _checked(self.manifest, _MANIFEST_TYPES)

    def read_summary(self) -> dict[str, Any]:
        """Load summary.json; an unfinished run has only a status.

        Raises:
            DataError: If the summary exists but cannot be read.
        """
        record = _checked(self.summary, _SUMMARY_TYPES) if self.summary.exists() else {}
        return {"status": "unfinished", **record}

    def read_evaluation(self) -> dict[str, Any]:
        """Load evaluation.json.

        Raises:
            DataError: If the file cannot be read.
        """
        return _checked(self.evaluation, {"best_sha256": str, "test": dict})


@dataclass(frozen=True)
class GroupFolder(RunFolder):
    """Paths of the files of a group of seeds.

    The files have the same names as in a run folder, except for the manifest. A checkpoint holds all members.
    """

    @property
    def manifest(self) -> Path:
        """Record of how the group was started: command, versions, data, device, seeds."""
        return self.path / GROUP

    @property
    def table(self) -> Path:
        """Results by seed, as CSV; missing during training."""
        return self.path / "seeds.csv"

    def read_seeds(self) -> list[int]:
        """Return the seeds of the group.

        Raises:
            DataError: If the manifest cannot be read.
        """
        seeds: list[int] = self.read_manifest().get("seeds", [])
        is_valid = all(type(seed) is int and seed >= 0 for seed in seeds) and 0 < len(seeds) <= MOST_SEEDS
        if not is_valid or len(set(seeds)) < len(seeds):
            raise DataError(f"cannot use {self.manifest}: it has no list of seeds", hint="restore the file")
        return seeds


# Types that other modules rely on, checked because a run folder may be untrusted. All keys are optional.
_MANIFEST_TYPES = {
    "versions": dict,
    "data": dict,
    "resumed": list,
    "command": list,
    "threads": int,
    "seeds": list,
    "class_counts_of": dict,
    "group": dict,
    "world": dict,
    "launch": str | None,
}
_SUMMARY_TYPES = {
    "status": str,
    "best_sha256": str | None,
    "epochs": int,
    "best_epoch": int | None,
    "best_because": str | None,
    "seconds": int | float,
    "seeds": list,
    **dict.fromkeys(("train", "val", "test"), dict | None),
}


def _checked(path: Path, types: Mapping[str, Any]) -> dict[str, Any]:
    """Load a record of a run.

    Raises:
        DataError: If the record cannot be read, or has a value of the wrong type.
    """
    record = read_json(path)
    for key, kind in types.items():
        if key in record and not isinstance(record[key], kind):
            raise DataError(
                f"cannot use {path}: {key} is {record[key]!r}", hint="restore the file; dlcli never wrote this"
            )
    return record


def name_run(path: str | os.PathLike[str], config_name: str) -> str:
    """Return the display name of a run: `<config>/<folder>` if that is the path's end, otherwise `<folder>`."""
    path = Path(path).absolute()
    return f"{config_name}/{path.name}" if path.parent.name == config_name else path.name


def is_inside(path: Path, root: Path) -> bool:
    """Return whether a path is inside a folder, after links are followed."""
    return path.resolve().is_relative_to(root.resolve())
