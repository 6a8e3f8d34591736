"""What a run could not show, noted in its record."""

from __future__ import annotations

from collections.abc import Mapping

from dlcli.runs.files import write_json
from dlcli.runs.folder import RunFolder
from dlcli.runs.lock import owned


def note_output_errors(folder: RunFolder, errors: Mapping[str, str]) -> None:
    """Add to the summary of a run which streams could not be written, and why.

    Args:
        folder: The run's, which no process owns.
        errors: By stream: `stdout`, `stderr`.

    Raises:
        UsageError: If another process owns the run by now.
        DataError: If the summary cannot be read or written.
    """
    with owned(folder.path):
        if folder.summary.exists():  # without one, nothing was recorded
            write_json(folder.summary, {**folder.read_summary(), "output_errors": dict(errors)})
