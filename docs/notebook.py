"""The example notebook: made from a script of cells, executed, and kept with its outputs.

    python docs/notebook.py            execute docs/examples/first_notebook.py and write the notebook and its pictures

``docs/generate.py`` writes the page from the notebook.
"""

from __future__ import annotations

import base64
import html
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["NOTEBOOK", "PICTURES", "SCRIPT", "cells_of", "execute", "page_of", "pictures_of"]

DOCS = Path(__file__).resolve().parent
SCRIPT = DOCS / "examples" / "first_notebook.py"
NOTEBOOK = DOCS / "examples" / "first_notebook.ipynb"
PICTURES = DOCS / "pictures"

DATA = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=]+)")
MAX_S = 600


def cells_of(script: str) -> Any:
    """Return the notebook whose cells a script marks with ``# %%``; without outputs."""
    import nbformat

    notebook = nbformat.v4.new_notebook()
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata["language_info"] = {"name": "python"}
    for number, part in enumerate(re.split(r"(?m)^# %%", script)[1:]):
        head, _, body = part.partition("\n")
        if head.strip() == "[markdown]":
            text = re.sub(r"(?m)^# ?", "", body.strip())
            cell = nbformat.v4.new_markdown_cell(text)
        else:
            cell = nbformat.v4.new_code_cell(body.strip())
        # random by default
        cell["id"] = f"cell-{number}"
        notebook.cells.append(cell)
    return notebook


def execute(folder: Path) -> Any:
    """Execute the cells in a folder and return the notebook with its outputs.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails.
    """
    from nbclient import NotebookClient

    notebook = cells_of(SCRIPT.read_text(encoding="utf-8"))
    resources = {"metadata": {"path": str(folder)}}
    # the outputs must not tell of a list of fonts that is being made, or that this machine has an odd one of
    environment = {**os.environ, "MPLCONFIGDIR": str(folder / ".matplotlib"), "IPYTHONDIR": str(folder / ".ipython")}
    subprocess.run([sys.executable, "-c", "import matplotlib.font_manager"], env=environment, check=True)
    client = NotebookClient(notebook, timeout=MAX_S, kernel_name="python3", resources=resources, record_timing=False)
    client.execute(env=environment)
    for cell in notebook.cells:
        cell.metadata.clear()
    # that of the machine it was executed on
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def pictures_of(notebook: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the pictures of all outputs: name of a file → PNG."""
    found = [content for output in _outputs(notebook) for content in _encoded(output)]
    return {f"notebook-{number}.png": base64.b64decode(content) for number, content in enumerate(found, 1)}


def _outputs(notebook: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for cell in notebook["cells"]:
        yield from cell.get("outputs", [])


def _encoded(output: Mapping[str, Any]) -> list[str]:
    found = DATA.findall(_text(output, "text/html"))
    return found if found or not (png := _text(output, "image/png")) else [png.replace("\n", "")]


def _text(output: Mapping[str, Any], kind: str) -> str:
    """Return the data of an output, which a file may hold in lines."""
    data = output.get("data", {}).get(kind, "")
    return data if isinstance(data, str) else "".join(data)


def page_of(notebook: Mapping[str, Any]) -> str:
    """Return a notebook as Markdown: its texts, its code, and its outputs as HTML with pictures beside the page."""
    names = {base64.b64encode(content).decode(): name for name, content in pictures_of(notebook).items()}
    parts: list[str] = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        parts += [shown for output in cell["outputs"] if (shown := _output(output, names))]
    return "\n\n".join(parts)


def _output(output: Mapping[str, Any], names: Mapping[str, str]) -> str:
    if rich := _text(output, "text/html"):
        rich = DATA.sub(lambda found: f"pictures/{names[found[1]]}", rich)
        # the report of the execution is not kept
        rich = re.sub(r"<a [^>]*>(.*?)</a>", r"\1", rich)
        # a style element and an empty line would end the block of HTML
        rich = re.sub(r"<style.*?</style>", "", rich, flags=re.DOTALL)
        return "\n".join(['<div class="output">', *(line for line in rich.splitlines() if line.strip()), "</div>"])
    if png := _text(output, "image/png").replace("\n", ""):
        alt = html.escape(_text(output, "text/plain"))
        return f'<div class="output"><img alt="{alt}" src="pictures/{names[png]}"></div>'
    text = "".join(output.get("text", "")) or _text(output, "text/plain")
    return f"```text\n{text.rstrip()}\n```" if text else ""


def main() -> None:
    """Execute the notebook and write it with its pictures."""
    import nbformat

    with tempfile.TemporaryDirectory() as folder:
        notebook = execute(Path(folder))
    nbformat.write(notebook, NOTEBOOK)
    PICTURES.mkdir(exist_ok=True)
    for old in PICTURES.glob("notebook-*.png"):
        old.unlink()
    for name, content in pictures_of(notebook).items():
        (PICTURES / name).write_bytes(content)
    print(f"written: {NOTEBOOK.relative_to(DOCS.parent)}; now: python docs/generate.py")


if __name__ == "__main__":
    main()
