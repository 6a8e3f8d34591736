"""The files of a run, compared with what training again came to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlcli.config.schema import Config
from dlcli.runs.checkpoint import Checkpoint, describe, load_checkpoint, tensors_of
from dlcli.runs.files import to_json
from dlcli.runs.folder import RunFolder
from dlcli.runs.identity import check_identity
from dlcli.runs.log import CLOCK, CSV, JSONL, TRACE, LogText, csv_text, read_log_text
from dlcli.runs.run_checkpoint import BESTS, has_checkpoint, load_run_checkpoint
from dlcli.runs.soundness import part
from dlcli.runs.summary import summarize
from dlcli.verification.compare import compare_records, compare_rows, compare_tensors, compare_text
from dlcli.verification.retrain import Repeated

_WHOLE = ("finished", "stopped early", "interrupted", "diverged")  # the log is as long as the summary says
_PARTS = ("model", "input_scaling", "target_scaling", "optimizer", "sums", "generators")
COMPARED_OF_MANIFEST = ("schema", "seed", "data", "world_size", "threads", "arithmetic")
_NOT_COMPARED_OF_SUMMARY = ("seconds", "error", "output_errors")
# The SHA-256 of another file covers that file's versions too; whether it is the right one is checked on reading.
_NOT_OF_TRAINING = ("fingerprint", "training.best_sha256")


@dataclass(frozen=True)
class RunFiles:
    """What the files of a run say.

    Attributes:
        manifest: manifest.json.
        summary: summary.json; of a run that has none, a status alone.
        log: metrics.jsonl, metrics.csv and trace.jsonl.
        checkpoints: Those that are there, by file name without its ending.
        best: The best checkpoint that the run records; None where there is none.
    """

    manifest: dict[str, Any]
    summary: dict[str, Any]
    log: LogText
    checkpoints: dict[str, Checkpoint]
    best: Checkpoint | None

    @property
    def status(self) -> str:
        """How the run ended."""
        return str(self.summary["status"])


def read_files(folder: RunFolder, config: Config) -> RunFiles:
    """Return what the files of a run say; every checkpoint is found to be of this run.

    Raises:
        DataError: If one cannot be read, or is of another run.
    """
    checkpoints = {}
    for which in ("last", "previous"):
        if has_checkpoint(folder, which):
            checkpoints[which] = load_run_checkpoint(folder, which, config)
    best = load_run_checkpoint(folder, "best", config) if has_checkpoint(folder, "best") else None
    for name in BESTS:
        path = folder.checkpoint(name)
        if path.exists():
            checkpoints[name] = load_checkpoint(path)
            check_identity(folder, path.name, checkpoints[name], config)
    return RunFiles(folder.read_manifest(), folder.read_summary(), read_log_text(folder.path), checkpoints, best)


def compare_files(files: RunFiles, repeated: Repeated, config: Config) -> list[str]:
    """Return where the log, the summary and the checkpoints of a run are not what training again came to."""
    differences = [*_compare_log(files, repeated), *_compare_summary(files, repeated, config)]
    for name, saved in files.checkpoints.items():
        own = repeated.states.get(name) if saved.training is not None else repeated.bests.get(saved.epoch)
        differences += _compare_checkpoint(
            name, saved, own, may_have_lower_limits=name != "last" or not _is_over(files)
        )
    return differences + list(_compare_records_of_best(files))


def _is_over(files: RunFiles) -> bool:
    return files.status in _WHOLE


def _compare_log(files: RunFiles, repeated: Repeated) -> list[str]:
    log, may_be_short = files.log, not _is_over(files)
    differences = compare_rows(log.rows, repeated.rows[: len(log.rows) if may_be_short else None], besides=CLOCK)
    # What the clock said is taken from the log, so that the rest can be compared to the letter, and both logs.
    pairs = enumerate(repeated.rows)
    rows = [{**row, **{name: log.clock(i, name) for name in CLOCK}} for i, row in pairs]
    lines = "".join(f"{to_json(row)}\n" for row in rows)
    csv = csv_text(rows, heading=True) if rows else ""
    if not differences:
        differences += compare_text(JSONL, log.jsonl, lines, may_be_short=may_be_short)
    differences += compare_text(CSV, log.csv, csv, may_be_short=may_be_short)
    differences += compare_text(TRACE, log.trace, "".join(repeated.traces), may_be_short=may_be_short)
    last = files.checkpoints.get("last")
    if last is not None and last.training is not None and len(log.rows) < last.training.position.epochs:
        differences.append(f"{JSONL}: {len(log.rows)} epochs, of {last.training.position.epochs} that last builds upon")
    return differences


def _compare_summary(files: RunFiles, repeated: Repeated, config: Config) -> list[str]:
    if not _is_over(files):
        return []
    best_sha256 = files.best.sha256 if files.best else None
    status = repeated.status if files.status in ("finished", "stopped early") else files.status
    expected = {
        "status": status,
        **summarize(repeated.rows, repeated.best_epoch, config.checkpoint.monitor, best_sha256),
    }
    then = {key: value for key, value in files.summary.items() if key not in ("test", *_NOT_COMPARED_OF_SUMMARY)}
    return compare_records("summary.json", then, as_json(expected))


def as_json(value: Any) -> Any:
    """Return a value as JSON has it: lists instead of tuples, null instead of what is not finite."""
    return json.loads(to_json(value))


def _compare_checkpoint(
    name: str, saved: Checkpoint, own: Checkpoint | None, *, may_have_lower_limits: bool
) -> Iterator[str]:
    if own is None:
        where = saved.training.position if saved.training else f"epoch {saved.epoch} as the best so far"
        yield f"{name}: it is of {where}, which training again does not meet"
        return
    then, now = as_json(describe(saved)), as_json(describe(own))
    limits = ("training.limits.epochs", "training.limits.patience") if may_have_lower_limits else ()
    yield from compare_records(name, then, now, besides=(*_NOT_OF_TRAINING, *limits))
    for one in _PARTS:
        tensors, others = part(one, tensors_of(saved)), part(one, tensors_of(own))
        yield from compare_tensors(name if one == "model" else f"{one} of {name}", tensors, others)


def _compare_records_of_best(files: RunFiles) -> Iterator[str]:
    """Yield where the files of a run do not agree on which checkpoint is the best."""
    best, last = files.best, files.checkpoints.get("last")
    if last is None and files.status in ("finished", "stopped early", "interrupted"):
        yield "last: it is missing"
    if best is None:
        if last is not None and last.best_sha256 is not None:
            yield "best: the checkpoint that last records is missing"
        return
    if _is_over(files):
        if files.checkpoints.get("best") is None or files.checkpoints["best"].sha256 != best.sha256:
            yield "best: it is not the checkpoint that the summary records"
        if best.epoch != files.summary.get("best_epoch"):
            yield f"best: it is of epoch {best.epoch}, the summary's is {files.summary.get('best_epoch')}"
        if files.status != "diverged" and last is not None and last.best_sha256 != best.sha256:
            yield "last: it records another best checkpoint than the summary"
    elif last is not None and last.training is not None and best.epoch != last.training.best.best_epoch:
        yield f"best: it is of epoch {best.epoch}, that of last is {last.training.best.best_epoch}"


def find_not_compared(folder: RunFolder, files: RunFiles) -> tuple[list[str], list[str]]:
    """Return the files of a run that are compared, and those, or the parts of them, that are not."""
    compared = [f"checkpoints/{folder.checkpoint(name).name}" for name in files.checkpoints]
    compared += [name for name in (JSONL, CSV, TRACE, "summary.json") if (folder.path / name).exists()]
    compared += [folder.resolved.name, folder.manifest.name]
    parts = {
        JSONL: f"{JSONL}: {', '.join(CLOCK)}",
        "summary.json": f"summary.json: {', '.join(_NOT_COMPARED_OF_SUMMARY)}",
        "resolved.yaml": "resolved.yaml: name, data.root, training.device, checkpoint.every_seconds, plots",
        "manifest.json": f"manifest.json: all but {', '.join(COMPARED_OF_MANIFEST)}",
    }
    if files.status == "failed":  # it may count an epoch that could not be written
        compared.remove("summary.json")
        del parts["summary.json"]
    others = [name for name in _entries(folder.path) if name not in compared]
    others += [f"{name}: missing" for name in (JSONL, CSV, TRACE, "summary.json") if not (folder.path / name).exists()]
    versions = "checkpoints/: versions of dlcli and torch"
    return sorted(compared), sorted([versions, *(parts[name] for name in compared if name in parts), *others])


def _entries(path: Path) -> Iterator[str]:
    """Yield what lies in a run's folder, checkpoints one by one."""
    for one in path.iterdir():
        if one.name == "checkpoints" and one.is_dir():
            yield from (f"checkpoints/{inner.name}" for inner in one.iterdir())
        else:
            yield f"{one.name}/" if one.is_dir() else one.name
