"""Check of a folder of pictures: sizes, modes and classes, and findings."""

from __future__ import annotations

from dlcli.config.schema import Config, ImageFolderData
from dlcli.data.check.finding import DataCheck, DataFinding
from dlcli.data.check.splits import duplicate_findings
from dlcli.data.check.target import class_findings
from dlcli.data.class_folders import list_folder
from dlcli.data.duplicates import find_duplicates, is_coarse
from dlcli.data.image_folder import load_image_folder
from dlcli.data.make_splits import make_splits
from dlcli.data.picture_survey import survey_pictures
from dlcli.errors import one_line

_SKIPPED = "unreadable picture"  # part of the loader's note about skipped pictures


def check_pictures(config: Config) -> DataCheck:
    """Check the folder of pictures of a config.

    Raises:
        DataError: If the pictures cannot be used; see `load_image_folder`.
    """
    data = config.data
    assert isinstance(data, ImageFolderData)
    raw = load_image_folder(data)
    notes = raw.notes
    splits = make_splits(raw, data, config.seed)
    parts = {"train": splits.train, "val": splits.val, "test": splits.test}
    names = splits.info.class_names
    counts = {part: split.targets.bincount(minlength=len(names)).tolist() for part, split in parts.items()}
    findings = [
        DataFinding("unreadable", "", "Some pictures cannot be read and are skipped.", note, "repair or delete them")
        for note in notes
        if _SKIPPED in note
    ]
    labels = [split.targets.numpy() for split in parts.values()]
    findings += class_findings("class", names, labels)
    duplicates = find_duplicates(splits)
    if duplicates and not is_coarse(splits.train):
        findings += duplicate_findings(duplicates, "class", "label")
    assert data.path is not None
    survey = survey_pictures(list_folder(data.path).files)
    return DataCheck(
        data=data.name,
        task=config.task,
        target="class",
        files={one_line(data.path): sum(map(len, labels))},
        splits={part: len(split) for part, split in parts.items()},
        classes={name: {part: counts[part][label] for part in parts} for label, name in enumerate(names)},
        sizes={f"{height}×{width}": n for (height, width), n in survey.sizes.most_common()},
        modes=dict(survey.modes.most_common()),
        findings=findings,
        notes=[note for note in notes if _SKIPPED not in note],
    )
