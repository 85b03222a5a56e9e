"""What the tests of characters share."""

from __future__ import annotations

import os

import pytest


@pytest.fixture
def lab_data():
    folder = os.environ.get("LAB_DATA")
    if not folder:
        pytest.skip("LAB_DATA is not set: the real texts are not here")
    return folder
