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


LONG = """
from lab import Experiment, Study, use
base = Experiment(
    dataset=use("points", count=2000), architecture="mlp", loss="cross_entropy", epochs=30, batch_size=8, lr=0.01
)
results = Study(base, name="long", seeds=1).run()
"""


def reply_to(client: Any, asked: str) -> dict[str, Any]:
    """The answer to one message; those to others come in between."""
    while True:
        message = client.get_shell_msg(timeout=300)
        if message["parent_header"].get("msg_id") == asked:
            return message["content"]  # type: ignore[no-any-return]


@pytest.mark.slow
def test_a_cell_that_is_stopped_keeps_what_was_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a real kernel: the button sends it SIGINT."""
    from jupyter_client.manager import start_new_kernel

    monkeypatch.chdir(tmp_path)
    manager, client = start_new_kernel(cwd=str(tmp_path))
    try:
        asked = client.execute(LONG)
        # in the second epoch, so that there is a checkpoint of the first
        shown: list[str] = []
        while not any(re.search(r"[2-9]/30", text) for text in shown[-3:]):
            message = client.get_iopub_msg(timeout=120)
            data = message["content"].get("data", {})
            shown += [data["text/plain"]] if "text/plain" in data else []
            assert message["msg_type"] != "error", message["content"]
        manager.interrupt_kernel()
        assert reply_to(client, asked)["ename"] == "KeyboardInterrupt"
        while "interrupted" not in shown[-1]:
            data = client.get_iopub_msg(timeout=60)["content"].get("data", {})
            shown += [data["text/plain"]] if "text/plain" in data else []
        assert "interrupted; what was trained is kept: run the cell again to go on" in shown[-1]
        assert reply_to(client, client.execute(LONG))["status"] == "ok"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    [store] = (tmp_path / "runs").glob(".store")
    [run] = [folder for folder in store.iterdir() if (folder / "result.json").is_file()]
    epochs = (run / "metrics.jsonl").read_text().splitlines()
    assert len(epochs) == 30
