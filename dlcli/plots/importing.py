"""Import of matplotlib, without user settings in dlcli's own processes.

On import, matplotlib reads settings from `matplotlibrc` in the working folder, from MATPLOTLIBRC, MPLBACKEND and the
user's configuration folder, and runs `fc-list` to find fonts. In a notebook, the user controls these; dlcli's plots use
dlcli's settings in any case. In the processes of the command line tool, matplotlib ignores all of them.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

_process = {"is_own": False}


def ignore_user_settings() -> None:
    """Make a later import of matplotlib ignore user settings and system fonts, in a process that belongs to dlcli."""
    _process["is_own"] = True


def import_matplotlib() -> ModuleType:
    """Import matplotlib and return it."""
    if _process["is_own"] and "matplotlib" not in sys.modules:
        _import_without_settings()
    import matplotlib as mpl

    return mpl


def _import_without_settings() -> None:
    from platformdirs import user_cache_path

    spec = find_spec("matplotlib")
    assert spec is not None, "matplotlib is a dependency"
    assert spec.origin is not None
    fonts = str(user_cache_path("dlcli") / "matplotlib")  # separate cache: other programs need the system's fonts too
    defaults = (
        Path(spec.origin).parent / "mpl-data"
    )  # contains matplotlib's own matplotlibrc; the file in the working folder takes precedence
    os.environ["MPL_IGNORE_SYSTEM_FONTS"] = "1"  # not restored: matplotlib may search for fonts later
    with _environment({"MPLCONFIGDIR": fonts, "MPLBACKEND": None}), contextlib.chdir(defaults):
        import matplotlib.font_manager  # noqa: F401


@contextlib.contextmanager
def _environment(changes: dict[str, str | None]) -> Iterator[None]:
    """Set environment variables, or unset those whose value is None, and restore them on exit."""
    before = {name: os.environ.get(name) for name in changes}
    _set(changes)
    try:
        yield
    finally:
        _set(before)


def _set(values: dict[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
