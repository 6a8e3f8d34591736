"""Tests of reading the git commit from the files in `.git`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from dlcli.runs.git_commit import find_commit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git(*arguments: str, folder: Path) -> str:
    identity = [
        "-c",
        "user.name=n",
        "-c",
        "user.email=e",
        "-c",
        "init.defaultBranch=main",
        "-c",
        "commit.gpgsign=false",
    ]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(clean_place: Path) -> Path:
    if shutil.which("git") is None:
        pytest.skip("needs git to make a repository")
    folder = clean_place / "repository"
    folder.mkdir()
    git("init", folder=folder)
    git("commit", "--allow-empty", "-m", "first", folder=folder)
    return folder


def test_commit_matches_git_rev_parse(repository: Path) -> None:
    first = git("rev-parse", "HEAD", folder=repository)
    assert find_commit(repository) == first
    (repository / "deep" / "er").mkdir(parents=True)
    assert find_commit(repository / "deep" / "er") == first
    git("checkout", "-b", "feature/a.b", folder=repository)
    git("commit", "--allow-empty", "-m", "second", folder=repository)
    second = git("rev-parse", "HEAD", folder=repository)
    assert find_commit(repository) == second != first
    git("pack-refs", "--all", folder=repository)
    assert not (repository / ".git/refs/heads/feature/a.b").exists()
    assert find_commit(repository) == second
    git("checkout", "--detach", "main", folder=repository)
    assert find_commit(repository) == first


def test_each_worktree_has_a_separate_commit(repository: Path) -> None:
    git("worktree", "add", "-b", "other", "../tree", folder=repository)
    tree = repository.parent / "tree"
    git("commit", "--allow-empty", "-m", "in the tree", folder=tree)
    assert find_commit(tree) == git("rev-parse", "HEAD", folder=tree)
    assert find_commit(repository) == git("rev-parse", "HEAD", folder=repository) != find_commit(tree)
    git("pack-refs", "--all", folder=repository)
    assert find_commit(tree) == git("rev-parse", "HEAD", folder=tree)


def test_commit_is_none_outside_git_and_before_the_first_commit(clean_place: Path) -> None:
    assert find_commit(Path("/")) is None
    (clean_place / ".git").mkdir()
    assert find_commit(clean_place) is None
    (clean_place / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    assert find_commit(clean_place) is None


@pytest.mark.parametrize(
    "head",
    [
        "ref: refs/heads/.invalid",
        "ref: refs/../../secret",
        "ref: /etc/passwd",
        "ref: secret",
        "ref: refs/heads/main",
        "ref: refs/heads/a\0b",
        COMMIT[:-1],
        COMMIT + "0",
        COMMIT.upper(),
        "\x1b[31m",
        "",
        COMMIT + " " * 5000,
    ],
)
def test_commit_is_none_if_head_is_invalid(clean_place: Path, head: str) -> None:
    refs = clean_place / ".git" / "refs" / "heads"
    refs.mkdir(parents=True)
    (refs / "main").write_text("ref: refs/heads/main\n")
    (clean_place / "secret").write_text(COMMIT)
    (clean_place / ".git" / "secret").write_text(COMMIT)
    (clean_place / ".git" / "HEAD").write_text(head)
    assert find_commit(clean_place) is None


def test_pipes_and_devices_in_place_of_git_files_are_not_read(clean_place: Path) -> None:
    os.mkfifo(clean_place / ".git")
    assert find_commit(clean_place) is None
    (clean_place / ".git").unlink()
    (clean_place / ".git").mkdir()
    os.mkfifo(clean_place / ".git" / "HEAD")
    assert find_commit(clean_place) is None
    (clean_place / ".git" / "HEAD").unlink()
    (clean_place / ".git" / "HEAD").symlink_to("/dev/zero")
    assert find_commit(clean_place) is None
    (clean_place / ".git" / "HEAD").unlink()
    (clean_place / ".git" / "HEAD").write_text("ref: refs/heads/main")
    os.mkfifo(clean_place / ".git" / "packed-refs")
    assert find_commit(clean_place) is None
    (clean_place / ".git" / "packed-refs").unlink()
    (clean_place / ".git" / "packed-refs").write_text(f"# pack-refs\n{COMMIT} refs/heads/main\n")
    assert find_commit(clean_place) == COMMIT


def test_sha_256_commits_are_accepted(clean_place: Path) -> None:
    (clean_place / ".git").mkdir()
    (clean_place / ".git" / "HEAD").write_text("ab" * 32 + "\n")
    assert find_commit(clean_place) == "ab" * 32
