"""Commands and code of the README and the docs work."""

from __future__ import annotations

import inspect
import io
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click
import pytest

from lab import Study
from lab.cli.main import cli
from lab.registry.plugins import Catalog, load_catalog
from lab.registry.resolve import Resolver
from lab.study.load import load_study, override
from tests.docs.pages import PAGES, ROOT, Block, blocks_of, commands_of

BLOCKS = [(page, block) for page in PAGES for block in blocks_of(page)]
WITH_PYTHON = [page for page in PAGES if any(b.language == "python" and not b.is_inserted for b in blocks_of(page))]
OTHER_TOOLS = {"eval", "lint-imports", "mkdocs", "mypy", "pip", "pre-commit", "pytest", "python", "ruff", "source"}
MADE_UP = {"lab_cosine", "cosine", "error_rate"}
"""Names that ``lab new plugin cosine`` and the first change of `finding-your-way.md` make."""
RESULTS = {"arms", "events", "mlflow", "mlruns", "results", "seeds", "trials", "wandb_export"}
"""Names of result files and folders, without their suffixes."""


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, variable in (("cache", "LAB_CACHE"), ("data", "LAB_DATA")):
        monkeypatch.setenv(variable, str(tmp_path / folder))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog(only=[], strict=True)


# --- Python -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", WITH_PYTHON, ids=named)
def test_python_on_a_page_runs_from_top_to_bottom(page: Path, catalog: Catalog) -> None:
    scope: dict[str, Any] = {"__name__": f"docs_{page.stem}"}
    printed = ""
    for block in blocks_of(page):
        if block.note == "output":
            assert printed == block.text, f"{named(page)}, line {block.line}"
        elif block.language == "python" and not block.is_inserted:
            printed = run(block, page, scope, catalog)


def run(block: Block, page: Path, scope: dict[str, Any], catalog: Catalog) -> str:
    """Run a block, or write it to the file that it names; check every study in it; return what was printed."""
    output = io.StringIO()
    with redirect_stdout(output):
        if block.file:
            check_study(write(block), catalog)
        else:
            lines = "\n" * block.line  # so that tracebacks show the line of the page
            exec(compile(lines + block.text, str(page), "exec"), scope)
            for study in [value for value in scope.values() if isinstance(value, Study)]:
                study.resolve(catalog)
    return output.getvalue()


def test_files_of_pages_do_not_have_the_names_of_shipped_ones() -> None:
    # a page's own experiments/optimizers.py once made its commands fail with the shipped file of that name
    own = {block.file for _, block in BLOCKS if block.file and not block.is_inserted}
    assert not [file for file in own if (ROOT / file).exists()]


def write(block: Block) -> Path:
    path = Path(block.file)
    path.parent.mkdir(exist_ok=True)
    path.write_text(block.text, encoding="utf-8")
    return path


def check_study(file: Path, catalog: Catalog) -> None:
    load_study(file, catalog).resolve(catalog)


@pytest.mark.parametrize(
    "block",
    [pytest.param(b, id=f"{named(page)}:{b.line}") for page, b in BLOCKS if b.language == "python" and b.file],
)
def test_study_on_a_page_can_be_run(block: Block, catalog: Catalog) -> None:
    results = load_study(write(block), catalog).run(runs="runs", catalog=catalog)
    assert [run.status for run in results.runs] == ["finished"] * len(results.runs)


# --- the shell --------------------------------------------------------------------------------------------------------

