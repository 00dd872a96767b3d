"""Folders of a test's own: for imported models, and for what a file must not write."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("import_checks")  # whose assertions then say as much as a test's own


@pytest.fixture
def models(tmp_path, monkeypatch):
    """A models folder of the test's own."""
    monkeypatch.setenv("ELOCUTE_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Files that a pickle's code would write land in the test's own folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
