"""The shape of a config: every setting with its default, its unit and its bounds.

The models are frozen and strict: an unknown key or a wrong type is an error, never ignored or converted.
A section whose settings depend on a name (`data`, `loss`, `optimizer`, `scheduler`) is a union of one model
per name. Each field's docstring is what users read about it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

TaskName: TypeAlias = Literal["classification", "regression"]

# What each task measures over a split, in the order shown; `loss` is what training minimises.
METRICS: dict[TaskName, tuple[str, ...]] = {
    "classification": ("loss", "accuracy", "macro_f1"),
    "regression": ("loss", "mse", "rmse", "mae", "r2"),
}
HEADLINE: dict[TaskName, str] = {"classification": "accuracy", "regression": "rmse"}
HIGHER_IS_BETTER = frozenset({"accuracy", "macro_f1", "r2"})
DEFAULT_LOSS: dict[TaskName, str] = {"classification": "cross_entropy", "regression": "mse"}

LEAST, MOST = 1e-18, 1e18


@dataclass(frozen=True)
class Float32Range:
    """Magnitudes with which float32 can compute: 0, or from `least` to `most`.

    float32 goes from 1e-38 to 3e38. The bounds are about the square root of that, so that products and quotients of
    two settings, such as 1 − lr · weight_decay, are finite and not 0. Every float of a config has such a range.
    It comes after the bounds that a setting has anyway.

    Attributes:
        least: Smallest magnitude that is not 0.
        most: Largest magnitude.
    """

    least: float = LEAST
    most: float = MOST

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check the range after what is below."""
        inner = handler(source)
        bounds = {name: inner.get(name) for name in ("ge", "lt", "le")}
        zero = "0, or " if bounds["ge"] == 0 else ""
        is_below = bounds["lt"] is not None or bounds["le"] is not None
        what = f"{zero}at least {self.least:g}" if is_below else f"{zero}between {self.least:g} and {self.most:g}"

        def check(value: float) -> float:
            if value != 0 and not self.least <= value <= self.most:
                raise PydanticCustomError("not_accepted", "must be {what}", {"what": f"{what} (float32 arithmetic)"})
            return value

        return core_schema.no_info_after_validator_function(check, inner)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return bounds that a JSON Schema can tell; 0 is a choice of its own."""
        own = handler(schema)
        bounded = {key: value for key, value in own.items() if key not in ("minimum", "exclusiveMinimum")}
        bounded["minimum"] = self.least
        if not {"maximum", "exclusiveMaximum"} & set(bounded):
            bounded["maximum"] = self.most
        return {"anyOf": [{"const": 0}, bounded]} if own.get("minimum") == 0 else bounded


IN_FLOAT32 = Float32Range()
PositiveFloat = Annotated[float, Field(gt=0), IN_FLOAT32]
NonNegativeFloat = Annotated[float, Field(ge=0), IN_FLOAT32]
Share = Annotated[float, Field(ge=0, lt=1), IN_FLOAT32]  # 0 is none
Fraction = Annotated[float, Field(gt=0, lt=1), IN_FLOAT32]
Factor = Annotated[float, Field(gt=0, le=1), IN_FLOAT32]  # 1 changes nothing
FinalFraction = Annotated[float, Field(ge=0, le=1), IN_FLOAT32]
MOST_COUNTED = 1_000_000_000  # epochs, units, examples; steps, epochs times batches, are still exact in a float
PositiveInt = Annotated[int, Field(ge=1, le=MOST_COUNTED)]
# torch's CPU generator is a Mersenne Twister that keeps the low 32 bits of a seed.
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Section(BaseModel):
    """What all parts of a config share: frozen, strict, no unknown keys, finite numbers."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


IS_PATH = "path"  # among a field's metadata: a path of the user's, to be expanded and made absolute


def _default_name(name: str) -> BeforeValidator:
    """Let a section leave its `name` out."""

    def add_name(section: Any) -> Any:
        return {"name": name, **section} if isinstance(section, dict) else section

    return BeforeValidator(add_name)


# --- data ---------------------------------------------------------------------------------------------


class DataSection(Section):
    """What every data source has."""

    tasks: ClassVar[tuple[TaskName, ...]]
    examples: ClassVar[int] = 0  # without an official test split; 0 where `n_samples` says it

    val_fraction: Fraction = 0.1
    """Share of the training examples kept for validation, stratified by class, drawn with `seed`."""
    normalize: Literal["none", "unit", "standard"] = "standard"
    """How inputs (and regression targets) are scaled, with figures of the training examples only:
    `unit` to 0..1, `standard` to mean 0 and standard deviation 1. With `none` they stay as they are: pixels of
    fashion_mnist 0..255, of digits 0..16, the features of other sources in their own units."""


