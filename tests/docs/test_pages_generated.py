"""Generated pages are up to date and complete."""

from __future__ import annotations

import importlib.util
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

import lab
from lab.cli.main import COMMANDS
from lab.registry import hookspecs
from lab.registry.plugins import load_catalog
from tests.docs.pages import DOCS, ROOT, blocks_of

HOOKS = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("lab_") and callable(hook)}


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def texts(generate: ModuleType) -> dict[Path, str]:
    return generate.texts()  # type: ignore[no-any-return]


@pytest.mark.parametrize("path", [ROOT / "README.md", *sorted(DOCS.glob("*.md"))], ids=lambda path: path.name)
def test_page_is_up_to_date(path: Path, texts: dict[Path, str]) -> None:
    if path.read_text(encoding="utf-8") != texts[path]:
        pytest.fail(f"{path.relative_to(ROOT)} is not up to date: python docs/generate.py writes it")


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_on_its_page_with_its_exact_signature(name: str) -> None:
    page = (DOCS / "hooks.md").read_text(encoding="utf-8")
    (header,) = re.findall(rf"^### {name}\n\n```text\n(.+)\n```", page, re.MULTILINE)
    arguments = re.findall(r"(\w+): ", header.partition(") ->")[0])
    assert arguments == list(inspect.signature(HOOKS[name]).parameters)
    assert header.endswith(f"-> {inspect.signature(HOOKS[name]).return_annotation}")


def test_every_built_in_component_is_on_its_page() -> None:
    page = (DOCS / "components.md").read_text(encoding="utf-8")
    registries = load_catalog(only=[], strict=True).registries
    names = {entry.name for registry in registries.values() for entry in registry.entries()}
    assert names <= set(re.findall(r"(?m)^### (.+)$", page))
    assert set(re.findall(r"(?m)^## (.+)$", page)) == {*registries}


def test_contracts_of_all_registries_and_the_classes_of_plugins_are_described_on_one_page() -> None:
    page, interface = ((DOCS / name).read_text(encoding="utf-8") for name in ("reference.md", "api.md"))
    contracts = {each.spec.contract for each in load_catalog(only=[], strict=True).registries.values()}
    own = {contract.partition(":")[2] for contract in contracts if contract and not contract.startswith("torch")}
    heads = {head.split()[0].rpartition(":")[2] for head in re.findall(r"(?m)^### (.+)$", page)}
    public = set(re.findall(r"(?m)^### (.+)$", interface))
    assert own | {"Learner", "RegistrySpec", "Section", "Example", "ConformanceSupport", "Trial"} <= heads | public
    assert heads & public == set()
    assert set(re.findall(r"\(api\.md#(\w+)\)", page)) <= {name.lower() for name in public}
    assert "`backward` may be called several times" in interface


def test_every_command_is_on_its_page() -> None:
    page = (DOCS / "cli.md").read_text(encoding="utf-8")
    assert {f"lab {name}" for name in COMMANDS} <= set(re.findall(r"(?m)^## (.+)$", page))


def test_every_public_name_is_on_its_page_with_its_methods() -> None:
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    headings = set(re.findall(r"(?m)^#{3,4} (.+)$", page))
    assert {name for name in lab.__all__ if not name.startswith("_")} | {"Results"} <= headings
    # of the class, of its base, a property, and of plugins
    assert {"Study.swap", "Study.tune", "Learner.find_lr", "Learner.freeze_to", "Learner.translate"} <= headings
    assert {"Results.frame", "Results.failed", "Data.loader", "Callback.before_fit", "Stepper.train_step"} <= headings
    catalog = load_catalog(only=[], strict=True)
    assert {f"Study.{name}" for name in catalog.collect_owned("lab_study_methods")} <= headings
    # an address in memory would differ each time
    assert " at 0x" not in page


def test_every_kind_of_plugin_has_an_example_on_the_page() -> None:
    inserted = {block.note for block in blocks_of(DOCS / "writing-a-plugin.md")}
    packages = sorted(path.parent.name for path in (ROOT / "tests" / "third_party").glob("*/pyproject.toml"))
    assert packages
    assert [name for name in packages if not any(f"third_party/{name}/" in note for note in inserted)] == []


def test_an_outdated_insert_is_replaced(generate: ModuleType) -> None:
    page = "<!-- insert file experiments/bidir_vs_attn.py -->\noutdated\n<!-- end -->\n"
    assert "outdated" not in generate.with_inserts(page)
    assert "Does a bidirectional encoder help" in generate.with_inserts(page)


def test_a_docstring_becomes_markdown(generate: ModuleType) -> None:
    doc = "What it is.\n\nArgs:\n    a, b: two of ``x``\n        or *y*.\n    c: one.\n\nShapes:\n    (B, 2) -> (B)"
    assert generate.markdown(doc) == (
        "What it is.\n\n*Args*\n\n- `a`, `b`: two of `x` or \\*y\\*.\n- `c`: one.\n\n"
        "*Shapes*\n\n```text\n(B, 2) -> (B)\n```"
    )
