"""TensorBoard log of a run: metrics as scalars, settings and final metrics as HParams.

Each start rewrites the event file from the rows of metrics.jsonl and then appends rows, so a resumed run has every row
once. TensorBoard's own writer is not used, because it writes in another thread, where an error is lost.
"""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from importlib.util import find_spec
from typing import Any, Literal, TypeAlias

from dlcli.config.render import deciding_settings, render_value
from dlcli.config.schema import Config
from dlcli.config.tree import Value
from dlcli.errors import DataError, UsageError
from dlcli.runs.files import append_bytes, write_atomic
from dlcli.runs.folder import RunFolder
from dlcli.runs.log import Row, epoch_row
from dlcli.training.events import EpochEnded, Event

LogName: TypeAlias = Literal["tensorboard"]
_PACKAGE = "the log for TensorBoard needs the package tensorboard"
_INSTALL = "pip install tensorboard"


def check_packages(log: Sequence[LogName]) -> None:
    """Check that the package of a log is installed, without importing it.

    Raises:
        UsageError: If the package is not installed.
    """
    if log and find_spec("tensorboard") is None:
        raise UsageError(_PACKAGE, hint=f"install it with `{_INSTALL}`")


def logs_to_continue(folder: RunFolder, log: Sequence[LogName], note: Callable[[str], None]) -> Sequence[LogName]:
    """Return the logs of a resumed run: the requested logs and the logs that the run already has.

    Args:
        folder: Run folder.
        log: Requested logs.
        note: Called with a one-line message about a log that cannot be continued.

    Raises:
        UsageError: If the package of a requested log is not installed.
    """
    check_packages(log)
    if log or not folder.tensorboard.is_dir():
        return log
    if find_spec("tensorboard") is None:
        note(f"{folder.tensorboard} is not continued: {_PACKAGE} (`{_INSTALL}`)")
        return ()
    return ("tensorboard",)


class TensorBoardLog:
    """Writer of the folder `tensorboard` of a run.

    If the file cannot be written, a single note is sent and the log ends; the run continues.

    Args:
        folder: Run folder, locked by this process.
        config: Config of the run.
        rows: Rows of metrics.jsonl so far.
        note: Called with a one-line message if the file cannot be written.
    """

    def __init__(self, folder: RunFolder, config: Config, rows: Sequence[Row], note: Callable[[str], None]) -> None:
        self._path = folder.tensorboard / f"events.out.tfevents.{int(time.time())}.dlcli"
        self._note, self._has_failed = note, False
        self._try(lambda: self._begin(config, rows, _start_of(folder)))

    def handle(self, event: Event) -> None:
        """Write the metrics of a completed epoch."""
        if isinstance(event, EpochEnded):
            row = epoch_row(event)
            self._try(lambda: append_bytes(self._path, _record(_row_event(row, time.time()))))

    def finish(self, summary: Mapping[str, Any], step: int) -> None:
        """Write the metrics of the best epoch and of the test split, and the end of the run.

        Args:
            summary: Contents of summary.json.
            step: Number of optimizer steps of the run.
        """
        content = _record(_scalars(_final_metrics(summary), step, time.time())) + _record(_session_end())
        self._try(lambda: append_bytes(self._path, content))

    def _begin(self, config: Config, rows: Sequence[Row], started: float) -> None:
        """Write a new event file with the settings and the rows so far, and remove older files of dlcli."""
        folder = self._path.parent
        if folder.is_symlink():
            raise DataError(f"{folder} is a link; a run only writes into its own folder")
        folder.mkdir(exist_ok=True)
        ends = itertools.accumulate(row["epoch_seconds"] for row in rows)
        logged = [_row_event(row, started + end) for row, end in zip(rows, ends, strict=True)]
        write_atomic(self._path, b"".join(map(_record, [*_opening(config, started), *logged])))
        for path in (*folder.glob("events.out.tfevents.*.dlcli"), *folder.glob(".events.*.dlcli.tmp")):
            if path != self._path:
                path.unlink()

    def _try(self, write: Callable[[], None]) -> None:
        if self._has_failed:
            return
        try:
            write()
        except (DataError, OSError) as error:
            self._has_failed = True
            self._note(f"the log for TensorBoard ends here, the run continues: {error}")


def _start_of(folder: RunFolder) -> float:
    """Return the time at which a run was started, in seconds since 1970; now if it is not recorded."""
    try:
        return datetime.fromisoformat(str(folder.read_manifest().get("started"))).timestamp()
    except ValueError:
        return time.time()


def _final_metrics(summary: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the metrics of the best epoch and of the test split by names such as `best/val/loss`."""
    parts = {"best/train": summary["train"], "best/val": summary["val"], "test": summary.get("test") or {}}
    metrics = {f"{part}/{name}": value for part, values in parts.items() for name, value in values.items()}
    numbers = {name: value for name, value in metrics.items() if isinstance(value, float)}
    return {"best/epoch": summary["best_epoch"], **numbers}


def _opening(config: Config, started: float) -> list[Any]:
    """Return the first events of a file: its version, a START event and the settings.

    The START event makes readers drop older files.
    """
    from tensorboard.compat.proto.event_pb2 import Event as FileEvent
    from tensorboard.compat.proto.event_pb2 import SessionLog
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb

    settings = {key: _as_hparam(value) for key, value in deciding_settings(config).items()}
    return [
        FileEvent(wall_time=started, file_version="brain.Event:2"),
        FileEvent(wall_time=started, session_log=SessionLog(status=SessionLog.START)),
        FileEvent(wall_time=started, summary=hparams_pb(settings, start_time_secs=started)),
    ]


def _as_hparam(value: Value) -> bool | float | str:
    return value if isinstance(value, bool | int | float | str) else render_value(value)


def _row_event(row: Row, wall_time: float) -> Any:
    return _scalars({name: value for name, value in row.items() if name != "step"}, int(row["step"]), wall_time)


def _scalars(metrics: Mapping[str, float | int | None], step: int, wall_time: float) -> Any:
    from tensorboard.compat.proto.event_pb2 import Event as FileEvent
    from tensorboard.compat.proto.summary_pb2 import Summary

    values = [Summary.Value(tag=name, simple_value=value) for name, value in metrics.items() if value is not None]
    return FileEvent(wall_time=wall_time, step=step, summary=Summary(value=values))


def _session_end() -> Any:
    from tensorboard.compat.proto.event_pb2 import Event as FileEvent
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.api_pb2 import STATUS_SUCCESS
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo

    now = time.time()
    content = HParamsPluginData(session_end_info=SessionEndInfo(status=STATUS_SUCCESS, end_time_secs=now))
    value = Summary.Value(
        tag=metadata.SESSION_END_INFO_TAG,
        metadata=metadata.create_summary_metadata(content),
        tensor=metadata.NULL_TENSOR,
    )
    return FileEvent(wall_time=now, summary=Summary(value=[value]))


def _record(event: Any) -> bytes:
    """Return an event as a record of an event file, with its length and checksums."""
    from tensorboard.summary.writer.record_writer import RecordWriter

    content = io.BytesIO()
    RecordWriter(content).write(event.SerializeToString())
    return content.getvalue()
