"""Comparison of the files of a run with the results of retraining it."""

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
from dlcli.verification.differences import compare_records, compare_rows, compare_tensors, compare_text
from dlcli.verification.retrain import RetrainedRun

# With these statuses, the log has as many epochs as the summary.
_ENDED = ("finished", "stopped early", "interrupted", "diverged")
_PARTS = ("model", "input_scaling", "target_scaling", "optimizer", "sums", "generators")
MANIFEST_COMPARED = ("schema", "seed", "data", "parent", "class_counts", "threads", "arithmetic")
_SUMMARY_NOT_COMPARED = ("seconds", "error", "output_errors")
# Hashes of another file, which contains versions that may differ; loading a checkpoint already checks the hashes.
_HASHES = ("training.best_sha256",)


@dataclass(frozen=True)
class RunFiles:
    """Contents of the files of a run.

    Attributes:
        manifest: Contents of manifest.json.
        summary: Contents of summary.json; only a status if the file is missing.
        log: Contents of metrics.jsonl, metrics.csv and trace.jsonl.
        checkpoints: Existing checkpoints by file name without suffix.
        best: Best checkpoint recorded by the run; None if the run has none.
    """

    manifest: dict[str, Any]
    summary: dict[str, Any]
    log: LogText
    checkpoints: dict[str, Checkpoint]
    best: Checkpoint | None

    @property
    def status(self) -> str:
        """Status from the summary, such as `finished`."""
        return str(self.summary["status"])


def read_files(folder: RunFolder, config: Config) -> RunFiles:
    """Load the files of a run and check that every checkpoint belongs to it.

    Raises:
        DataError: If a file cannot be read or belongs to another run.
    """
    checkpoints = {}
    for which in ("last", "previous"):
        if has_checkpoint(folder, which):
            checkpoints[which] = load_run_checkpoint(folder, which, lambda: config)
    best = load_run_checkpoint(folder, "best", lambda: config) if has_checkpoint(folder, "best") else None
    for name in BESTS:
        path = folder.checkpoint(name)
        if path.exists():
            checkpoints[name] = load_checkpoint(path)
            check_identity(folder, path.name, checkpoints[name], config)
    return RunFiles(folder.read_manifest(), folder.read_summary(), read_log_text(folder.path), checkpoints, best)


def compare_files(files: RunFiles, retrained: RetrainedRun, config: Config) -> list[str]:
    """Return the differences between the log, summary and checkpoints of a run and the results of its retraining."""
    differences = [*_compare_log(files, retrained), *_compare_summary(files, retrained, config)]
    for name, saved in files.checkpoints.items():
        remade = retrained.states.get(name) if saved.training is not None else retrained.bests.get(saved.epoch)
        differences += _compare_checkpoint(
            name, saved, remade, may_have_lower_limits=name != "last" or not _has_ended(files)
        )
    return differences + list(_compare_records_of_best(files))


def _has_ended(files: RunFiles) -> bool:
    return files.status in _ENDED


def _compare_log(files: RunFiles, retrained: RetrainedRun) -> list[str]:
    log, may_be_short = files.log, not _has_ended(files)
    differences = compare_rows(log.rows, retrained.rows[: len(log.rows) if may_be_short else None], besides=CLOCK)
    # Clock readings are copied from the log, so that the texts can be compared byte for byte.
    pairs = enumerate(retrained.rows)
    rows = [{**row, **{name: log.clock(i, name) for name in CLOCK}} for i, row in pairs]
    lines = "".join(f"{to_json(row)}\n" for row in rows)
    csv = csv_text(rows, heading=True) if rows else ""
    if not differences:
        differences += compare_text(JSONL, log.jsonl, lines, may_be_short=may_be_short)
    differences += compare_text(CSV, log.csv, csv, may_be_short=may_be_short)
    differences += compare_text(TRACE, log.trace, "".join(retrained.traces), may_be_short=may_be_short)
    last = files.checkpoints.get("last")
    if last is not None and last.training is not None and len(log.rows) < last.training.position.epochs:
        differences.append(f"{JSONL}: {len(log.rows)} epochs, but last was saved after {last.training.position.epochs}")
    return differences


def _compare_summary(files: RunFiles, retrained: RetrainedRun, config: Config) -> list[str]:
    if not _has_ended(files):
        return []
    best_sha256 = files.best.sha256 if files.best else None
    status = retrained.status if files.status in ("finished", "stopped early") else files.status
    expected = {
        "status": status,
        **summarize(retrained.rows, retrained.best_epoch, config.checkpoint.monitor, best_sha256),
    }
    recorded = {key: value for key, value in files.summary.items() if key not in ("test", *_SUMMARY_NOT_COMPARED)}
    return compare_records("summary.json", recorded, as_json(expected))


