"""A process of dlcli starts no other program, nor does a library it uses.

Libraries ask programs for what they could do without: matplotlib `fc-list`, Python's `platform` module `uname`, CUDA's
loader `ldconfig`. PATH decides which program a name stands for, and may hold the folder a user stands in. All of these
libraries go on where a program is missing, so that is what they are told.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Python's audit events, see https://docs.python.org/3/library/audit_events.html
_STARTS = {
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile", "os.startfile/2"),
    *("pty.spawn", "_winapi.CreateProcess", "_posixsubprocess.fork_exec"),
}
_allowed: list[bool] = []


def refuse_programs() -> None:
    """Have every attempt to start a program fail as if it were missing, until the process ends."""
    sys.addaudithook(_refuse)


@contextmanager
def programs_allowed() -> Iterator[None]:
    """Let programs be started until the block ends."""
    _allowed.append(True)
    try:
        yield
    finally:
        _allowed.pop()


def _refuse(event: str, _arguments: object) -> None:
    if event in _STARTS and not _allowed:
        raise FileNotFoundError(errno.ENOENT, "dlcli starts no other program")
