"""Memory check before torch is imported in a process with a memory limit."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from dlcli.errors import DeviceError

_LIBRARIES = ("torch", "sklearn.datasets", "rich.console")
_CPU_SECONDS = 20  # loading takes about 3 s; a library that gets no memory may retry forever
_EXTRA_BYTES = 2**26  # memory that a command needs beyond the libraries


def guard_torch_import() -> None:
    """Make `import torch` raise a DeviceError if the memory limit of this process is too low for it.

    C libraries crash or hang when they get no memory, so a forked child process loads them first.
    """
    if os.name == "posix" and _is_limited() and "torch" not in sys.modules:
        sys.meta_path.insert(0, _TorchGuard())


def _is_limited() -> bool:
    import resource

    limits = (resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA))
    return any(limit != resource.RLIM_INFINITY for limit in limits)


class _TorchGuard:
    """Import hook that runs before all finders, checks the memory for torch and finds no module."""

    def find_spec(self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None) -> None:
        """Check the memory when torch is about to be imported.

        Raises:
            DeviceError: If the memory limit is too low to load torch.
        """
        if name == "torch":
            sys.meta_path.remove(self)
            child = os.fork()
            if child == 0:
                _load_and_exit()
            if os.waitpid(child, 0)[1] != 0:
                hint = "allow the process more address space; `ulimit -v` shows the limit in KiB"
                raise DeviceError("the limit on this process's memory is too low to load torch", hint=hint)


def _load_and_exit() -> None:
    """Load the libraries silently and exit the process, with 0 on success."""
    import mmap
    import resource

    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
        for name in _LIBRARIES:
            importlib.import_module(name)
        mmap.mmap(-1, _EXTRA_BYTES).close()
        code = 0
    finally:
        os._exit(code)