class TestFraction(DataSection):
    """A source without an official test split."""

    test_fraction: Fraction = 0.2
    """Share of all examples kept as the test split; the same examples whatever `seed` is."""


class FashionMnistData(DataSection):
    """Fashion-MNIST: 60,000 + 10,000 grey images, 28×28, of ten kinds of clothing; fetched once, 30 MB."""

    tasks = ("classification",)
    examples = 60_000

    name: Literal["fashion_mnist"]
    """Which data source."""
    root: Annotated[str | None, IS_PATH] = None
    """Folder that holds, or will hold, `FashionMNIST/raw/`; null is the user's cache folder. Relative to the file it
    is written in; a leading `~` and $NAME are expanded."""
    pad: Annotated[int, Field(ge=0, le=16)] = 0
    """Black pixels added on every side; 2 gives 32×32."""


class DigitsData(TestFraction):
    """Handwritten digits: 1,797 real grey images, 8×8; comes with scikit-learn."""

    tasks = ("classification",)
    examples = 1797

    name: Literal["digits"]
    """Which data source."""


class DiabetesData(TestFraction):
    """Diabetes progression after one year: 442 real patients, 10 features; comes with scikit-learn."""

    tasks = ("regression",)
    examples = 442

    name: Literal["diabetes"]
    """Which data source."""


class SyntheticRegressionData(TestFraction):
    """A known function plus normal noise."""

    tasks = ("regression",)

    name: Literal["synthetic_regression"]
    """Which data source."""
    function: Literal["linear", "polynomial", "sine", "step", "friedman1"] = "sine"
    """The true function; all but `friedman1` add one term per feature."""
    n_samples: Annotated[int, Field(ge=10, le=10_000_000)] = 1000
    """Examples in all, test split included."""
    in_features: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Features of an example; `friedman1` uses the first 5 and needs at least as many."""
    noise: NonNegativeFloat = 0.1
    """Standard deviation of the noise, in the target's unit."""
    seed: Seed = 0
    """Seed of the data alone; the run's `seed` draws the validation split and trains."""


class SyntheticClassificationData(TestFraction):
    """Points in classes; in the plane but for `blobs`."""

    tasks = ("classification",)

    name: Literal["synthetic_classification"]
    """Which data source."""
    pattern: Literal["blobs", "moons", "circles", "spirals"] = "moons"
    """How the classes lie."""
    n_samples: Annotated[int, Field(ge=10, le=10_000_000)] = 1000
    """Examples in all, test split included."""
    in_features: Annotated[int, Field(ge=2, le=10_000)] = 2
    """Features of an example; only `blobs` can have more than 2."""
    n_classes: Annotated[int, Field(ge=2, le=1000)] = 2
    """Number of classes; `moons` and `circles` have 2."""
    noise: NonNegativeFloat = 0.1
    """Standard deviation of the noise; blobs lie in a box of -10..10, the others have radius about 1."""
    seed: Seed = 0
    """Seed of the data alone; the run's `seed` draws the validation split and trains."""


AnyData = Annotated[
    FashionMnistData | DigitsData | DiabetesData | SyntheticRegressionData | SyntheticClassificationData,
    Field(discriminator="name"),
]


# --- model --------------------------------------------------------------------------------------------


Head: TypeAlias = Literal["softmax", "l1"]


class ModelSection(Section):
    """A fully connected network: Linear, activation, Linear, activation, …, Linear."""

    hidden_sizes: tuple[PositiveInt, ...] = (256, 128)
    """Units of each hidden layer, first to last; [] is the linear model."""
    activation: Literal[
        "sigmoid", "heaviside", "identity", "relu", "leaky_relu", "tanh", "gelu", "silu", "softplus"
    ] = "sigmoid"
    """Follows every hidden layer. `heaviside` has no useful gradient and exists to show that."""
    init: Literal[
        "default",
        "normal",
        "xavier_uniform",
        "xavier_normal",
        "kaiming_uniform",
        "kaiming_normal",
        "zeros",
    ] = "default"
    """First values of the parameters: `normal` draws all from N(0, 1), `default` is torch's own U(±1/√fan_in);
    the others set biases to 0."""
    dropout: Share = 0.0
    """Share of hidden units silenced at random in each training step."""
    head: Head = "softmax"
    """How a classifier's outputs become probabilities: `softmax`, or `l1`: divided by their L1 norm, |z| / Σ |z|."""


