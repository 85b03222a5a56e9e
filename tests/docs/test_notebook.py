"""The example notebook: executed anew, and stored with the outputs of such an execution."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.docs.pages import DOCS

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed: pip install -e '.[dev]'")
pytest.importorskip("nbclient", reason="nbclient is not installed: pip install -e '.[dev]'")
pytest.importorskip("ipykernel", reason="ipykernel is not installed: pip install -e '.[dev]'")


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_notebook_tool", DOCS / "notebook.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def stored(tool: ModuleType) -> Any:
    return nbformat.read(tool.NOTEBOOK, 4)


def outputs_of(notebook: Any) -> list[list[tuple[str, ...]]]:
    """Kinds of the outputs of every cell."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [[(o.output_type, *sorted(o.get("data", {o.get("name", ""): 0}))) for o in cell.outputs] for cell in cells]


def check(notebook: Any) -> None:
    """Nothing red, one output per running study, then its answer with two pictures and the report."""
    kinds = outputs_of(notebook)
    assert not [kind for cell in kinds for kind in cell if "stderr" in kind or kind[0] == "error"]
    rich = ("text/html", "text/plain")
    assert kinds[1] == [("display_data", *rich), ("execute_result", *rich)]
    answer = notebook.cells[3].outputs[1].data
    assert answer["text/html"].count("<img") == 2
    assert 'href="runs/first/report.html"' in answer["text/html"]
    assert re.search(r"(?m)^wider +3 .* better$", answer["text/plain"])
    assert ("execute_result", "image/png", "text/plain") in kinds[-2]


@pytest.mark.slow
def test_the_notebook_runs_and_shows_what_the_stored_one_shows(tool: ModuleType, stored: Any, tmp_path: Path) -> None:
    executed = tool.execute(tmp_path)
    check(executed)
    assert outputs_of(executed) == outputs_of(stored)
    assert (tmp_path / "runs" / "first" / "report.html").is_file()


def test_the_stored_notebook_is_an_execution_of_the_script(tool: ModuleType, stored: Any) -> None:
    cells = tool.cells_of(tool.SCRIPT.read_text(encoding="utf-8")).cells
    assert [(c.cell_type, c.source) for c in stored.cells] == [(c.cell_type, c.source) for c in cells]
    check(stored)
    assert [c.execution_count for c in stored.cells if c.cell_type == "code"] == list(
        range(1, sum(c.cell_type == "code" for c in cells) + 1)
    )


def test_pictures_of_the_page_are_those_of_the_notebook(tool: ModuleType, stored: Any) -> None:
    found = {path.name: path.read_bytes() for path in tool.PICTURES.glob("notebook-*.png")}
    assert found == tool.pictures_of(stored)
    page = (DOCS / "notebooks.md").read_text(encoding="utf-8")
    assert set(re.findall(r"pictures/(notebook-\d+\.png)", page)) == set(found)
    assert "data:image" not in page
