"""Workspace: the plugins, the store of runs, and the device."""

from __future__ import annotations

from pathlib import Path

import attrs

from lab.registry.plugins import Catalog, load_catalog
from lab.study.store import Store

__all__ = ["Workspace"]


@attrs.frozen(eq=False)
class Workspace:
    """Plugins, store and device: the context of every step from a question to its results.

    Attributes:
        catalog: the plugins.
        store: where runs are kept.
        device: where they are trained: ``cpu``, ``cuda``, ``cuda:1``.
    """

    catalog: Catalog
    store: Store
    device: str = "cpu"

    @classmethod
    def open(cls, runs: Path | str = "runs", catalog: Catalog | None = None, device: str = "cpu") -> Workspace:
        """Return the workspace over a folder of runs, with all installed plugins unless others are given."""
        return cls(catalog or load_catalog(), Store(runs), device)

    @property
    def is_writable(self) -> bool:
        """True if new runs can be kept.

        Raises:
            StoreError: they cannot, and there are none to read either.
        """
        can_write = self.store.can_write()
        # prepare() raises with the reason, which can_write() discards
        if not can_write and not self.store.folder.is_dir():
            self.store.prepare()
        return can_write
