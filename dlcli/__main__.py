"""python -m dlcli, and the command dlcli."""

from dlcli.signals import leave_at_signals

leave_at_signals()  # before anything slow is imported


def run() -> None:
    """Run the command line."""
    from dlcli.cli import main

    main()


if __name__ == "__main__":
    run()
