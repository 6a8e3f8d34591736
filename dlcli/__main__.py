"""Entry point of `python -m dlcli` and of the `dlcli` command."""

import os
import sys


def _exclude_working_folder() -> None:
    """Remove the working folder, which `python -m` puts first, from the import path unless it contains dlcli."""
    package = os.path.dirname(os.path.abspath(__file__))
    try:
        is_first = os.path.samefile(sys.path[0] or os.curdir, os.curdir)
        if is_first and not os.path.samefile(os.curdir, os.path.dirname(package)):
            del sys.path[0]
    except OSError:  # the working folder or the first entry does not exist
        return


if __name__ == "__main__" and not sys.flags.safe_path:
    _exclude_working_folder()

from dlcli.openmp import prepare_process  # noqa: E402
from dlcli.signals import exit_on_signals  # noqa: E402

exit_on_signals()  # before anything slow is imported
prepare_process()


def run() -> None:
    """Run the command line."""
    from dlcli.cli import main
    from dlcli.programs import refuse_programs

    refuse_programs()
    main()


if __name__ == "__main__":
    run()