# --- loss ---------------------------------------------------------------------------------------------


class CrossEntropyLoss(Section):
    """−log of the probability given to the true class, mean over examples."""

    tasks: ClassVar[tuple[TaskName, ...]] = ("classification",)

    name: Literal["cross_entropy"]
    """What training minimises; left out, `cross_entropy` for classification and `mse` for regression."""
    label_smoothing: Share = 0.0
    """Share of the label's probability spread evenly over all classes."""
    class_weights: Literal["balanced"] | tuple[PositiveFloat, ...] | None = None
    """Weight of each class in the loss, in class order; `balanced` is n / (classes × count of the class)."""


class MseLoss(Section):
    """Squared error.

    For regression, the mean over examples and outputs. For classification, that of the head's probabilities against the
    one-hot label: summed over the classes, mean over examples.
    """

    tasks: ClassVar[tuple[TaskName, ...]] = ("classification", "regression")

    name: Literal["mse"]
    """What training minimises; left out, `cross_entropy` for classification and `mse` for regression."""


class L1Loss(Section):
    """Absolute error, mean over examples and outputs."""

    tasks: ClassVar[tuple[TaskName, ...]] = ("regression",)

    name: Literal["l1"]
    """What training minimises; left out, `cross_entropy` for classification and `mse` for regression."""


class HuberLoss(Section):
    """Squared error near 0, absolute error beyond `delta`, mean over examples and outputs."""

    tasks: ClassVar[tuple[TaskName, ...]] = ("regression",)

    name: Literal["huber"]
    """What training minimises; left out, `cross_entropy` for classification and `mse` for regression."""
    delta: PositiveFloat = 1.0
    """Where the square turns into a line, in units of the scaled target."""


AnyLoss = Annotated[CrossEntropyLoss | MseLoss | L1Loss | HuberLoss, Field(discriminator="name")]


# --- optimizer and learning rate ----------------------------------------------------------------------


class OptimizerSection(Section):
    """What every optimizer has."""

    lr: PositiveFloat
    """Learning rate at its highest; the scheduler multiplies it by a factor of at most 1."""


class SgdOptimizer(OptimizerSection):
    """Stochastic gradient descent."""

    name: Literal["sgd"] = "sgd"
    """How a gradient becomes an update."""
    lr: PositiveFloat = 0.1
    """Learning rate at its highest; the scheduler multiplies it by a factor of at most 1."""
    momentum: Share = 0.0
    """Share of the previous update kept in the next."""
    weight_decay: NonNegativeFloat = 0.0
    """Factor of the parameters added to their gradient (L2 penalty)."""
    nesterov: bool = False
    """Look ahead along the momentum before taking the gradient."""


class AdamOptimizer(OptimizerSection):
    """Adam (Kingma and Ba, 2015)."""

    name: Literal["adam"]
    """How a gradient becomes an update."""
    lr: PositiveFloat = 1e-3
    """Learning rate at its highest; the scheduler multiplies it by a factor of at most 1."""
    betas: tuple[Share, Share] = (0.9, 0.999)
    """How much of the running mean of gradients and of their squares is kept each step."""
    eps: Annotated[float, Field(gt=0), Float32Range(least=1e-30)] = 1e-8
    """Added to the denominator."""
    weight_decay: NonNegativeFloat = 0.0
    """Factor of the parameters added to their gradient (L2 penalty)."""


