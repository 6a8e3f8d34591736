"""Is there room to load torch where memory is limited?"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from dlcli.errors import DeviceError

_LIBRARIES = ("torch", "sklearn.datasets", "rich.console")
_CPU_SECONDS = 20  # of loading, which takes three; a library that gets no memory may try again for ever
_MORE_BYTES = 2**26  # for what a command needs besides


def watch_torch() -> None:
    """Where this process has a limit on its memory, have it refuse to load torch into too little.

    Libraries written in C end the process, or hang, when they get no memory. So a copy of the process loads them first.
    """
    if os.name == "posix" and _is_limited() and "torch" not in sys.modules:
        sys.meta_path.insert(0, _Watch())


def _is_limited() -> bool:
    import resource

    limits = (resource.getrlimit(one)[0] for one in (resource.RLIMIT_AS, resource.RLIMIT_DATA))
    return any(limit != resource.RLIM_INFINITY for limit in limits)


class _Watch:
    """Is asked where modules lie before anyone else, and knows of none."""

    def find_spec(self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None) -> None:
        """Check the room for torch when it is about to be imported.

        Raises:
            DeviceError: If there is too little.
        """
        if name == "torch":
            sys.meta_path.remove(self)
            child = os.fork()
            if child == 0:
                _load_and_leave()
            if os.waitpid(child, 0)[1] != 0:
                hint = "allow the process more address space: `ulimit -v` shows the limit in KiB"
                raise DeviceError("the limit on this process's memory is too low to load torch", hint=hint)


def _load_and_leave() -> None:
    """Load the libraries without a word, and end the process with 0 if that went well."""
    import mmap
    import resource

    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
        for name in _LIBRARIES:
            importlib.import_module(name)
        mmap.mmap(-1, _MORE_BYTES).close()
        code = 0
    finally:
        os._exit(code)