def as_json(value: Any) -> Any:
    """Return a value after a JSON round trip: tuples become lists, non-finite numbers become None."""
    return json.loads(to_json(value))


def _compare_checkpoint(
    name: str, saved: Checkpoint, remade: Checkpoint | None, *, may_have_lower_limits: bool
) -> Iterator[str]:
    if remade is None:
        where = saved.training.position if saved.training else f"epoch {saved.epoch} as the best so far"
        yield f"{name}: it was saved at {where}, which retraining does not reach"
        return
    recorded, expected = as_json(describe(saved)), as_json(describe(remade))
    limits = ("training.limits.epochs", "training.limits.patience") if may_have_lower_limits else ()
    yield from compare_records(name, recorded, expected, besides=(*_HASHES, *limits))
    for section in _PARTS:
        tensors, remade_tensors = part(section, tensors_of(saved)), part(section, tensors_of(remade))
        yield from compare_tensors(name if section == "model" else f"{section} of {name}", tensors, remade_tensors)


def _compare_records_of_best(files: RunFiles) -> Iterator[str]:
    """Yield contradictions between the files of a run about which checkpoint is the best."""
    best, last = files.best, files.checkpoints.get("last")
    if last is None and files.status in ("finished", "stopped early", "interrupted"):
        yield "last: the file is missing"
    if best is None:
        if last is not None and last.best_sha256 is not None:
            yield "best: the checkpoint recorded in last is missing"
        return
    if _has_ended(files):
        if files.checkpoints.get("best") is None or files.checkpoints["best"].sha256 != best.sha256:
            yield "best: it is not the checkpoint recorded in the summary"
        if best.epoch != files.summary.get("best_epoch"):
            yield f"best: it is from epoch {best.epoch}, but the summary says epoch {files.summary.get('best_epoch')}"
        if files.status != "diverged" and last is not None and last.best_sha256 != best.sha256:
            yield "last: it records a different best checkpoint than the summary"
    elif last is not None and last.training is not None and best.epoch != last.training.best.best_epoch:
        yield f"best: it is from epoch {best.epoch}, but last says epoch {last.training.best.best_epoch}"


def find_not_compared(folder: RunFolder, files: RunFiles) -> tuple[list[str], list[str]]:
    """Return the compared files of a run, and the files and parts of files that are not compared."""
    compared = [f"checkpoints/{folder.checkpoint(name).name}" for name in files.checkpoints]
    compared += [name for name in (JSONL, CSV, TRACE, "summary.json") if (folder.path / name).exists()]
    compared += [folder.resolved.name, folder.manifest.name]
    compared += [folder.data.name] if folder.data.name in files.manifest["data"]["sha256"] else []
    if "parent" in files.manifest:  # the retraining starts from the parent, and so has checked it
        compared.append(f"checkpoints/{folder.checkpoint('parent').name}")
    parts = {
        JSONL: f"{JSONL}: {', '.join(CLOCK)}",
        "summary.json": f"summary.json: {', '.join(_SUMMARY_NOT_COMPARED)}",
        "resolved.yaml": "resolved.yaml: name, data.root, data.path, training.device, training.together, "
        "training.timeout_seconds, checkpoint.every_seconds, plots",
        "manifest.json": f"manifest.json: all but {', '.join(MANIFEST_COMPARED)}",
    }
    if files.status == "failed":  # the summary may count an epoch that could not be written
        compared.remove("summary.json")
        del parts["summary.json"]
    uncompared = [name for name in _entries(folder.path) if name not in compared]
    uncompared += [
        f"{name}: missing" for name in (JSONL, CSV, TRACE, "summary.json") if not (folder.path / name).exists()
    ]
    versions = "checkpoints/: versions of dlcli and torch"
    return sorted(compared), sorted([versions, *(parts[name] for name in compared if name in parts), *uncompared])


def _entries(path: Path) -> Iterator[str]:
    """Yield the entries of a run folder, with one entry per checkpoint file."""
    for entry in path.iterdir():
        if entry.name == "checkpoints" and entry.is_dir():
            yield from (f"checkpoints/{file.name}" for file in entry.iterdir())
        else:
            yield f"{entry.name}/" if entry.is_dir() else entry.name
