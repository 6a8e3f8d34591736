"""Fixtures for sweeps: a PostgreSQL server, and places to store a sweep in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sweeps.postgres import Postgres, reason_to_skip

if TYPE_CHECKING:
    from sweeps.workers import Place


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Yield a running PostgreSQL server; skip the test where none can be started."""
    pytest.importorskip("psycopg", reason="needs the extra postgres")
    if reason := reason_to_skip():
        pytest.skip(reason)
    server = Postgres()
    yield server
    server.close()


@pytest.fixture(params=["journal", "postgres"])
def storage_url(request: pytest.FixtureRequest) -> str | None:
    """Return None for a journal, and the URL of an empty database."""
    return None if request.param == "journal" else request.getfixturevalue("postgres").new_database()


@pytest.fixture
def place(clean_place: Path, storage_url: str | None) -> Iterator[Place]:
    """Yield an empty place for a sweep, in a journal and in a database."""
    from sweeps.workers import Place, opened  # imports Optuna, which may not be installed

    yield Place(clean_place / "sweep", storage_url).make()
    opened.close()


@pytest.fixture
def database_place(clean_place: Path, postgres: Postgres) -> Iterator[Place]:
    """Yield an empty place for a sweep in a database."""
    from sweeps.workers import Place, opened  # imports Optuna, which may not be installed

    yield Place(clean_place / "sweep", postgres.new_database()).make()
    opened.close()
