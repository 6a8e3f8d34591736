"""Definition of a study: question, variants and common settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from dlcli.config.files import Source
    from dlcli.lecture.studies.results import StudyResults

GAP = " · "  # separator of the values of two settings
# Settings that users choose for the training time as well as for the result.
_TIMED = (
    "model.hidden_sizes",
    "optimizer.name",
    *(f"training.{key}" for key in ("batch_size", "device", "precision", "step", "threads")),
)
Curve: TypeAlias = Literal["val", "distance"]
Panel: TypeAlias = Literal["seeds", "settings", "grid", "seconds", "gradients", "moved"]


@dataclass(frozen=True)
class Variant:
    """One of the configs that a study compares.

    Attributes:
        label: Name in tables, beside curves and in sentences after the word "with".
        settings: Overrides `key=value` that distinguish the variant; none for the closed-form solution.
        value: Value of the varied setting, if it is a number.
        is_solved: Whether the parameters are computed by least squares instead of trained.
        short: Name beside curves; "" uses the label.
        is_added: Whether the study added the variant because the best of the others was at the end of their range.
    """

    label: str
    settings: tuple[str, ...] = ()
    value: float | None = None
    is_solved: bool = False
    short: str = ""
    is_added: bool = False


@dataclass(frozen=True)
class BaseConfig:
    """Common settings of a study's variants on one data source.

    Attributes:
        preset: Name of the preset, or text of the config, that all variants start from.
        settings: Overrides `key=value` of the preset.
        level: Value that the curve should reach; the number of epochs until then measures the learning speed. None
            compares the ends of the curves instead.
    """

    preset: str | Source
    settings: tuple[str, ...]
    level: float | None


@dataclass(frozen=True)
class Study:
    """A controlled experiment: a single factor varies, everything else is constant.

    Attributes:
        name: Name on the command line.
        question: Question in one line.
        lecture: Claim of the lecture to be tested; "" if the study answers a question of the user.
        base_configs: Common settings by data source; the first data source is the default.
        variants: Variants to compare.
        reference: Label of the variant that the others are compared with.
        answer: Function that returns sentences answering the question from the results.
        lrs: Learning rates to tune each variant over; empty if the study sets or varies the learning rate.
        curve: Value measured after each epoch: the metric on val, or the distance from the least-squares parameters.
        panel: Content of the panel beside the curves.
        kept: Settings that the study depends on and users must not override.
        grid: Values of the rows and columns of the panel `grid`; the variants are its cells, row by row.
        own: Label of the variant that is the user's config unchanged; "" if none is.
        compares_times: Whether the study compares the times of its variants. They are then trained one after the other,
            because models that are trained together have no separate times.
    """

    name: str
    question: str
    lecture: str
    base_configs: Mapping[str, BaseConfig]
    variants: tuple[Variant, ...]
    reference: str
    answer: Callable[[StudyResults], Sequence[str]]
    lrs: tuple[float, ...] = ()
    curve: Curve = "val"
    panel: Panel = "seeds"
    kept: tuple[str, ...] = ()
    grid: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    own: str = ""
    compares_times: bool = False

    @property
    def varied(self) -> tuple[str, ...]:
        """Dotted names of the settings that differ between the variants."""
        settings = [setting for variant in self.variants for setting in variant.settings]
        return tuple(dict.fromkeys(setting.partition("=")[0] for setting in settings))


def affects_time(key: str) -> bool:
    """Return whether users choose a setting, or one in a section, for the training time as well as for the result."""
    return any(f"{timed}.".startswith(f"{key}.") for timed in _TIMED)
