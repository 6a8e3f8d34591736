"""Definitions of all studies: valid configs and complete descriptions."""

from __future__ import annotations

import pytest

from dlcli.config.load import load_config
from dlcli.config.render import deciding_settings
from dlcli.errors import UsageError
from dlcli.lecture.studies.catalogue import STUDIES, find_study

GROUNDS = [(name, data) for name, study in STUDIES.items() for data in study.base_configs]


@pytest.mark.parametrize(("name", "data"), GROUNDS)
def test_variants_are_valid_configs_that_differ_only_in_varied_settings(name: str, data: str) -> None:
    study = STUDIES[name]
    ground = study.base_configs[data]
    learned = [variant for variant in study.variants if not variant.is_solved]
    settings = [
        deciding_settings(load_config(ground.preset, [*ground.settings, *variant.settings]).config)
        for variant in learned
    ]
    assert settings[0]["data.name"] == data
    for i, config in enumerate(settings):
        assert config not in settings[:i], "two variants are the same"
        differing = {key for key in {**config, **settings[0]} if config.get(key) != settings[0].get(key)}
        prefixes = tuple(path.removesuffix(".name") for path in study.varied)
        assert all(key.startswith(prefixes) for key in differing), differing


@pytest.mark.parametrize("study", STUDIES.values(), ids=lambda study: study.name)
def test_a_description_is_complete_and_fits_a_line(study: object) -> None:
    labels = [variant.label for variant in study.variants]  # type: ignore[attr-defined]
    assert study.reference in labels  # type: ignore[attr-defined]
    assert len(set(labels)) == len(labels)
    assert all(len(label) <= 16 for label in labels)
    assert len(study.question) <= 56  # type: ignore[attr-defined]
    assert study.question.endswith("?")  # type: ignore[attr-defined]
    assert study.lrs or "optimizer.lr" in study.varied  # type: ignore[attr-defined]


def test_an_unknown_study_name_suggests_the_closest() -> None:
    with pytest.raises(UsageError) as caught:
        find_study("mse-vs-crossentropy")
    assert "dlcli study mse-vs-cross-entropy" in str(caught.value.hint)