class AdamWOptimizer(AdamOptimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019)."""

    name: Literal["adamw"]  # type: ignore[assignment]  # the tag of the union, one per member
    """How a gradient becomes an update."""
    weight_decay: NonNegativeFloat = 0.01
    """Share of the parameters, times lr, taken off each step."""


AnyOptimizer = Annotated[
    SgdOptimizer | AdamOptimizer | AdamWOptimizer, Field(discriminator="name"), _default_name("sgd")
]


class SchedulerSection(Section):
    """What every learning-rate schedule has."""

    warmup_epochs: NonNegativeFloat = 0.0
    """Epochs, or part of one, in which the learning rate first rises linearly from 0."""


class ConstantScheduler(SchedulerSection):
    """The learning rate stays as it is."""

    name: Literal["none"] = "none"
    """How the learning rate changes over the run."""


class CosineScheduler(SchedulerSection):
    """Half a cosine from 1 down to `final_fraction`, step by step."""

    name: Literal["cosine"]
    """How the learning rate changes over the run."""
    final_fraction: FinalFraction = 0.0
    """Share of lr left at the end."""


class StepScheduler(SchedulerSection):
    """Times `gamma` every `step_size` epochs."""

    name: Literal["step"]
    """How the learning rate changes over the run."""
    step_size: PositiveInt = 10
    """Epochs between two changes."""
    gamma: Factor = 0.1
    """Factor at each change."""


class ExponentialScheduler(SchedulerSection):
    """Times `gamma` every epoch."""

    name: Literal["exponential"]
    """How the learning rate changes over the run."""
    gamma: Factor = 0.95
    """Factor at each epoch."""


class OneCycleScheduler(SchedulerSection):
    """Up from a fraction to 1 and down again along cosines, step by step (Smith and Topin, 2018)."""

    name: Literal["one_cycle"]
    """How the learning rate changes over the run."""
    rise_fraction: Fraction = 0.3
    """Share of the steps in which the learning rate rises."""
    initial_fraction: Factor = 0.04
    """Share of lr at the start."""
    final_fraction: FinalFraction = 4e-6
    """Share of lr at the end."""


class PlateauScheduler(SchedulerSection):
    """Times `factor` when val/loss has not improved for more than `patience` epochs."""

    name: Literal["plateau"]
    """How the learning rate changes over the run."""
    factor: Fraction = 0.1
    """Factor at each change."""
    patience: Annotated[int, Field(ge=0, le=MOST_COUNTED)] = 10
    """Epochs without improvement that are borne."""


AnyScheduler = Annotated[
    ConstantScheduler | CosineScheduler | StepScheduler | ExponentialScheduler | OneCycleScheduler | PlateauScheduler,
    Field(discriminator="name"),
    _default_name("none"),
]


# --- training -----------------------------------------------------------------------------------------


def _accepts(what: str, accepts: Callable[[Any], bool]) -> BeforeValidator:
    """Say in words what is accepted, where pydantic would show a pattern or one message per type."""

    def check(value: Any) -> Any:
        if not accepts(value):
            raise PydanticCustomError("not_accepted", "must be {what}", {"what": what})
        return value

    return BeforeValidator(check)


BatchSize = Annotated[  # a rule holds it against the number of examples
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
    """Return whether a folder can be called so on every system; Windows keeps CON and the like for itself."""
    if not isinstance(value, str) or not re.fullmatch(RUN_NAME, value) or value.endswith("."):
        return False
    return not re.fullmatch(r"con|prn|aux|nul|com\d|lpt\d", value.partition(".")[0].lower())


RunName = Annotated[
    str,
    _accepts(
        "letters, digits, '.', '_' or '-', at most 64, the first a letter or digit, the last no '.', and no CON or NUL",
        is_run_name,
    ),
    WithJsonSchema({"type": "string", "pattern": f"^{RUN_NAME}$"}),
]


class TrainingSection(Section):
    """How long, in what portions, where."""

    epochs: PositiveInt = 10
    """Passes over the training examples."""
    batch_size: BatchSize = 64
    """Examples per step; `full` takes all of them: gradient descent."""
    device: Device = "auto"
    """auto, cpu, cuda, cuda:1 or mps; `auto` takes CUDA, then MPS, then the CPU."""
    threads: Threads = "auto"
    """CPU threads. `auto` follows from the sizes of the work and the machine's cores alone, so that the same config
    gives the same bits beside any other load; OMP_NUM_THREADS is not consulted."""
    precision: Literal["float32", "float64", "tf32", "bf16"] = "float32"
    """Type of parameters and inputs; `tf32`, on CUDA only, and `bf16` are float32 with rounded matrix products."""
    step: Literal["auto", "eager", "manual"] = "auto"
    """How gradients are found: `eager` by autograd, bit for bit as a plain torch loop; `manual` by back-propagation
    written out, faster, the same but for rounding; `auto` takes the faster one."""
    gradient_clip_norm: PositiveFloat | None = None
    """Largest norm of all gradients together; longer ones are scaled down to it."""


class EarlyStoppingSection(Section):
    """When to stop before `training.epochs`."""

    patience: PositiveInt | None = None
    """Epochs without improvement after which training stops; null never stops early."""
    monitor: str = "val/loss"
    """What must improve: val/ and a metric of the task."""
    min_delta: NonNegativeFloat = 0.0
    """Least change that counts as an improvement."""


class CheckpointSection(Section):
    """What is saved of the parameters."""

    monitor: str = "val/loss"
    """What the best checkpoint is chosen by: val/ and a metric of the task."""
    every_seconds: PositiveFloat = 60.0
    """`last` and a new `best` are written when an epoch ends, at most once a second; within an epoch after this many
    seconds."""


# Old dotted name -> new dotted name. A renamed setting keeps working, with a warning, for one release.
RENAMED: dict[str, str] = {}


class Config(Section):
    """Everything that decides what a run does."""

    schema_version: Literal[1] = 1
    """Version of these settings; a later dlcli reads older ones."""
    name: RunName = "run"
    """Name of the runs' folder; left out, the config file's name."""
    task: TaskName = "classification"
    """classification asks which one, regression asks how many."""
    seed: Seed = 0
    """Seed of the validation split, the first parameters, the order of examples and dropout."""
    data: AnyData
    """What to learn from."""
    model: ModelSection = ModelSection()
    """What to train."""
    loss: AnyLoss
    """What training minimises."""
    optimizer: AnyOptimizer = SgdOptimizer()
    """How a gradient becomes an update."""
    scheduler: AnyScheduler = ConstantScheduler()
    """How the learning rate changes over the run."""
    training: TrainingSection = TrainingSection()
    """How long, in what portions, where."""
    early_stopping: EarlyStoppingSection = EarlyStoppingSection()
    """When to stop before `training.epochs`."""
    checkpoint: CheckpointSection = CheckpointSection()
    """What is saved of the parameters."""
    plots: Literal["auto", "always", "never"] = "auto"
    """Whether pictures are drawn after training; `auto` draws them after 10 seconds of it, when the second or two
    they take is little; `dlcli plot` draws them at any time."""

    @model_validator(mode="before")
    @classmethod
    def _loss_follows_task(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        name = DEFAULT_LOSS["regression" if values.get("task") == "regression" else "classification"]
        loss = values.get("loss", {})
        return {**values, "loss": {"name": name, **loss} if isinstance(loss, dict) else loss}


def section_models(model: type[BaseModel], field: str) -> tuple[type[BaseModel], ...]:
    """Return the models a field can hold: none for a plain value or no field, several for a union."""
    if field not in model.model_fields:
        return ()
    annotation = model.model_fields[field].annotation
    members = getattr(annotation, "__args__", (annotation,))
    return tuple(one for one in members if isinstance(one, type) and issubclass(one, BaseModel))


def sections() -> frozenset[tuple[str | int, ...]]:
    """Return the path of every section; the whole config is one too."""
    return frozenset({(), *((field,) for field in Config.model_fields if section_models(Config, field))})


def is_path_setting(model: type[BaseModel], field: str) -> bool:
    """Return whether a setting is a path."""
    return IS_PATH in model.model_fields[field].metadata


@cache
def path_settings() -> tuple[tuple[str | int, ...], ...]:
    """Return where the settings stand that are paths."""
    return tuple(
        (section, field)
        for section in Config.model_fields
        for model in section_models(Config, section)
        for field in model.model_fields
        if is_path_setting(model, field)
    )


def section_name(model: type[BaseModel]) -> str:
    """Return the `name` that chooses `model` among the sections of a union."""
    return str(get_args(model.model_fields["name"].annotation)[0])


def explain_setting(section: type[BaseModel], field: str) -> str:
    """Return what a setting means, and its choices where it has a list of them."""
    info = section.model_fields[field]
    choices = [str(one) for one in get_args(info.annotation)] if get_origin(info.annotation) is Literal else []
    if field == "schema_version":
        choices = []
    if field == "name" and choices:  # the tag of a union: the choices are the names of all its members
        unions = (section_models(Config, name) for name in Config.model_fields)
        choices = next([section_name(one) for one in members] for members in unions if section in members)
    text = " ".join((info.description or "").split())
    return f"{text} One of {', '.join(choices)}." if choices else text


def data_sources() -> dict[str, type[DataSection]]:
    """Return the section of each data source by the source's name."""
    return {section_name(model): model for model in section_models(Config, "data") if issubclass(model, DataSection)}


def starting_config(data: str, task: TaskName) -> Config:
    """Return the defaults for a task on a data source, as a config to start from."""
    return Config.model_validate({"name": f"my-{data.replace('_', '-')}", "task": task, "data": {"name": data}})
