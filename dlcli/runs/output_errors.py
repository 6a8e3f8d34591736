"""Record of failed writes to stdout and stderr in the run summary."""

from __future__ import annotations

from collections.abc import Mapping

from dlcli.runs.files import write_json
from dlcli.runs.folder import RunFolder
from dlcli.runs.lock import lock_run


def note_output_errors(folder: RunFolder, errors: Mapping[str, str]) -> None:
    """Record in the summary which output streams could not be written, and why.

    Args:
        folder: Run folder, not locked by this process.
        errors: Error messages by stream, `stdout` or `stderr`.

    Raises:
        UsageError: If another process has locked the run.
        DataError: If the summary cannot be read or written.
    """
    with lock_run(folder.path):
        if folder.summary.exists():
            write_json(folder.summary, {**folder.read_summary(), "output_errors": dict(errors)})
