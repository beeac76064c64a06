"""A folder for what a module's tests share, gone with the last of them unless one failed."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def module_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Its own for each module: a stack with its disks takes half a gigabyte, and there are dozens."""
    failed_before = request.session.testsfailed
    folder = tmp_path_factory.mktemp("module")
    yield folder
    if request.session.testsfailed == failed_before:
        shutil.rmtree(folder)
