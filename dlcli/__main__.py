"""python -m dlcli, and the command dlcli."""

import os
import sys


def _forget_working_folder() -> None:
    """Import nothing from the working folder, which `python -m` puts first, unless dlcli itself lies there."""
    package = os.path.dirname(os.path.abspath(__file__))
    try:
        is_first = os.path.samefile(sys.path[0] or os.curdir, os.curdir)
        if is_first and not os.path.samefile(os.curdir, os.path.dirname(package)):
            del sys.path[0]
    except OSError:  # there is no working folder, or the first entry is no file that is there
        return


if __name__ == "__main__" and not sys.flags.safe_path:
    _forget_working_folder()

from dlcli.openmp import prepare_process  # noqa: E402
from dlcli.signals import leave_at_signals  # noqa: E402

leave_at_signals()  # before anything slow is imported
prepare_process()


def run() -> None:
    """Run the command line."""
    from dlcli.cli import main
    from dlcli.programs import refuse_programs

    refuse_programs()
    main()


if __name__ == "__main__":
    run()
