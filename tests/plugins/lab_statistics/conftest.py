"""The toy components, with the rounds and the methods of this plugin."""

from __future__ import annotations

import pytest

from lab.registry.plugins import Catalog
from tests.kernel.toys import COMPONENTS, plugin_module


@pytest.fixture
def catalog() -> Catalog:
    from lab_statistics import plugin

    catalog = Catalog(strict=True)
    catalog.add_module(plugin_module(**COMPONENTS), "toys", "1.0")
    catalog.add_module(plugin, "lab_statistics", "1.0")
    return catalog
