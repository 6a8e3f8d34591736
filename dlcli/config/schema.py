"""Config schema: all settings with their defaults, units and bounds.

The models are frozen and strict: an unknown key or a wrong type is an error and is never ignored or converted.
A section whose settings depend on a name (`data`, `loss`, `optimizer`, `scheduler`) is a union with one model
per name. Field docstrings are shown to users.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self, TypeAlias, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Tag,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

TaskName: TypeAlias = Literal["classification", "regression"]

# Metrics of each task, in display order. Training minimises `loss`.
METRICS: dict[TaskName, tuple[str, ...]] = {
    "classification": ("loss", "accuracy", "macro_f1"),
    "regression": ("loss", "mse", "rmse", "mae", "r2"),
}
HEADLINE: dict[TaskName, str] = {"classification": "accuracy", "regression": "rmse"}
HIGHER_IS_BETTER = frozenset({"accuracy", "macro_f1", "r2"})
DEFAULT_LOSS: dict[TaskName, str] = {"classification": "cross_entropy", "regression": "mse"}

TRAIN_LOSS = "train/loss"  # the only metric that can be monitored without a validation split

MIN_MAGNITUDE, MAX_MAGNITUDE = 1e-18, 1e18


@dataclass(frozen=True)
class Float32Range:
    """Range of magnitudes for float32 arithmetic: 0, or from `smallest` to `largest`.

    float32 covers 1e-38 to 3e38. The bounds are about the square roots of these limits, so that products and quotients
    of two settings, such as 1 − lr · weight_decay, are finite and not 0. Every float in a config has such a range, in
    addition to its other bounds.

    Attributes:
        smallest: Smallest magnitude other than 0.
        largest: Largest magnitude.
    """

    smallest: float = MIN_MAGNITUDE
    largest: float = MAX_MAGNITUDE

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema with this range checked after all other bounds."""
        inner = handler(source)
        bounds = {name: inner.get(name) for name in ("ge", "lt", "le")}
        zero = "0, or " if bounds["ge"] == 0 else ""
        has_upper_bound = bounds["lt"] is not None or bounds["le"] is not None
        requirement = (
            f"{zero}at least {self.smallest:g}"
            if has_upper_bound
            else f"{zero}between {self.smallest:g} and {self.largest:g}"
        )

        def check(value: float) -> float:
            if value != 0 and not self.smallest <= value <= self.largest:
                raise PydanticCustomError(
                    "not_accepted", "must be {requirement}", {"requirement": f"{requirement} (float32 arithmetic)"}
                )
            return value

        return core_schema.no_info_after_validator_function(check, inner)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return bounds that JSON Schema can express; 0 is a separate choice."""
        inner = handler(schema)
        bounded = {key: value for key, value in inner.items() if key not in ("minimum", "exclusiveMinimum")}
        bounded["minimum"] = self.smallest
        if not {"maximum", "exclusiveMaximum"} & set(bounded):
            bounded["maximum"] = self.largest
        return {"anyOf": [{"const": 0}, bounded]} if inner.get("minimum") == 0 else bounded


IN_FLOAT32 = Float32Range()
PositiveFloat = Annotated[float, Field(gt=0), IN_FLOAT32]
NonNegativeFloat = Annotated[float, Field(ge=0), IN_FLOAT32]
FractionOrZero = Annotated[float, Field(ge=0, lt=1), IN_FLOAT32]
Fraction = Annotated[float, Field(gt=0, lt=1), IN_FLOAT32]
Factor = Annotated[float, Field(gt=0, le=1), IN_FLOAT32]  # 1 changes nothing
FinalFraction = Annotated[float, Field(ge=0, le=1), IN_FLOAT32]
MAX_COUNT = 1_000_000_000  # of epochs, units or examples; a float still counts epochs × batches exactly
PositiveInt = Annotated[int, Field(ge=1, le=MAX_COUNT)]
MAX_SHARDS = 4096
# torch's CPU generator, a Mersenne Twister, uses only the low 32 bits of a seed.
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Section(BaseModel):
    """Base of all config sections: frozen, strict, no unknown keys, finite numbers only."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


IS_PATH = "path"  # in the metadata of fields that hold a path, which is expanded and made absolute
IS_RUN = "run"  # in the metadata of fields that hold a run folder, or the name of a run, which stays as it is


def _default_name(name: str) -> BeforeValidator:
    """Return a validator that fills in the `name` of a section without one."""

    def add_name(section: Any) -> Any:
        return {"name": name, **section} if isinstance(section, dict) else section

    return BeforeValidator(add_name)


def _accepts(requirement: str, accepts: Callable[[Any], bool]) -> BeforeValidator:
    """Return a validator with one readable message, instead of pydantic's pattern or one message per type."""

    def check(value: Any) -> Any:
        if not accepts(value):
            raise PydanticCustomError("not_accepted", "must be {requirement}", {"requirement": requirement})
        return value

    return BeforeValidator(check)


MAX_SIDE = 1024  # of a picture in pixels; the first layer of a network has a weight per pixel and unit
PictureSize = Annotated[
    tuple[Annotated[int, Field(ge=1, le=MAX_SIDE)], Annotated[int, Field(ge=1, le=MAX_SIDE)]],
    _accepts(
        f"[height, width], each a whole number from 1 to {MAX_SIDE}",
        lambda value: (
            isinstance(value, tuple)
            and len(value) == 2
            and all(type(side) is int and 1 <= side <= MAX_SIDE for side in value)
        ),
    ),
]

COLOUR = r"white|black|#[0-9A-Fa-f]{6}"
Background = Annotated[
    str,
    _accepts(
        'white, black or a colour like "#c0ffee"',
        lambda value: isinstance(value, str) and re.fullmatch(COLOUR, value) is not None,
    ),
    WithJsonSchema({"type": "string", "pattern": f"^({COLOUR})$"}),
]


# --- data ---------------------------------------------------------------------------------------------


