"""What a study is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from dlcli.lecture.studies.results import StudyResults

Curve: TypeAlias = Literal["val", "distance"]
Panel: TypeAlias = Literal["seeds", "settings", "seconds", "gradients", "moved"]


@dataclass(frozen=True)
class Variant:
    """One of the things that a study compares.

    Attributes:
        label: What it is called behind the word "with", in a table and beside a curve.
        settings: `key=value`, what sets it apart from the others; none for the solution in closed form.
        value: The varied number, where it is one.
        is_solved: Whether the parameters are computed by least squares and not learned.
    """

    label: str
    settings: tuple[str, ...] = ()
    value: float | None = None
    is_solved: bool = False


@dataclass(frozen=True)
class Ground:
    """What a study's variants have in common on one data source.

    Attributes:
        preset: The config to start from.
        settings: `key=value`, put over the preset's.
        level: What the curve is to reach; how soon it does is how fast a variant learns.
    """

    preset: str
    settings: tuple[str, ...]
    level: float


@dataclass(frozen=True)
class Study:
    """A controlled experiment: one thing is varied, all else is the same.

    Attributes:
        name: What it is called on the command line.
        question: What it asks, in a line.
        lecture: The claim of the lecture that it is about.
        grounds: By data source; the first is what it runs on unless told otherwise.
        variants: What is compared.
        reference: The label of the variant that the others are held against.
        answer: What follows from the measured numbers about the question, in sentences.
        lrs: Learning rates to choose each variant's from; none where all have the same, or it is what is varied.
        curve: What is followed by epoch: the task's metric on val, or the distance from the least-squares parameters.
        panel: What the figure shows beside the curves.
        kept: Settings that the study stands on, and that nobody may change.
    """

    name: str
    question: str
    lecture: str
    grounds: Mapping[str, Ground]
    variants: tuple[Variant, ...]
    reference: str
    answer: Callable[[StudyResults], Sequence[str]]
    lrs: tuple[float, ...] = ()
    curve: Curve = "val"
    panel: Panel = "seeds"
    kept: tuple[str, ...] = ()

    @property
    def varied(self) -> tuple[str, ...]:
        """The settings that tell its variants apart, by their dotted names."""
        settings = [setting for variant in self.variants for setting in variant.settings]
        return tuple(dict.fromkeys(setting.partition("=")[0] for setting in settings))
