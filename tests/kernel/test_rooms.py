"""The rooms of the tree: who may import whom is said in pyproject.toml; here is what import-linter cannot see."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KERNEL = ROOT / "lab"

NEVER_ENTERED = {
    "__main__.py": "python -m lab",
    "report/documents.py": "--format json",
    "report/notebook.py": "Study.run in a notebook, and results that are shown there",
    "registry/hookspecs.py": "the hooks, which are declared and not called",
    "study/command.py": "lab.command, for a command line as an experiment",
    "study/outside.py": "lab.compare, for results from elsewhere",
    "study/rebuild.py": "lab.load, lab reproduce, and runs in other processes",
    "study/culprit.py": "components and executors that break their contract",
    "study/former.py": "records with names that components had once",
    "training/distributed/ddp.py": "several processes",
    "training/distributed/fsdp.py": "several processes",
    "training/distributed/collectives.py": "several processes",
    "training/structure.py": "messages about batches of an unexpected form",
    "training/tools/lr_finder.py": "Learner.find_lr",
    "training/tools/preserve.py": "Learner.find_lr, and predictions of a learner that is trained on",
    "training/tools/summary.py": "Learner.summary",
}
"""Files of the kernel that a plain run does not enter, with what enters them."""


# --- imports ----------------------------------------------------------------------------------------------------------


def _modules() -> dict[str, Path]:
    roots = [KERNEL, *(path for path in (ROOT / "plugins").iterdir() if (path / "__init__.py").is_file())]
    files = [(root, path) for root in roots for path in root.rglob("*.py")]
    names = {".".join(path.relative_to(root.parent).with_suffix("").parts): path for root, path in files}
    return {name.removesuffix(".__init__"): path for name, path in names.items()}


def _imports(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Yield every module of the tree that a file imports: at its top, in functions, and for annotations only."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield from (name for name in (inner if inner in known else node.module,) if name in known)


def test_no_module_of_the_tree_is_in_an_import_circle_annotations_included() -> None:
    known = _modules()
    graph = {name: set(_imports(path, known)) - {name} for name, path in known.items()}
    # the package itself hands out public names when they are asked for; it is a face, not a room
    graph = {name: imported - {"lab"} for name, imported in graph.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_an_import_circle_by_an_annotation_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("from two import B\nclass A: ...\n")
    (tmp_path / "two.py").write_text("TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from one import A\nclass B: ...\n")
    known = {"one": tmp_path / "one.py", "two": tmp_path / "two.py"}
    with pytest.raises(CycleError):
        TopologicalSorter({name: set(_imports(path, known)) for name, path in known.items()}).prepare()


# --- what a run enters ------------------------------------------------------------------------------------------------

STUDY = '''
"""Is a larger step better?"""
import torch
from torch.utils.data import TensorDataset
from lab import Callback, Data, Experiment, Study


class Watcher(Callback):
    observer = True

    def after_epoch(self, learner):
        print(learner.history[-1]["valid_loss"])


def points() -> Data:
    x = torch.arange(16.0).reshape(16, 1) / 16
    return Data(TensorDataset(x, 2 * x), TensorDataset(x, 2 * x))


def line() -> torch.nn.Module:
    return torch.nn.Linear(1, 1)


base = Experiment(
    dataset=points, architecture=line, loss="mse", optimizer="sgd", callbacks=["one_cycle", Watcher],
    metrics=["rmse"], lr=1e-2, batch_size=8, epochs=2,
)
study = Study(base, seeds=2).swap("lr", {"larger": 3e-2})
'''


# in a process of its own, since what is asked once per process would be found already
WATCH = """
import json, sys
entered = set()

def note(frame, event, _):
    if event == "call" and frame.f_code.co_name != "<module>":
        entered.add(frame.f_code.co_filename)

sys.setprofile(note)
from lab.cli.main import cli
code = cli.main(["run", "larger.py", "--set", "optimizer=adam"], prog_name="lab", standalone_mode=False)
sys.setprofile(None)
print(json.dumps([code, sorted(entered)]))
"""


def test_every_file_of_the_kernel_is_entered_by_a_run(tmp_path: Path) -> None:
    (tmp_path / "larger.py").write_text(STUDY)
    command = [sys.executable, "-c", WATCH]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True)
    code, entered = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    files = {path for path in KERNEL.rglob("*.py") if path.name != "__init__.py"}
    rooms = {path.relative_to(KERNEL).as_posix() for path in files if str(path) not in entered}
    assert {room for room in rooms if not room.startswith(("testing/", "cli/"))} == set(NEVER_ENTERED)
