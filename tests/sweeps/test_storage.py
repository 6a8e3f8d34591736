"""Tests of opening and binding studies: identities, databases that cannot be used, passwords, missing packages."""

from __future__ import annotations

import importlib.util
import socket
import sys
import traceback
from pathlib import Path
from typing import Any, cast

import pytest

pytest.importorskip("optuna", reason="needs the extra sweep")

from sqlalchemy import make_url

from dlcli.errors import DataError, UsageError
from dlcli.sweeps.claims import Claim, take
from dlcli.sweeps.database import database_error
from dlcli.sweeps.storage import open_claims, open_study
from dlcli.sweeps.study_identity import bind
from dlcli.text import hide_password
from sweeps.postgres import PASSWORD, QUOTED_PASSWORD, Postgres
from sweeps.workers import Place, check_sweep, processes, run_trial, start, work

IDENTITY = {"space": {"optimizer.lr": {"min": 0.1, "max": 1}}, "config": {"seed": 0, "sizes": (1, 2)}}


def open_url(url: str, workers: int = 1) -> None:
    with open_study(Path(), url, name="sweep", direction="minimize", workers=workers):
        pass


def test_another_identity_is_refused_with_each_difference(place: Place) -> None:
    bind(place.open(), IDENTITY)
    bind(place.open(), dict(reversed(IDENTITY.items())))
    changed = {"space": {"optimizer.lr": {"min": 0.2, "max": 1}, "x": [1]}, "config": {"sizes": [1, 2]}}
    with pytest.raises(UsageError) as caught:
        bind(place.open(), changed)
    assert caught.value.message.splitlines() == [
        "the sweep sweep has another config:",
        "  config.seed: 0 there, nothing here",
        "  space.optimizer.lr.min: 0.1 there, 0.2 here",
        "  space.x: nothing there, [1] here",
    ]


def race_to_bind(place: Place, gate: Any, number: int) -> None:
    gate.wait()
    study = place.open()
    gate.wait()
    try:
        bind(study, {"number": number})
    except UsageError:
        sys.exit(2)


def test_workers_that_start_at_once_open_one_study_and_one_of_their_identities_wins(place: Place) -> None:
    gate = processes.Barrier(4, timeout=60)
    crew = [start(race_to_bind, place, gate, number) for number in range(4)]
    for process in crew:
        process.join()
    assert sorted(process.exitcode or 0 for process in crew) == [0, 2, 2, 2]
    winner = [process.exitcode for process in crew].index(0)
    bind(place.open(), {"number": winner})
    work(place, 2, pause=0)
    check_sweep(place, 2)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:secret@h:1/d", "postgresql://u:***@h:1/d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql://u:se/cr:et@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:se@cret@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:se://cret@h/d", "postgresql://u:***@h/d"),
        ("postgresql:///d?host=h&password=secret&x=1", "postgresql:///d?host=h&password=***&x=1"),
        ("mysql://u@h/d?ssl_Password=se@cret", "mysql://u@h/d?ssl_Password=***"),
        ("u:secret@h", "u:***@h"),
        ("sqlite:///x.db", "sqlite:///x.db"),
    ],
)
def test_passwords_are_hidden(url: str, shown: str) -> None:
    assert hide_password(url) == shown


def test_a_password_in_the_message_of_a_driver_is_hidden() -> None:
    url = make_url("postgresql://u:se%25cret@h:1/d")
    error = database_error(url, OSError("login as u with se%cret failed\nmore"))
    assert error.message == "cannot use the postgresql database 'd' at h:1: login as u with *** failed"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://u:secret@h/0", r"redis://u:\*\*\*@h/0 is not .* begins with 'redis'"),
        ("postgres://u:secret@h/0", "it begins with 'postgres'"),
        ("postgresql://u:secr@et@h/0", r"postgresql://u:\*\*\*@h/0 has more than one @"),
        ("postgresql://u:secret", "is not the URL of a database"),
        ("journal.log", "is not the URL of a database"),
        ("sqlite:///a.db", "SQLite .* is too slow for 2 workers"),
    ],
)
def test_other_urls_are_refused(clean_place: Path, url: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        open_url(url, workers=2)
    assert "secr" not in str(caught.value)
    assert caught.value.hint


def test_sqlite_serves_one_worker(clean_place: Path) -> None:
    with open_study(Path(), "sqlite:///a.db", name="sweep", direction="minimize") as study:
        bind(study, IDENTITY)
        with pytest.raises(UsageError):
            bind(study, {})
        claims = open_claims(study, Path())
        with cast(Claim, take(study, claims, 1)) as claim:
            run_trial(claim)
        assert take(study, claims, 1) is None
    assert Path("0000.lock").exists()


def test_a_server_that_does_not_run_is_reported_with_host_and_port(clean_place: Path) -> None:
    pytest.importorskip("psycopg", reason="needs the extra postgres")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(DataError, match=f"database 'd' at 127.0.0.1:{port}: .*refused") as caught:
            open_url(f"postgresql://u:secret@127.0.0.1:{port}/d")
    assert "secret" not in repr(caught.value) + str(caught.value.hint)


def test_passwords_are_neither_shown_nor_written(
    postgres: Postgres, database_place: Place, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    place = database_place
    work(place, 2, pause=0)
    study = place.open()
    texts = [repr(study), repr(open_claims(study, place.folder)), caplog.text, *capfd.readouterr()]
    wrong = postgres.url("postgres", password="wr0ng-pass")
    with pytest.raises(DataError) as caught:
        open_url(wrong)
    texts += ["".join(traceback.format_exception(caught.value)), str(caught.value.hint)]
    assert "authentication failed" in caught.value.message
    texts += [file.read_text() for file in place.folder.rglob("*") if file.is_file()]
    for text in texts:
        for password in (PASSWORD, QUOTED_PASSWORD, "hunter2", "wr0ng"):
            assert password not in text


def test_a_server_that_stops_is_reported_and_the_trial_goes_on_after_its_start(
    postgres: Postgres, database_place: Place
) -> None:
    study = database_place.open()
    with cast(Claim, take(study, open_claims(study, database_place.folder), 1)) as claim:
        postgres.stop()
        try:
            with pytest.raises(DataError, match=f"at 127.0.0.1:{postgres.port}: "):
                claim.report(1.0, 0)
            with pytest.raises(DataError, match=f"at 127.0.0.1:{postgres.port}: "):
                claim.tell(1.0)
        finally:
            postgres.start()
        claim.report(1.0, 0)
        claim.tell(1.0)
    assert study.trials[0].value == 1.0


def test_missing_packages_are_reported_with_the_command_to_install_them(
    clean_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"mysql\+aiomysql needs the package aiomysql"):
        open_url("mysql+aiomysql://u@h/d")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="postgresql needs the package psycopg") as caught:
        open_url("postgresql://u:secret@h/d")
    assert caught.value.hint == "pip install 'dlcli[postgres]'"
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UsageError, match="sweeps need the package optuna") as caught:
        open_url("")
    assert caught.value.hint == "pip install 'dlcli[sweep]'"
