"""Texts about the progress of a group of seeds, shared by the reporters."""

from __future__ import annotations

from dlcli.training.events import GroupProgress, GroupStarted


def describe_members(started: GroupStarted, progress: GroupProgress) -> str:
    """Return the numbers of finished and diverged trainings: `3 of 10 seeds done, 1 diverged`."""
    done = progress.ended - progress.diverged
    diverged = f", {progress.diverged:,} diverged" if progress.diverged else ""
    return f"{done:,} of {started.seeds:,} seeds done{diverged}"


def describe_means(started: GroupStarted, progress: GroupProgress) -> list[str]:
    """Return the means over the seeds: `mean val accuracy 0.9512`."""
    if progress.metric is not None:
        return [f"mean val {started.headline} {progress.metric:.4f}"]
    return [] if progress.loss is None else [f"mean loss {progress.loss:.4f}"]
