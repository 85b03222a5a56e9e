"""How the conformance kit tries ``hf_dataset``: on a small dataset on disk."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from lab import use
from lab.testing import ComponentCase, ConformanceSupport
from lab.testing.datasets import DatasetConformance

__all__ = ["support"]


@cache
def _folder() -> Path:
    from datasets import Dataset, DatasetDict
    from datasets.utils import disable_progress_bars, enable_progress_bars, is_progress_bar_enabled

    folder = Path(tempfile.mkdtemp(prefix="lab-bridges-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    rows = [{"x": number / 40, "y": [number % 3, number % 5], "kind": "ab"[number % 2]} for number in range(40)]
    whole = DatasetDict({"train": Dataset.from_list(rows[:30]), "validation": Dataset.from_list(rows[30:])})
    was_enabled = is_progress_bar_enabled()
    # forty rows are written for `lab new` and `lab check` too, whose users asked for no dataset
    disable_progress_bars()
    try:
        whole.save_to_disk(str(folder / "small"))
    finally:
        if was_enabled:
            enable_progress_bars()
    return folder / "small"


def support() -> ConformanceSupport:
    """Return the case of the dataset; without the package, its checks are skipped."""
    if find_spec("datasets") is None:
        absent = dict.fromkeys(DatasetConformance.checks(), "datasets is not installed")
        component = use("hf_dataset", path=Path("nowhere"), input="x", target="kind")
        return ConformanceSupport(cases={"datasets.hf_dataset": ComponentCase(component, exceptions=absent)})
    component = use("hf_dataset", path=_folder(), input=("x", "y"), target="kind")
    return ConformanceSupport(cases={"datasets.hf_dataset": ComponentCase(component)})