class DataSection(Section):
    """Settings of every data source."""

    tasks: ClassVar[tuple[TaskName, ...]]
    examples: ClassVar[int | None] = None  # without an official test split; None if unknown before loading

    val_fraction: FractionOrZero = 0.1
    """Fraction of the training examples held out for validation, stratified by class and drawn with `seed`. 0 trains on
    all of them; then train/loss is monitored."""
    normalize: Literal["none", "unit", "symmetric", "standard"] = "standard"
    """Scaling of the inputs and of regression targets, fitted on the training examples only: `unit` scales to 0..1,
    `symmetric` to -1..1, `standard` to mean 0 and standard deviation 1. `none` keeps the original values: pixels of
    digits 0..16, of other pictures 0..255, features of other sources in their original units."""

    def count_examples(self) -> int | None:
        """Return the number of examples without an official test split; None if it is unknown before loading."""
        return self.examples

    def fraction_for_test(self) -> float:
        """Return the fraction of the examples to split off for testing; 0 for sources with an official test split."""
        return 0.0

    def count_training_examples(self) -> int | None:
        """Return the number of training examples, about, because splits are rounded; None if it is unknown."""
        total = self.count_examples()
        return None if total is None else round(total * (1 - self.fraction_for_test()) * (1 - self.val_fraction))


class TestFraction(DataSection):
    """Settings of a data source without an official test split."""

    test_fraction: Fraction = 0.2
    """Fraction of all examples held out as the test split, which does not depend on `seed`."""

    def fraction_for_test(self) -> float:
        """Return `test_fraction`."""
        return self.test_fraction


class FashionMnistData(DataSection):
    """Fashion-MNIST: 60,000 + 10,000 greyscale images of ten kinds of clothing, 28×28 pixels; a download of 31 MB."""

    tasks = ("classification",)
    examples = 60_000

    name: Literal["fashion_mnist"]
    """Data source to load."""
    root: Annotated[str | None, IS_PATH] = None
    """Folder that contains or will contain `FashionMNIST/raw/`; null uses your cache folder. A relative path
    starts at the folder of the config file; a leading `~` and $NAME are expanded."""
    pad: Annotated[int, Field(ge=0, le=16)] = 0
    """Number of black pixels added on every side of the images; 2 gives 32×32 pixels."""


class MnistData(FashionMnistData):
    """MNIST: 60,000 + 10,000 greyscale images of handwritten digits, 28×28 pixels; a download of 12 MB."""

    name: Literal["mnist"]  # type: ignore[assignment]  # the tag of the union, one per member
    """Data source to load."""
    root: Annotated[str | None, IS_PATH] = None
    """Folder that contains or will contain `MNIST/raw/`; null uses your cache folder. A relative path starts at the
    folder of the config file; a leading `~` and $NAME are expanded."""


class DigitsData(TestFraction):
    """Handwritten digits: 1,797 greyscale images, 8×8 pixels; included in scikit-learn."""

    tasks = ("classification",)
    examples = 1797

    name: Literal["digits"]
    """Data source to load."""


class DiabetesData(TestFraction):
    """Diabetes progression after one year: 442 patients, 10 features; included in scikit-learn."""

    tasks = ("regression",)
    examples = 442

    name: Literal["diabetes"]
    """Data source to load."""


FRIEDMAN_FEATURES = 10  # as in scikit-learn, whose default it is


