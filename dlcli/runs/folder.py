"""Run folders: their paths, creation and lookup by name."""

from __future__ import annotations

import difflib
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

from dlcli.config.paths import as_argument, expand_path
from dlcli.errors import DataError, DlcliError, UsageError
from dlcli.runs.files import read_json, sync_folder

MANIFEST, SUMMARY, DATA = "manifest.json", "summary.json", "data.npz"
GROUP = "group.json"  # manifest of a group of seeds
MOST_SEEDS = 10_000
_ENDED = ("finished", "stopped early", "diverged")  # not interrupted: such a run has more to train


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
        """Arrays that training was given in Python; missing in other runs."""
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
            which: `best`, `last`, or their predecessors `best-previous` and `previous`.
        """
        return self.path / "checkpoints" / f"{which}.safetensors"

    @property
    def status(self) -> str:
        """How training ended; `unreadable` if the record cannot be read."""
        try:
            return str(self.read_summary()["status"])
        except DlcliError:
            return "unreadable"

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
            DataError: If it cannot be read.
        """
        return _checked(self.evaluation, {"best_sha256": str, "test": dict})


@dataclass(frozen=True)
class GroupFolder(RunFolder):
    """Paths of the files of a group of seeds.

    The files have the names of those of a run, except for the manifest. A checkpoint holds all members.
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


# Types that other modules rely on; all keys are optional, and a run folder may be untrusted.
_MANIFEST_TYPES = {
    "versions": dict,
    "data": dict,
    "resumed": list,
    "command": list,
    "threads": int,
    "seeds": list,
    "class_counts_of": dict,
    "group": dict,
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
    """Return the name of a run for people: its folder, after the config's name if that is the folder above."""
    path = Path(path).absolute()
    return f"{config_name}/{path.name}" if path.parent.name == config_name else path.name


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # not a valid file name
        return False


