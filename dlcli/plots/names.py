"""Names of all pictures, in reading order; shell completion needs them without torch."""

PICTURES = (
    "loss",
    "metrics",
    "learning_rate",
    "confusion",
    "per_class",
    "reliability",
    "examples",
    "regions",
    "simplex",
    "fit",
    "predictions",
    "residuals",
    "weights",
    "gradients",
    "saturation",
    "distribution",
)
