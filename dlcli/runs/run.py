"""A run opened for reading: each of its files is read and checked once."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from dlcli.config.load import LoadedConfig, load_config
from dlcli.config.render import read_origins
from dlcli.config.schema import Config
from dlcli.errors import ConfigError, DataError, UsageError
from dlcli.runs.find import RunName, find_run
from dlcli.runs.folder import RunFolder
from dlcli.runs.log import Row, read_rows, read_traces
from dlcli.training.events import Trace

if TYPE_CHECKING:  # these modules import torch, which is not needed to show a run
    from dlcli.runs.checkpoint import Checkpoint
    from dlcli.runs.run_checkpoint import Which


class Record(Protocol):
    """Record of a run, or of a group of runs."""

    @property
    def path(self) -> str:
        """Folder, as text."""

    @property
    def config(self) -> Config:
        """Settings."""

    @property
    def origins(self) -> Mapping[str, str]:
        """Origin of each setting, by its dotted name."""

    @property
    def manifest(self) -> Mapping[str, Any]:
        """Record of the start of training: command, versions, data, device."""


class Run:
    """A run folder with the contents of its files; a file is read when it is first used.

    Args:
        folder: The run folder.

    Attributes:
        folder: The run folder.
        path: Its path as text.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.path = str(folder.path)

    @cached_property
    def _loaded(self) -> LoadedConfig:
        try:
            return load_config(self.folder.resolved)
        except ConfigError:
            raise
        except UsageError as error:
            raise DataError(error.message, hint="restore the file from a copy of the run, or train again") from error

    @property
    def config(self) -> Config:
        """Settings from resolved.yaml."""
        return self._loaded.config

    @cached_property
    def origins(self) -> Mapping[str, str]:
        """Origin of each setting, by its dotted name."""
        return read_origins(self.config, self._loaded.text)

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """Contents of manifest.json."""
        return self.folder.read_manifest()

    @cached_property
    def summary(self) -> Mapping[str, Any]:
        """Contents of summary.json; only the status `unfinished` if the file is missing."""
        return self.folder.read_summary()

    @property
    def status(self) -> str:
        """How training ended: finished, stopped early, interrupted, diverged, failed or unfinished."""
        return str(self.summary["status"])

    @cached_property
    def test(self) -> Mapping[str, Any] | None:
        """Metrics of the best checkpoint on the test split, from `train --eval` or a later evaluation, or None."""
        test: Mapping[str, Any] | None = self.summary.get("test")
        if test is None:
            with suppress(DataError):
                record = self.folder.read_evaluation()
                if record.get("best_sha256") == self.summary.get("best_sha256"):  # the run may have been resumed
                    test = record.get("test")
        return test

    @cached_property
    def rows(self) -> list[Row]:
        """Rows of metrics.jsonl, one per epoch."""
        return read_rows(self.folder.path)

    @cached_property
    def traces(self) -> Mapping[int, Trace]:
        """Traces of the model's layers, by epoch."""
        return read_traces(self.folder.path, len(self.rows))

    def has_checkpoint(self, which: Which) -> bool:
        """Return whether the run has this checkpoint.

        Raises:
            DataError: If the files do not belong to one run.
        """
        from dlcli.runs.run_checkpoint import has_checkpoint

        return has_checkpoint(self.folder, which)

    def load_checkpoint(self, which: Which) -> Checkpoint:
        """Return a checkpoint after checking that it belongs to this run; see `load_run_checkpoint`."""
        from dlcli.runs.run_checkpoint import load_run_checkpoint

        return load_run_checkpoint(self.folder, which, lambda: self.config)


RunLike: TypeAlias = Run | RunName


def open_run(run: RunLike | None) -> Run:
    """Return a run by its folder, name or result; None selects the newest run, and an open run is returned unchanged.

    Raises:
        UsageError: If there is no such run.
        DataError: If the folder exists but holds no run.
    """
    return run if isinstance(run, Run) else Run(find_run(run))


def command_line(manifest: Mapping[str, Any]) -> str:
    """Return the command that started a run, quoted for a shell; "" if the manifest does not have it."""
    command = manifest.get("command")
    if not isinstance(command, (list, tuple)) or not command:
        return ""
    program, *arguments = map(str, command)
    is_dlcli = Path(program).name in ("__main__.py", "dlcli")
    return shlex.join(["dlcli" if is_dlcli else program, *arguments])