class SyntheticRegressionData(TestFraction):
    """Synthetic regression data: a known function plus Gaussian noise."""

    tasks = ("regression",)

    name: Literal["synthetic_regression"]
    """Data source to load."""
    function: Literal["linear", "polynomial", "sine", "step", "friedman1"] = "sine"
    """True function; all except `friedman1` are sums of one term per feature."""
    n_samples: Annotated[int, Field(ge=10, le=10_000_000)] = 1000
    """Total number of examples, including the test split."""
    in_features: Annotated[int, Field(ge=1, le=10_000, json_schema_extra=lambda schema: schema.pop("default"))] = 1
    """Number of input features: by default 1, and 10 for `friedman1`, which uses the first 5 and needs at least 5."""
    noise: NonNegativeFloat = 0.1
    """Standard deviation of the noise, in units of the target."""
    seed: Seed = 0
    """Seed of the generated data. The top-level `seed` draws the validation split and is used for training."""

    @model_validator(mode="before")
    @classmethod
    def _features_follow_function(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("function") == "friedman1":
            return {"in_features": FRIEDMAN_FEATURES, **values}
        return values

    def count_examples(self) -> int:
        """Return `n_samples`."""
        return self.n_samples


class SyntheticClassificationData(TestFraction):
    """Synthetic classification data: points in classes; two-dimensional except for `blobs`."""

    tasks = ("classification",)

    name: Literal["synthetic_classification"]
    """Data source to load."""
    pattern: Literal["blobs", "moons", "circles", "spirals"] = "moons"
    """Arrangement of the classes."""
    n_samples: Annotated[int, Field(ge=10, le=10_000_000)] = 1000
    """Total number of examples, including the test split."""
    in_features: Annotated[int, Field(ge=2, le=10_000)] = 2
    """Number of input features; only `blobs` can have more than 2."""
    n_classes: Annotated[int, Field(ge=2, le=1000)] = 2
    """Number of classes; must be 2 for `moons` and `circles`."""
    noise: NonNegativeFloat = 0.1
    """Standard deviation of the noise. `blobs` have centres within -10..10; other patterns have a radius of about 1."""
    seed: Seed = 0
    """Seed of the generated data. The top-level `seed` draws the validation split and is used for training."""

    def count_examples(self) -> int:
        """Return `n_samples`."""
        return self.n_samples


class TableData(TestFraction):
    """Settings of every table."""

    tasks = ("classification", "regression")

    path: Annotated[str | None, IS_PATH] = None
    """File with all examples. A relative path starts at the folder of the config file."""
    train: Annotated[str | None, IS_PATH] = None
    """File with the training examples, instead of `path`, beside `test` and `val`."""
    val: Annotated[str | None, IS_PATH] = None
    """File with the validation examples; without it, they are split off from `train`."""
    test: Annotated[str | None, IS_PATH] = None
    """File with the test examples; without it, they are split off from `train`."""
    target: str | tuple[str, ...]
    """Column to predict; for regression also a list of columns."""
    features: tuple[str, ...] | None = None
    """Columns to predict from; null uses all columns except `target`, `ignore`, `time`, `group` and `split`."""
    ignore: tuple[str, ...] = ()
    """Columns to leave out, such as identifiers."""
    time: str | None = None
    """Column of dates or numbers that orders the examples: the latest are the test split, those before them the
    validation split. It is no feature unless `features` names it."""
    group: str | None = None
    """Column whose values must not occur in two splits, such as a patient."""
    split: str | None = None
    """Column with the split of each example: train, val or test. Without val, it is split off from train."""
    types: dict[str, Literal["number", "boolean", "category"]] = {}
    """Types of columns, where the type that was found is not wanted."""
    missing: Literal["error", "drop", "mean", "median"] = "error"
    """Treatment of missing features: an error, leaving out the example, or the mean or median of the training examples.
    In a column of categories, `mean` and `median` make missing another category."""
    unknown: Literal["warn", "error"] = "warn"
    """Treatment of categories that do not occur in the training examples: a note, or an error."""
    min_frequency: PositiveInt = 1
    """Categories of fewer training examples share one feature, `other`, which new categories join."""
    max_categories: PositiveInt = 100
    """Most categories of a column; with more, the column is an error."""

    def files(self) -> dict[str, str]:
        """Return the given files by the name of their setting: `path`, or `train`, `val` and `test`."""
        files = {name: getattr(self, name) for name in ("path", "train", "val", "test")}
        return {name: file for name, file in files.items() if file is not None}

    def files_by_label(self) -> dict[str, str]:
        """Return the given files by the name of a single file, or by the splits of several, which may share a name."""
        return self.files() if self.path is None else {os.path.basename(self.path): self.path}


def _numbers_as_texts(values: Any) -> Any:
    """Return a list with its numbers as texts: -999 means the same as "-999"."""
    if not isinstance(values, list | tuple):
        return values
    return tuple(
        str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value for value in values
    )


AUTO_SETTINGS = ("separator", "decimal", "encoding")  # of CSV files; a run keeps the values that were found


class CsvData(TableData):
    """Your own table in a CSV file, with a header; also tab-separated, and compressed with gzip."""

    name: Literal["csv"]
    """Data source to load."""
    separator: Literal["auto", ",", ";", "\t", "|"] = "auto"
    """Character between two fields; `auto` finds it."""
    decimal: Literal["auto", ".", ","] = "auto"
    """Decimal point of numbers; `auto` finds it."""
    encoding: Literal["auto", "utf-8", "utf-16", "windows-1252"] = "auto"
    """Encoding of the file; `auto` reads UTF-8, and UTF-16 with a byte order mark."""
    null_values: Annotated[Literal["auto"] | tuple[str, ...], BeforeValidator(_numbers_as_texts)] = "auto"
    """Texts that mean a missing value, such as none; -999 also means -999.0. The empty field, and NA, N/A, NaN, null, ?
    and - among numbers, are missing anyway."""


class ParquetData(TableData):
    """Your own table in a Parquet file."""

    name: Literal["parquet"]
    """Data source to load."""


class NpzData(TableData):
    """Your own arrays in an NPZ file of NumPy: features (n, features), or bytes of pictures (n, height, width)."""

    name: Literal["npz"]
    """Data source to load."""
    inputs: str = "inputs"
    """Array to predict from; of pictures with channels, (n, channels, height, width). Features are named by the array
    `feature_names`, or x1, x2, …; NaN is a missing value."""
    target: str = "targets"
    """Array to predict: texts, or indices into the array `class_names` if the file has it; numbers for regression."""


class ImageFolderData(TestFraction):
    """Your own pictures: a folder with a folder of pictures per class, or train/, val/ and test/ with such folders."""

    tasks = ("classification",)

    name: Literal["image_folder"]
    """Data source to load."""
    path: Annotated[str | None, IS_PATH] = None
    """Folder with one folder of pictures per class, or with train/, val/ and test/ of such folders. A part that is
    missing is split off from train by val_fraction or test_fraction. A relative path starts at the folder of the config
    file; a leading `~` and $NAME are expanded."""
    size: PictureSize = (28, 28)
    """Height and width of the inputs in pixels; pictures of another size are resized."""
    color_mode: Literal["grayscale", "rgb"] = "grayscale"
    """Whether pictures become one channel of luminance, or the three channels red, green and blue."""
    resize: Literal["pad", "crop", "stretch"] = "pad"
    """Treatment of pictures with another aspect ratio: `pad` adds borders of the background, `crop` cuts off equal
    parts on both sides, `stretch` distorts the picture."""
    background: Background = "white"
    """Colour below transparent pixels and of the borders that `pad` adds: white, black or "#rrggbb"."""
    unreadable: Literal["error", "skip"] = "error"
    """Treatment of pictures that cannot be read: stop before training, or train without them. Each is listed."""


AnyData = Annotated[
    FashionMnistData
    | MnistData
    | DigitsData
    | DiabetesData
    | ImageFolderData
    | SyntheticRegressionData
    | SyntheticClassificationData
    | CsvData
    | ParquetData
    | NpzData,
    Field(discriminator="name"),
]


# --- model --------------------------------------------------------------------------------------------


Head: TypeAlias = Literal["softmax", "l1"]


_SIZE = {"type": "integer", "minimum": 1, "maximum": MAX_COUNT}
Sizes = Annotated[
    tuple[PositiveInt, ...],
    BeforeValidator(lambda value: (value,) if type(value) is int else value),
    WithJsonSchema({"anyOf": [{"type": "array", "items": _SIZE}, _SIZE]}),
]


class InitFromRun(Section):
    """Initial parameters from a trained model, layer by layer where the shapes agree; other layers are new.

    New layers are drawn like `xavier_uniform`, with `seed`. The run keeps a copy of the checkpoint.
    """

    run: Annotated[str | None, IS_RUN] = None
    """Run folder to take the parameters from, or its name under the runs folder, which selects the newest run. A
    relative path starts at the folder of the config file."""
    checkpoint: Literal["best", "last"] = "best"
    """Checkpoint of that run."""
    preprocessing: Literal["fit", "keep"] = "fit"
    """Whether the scaling and encoding of the inputs are fitted on the new training examples, or kept from that run,
    which needs the same features. Targets of the same name keep their scaling too."""
    sha256: str | None = None
    """SHA-256 of the checkpoint, which a run records; another checkpoint is then an error. null accepts every one."""


InitName: TypeAlias = Literal[
    "default",
    "normal",
    "xavier_uniform",
    "xavier_normal",
    "kaiming_uniform",
    "kaiming_normal",
    "zeros",
]
USUAL_INIT: InitName = "xavier_uniform"
INIT_TAGS = ("(name)", "(settings)")  # not keys of a config: pydantic puts them into the locations of errors
Init = Annotated[
    Annotated[InitName, Tag(INIT_TAGS[0])] | Annotated[InitFromRun, Tag(INIT_TAGS[1])],
    Discriminator(lambda value: INIT_TAGS[isinstance(value, dict | InitFromRun)]),
]


class ModelSection(Section):
    """Fully connected network: Linear, activation, Linear, activation, …, Linear."""

    hidden_sizes: Sizes = (64, 32)
    """Number of units in each hidden layer, first to last; a single number is one layer, [] is the linear model."""
    activation: Literal[
        "sigmoid", "heaviside", "identity", "relu", "leaky_relu", "tanh", "gelu", "silu", "softplus"
    ] = "sigmoid"
    """Activation function after every hidden layer. `heaviside` has no useful gradient; it is for demonstrations."""
    init: Init = USUAL_INIT
    """Initial values of the parameters: `normal` draws all of them from N(0, 1), `default` is torch's U(±1/√fan_in).
    The other choices set biases to 0. `{run: RUN}` takes the parameters of a trained model."""
    dropout: FractionOrZero = 0.0
    """Probability of setting a hidden unit to 0 in a training step; 0 disables dropout."""
    head: Head = "softmax"
    """Function from a classifier's outputs z to class probabilities: `softmax`, or `l1`, which is |z| / Σ |z|."""
    batch_norm: bool = False
    """Normalize the inputs of each activation over the batch, with a learned scale and shift per unit (Ioffe and
    Szegedy, 2015; BatchNorm1d of torch). Evaluation uses running means of the training batches."""


# --- loss ---------------------------------------------------------------------------------------------


class CrossEntropyLoss(Section):
    """Cross-entropy: −log of the predicted probability of the true class, averaged over examples."""

    tasks: ClassVar[tuple[TaskName, ...]] = ("classification",)

    name: Literal["cross_entropy"]
    """Loss to minimise; defaults to `cross_entropy` for classification and `mse` for regression."""
    label_smoothing: FractionOrZero = 0.0
    """Fraction of the label's probability that is spread evenly over all classes."""
    class_weights: Literal["balanced"] | tuple[PositiveFloat, ...] | None = None
    """Weight of each class in the loss, in class order. `balanced` uses n / (classes × count of the class); null uses
    equal weights."""


class MseLoss(Section):
    """Squared error.

    For regression, averaged over examples and outputs. For classification, between class probabilities and the one-hot
    label, summed over the classes and averaged over examples.
    """

    tasks: ClassVar[tuple[TaskName, ...]] = ("classification", "regression")

    name: Literal["mse"]
    """Loss to minimise; defaults to `cross_entropy` for classification and `mse` for regression."""


class L1Loss(Section):
    """Absolute error, averaged over examples and outputs."""

    tasks: ClassVar[tuple[TaskName, ...]] = ("regression",)

    name: Literal["l1"]
    """Loss to minimise; defaults to `cross_entropy` for classification and `mse` for regression."""


class HuberLoss(Section):
    """Huber loss: squared error up to `delta`, absolute error beyond, averaged over examples and outputs."""

    tasks: ClassVar[tuple[TaskName, ...]] = ("regression",)

    name: Literal["huber"]
    """Loss to minimise; defaults to `cross_entropy` for classification and `mse` for regression."""
    delta: PositiveFloat = 1.0
    """Error at which the loss changes from quadratic to linear, in units of the scaled target."""


AnyLoss = Annotated[CrossEntropyLoss | MseLoss | L1Loss | HuberLoss, Field(discriminator="name")]


# --- optimizer and learning rate ----------------------------------------------------------------------


class OptimizerSection(Section):
    """Settings of every optimizer."""

    lr: PositiveFloat
    """Peak learning rate; the scheduler multiplies it by a factor of at most 1."""


class SgdOptimizer(OptimizerSection):
    """Stochastic gradient descent."""

    name: Literal["sgd"] = "sgd"
    """Optimization algorithm."""
    lr: PositiveFloat = 0.1
    """Peak learning rate; the scheduler multiplies it by a factor of at most 1."""
    momentum: FractionOrZero = 0.9
    """Fraction of the previous update that is added to the next one."""
    weight_decay: NonNegativeFloat = 0.0
    """L2 penalty: the parameters times this factor are added to their gradient."""
    nesterov: bool = False
    """Use Nesterov momentum; requires `momentum` above 0."""


class AdamOptimizer(OptimizerSection):
    """Adam (Kingma and Ba, 2015)."""

    name: Literal["adam"]
    """Optimization algorithm."""
    lr: PositiveFloat = 1e-3
    """Peak learning rate; the scheduler multiplies it by a factor of at most 1."""
    betas: tuple[FractionOrZero, FractionOrZero] = (0.9, 0.999)
    """Decay rates of the running means of the gradients and of the squared gradients."""
    eps: Annotated[float, Field(gt=0), Float32Range(smallest=1e-30)] = 1e-8
    """Constant added to the denominator for numerical stability."""
    weight_decay: NonNegativeFloat = 0.0
    """L2 penalty: the parameters times this factor are added to their gradient."""


class AdamWOptimizer(AdamOptimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019)."""

    name: Literal["adamw"]  # type: ignore[assignment]  # the tag of the union, one per member
    """Optimization algorithm."""
    weight_decay: NonNegativeFloat = 0.01
    """Weight decay: each step subtracts lr × weight_decay × the parameters."""


class RmspropOptimizer(OptimizerSection):
    """RMSprop (Tieleman and Hinton, 2012), as in torch: not centered, with `eps` outside the square root."""

    name: Literal["rmsprop"]
    """Optimization algorithm."""
    lr: PositiveFloat = 1e-3
    """Peak learning rate; the scheduler multiplies it by a factor of at most 1."""
    alpha: FractionOrZero = 0.99
    """Decay rate of the running mean of the squared gradients, whose root divides the gradients."""
    eps: Annotated[float, Field(gt=0), Float32Range(smallest=1e-30)] = 1e-8
    """Constant added to the denominator for numerical stability."""
    momentum: FractionOrZero = 0.0
    """Fraction of the previous update that is added to the next one."""
    weight_decay: NonNegativeFloat = 0.0
    """L2 penalty: the parameters times this factor are added to their gradient."""


AnyOptimizer = Annotated[
    SgdOptimizer | AdamOptimizer | AdamWOptimizer | RmspropOptimizer,
    Field(discriminator="name"),
    _default_name("sgd"),
]


class SchedulerSection(Section):
    """Settings of every learning-rate schedule."""

    warmup_epochs: NonNegativeFloat = 0.0
    """Number of epochs over which the learning rate first rises linearly from 0; may be fractional."""


class ConstantScheduler(SchedulerSection):
    """Constant learning rate."""

    name: Literal["none"] = "none"
    """Learning-rate schedule."""


class CosineScheduler(SchedulerSection):
    """Cosine decay from lr to lr × `final_fraction`, updated every step."""

    name: Literal["cosine"]
    """Learning-rate schedule."""
    final_fraction: FinalFraction = 0.0
    """Learning rate at the end, as a fraction of lr."""


class StepScheduler(SchedulerSection):
    """Step decay: the learning rate is multiplied by `gamma` every `step_size` epochs."""

    name: Literal["step"]
    """Learning-rate schedule."""
    step_size: PositiveInt = 10
    """Number of epochs between two reductions of the learning rate."""
    gamma: Factor = 0.1
    """Factor applied to the learning rate at each reduction."""


class ExponentialScheduler(SchedulerSection):
    """Exponential decay: the learning rate is multiplied by `gamma` every epoch."""

    name: Literal["exponential"]
    """Learning-rate schedule."""
    gamma: Factor = 0.95
    """Factor applied to the learning rate at each epoch."""


class OneCycleScheduler(SchedulerSection):
    """The learning rate rises and falls once, each along half a cosine wave, step by step (Smith and Topin, 2018)."""

    name: Literal["one_cycle"]
    """Learning-rate schedule."""
    rise_fraction: Fraction = 0.3
    """Fraction of the steps during which the learning rate rises."""
    initial_fraction: Factor = 0.04
    """Learning rate at the start, as a fraction of lr."""
    final_fraction: FinalFraction = 4e-6
    """Learning rate at the end, as a fraction of lr."""


class PlateauScheduler(SchedulerSection):
    """Reduction on plateau: the learning rate is multiplied by `factor` when the monitored loss stops improving."""

    name: Literal["plateau"]
    """Learning-rate schedule."""
    factor: Fraction = 0.1
    """Factor applied to the learning rate at each reduction."""
    patience: Annotated[int, Field(ge=0, le=MAX_COUNT)] = 10
    """Number of epochs without improvement to tolerate before reducing the learning rate."""


AnyScheduler = Annotated[
    ConstantScheduler | CosineScheduler | StepScheduler | ExponentialScheduler | OneCycleScheduler | PlateauScheduler,
    Field(discriminator="name"),
    _default_name("none"),
]


# --- training -----------------------------------------------------------------------------------------


BatchSize = Annotated[  # rules.py checks it against the number of examples
    Annotated[int, Field(ge=1)] | Literal["full"],
    _accepts(
        "a whole number of at least 1, or full",
        lambda value: value == "full" or (type(value) is int and value >= 1),
    ),
]

Threads = Annotated[
    Annotated[int, Field(ge=1, le=1024)] | Literal["auto"],
    _accepts(
        "a whole number from 1 to 1024, or auto",
        lambda value: value == "auto" or (type(value) is int and 1 <= value <= 1024),
    ),
]

DEVICE, RUN_NAME = r"auto|cpu|cuda(:[0-9]{1,3})?|mps", r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
Device = Annotated[
    str,
    _accepts(
        "auto, cpu, cuda, cuda:N or mps",
        lambda value: isinstance(value, str) and re.fullmatch(DEVICE, value) is not None,
    ),
    WithJsonSchema({"type": "string", "pattern": f"^({DEVICE})$"}),
]


def is_run_name(value: object) -> bool:
    """Return whether `value` is a valid folder name on every system; Windows reserves CON and similar names."""
    if not isinstance(value, str) or not re.fullmatch(RUN_NAME, value) or value.endswith("."):
        return False
    return not re.fullmatch(r"con|prn|aux|nul|com\d|lpt\d", value.partition(".")[0].lower())


RunName = Annotated[
    str,
    _accepts(
        "1 to 64 letters, digits, '.', '_' or '-', start with a letter or digit, not end in '.' and not be CON or NUL",
        is_run_name,
    ),
    WithJsonSchema({"type": "string", "pattern": f"^{RUN_NAME}$"}),
]


LEAST_EPOCHS, MOST_EPOCHS, USUAL_STEPS = 10, 1000, 5000  # of the default number of epochs
MANY_EXAMPLES, LARGE_BATCH = 10_000, 256  # more training examples have this default batch size


class TrainingSection(Section):
    """Duration, batch size and hardware of the training."""

    epochs: Annotated[PositiveInt, Field(json_schema_extra=lambda schema: schema.pop("default"))] = LEAST_EPOCHS
    """Number of passes over the training examples. The default gives about 5,000 steps, with 10 to 1,000 epochs."""
    batch_size: Annotated[BatchSize, Field(json_schema_extra=lambda schema: schema.pop("default"))] = 64
    """Number of examples per step; `full` uses all of them, which is plain gradient descent. The default is 64, or 256
    with more than 10,000 training examples."""
    device: Device = "auto"
    """Device to train on: auto, cpu, cuda, cuda:N or mps. `auto` selects CUDA if available, then MPS, then the CPU."""
    threads: Threads = "auto"
    """Number of CPU threads. `auto` depends only on the size of the work and the number of cores, so that the same
    config gives the same bits under any other load. OMP_NUM_THREADS is ignored."""
    precision: Literal["float32", "float64", "tf32", "bf16"] = "float32"
    """Data type of parameters and inputs. `tf32` (CUDA only) and `bf16` are float32 with rounded matrix products."""
    step: Literal["auto", "eager", "manual"] = "auto"
    """Implementation of the gradients: `eager` uses autograd and is bit-identical to a plain torch loop; `manual` uses
    handwritten back-propagation, which is faster and equal up to rounding; `auto` selects the faster of the two."""
    gradient_clip_norm: PositiveFloat | None = None
    """Maximum norm of all gradients together; larger gradients are scaled down to it. null disables clipping."""
    together: Literal["auto", "never"] = "auto"
    """Whether several seeds are trained together as one stack of models: `auto` does so where it is faster by a rule
    based on sizes and hardware; `never` trains one after the other."""
    shards: Annotated[int, Field(ge=1, le=MAX_SHARDS)] | None = None
    """Number of parts of each batch, whose gradients are computed with one thread each and added in a fixed order, so
    that any number of processes that divides it gives the same bits; null gives each process one part."""
    timeout_seconds: PositiveFloat = 30.0
    """Seconds that one of several processes waits for the others in a step before it gives up."""


class EarlyStoppingSection(Section):
    """Condition for stopping before `training.epochs`."""

    patience: PositiveInt | None = None
    """Number of epochs without improvement after which training stops; null disables early stopping."""
    monitor: str = "val/loss"
    """Metric that must improve: val/ followed by a metric of the task, e.g. val/loss. Without a validation split,
    train/loss."""
    min_delta: NonNegativeFloat = 0.0
    """Changes up to this size do not count as an improvement."""


class CheckpointSection(Section):
    """Checkpoints of the run."""

    monitor: str = "val/loss"
    """Metric that selects the best checkpoint: val/ followed by a metric of the task, e.g. val/loss. Without a
    validation split, train/loss."""
    every_seconds: PositiveFloat = 60.0
    """Seconds between two saves within an epoch. `last` and a new `best` are also saved at the end of an epoch, at most
    once per second."""


class Config(Section):
    """Settings of a training run."""

    schema_version: Literal[1] = 1
    """Version of the config format. Newer releases can read older versions."""
    name: RunName = "run"
    """Name used for run folders; defaults to the name of the config file."""
    task: TaskName = "classification"
    """Task to learn: classification predicts a class, regression predicts numbers."""
    seed: Seed = 0
    """Seed of the validation split, the initial parameters, the order of the examples and dropout."""
    data: AnyData
    """Data source and its settings."""
    model: ModelSection = ModelSection()
    """Fully connected network to train."""
    loss: AnyLoss
    """Loss to minimise."""
    optimizer: AnyOptimizer = SgdOptimizer()
    """Optimization algorithm."""
    scheduler: AnyScheduler = ConstantScheduler()
    """Learning-rate schedule."""
    training: TrainingSection = TrainingSection()
    """Duration, batch size and hardware of the training."""
    early_stopping: EarlyStoppingSection = EarlyStoppingSection()
    """Condition for stopping before `training.epochs`."""
    checkpoint: CheckpointSection = CheckpointSection()
    """Checkpoints of the run."""
    plots: Literal["auto", "always", "never"] = "auto"
    """Whether to draw plots after training. `auto` draws them if training took at least 10 seconds; `dlcli plot` draws
    them at any time. Several seeds get a page, `report.html`, with plots by the same rule; `never` writes no page."""

    @model_validator(mode="before")
    @classmethod
    def _loss_follows_task(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        name = DEFAULT_LOSS["regression" if values.get("task") == "regression" else "classification"]
        loss = values.get("loss", {})
        return {**values, "loss": {"name": name, **loss} if isinstance(loss, dict) else loss}

    @model_validator(mode="after")
    def _monitors_follow_data(self) -> Self:
        if self.data.val_fraction:
            return self
        sections = {"early_stopping": self.early_stopping, "checkpoint": self.checkpoint}
        followers = {name: section for name, section in sections.items() if "monitor" not in section.model_fields_set}
        return self.model_copy(
            update={name: section.model_copy(update={"monitor": TRAIN_LOSS}) for name, section in followers.items()}
        )

    @model_validator(mode="after")
    def _lengths_follow_data(self) -> Self:
        n = self.data.count_training_examples()
        return self if n is None else self.with_usual_lengths(n)

    def with_usual_lengths(self, n: int) -> Self:
        """Return the config with the default batch size and number of epochs for `n` training examples, unless set."""
        training, chosen = self.training, self.training.model_fields_set
        batch_size = training.batch_size
        if "batch_size" not in chosen and n > MANY_EXAMPLES:
            batch_size = LARGE_BATCH
        steps = 1 if batch_size == "full" else max(1, math.ceil(n / batch_size))  # n may be 0, an error later
        epochs = min(MOST_EPOCHS, max(LEAST_EPOCHS, math.ceil(USUAL_STEPS / steps)))
        usual = {"batch_size": batch_size, "epochs": epochs}
        return self._with_training({name: value for name, value in usual.items() if name not in chosen})

    def _with_training(self, settings: Mapping[str, Any]) -> Self:
        return self.model_copy(update={"training": self.training.model_copy(update=dict(settings))})

    def with_layout(self, layout: Mapping[str, str]) -> Self:
        """Return the config with settings of the data section as they were found in the files, see `AUTO_SETTINGS`."""
        return self.model_copy(update={"data": self.data.model_copy(update=dict(layout))}) if layout else self

    def with_parent(self, run: str, sha256: str) -> Self:
        """Return the config with the run folder and the checkpoint that training starts from, see `InitFromRun`."""
        init = self.model.init
        assert isinstance(init, InitFromRun)
        init = init.model_copy(update={"run": run, "sha256": sha256})
        return self.model_copy(update={"model": self.model.model_copy(update={"init": init})})

    def with_data_of(self, other: Config) -> Self:
        """Return the config with what another config for the same data took from it, where this one leaves it open.

        These are the layout of the files, the defaults of batch size and number of epochs, and the checkpoint that a
        name of a run stands for.
        """
        names = [
            name for name in AUTO_SETTINGS if getattr(self.data, name, None) == "auto" and hasattr(other.data, name)
        ]
        config = self.with_layout({name: getattr(other.data, name) for name in names})
        mine, others = self.model.init, other.model.init
        if isinstance(mine, InitFromRun) and isinstance(others, InitFromRun) and mine.sha256 is None:
            run = mine.run if os.path.isabs(str(mine.run)) else others.run
            config = config.with_parent(str(run), str(others.sha256))
        left_open = {"batch_size", "epochs"} - self.training.model_fields_set
        return config._with_training({name: getattr(other.training, name) for name in left_open})


# --- sweep --------------------------------------------------------------------------------------------


class NonePruner(Section):
    """No pruning: every trial trains to its end."""

    name: Literal["none"]
    """Rule that stops poor trials early."""


class PruningSection(Section):
    """Settings of every rule that stops trials early."""

    min_epochs: PositiveInt | None = None
    """Number of epochs that every trial trains, at most `training.epochs`; null is a ninth of them, and at least 1."""


class MedianPruner(PruningSection):
    """Median rule: stops a trial whose best value so far is below the median of the earlier trials at that epoch."""

    name: Literal["median"]
    """Rule that stops poor trials early."""
    min_trials: Annotated[int, Field(ge=1, le=MAX_COUNT)] = 5
    """Number of trials that train to their end before the first one is stopped."""


class AshaPruner(PruningSection):
    """Asynchronous successive halving (Li et al., 2018): of the trials that reach a level, the best continue.

    The levels are at `min_epochs`, `min_epochs` × `factor`, `min_epochs` × `factor`², and so on.
    """

    name: Literal["asha"]
    """Rule that stops poor trials early."""
    factor: Annotated[int, Field(ge=2, le=1000)] = 3
    """Share of the trials that continue to the next level: one in `factor`."""


class HyperbandPruner(PruningSection):
    """Hyperband (Li et al., 2016): successive halving with several first levels, each for a part of the trials."""

    name: Literal["hyperband"]
    """Rule that stops poor trials early."""
    factor: Annotated[int, Field(ge=2, le=1000)] = 3
    """Share of the trials that continue to the next level: one in `factor`."""


AnyPruner = Annotated[
    NonePruner | MedianPruner | AshaPruner | HyperbandPruner,
    Field(discriminator="name"),
    BeforeValidator(lambda value: {"name": value} if isinstance(value, str) else value),
    _default_name("asha"),
]

_CONFIRM_SEEDS = frozenset({0, *range(2, 1001)})  # one seed has no spread


def _or_name(schema: dict[str, Any]) -> None:
    """Add the names of the variants to the JSON Schema of a section that can be written as a name alone."""
    schema["oneOf"] = [*schema["oneOf"], {"enum": list(schema["discriminator"]["mapping"])}]


Sampler: TypeAlias = Literal["tpe", "random", "grid", "qmc", "cmaes", "gp"]


class SweepSettings(Section):
    """Search for good settings by many trials, each of which trains the config with other values."""

    space: Annotated[
        dict[str, Any],
        _accepts("a mapping of settings to lists and ranges", lambda value: isinstance(value, dict)),
        Field(exclude=True),  # read by `dlcli.config.sweep.parse`
    ] = {}
    """Values to try, by setting: a list of choices, or a range `{min, max, log, step}` that includes its ends. A choice
    may hold ranges and lists, such as `{name: adam, lr: {min: 1e-4, max: 1e-1, log: true}}`."""
    metric: str | None = None
    """Metric to improve, and so to monitor: val/ followed by a metric of the task; null takes `checkpoint.monitor`."""
    sampler: Sampler = "tpe"
    """Method that proposes values. `tpe` learns from earlier trials; so does `gp`, if every trial has the same
    settings, and `cmaes`, for ranges only. `random` draws each value on its own, `qmc` covers ranges evenly, and `grid`
    takes every combination once."""
    pruner: Annotated[AnyPruner, Field(json_schema_extra=_or_name)] = AshaPruner(name="asha")
    """Rule that stops poor trials early: a name, or a mapping of settings."""
    trials: PositiveInt = 50
    """Number of trials over all workers. A grid takes all combinations by default."""
    seconds: PositiveFloat | None = None
    """Wall time of the whole sweep in seconds, with its results; null does not limit it."""
    seeds_per_trial: Annotated[int, Field(ge=1, le=1000)] = 1
    """Number of seeds per trial, the same for every trial; the value of a trial is the mean over them."""
    seed: Seed = 0
    """Seed of the sampler. The top-level `seed` is that of each training."""
    generation: PositiveInt | None = None
    """Number of trials that are proposed together, which makes the sweep reproducible with any number of workers. null
    proposes each trial when a worker is free."""
    confirm_seeds: Annotated[
        int,
        Field(ge=0, le=1000),
        _accepts("0, or a whole number from 2 to 1000", lambda value: type(value) is int and value in _CONFIRM_SEEDS),
    ] = 10
    """Number of fresh seeds that the best trial and the unchanged config are trained with at the end, to compare them;
    0 trains none."""
    keep: Annotated[int, Field(ge=0, le=MAX_COUNT)] = 5
    """Number of best trials that keep their checkpoints; all trials keep their metrics."""


class SweepFile(Section):
    """Part of a config file that describes a sweep, beside the settings of `Config`."""

    sweep: SweepSettings = SweepSettings()
    """Search for good settings, run by `dlcli sweep`."""


# --- the tree of models -------------------------------------------------------------------------------


ROOTS: tuple[type[Section], ...] = (Config, SweepFile)  # models of the top level of a file


class SettingPlace(NamedTuple):
    """Setting or section in the tree of models.

    Attributes:
        path: Keys from the top level.
        model: Section that has it as a field.
    """

    path: tuple[str, ...]
    model: type[BaseModel]


@cache
def setting_places() -> tuple[SettingPlace, ...]:
    """Return every section and setting once for each model that has it, from the top of the config downwards."""
    return tuple(place for root in ROOTS for place in _places_in(root, ()))


def _places_in(model: type[BaseModel], above: tuple[str, ...]) -> Iterator[SettingPlace]:
    for field in model.model_fields:
        yield SettingPlace((*above, field), model)
        for inner in section_models(model, field):
            yield from _places_in(inner, (*above, field))


def section_models(model: type[BaseModel], field: str) -> tuple[type[BaseModel], ...]:
    """Return the models that a field can hold: none for a plain value or an unknown field, several for a union."""
    if field not in model.model_fields:
        return ()
    annotation = model.model_fields[field].annotation
    members = [_without_tag(member) for member in getattr(annotation, "__args__", (annotation,))]
    return tuple(member for member in members if isinstance(member, type) and issubclass(member, BaseModel))


def _without_tag(member: Any) -> Any:
    return get_args(member)[0] if get_origin(member) is Annotated else member


def sections() -> frozenset[tuple[str | int, ...]]:
    """Return the path of every section, including () for the whole config."""
    return frozenset({(), *((field,) for field in Config.model_fields if section_models(Config, field))})


def setting_owners(path: tuple[str | int, ...]) -> tuple[type[BaseModel], ...]:
    """Return the models that can hold the last key of a path: those of its section, or of the top level."""
    owners: tuple[type[BaseModel], ...] = ROOTS
    for part in path[:-1]:
        owners = tuple(inner for owner in owners for inner in section_models(owner, str(part)))
    return tuple(owner for owner in owners if str(path[-1]) in owner.model_fields)


def variants_beside(model: type[BaseModel] | None) -> tuple[type[BaseModel], ...]:
    """Return all variants of the section that `model` is one of; empty if it is not one of several."""
    unions = (section_models(place.model, place.path[-1]) for place in setting_places())
    return next((members for members in unions if model in members and len(members) > 1), ())


def is_path_setting(model: type[BaseModel], field: str) -> bool:
    """Return whether a setting holds a file system path, or the name of a run."""
    return not {IS_PATH, IS_RUN}.isdisjoint(model.model_fields[field].metadata)


@cache
def path_settings() -> tuple[tuple[str, ...], ...]:
    """Return every setting that holds a file system path, or the name of a run, once."""
    places = (place for place in setting_places() if is_path_setting(place.model, place.path[-1]))
    return tuple(dict.fromkeys(place.path for place in places))


def is_run_setting(path: tuple[str, ...]) -> bool:
    """Return whether a setting may hold the name of a run instead of a path."""
    models = (place.model for place in setting_places() if place.path == path)
    return any(IS_RUN in model.model_fields[path[-1]].metadata for model in models)


def section_name(model: type[BaseModel]) -> str:
    """Return the `name` that selects `model` among the variants of a section."""
    return str(get_args(model.model_fields["name"].annotation)[0])


def explain_setting(section: type[BaseModel], field: str) -> str:
    """Return the description of a setting, followed by its choices if it has a fixed list of them."""
    info = section.model_fields[field]
    kinds = (info.annotation, *map(_without_tag, get_args(info.annotation)))
    choices = [str(choice) for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]
    if field == "schema_version" or (len(choices) == 1 and get_origin(info.annotation) is not Literal):
        choices = []  # the description names a single word beside numbers
    if field == "name" and choices:  # it selects the variant of the section: list all variants
        choices = [section_name(member) for member in variants_beside(section)]
    text = " ".join((info.description or "").split())
    return f"{text} One of {', '.join(choices)}." if choices else text


def data_sources() -> dict[str, type[DataSection]]:
    """Return the section model of each data source, by the name of the source."""
    return {section_name(model): model for model in section_models(Config, "data") if issubclass(model, DataSection)}


def starting_config(data: str, task: TaskName) -> Config:
    """Return a config with the default settings for a task on a data source."""
    needed = {"image_folder": {"path": "pictures"}, "csv": {"path": "table.csv", "target": "target"}}
    needed["parquet"] = needed["csv"] | {"path": "table.parquet"}
    needed["npz"] = {"path": "arrays.npz"}
    section = {"name": data} | needed.get(data, {})
    return Config.model_validate({"name": f"my-{data.replace('_', '-')}", "task": task, "data": section})
