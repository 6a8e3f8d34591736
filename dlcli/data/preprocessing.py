"""Preprocessing of a trained run, for other data with the same features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dlcli.data.scaling import Scaling
from dlcli.data.splits import DataInfo
from dlcli.errors import DataError, one_line


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of a trained model, to be used for other data with the same features.

    Attributes:
        run: Name of the model's run in messages.
        info: Description of the run's data.
        input_scaling: Scaling of the run's inputs.
        target_scaling: Scaling of the run's targets.
    """

    run: str
    info: DataInfo
    input_scaling: Scaling
    target_scaling: Scaling

    def check_features(self, names: Sequence[str], image_shape: Sequence[int] | None = None) -> None:
        """Check that other data has the same features as the run.

        Args:
            names: Names of the columns of a table, in any order, or of the features of other data; () for pixels.
            image_shape: (channels, height, width) if the inputs are images.

        Raises:
            DataError: If the features differ.
        """
        expected = [column.name for column in self.info.columns] or self.info.feature_names
        differing = [name for name in (*expected, *names) if (name in expected) != (name in names)]
        if image_shape != self.info.image_shape:
            there, here = (
                f"pictures of {'×'.join(map(str, shape))}" if shape else "no pictures"
                for shape in (self.info.image_shape, image_shape)
            )
            raise self.differs(f"{there} there, {here} here")
        if differing:
            places = [f"{one_line(name)!r} only {'there' if name in expected else 'here'}" for name in differing[:5]]
            raise self.differs(", ".join(places))

    def differs(self, difference: str) -> DataError:
        """Return the error for data whose features differ from the features of the run."""
        message = f"model.init.preprocessing is keep, but the features differ from those of {self.run}: {difference}"
        return DataError(message, hint="use the same features, or `model.init.preprocessing=fit`")

    def scaling_of_targets(self, names: str) -> Scaling | None:
        """Return the scaling of the run's regression targets if they have these names; otherwise None."""
        is_same = self.info.task == "regression" and self.info.target_name == names
        return self.target_scaling if is_same else None
