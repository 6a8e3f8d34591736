"""python -m dlcli, and the command dlcli."""

from dlcli.openmp import prepare_process
from dlcli.signals import leave_at_signals

leave_at_signals()  # before anything slow is imported
prepare_process()


def run() -> None:
    """Run the command line."""
    from dlcli.cli import main

    main()


if __name__ == "__main__":
    run()
