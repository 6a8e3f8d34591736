"""The one place that imports matplotlib.

When it is imported, matplotlib reads settings from `matplotlibrc` in the working folder, from MATPLOTLIBRC, MPLBACKEND
and the user's own folder, and asks the program `fc-list` for fonts. In a notebook, that is for the user to decide; what
dlcli draws there has dlcli's settings all the same. In a process of dlcli's own, matplotlib reads nothing of it.
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


def ignore_settings_of_users() -> None:
    """Import matplotlib, if it comes to that, without a look at settings and fonts: the process is dlcli's own."""
    _process["is_own"] = True


def import_matplotlib() -> ModuleType:
    """Return matplotlib."""
    if _process["is_own"] and "matplotlib" not in sys.modules:
        _import_without_settings()
    import matplotlib as mpl

    return mpl


def _import_without_settings() -> None:
    from platformdirs import user_cache_path

    spec = find_spec("matplotlib")
    assert spec is not None, "a dependency"
    assert spec.origin is not None
    fonts = str(user_cache_path("dlcli") / "matplotlib")  # of its own: other programs want the system's fonts too
    defaults = Path(spec.origin).parent / "mpl-data"  # has matplotlib's own matplotlibrc, and the working folder's wins
    os.environ["MPL_IGNORE_SYSTEM_FONTS"] = "1"  # for good: fonts may be looked for again
    with _environment({"MPLCONFIGDIR": fonts, "MPLBACKEND": None}), contextlib.chdir(defaults):
        import matplotlib.font_manager  # noqa: F401


@contextlib.contextmanager
def _environment(changes: dict[str, str | None]) -> Iterator[None]:
    """Set variables, or unset them where the value is None, and put all back at the end."""
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
