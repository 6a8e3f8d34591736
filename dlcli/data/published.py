"""Published files of MNIST (LeCun et al., 1998) and Fashion-MNIST (Xiao et al., 2017; MIT licence)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class IdxFile(NamedTuple):
    """Expected number of examples and SHA-256 of an extracted file."""

    examples: int
    sha256: str


@dataclass(frozen=True)
class DataSet:
    """Published data set.

    Attributes:
        title: Name in messages.
        class_name: Name of the class in torchvision.datasets, and of the folder with the files.
        labels: Names of the ten classes in label order.
        megabytes: Size of the download.
        files: Extracted files by name.
    """

    title: str
    class_name: str
    labels: tuple[str, ...]
    megabytes: int
    files: Mapping[str, IdxFile]

    @property
    def published(self) -> Any:
        """Class of torchvision that downloads the files."""
        import torchvision

        return getattr(torchvision.datasets, self.class_name)


DATA_SETS = {
    "fashion_mnist": DataSet(
        title="Fashion-MNIST",
        class_name="FashionMNIST",
        # The lecture's names; torchvision calls the first "T-shirt/top".
        labels=(
            "T-shirt",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        megabytes=31,
        files={
            "train-images-idx3-ubyte": IdxFile(
                60_000, "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
            ),
            "train-labels-idx1-ubyte": IdxFile(
                60_000, "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
            ),
            "t10k-images-idx3-ubyte": IdxFile(
                10_000, "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
            ),
            "t10k-labels-idx1-ubyte": IdxFile(
                10_000, "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
            ),
        },
    ),
    "mnist": DataSet(
        title="MNIST",
        class_name="MNIST",
        labels=tuple("0123456789"),
        megabytes=12,
        files={
            "train-images-idx3-ubyte": IdxFile(
                60_000, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
            ),
            "train-labels-idx1-ubyte": IdxFile(
                60_000, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
            ),
            "t10k-images-idx3-ubyte": IdxFile(
                10_000, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
            ),
            "t10k-labels-idx1-ubyte": IdxFile(
                10_000, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
            ),
        },
    ),
}
