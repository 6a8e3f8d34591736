"""Lookup of runs and groups by folder, by name and by date."""

from __future__ import annotations

import difflib
import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

from dlcli.config.paths import as_argument
from dlcli.errors import DataError, DlcliError, UsageError
from dlcli.runs.folder import GROUP, MANIFEST, GroupFolder, RunFolder, is_inside, runs_root

_ENDED = ("finished", "stopped early", "diverged")  # without interrupted, because such a run is not fully trained


class HasRun(Protocol):
    """Result of a function, such as `TrainResult`, with the folder of its run."""

    @property
    def run(self) -> str:
        """Run folder."""


F = TypeVar("F", bound=RunFolder)
RunName: TypeAlias = str | os.PathLike[str] | HasRun


def list_runs() -> list[RunFolder]:
    """Return the runs in the runs folder, oldest first; links to other places and members of groups are left out."""
    return _list_folders(RunFolder, MANIFEST)


def list_groups() -> list[GroupFolder]:
    """Return the groups in the runs folder, oldest first; links to other places are left out."""
    return _list_folders(GroupFolder, GROUP)


def find_launched(launch: str, run_dir: Path | None) -> RunFolder | None:
    """Return the run that a launch of several processes has begun; None if it has not begun any.

    Args:
        launch: See `launch_id`.
        run_dir: Folder of the run; None looks in the runs folder.
    """
    folders = list_runs() if run_dir is None else [RunFolder(run_dir)]
    for folder in reversed(folders):
        with suppress(DlcliError):
            if folder.read_manifest().get("launch") == launch:
                return folder
    return None


def _list_folders(kind: type[F], manifest: str) -> list[F]:
    root = runs_root()
    folders = [kind(file.parent) for file in root.glob(f"*/*/{manifest}")]
    return sorted(
        (folder for folder in folders if is_inside(folder.path, root) and not _is_group(folder.path.parent)),
        key=_started,
    )


def _is_group(path: Path) -> bool:
    return _exists(path / GROUP)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # not a valid file name
        return False


def own_run_names() -> list[str]:
    """Return the names of the runs and groups directly in the runs folder, where only `--run-dir` creates them."""
    return sorted(file.parent.name for manifest in (MANIFEST, GROUP) for file in runs_root().glob(f"*/{manifest}"))


def _started(folder: RunFolder) -> tuple[str, str]:
    try:
        return str(folder.read_manifest().get("started", "")), folder.path.name
    except DlcliError:
        return "", folder.path.name


def find_run(run: RunName | None) -> RunFolder:
    """Return the folder of a run; a seed of a group is first unpacked into a run folder, see `unpack_member`.

    Args:
        run: Run folder, result of a function such as `train`, or name in the runs folder, which selects the newest run
            of that name. A seed of a group is written as the folder or name of the group and the seed, such as
            `digits/3`. None selects the newest run whose training has ended, or the newest run if none has ended.

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
        UsageError: If there is no such run or group.
        DataError: If the folder exists but is neither a run nor a group, or a seed of a group cannot be unpacked.
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
        from dlcli.runs.group.member import unpack_member  # imports torch

        return unpack_member(folder, int(seed))
    if found := _find(run):
        return found
    if _exists(Path(run)):
        raise DataError(
            f"{run} is not a run folder: it has no {MANIFEST} or {GROUP}", hint="list the runs with `dlcli runs list`"
        )
    names = {folder.path.parent.name for folder in list_all()} | set(own_run_names())
    guess = difflib.get_close_matches(run, sorted(names), n=1)
    hint = f"did you mean `{guess[0]}`?" if guess else "list the runs with `dlcli runs list`"
    raise UsageError(f"run {run!r} not found", hint=hint)


def find_group(run: RunName) -> GroupFolder:
    """Return the folder of a group.

    Args:
        run: Group folder, result of a training, or name in the runs folder, which selects its newest group.

    Raises:
        UsageError: If there is no such group.
    """
    name = os.fspath(getattr(run, "run", run))  # type: ignore[arg-type]
    if folder := _find_group(name):
        return folder
    raise UsageError(f"group {name!r} not found", hint="list the runs and groups with `dlcli runs list`")


def _find(run: str) -> RunFolder | GroupFolder | None:
    """Return the run or group with this folder or name; the newest one if several have the name; or None."""
    for path in (Path(run), runs_root() / run):
        if _exists(path / MANIFEST):
            return RunFolder(path)
        if _is_group(path):
            return GroupFolder(path)
    return next((folder for folder in reversed(list_all()) if _is_named(folder, run)), None)


def _find_group(run: str) -> GroupFolder | None:
    """Return the group with this folder or name; the newest one if several have the name; or None."""
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