COMMANDS = [
    pytest.param(page, command, id=f"{named(page)}:{block.line}: {' '.join(command)}")
    for page, block in BLOCKS
    if block.language == "bash"
    for command in commands_of(block)
]


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_command_on_a_page_exists_with_its_options(
    page: Path, command: list[str], catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    if command == ["lab"]:  # with _LAB_COMPLETE in front
        return
    if command[0] != "lab":
        assert command[0] in OTHER_TOOLS
        assert all(Path(ROOT, word).exists() for word in command[1:] if word.endswith(".py"))
        return
    for block in blocks_of(page):
        if block.file:
            write(block)
    for path, given in parsed(command[1:], monkeypatch):
        CHECKS.get(path, lambda given, catalog: None)(given, catalog)


def parsed(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Return the commands that would run, with their parameters; nothing runs."""
    seen: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(
        click.Command, "invoke", lambda self, context: seen.append((context.command_path, context.params))
    )
    cli.main(arguments, prog_name="lab", standalone_mode=False)
    return seen


def check_run(given: dict[str, Any], catalog: Catalog) -> None:
    """Check that the file exists, and that ``--set`` and ``--arms`` name something in it."""
    file = next((path for path in (given["file"], ROOT / given["file"]) if path.exists()), None)
    if file is None:
        assert given["file"].stem in {"wider", *MADE_UP}  # written by `lab new`
        return
    options = {name for name in given["assignments"] if name.startswith("executor.")}
    if given["executor"]:
        component = Resolver(catalog).resolve("executors", given["executor"])
        assert component is not None
        known = inspect.signature(component.factory).parameters
        assert {each.removeprefix("executor.").partition("=")[0] for each in options} <= known.keys()
    study = override(load_study(file, catalog), [each for each in given["assignments"] if each not in options], catalog)
    if given["arms"]:
        study = study.select(given["arms"].split(","))
    study.resolve(catalog)


def check_names(given: dict[str, Any], catalog: Catalog) -> None:
    for name in [given["name"]] if "name" in given else given["names"]:
        if name.endswith(".py"):
            assert (ROOT / name).is_file()
            continue
        assert name in MADE_UP or name in catalog.plugins or catalog.find(name)


def check_kind(given: dict[str, Any], catalog: Catalog) -> None:
    assert given["kind"] is None or catalog.registry(given["kind"])


def check_corpus(given: dict[str, Any], catalog: Catalog) -> None:
    assert given["name"] in catalog.registry("corpora")


def check_study_name(given: dict[str, Any], catalog: Catalog) -> None:
    if given.get("layout") and given["study"].partition(".")[0] in RESULTS:
        return
    assert given["study"] == "wider" or (ROOT / "experiments" / f"{given['study']}.py").exists()


CHECKS = {
    "lab run": check_run,
    "lab show": check_names,
    "lab check": check_names,
    "lab list": check_kind,
    "lab new plugin": check_kind,
    "lab data get": check_corpus,
    "lab report": check_study_name,
    "lab check-claim": check_study_name,
    "lab compare": check_study_name,
}


# --- the pages themselves ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_block_declares_its_language(page: Path) -> None:
    assert {block.language for block in blocks_of(page)} <= {"bash", "pycon", "python", "text", "toml"}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "docs" / "the-way-of-a-study.svg"], ids=named)
def test_files_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named_files = re.findall(r"(?<![\w/-])((?:lab|plugins|tests)/[\w/]+\.py)\b", text)
    named_files += [
        f"lab/{path}" for path in re.findall(r"(?<![\w/])((?:cli|study|registry|training|report)/\w+\.py)", text)
    ]
    assert sorted({path for path in named_files if not (ROOT / path).exists()} - {"tests/test_cosine.py"}) == []


def test_links_of_the_readme_exist() -> None:
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md"))
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_anchors_that_the_readme_links_to_are_headings() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\((docs/[\w-]+\.md)#([\w-]+)\)", text)
    assert links
    for page, anchor in links:
        headings = re.findall(r"(?m)^#+ (.+)$", (ROOT / page).read_text(encoding="utf-8"))
        assert anchor in [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings], page


def test_first_screen_of_the_readme_has_picture_commands_answer_and_ways_on() -> None:
    screen = "\n".join((ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:60])
    places = [
        screen.index(each)
        for each in ("Which part", "](docs/pictures/report.png)", "pip install -e .", "pytest", "verdict\n")
    ]
    assert places == sorted(places)
    wanted = ("Notebooks", "Your own training\ncode", "TensorBoard", "Kaggle", "Getting started", "Gallery")
    assert [name for name in wanted if f"[{name}](docs/" not in screen] == []
    assert [
        name for name in ("Lightning", "fastai", "Hydra", "W&B sweeps") if f"[{name}](docs/coming" not in screen
    ] == []


def test_readme_keeps_the_place_of_the_result() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("<!-- result:begin -->") == text.count("<!-- result:end -->") == 1


def test_readme_gives_the_two_commands() -> None:
    first, second = [block.text.strip() for block in blocks_of(ROOT / "README.md") if block.language == "bash"][:2]
    assert first == "pip install -e . && lab run experiments/bidir_vs_attn.py"
    assert second == "pip install -e '.[test]' && pytest"
