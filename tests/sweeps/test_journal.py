"""Tests of the journal: cut files, locks of dead and suspended processes, full disks, many writers, Optuna's reader."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from faults.disk import Disk

pytest.importorskip("optuna", reason="needs the extra sweep")

from optuna import load_study
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from dlcli.errors import DataError
from dlcli.runs.lock import file_lock
from dlcli.sweeps import journal
from dlcli.sweeps.claims import counts, take
from dlcli.sweeps.journal import JournalFile
from sweeps.workers import Place, check_sweep, open_claims, run_trial, start, wait_for, work

TRIALS = 3


def record(number: int, worker: str = "w") -> dict[str, Any]:
    return {"op_code": 7, "worker_id": worker, "number": number}


@pytest.fixture
def place(clean_place: Path) -> Place:
    return Place(Path("runs/sweep")).make()


def read_as_optuna(path: Path) -> Any:
    return load_study(study_name="sweep", storage=JournalStorage(JournalFileBackend(str(path))))


def test_a_journal_cut_at_any_byte_keeps_its_complete_lines_and_goes_on(place: Place) -> None:
    work(place, TRIALS, pause=0)
    path = place.folder / "journal.log"
    content = path.read_bytes()
    last_three = len(content) - sum(len(line) for line in content.splitlines(keepends=True)[-3:])
    for cut in range(last_three, len(content) + 1):
        path.write_bytes(content[:cut])
        kept = content[: content.rfind(b"\n", 0, cut) + 1]
        assert JournalFile(path).read_logs(0) == [json.loads(line) for line in kept.splitlines()]
        place.open().set_user_attr("cut", cut)
        assert path.read_bytes().startswith(kept)
        assert read_as_optuna(path).user_attrs == {"cut": cut}
        if cut % 20 == 0:  # each takes several writes to the disk
            work(place, TRIALS + 1, pause=0)
            check_sweep(place, TRIALS + 1)


def test_a_reader_skips_an_incomplete_line_and_reads_on_after_another_process_cut_it(clean_place: Path) -> None:
    path = Path("journal.log")
    reader, writer = JournalFile(path), JournalFile(path)
    assert reader.read_logs(0) == []
    writer.append_logs([record(0)])
    with path.open("ab") as file:
        file.write(b'{"op_code": 7, "worker_id": "' + b"x" * 200_000)
    assert reader.read_logs(0) == [record(0)]
    assert reader.read_logs(1) == []
    writer.append_logs([record(1), record(2)])
    assert reader.read_logs(1) == [record(1), record(2)]
    assert reader.read_logs(2) == [record(2)]
    assert reader.read_logs(3) == []
    assert len(path.read_bytes().splitlines()) == 3


@pytest.mark.parametrize("line", [b"{", b"\0" * 9, b"3", b'{"op_code": 1}', b"[" * 9999, b"\xff"])
def test_a_damaged_line_is_reported_with_file_and_line(clean_place: Path, line: bytes) -> None:
    path = Path("journal.log")
    JournalFile(path).append_logs([record(0), record(1)])
    before = path.read_bytes()
    path.write_bytes(before + line + b"\n" + before)
    for _ in range(2):
        with pytest.raises(DataError, match=r"^cannot use journal\.log: line 3 is damaged: not ") as caught:
            JournalFile(path).read_logs(0)
        assert "new sweep" in str(caught.value.hint)


@pytest.mark.parametrize(
    "line",
    [
        b'{"op_code": 99, "worker_id": "w"}',
        b'{"op_code": "5", "worker_id": "w"}',
        b'{"op_code": 4, "worker_id": "w"}',
        b'{"op_code": 6, "worker_id": "w", "trial_id": [0], "state": 1}',
        b'{"op_code": 4, "worker_id": "w", "study_id": 0, "datetime_start": 3}',
        b'{"op_code": 4, "worker_id": "w", "study_id": 0, "datetime_start": null, "state": 77}',
    ],
)
def test_a_record_that_is_no_operation_is_reported_with_file_and_line(place: Place, line: bytes) -> None:
    work(place, TRIALS, pause=0)
    path = place.folder / "journal.log"
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = b"".join([*lines[:9], line + b"\n", *lines[9:]])
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=r"journal\.log: line 10 is damaged: not an operation of Optuna") as caught:
        place.open()
    assert "backup" in str(caught.value.hint)
    assert path.read_bytes() == damaged


@pytest.mark.parametrize("damage", ["shorten", "replace", "delete"])
def test_a_journal_that_changed_below_its_reader_is_reported(clean_place: Path, damage: str) -> None:
    path = Path("journal.log")
    reader = JournalFile(path)
    reader.append_logs([record(0), record(1)])
    reader.read_logs(0)
    if damage == "delete":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + (b"x\n" if damage == "replace" else b""))
    with pytest.raises(DataError, match=r"journal\.log was replaced, shortened or deleted"):
        reader.read_logs(2)


def hold_lock(path: Path, suspend: bool) -> None:
    with file_lock(path):
        Path("held").touch()
        os.kill(os.getpid(), signal.SIGSTOP if suspend else signal.SIGKILL)


def test_the_lock_of_a_killed_process_costs_no_wait(clean_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "LOCK_SECONDS", 0)  # one attempt
    killed = start(hold_lock, clean_place / "journal.lock", False)
    killed.join()
    assert Path("journal.lock").exists()
    JournalFile(Path("journal.log")).append_logs([record(0)])
    assert JournalFile(Path("journal.log")).read_logs(0) == [record(0)]


def test_the_lock_of_a_suspended_process_is_reported_and_is_free_after_its_end(
    clean_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "LOCK_SECONDS", 0.2)
    suspended = start(hold_lock, clean_place / "journal.lock", True)
    wait_for(Path("held"))
    file = JournalFile(Path("journal.log"))
    try:
        with pytest.raises(DataError, match=r"^journal\.lock has been locked by another process for 0\.2 s") as caught:
            file.append_logs([record(0)])
    finally:
        suspended.kill()
        suspended.join()
    assert "suspended process" in str(caught.value.hint)
    file.append_logs([record(0)])
    assert file.read_logs(0) == [record(0)]


def append(path: Path, worker: int, count: int) -> None:
    file = JournalFile(path)
    for number in range(count):
        file.append_logs([record(number, str(worker))])


def test_lines_of_eight_processes_are_all_there_and_in_order(clean_place: Path) -> None:
    path = clean_place / "journal.log"
    crew = [start(append, path, worker, 50) for worker in range(8)]
    for process in crew:
        process.join()
        assert process.exitcode == 0
    records = JournalFile(path).read_logs(0)
    for worker in range(8):
        assert [line for line in records if line["worker_id"] == str(worker)] == [
            record(number, str(worker)) for number in range(50)
        ]
    assert len(records) == 400


def work_on_disk(folder: Path, fault: dict[str, Any]) -> None:
    """Run a sweep on a simulated disk; exit with 3 if an error is reported."""
    os.chdir(folder)
    faults = {"crash_at": 0, "half": False, "power_cut": False, "full_at": 0, "count": False, **fault}
    Disk(**faults).mount()
    try:
        work(Place(Path("runs/sweep")), TRIALS, pause=0)
    except DataError as error:
        Path("error").write_text(error.message)
        os._exit(3)


def operations(place: Place) -> tuple[int, int]:
    """Return the numbers of file operations and of writes of a sweep."""
    process = start(work_on_disk, Path.cwd(), {"count": True})
    process.join()
    assert process.exitcode == 0
    check_sweep(place, TRIALS)
    shutil.rmtree("runs")
    done, writes = Path("operations").read_text().split()
    return int(done), int(writes)


def test_a_full_disk_at_each_write_is_reported_and_loses_nothing(place: Place) -> None:
    _, writes = operations(place)
    assert writes > 15
    path = place.folder / "journal.log"
    for number in range(1, writes + 1):
        place.make()
        process = start(work_on_disk, Path.cwd(), {"full_at": number})
        process.join()
        assert process.exitcode == 3, number
        assert Path("error").read_text() == f"cannot write {path}: No space left on device"
        assert len(path.read_bytes().splitlines()) == number - 1, "half a line was removed"
        assert path.read_bytes()[-1:] in (b"", b"\n")
        work(place, TRIALS, pause=0)
        check_sweep(place, TRIALS)
        shutil.rmtree("runs")


@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("fault", [{"half": True}, {"power_cut": True}], ids=["half a write", "power cut"])
def test_a_sweep_goes_on_after_a_crash_at_each_file_operation(place: Place, fault: dict[str, Any], stride: int) -> None:
    count, _ = operations(place)
    assert count > 60
    for number in range(1, count + 1, stride):
        place.make()
        process = start(work_on_disk, Path.cwd(), {**fault, "crash_at": number})
        process.join()
        assert process.exitcode == -signal.SIGKILL, number
        work(place, TRIALS, pause=0)
        check_sweep(place, TRIALS)
        shutil.rmtree("runs")


def test_the_file_backend_of_optuna_reads_the_journal_and_the_other_way_round(place: Place) -> None:
    work(place, TRIALS, pause=0)
    path = place.folder / "journal.log"
    theirs, ours = read_as_optuna(path), place.open()
    assert theirs.trials == ours.trials
    assert theirs.best_trial == ours.best_trial
    theirs.set_user_attr("note", "from a dashboard")
    assert ours.user_attrs == {"note": "from a dashboard"}
    claim = take(ours, open_claims(ours, place), TRIALS + 1)
    assert claim is not None
    with claim:
        run_trial(claim)
    assert theirs.trials == ours.trials
    assert counts(theirs, TRIALS + 1).waiting == 0