def create_run(name: str, run_dir: Path | None = None) -> RunFolder:
    """Create a new run folder, `<runs folder>/<name>/<UTC time>-<4 hex digits>`.

    Args:
        name: Name of the run, validated with the config.
        run_dir: Folder to use instead; it may exist.

    Raises:
        UsageError: If the folder cannot be created, or a link would place it outside the runs folder.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    path = run_dir or runs_root() / name / f"{stamp}-{secrets.token_hex(2)}"
    if run_dir is None and not _is_inside(path, runs_root()):
        hint = "remove the link, or choose a folder with `--run-dir DIR`"
        raise UsageError(f"{path.parent} is a link to a folder outside {runs_root()}", hint=hint)
    try:
        path.mkdir(parents=True, exist_ok=run_dir is not None)
    except OSError as error:
        raise UsageError(
            f"cannot create the run folder {path}: {error.strerror or error}",
            hint="choose another folder with `--run-dir DIR`",
        ) from error
    for parent in (path.parent, path.parent.parent, path.parent.parent.parent):
        with suppress(OSError):  # best effort: the parent folders may not be readable
            sync_folder(parent)
    return RunFolder(path)


def _is_inside(path: Path, root: Path) -> bool:
    return path.resolve().is_relative_to(root.resolve())


def list_runs() -> list[RunFolder]:
    """Return the runs in the runs folder, oldest first, without links to other places and members of groups."""
    return _list_folders(RunFolder, MANIFEST)


def list_groups() -> list[GroupFolder]:
    """Return the groups in the runs folder, oldest first, without links to other places."""
    return _list_folders(GroupFolder, GROUP)


def _list_folders(kind: type[F], manifest: str) -> list[F]:
    root = runs_root()
    folders = [kind(file.parent) for file in root.glob(f"*/*/{manifest}")]
    return sorted(
        (folder for folder in folders if _is_inside(folder.path, root) and not _is_group(folder.path.parent)),
        key=_started,
    )


def _is_group(path: Path) -> bool:
    return _exists(path / GROUP)


def own_run_names() -> list[str]:
    """Return the names of the runs and groups directly in the runs folder, which `--run-dir` has created."""
    return sorted(file.parent.name for manifest in (MANIFEST, GROUP) for file in runs_root().glob(f"*/{manifest}"))


def _started(folder: RunFolder) -> tuple[str, str]:
    try:
        return str(folder.read_manifest().get("started", "")), folder.path.name
    except DlcliError:
        return "", folder.path.name


class HasRun(Protocol):
    """Result of a function, such as `TrainResult`, with the folder of its run."""

    @property
    def run(self) -> str:
        """Run folder."""


F = TypeVar("F", bound=RunFolder)
RunName: TypeAlias = str | os.PathLike[str] | HasRun


def find_run(run: RunName | None) -> RunFolder:
    """Return the folder of a run; a seed of a group is unpacked into one, see `unpack_member`.

    Args:
        run: Run folder, or a name in the runs folder, which selects its newest run, or the result of a function with a
            run; a seed of a group is the folder or name of the group with the seed, such as `digits/3`. None selects
            the newest run whose training has ended, or the newest if there is none.

    Raises:
        UsageError: If no such run exists, or it is a group of several seeds.
        DataError: If the folder exists but is not a run folder, or the seed cannot be unpacked.
    """
    folder = find_run_or_group(run)
    if not isinstance(folder, GroupFolder):
        return folder
    seeds = folder.read_seeds()
    message = f"{folder.path} holds {len(seeds)} seeds, {seeds[0]} to {seeds[-1]}"
    raise UsageError(message, hint=f"name one of them, such as `{as_argument(str(folder.path / str(seeds[0])))}`")


def find_run_or_group(run: RunName | None) -> RunFolder | GroupFolder:
    """Return the folder of a run or a group; see `find_run`.

    Raises:
        UsageError: If there is none.
        DataError: If the folder exists but is neither, or a seed of a group cannot be unpacked.
    """
    run = getattr(run, "run", run)
    if run is None:
        return _newest()
    if not isinstance(run, (str, os.PathLike)):
        message = f"a run must be a folder, a name or a result of dlcli. Got {type(run).__name__} instead"
        raise UsageError(message, hint="write it like `dlcli.evaluate(result)` or `dlcli.evaluate('digits')`")
    run = os.fspath(run)
    group, _, seed = run.rstrip("/").rpartition("/")
    if group and seed.isdecimal() and (folder := _find_group(group)):
        from dlcli.runs.member import unpack_member  # imports torch

        return unpack_member(folder, int(seed))
    if found := _find(run):
        return found
    if _exists(Path(run)):
        raise DataError(f"{run} is not a run folder: it has no {MANIFEST}", hint="list the runs with `dlcli runs list`")
    names = {folder.path.parent.name for folder in list_all()} | set(own_run_names())
    guess = difflib.get_close_matches(run, sorted(names), n=1)
    hint = f"did you mean `{guess[0]}`?" if guess else "list the runs with `dlcli runs list`"
    raise UsageError(f"run {run!r} not found", hint=hint)


def find_group(run: RunName) -> GroupFolder:
    """Return the folder of a group.

    Args:
        run: Group folder, or a name in the runs folder, which selects its newest group, or the result of a training.

    Raises:
        UsageError: If there is no such group.
    """
    name = os.fspath(getattr(run, "run", run))  # type: ignore[arg-type]
    if folder := _find_group(name):
        return folder
    raise UsageError(f"group {name!r} not found", hint="list the runs and groups with `dlcli runs list`")


def _find(run: str) -> RunFolder | GroupFolder | None:
    """Return a run or group by its folder or name; of several with this name, the newest."""
    for path in (Path(run), runs_root() / run):
        if _exists(path / MANIFEST):
            return RunFolder(path)
        if _is_group(path):
            return GroupFolder(path)
    return next((folder for folder in reversed(list_all()) if _is_named(folder, run)), None)


def _find_group(run: str) -> GroupFolder | None:
    """Return a group by its folder or name; of several with this name, the newest."""
    for path in (Path(run), runs_root() / run):
        if _is_group(path):
            return GroupFolder(path)
    return next((folder for folder in reversed(list_groups()) if _is_named(folder, run)), None)


def _is_named(folder: RunFolder, run: str) -> bool:
    return run in (folder.path.name, folder.path.parent.name) or Path(run) == folder.path.parent


def list_all() -> list[RunFolder | GroupFolder]:
    """Return all runs and groups, oldest first."""
    return sorted([*list_runs(), *list_groups()], key=_started)


def _newest() -> RunFolder | GroupFolder:
    folders = list_all()
    if not folders:
        raise UsageError(f"no runs found in {runs_root()}", hint="train a model with `dlcli train -c digits`")
    return next((folder for folder in reversed(folders) if folder.status in _ENDED), folders[-1])
