"""Command lines that nobody would type, and some that somebody will."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from tests.fuzz.sandbox import Sandbox, fuzz

ODD = st.one_of(
    st.sampled_from(
        [
            "",
            " ",
            "-",
            "--",
            ".",
            "..",
            "/",
            "/dev/null",
            "/etc/passwd",
            "~",
            "*",
            "a,b",
            "a=b",
            "=",
            "x" * 300,
            "\n",
            "é",
            "\udcff",
            "none",
            "true",
            "nan",
            "inf",
            "-inf",
            "1e400",
            "-1",
            "0",
            "10**27",
            str(10**27),
            "0x10",
            "[1,2]",
            "{}",
            "wide.py",
            "own.py",
            "wide",
            "own",
            "base",
            "runs",
            "runs/.store",
            "../outside",
            "../outside/precious.txt",
            "mlp(hidden_size=3)",
            "table(path=d/a.csv)",
            "mlp(",
            "__import__('os').system('x')",
            "<b>",
            "%s",
            "\x1b[31m",
        ]
    ),
    st.text(max_size=12).filter(lambda text: "\0" not in text),
    st.integers(-(10**20), 10**20).map(str),
    st.floats().map(str),
)

PATHS = st.sampled_from(
    [
        "lr",
        "epochs",
        "seeds",
        "batch_size",
        "architecture",
        "architecture.hidden_size",
        "dataset",
        "dataset.count",
        "optimizer.lr",
        "callbacks",
        "metrics",
        "checkpoint.every_epochs",
        "valid_sampler.size",
        "executor.workers",
        "loss",
    ]
)

RUN_OPTIONS = st.one_of(
    st.tuples(st.just("--set"), st.one_of(st.builds("{}={}".format, PATHS, ODD), ODD)),
    st.tuples(st.sampled_from(["--epochs", "--seeds", "--arms", "--runs", "--device", "--threads", "--data-dir"]), ODD),
    st.tuples(st.sampled_from(["--plan", "--quiet", "--fresh", "--debugg", "--arms", "--executor", "--only-plugins"])),
    st.tuples(ODD),
)

OTHERS = st.one_of(
    st.tuples(st.just("runs"), st.sampled_from(["show", "remove", "why", "prune", "shwo"]), ODD, ODD),
    st.tuples(st.just("runs"), st.sampled_from(["--sort", "--show", "--limit", "--study", "--arm", "--seed"]), ODD),
    st.tuples(st.sampled_from(["compare", "report"]), ODD),
    st.tuples(st.just("compare"), st.just("wide"), st.sampled_from(["--metric", "--format", "--stepwise"]), ODD),
    st.tuples(st.sampled_from(["reproduce", "generate", "recommend", "search", "predict"]), ODD, ODD),
    st.tuples(st.sampled_from(["list", "show", "check", "plugins", "data"]), ODD),
    st.tuples(
        st.just("find-lr"), st.just("wide.py"), st.sampled_from(["--steps", "--min-lr", "--max-lr", "--seed"]), ODD
    ),
    st.tuples(st.just("new"), st.sampled_from(["plugin", "experiment"]), ODD),
    st.lists(ODD, max_size=4).map(tuple),
)

SLOW = {"ray", "slurm"}


def test_every_command_line_has_an_answer(sandbox: Sandbox, store: Path, minutes: float) -> None:
    sandbox.reset(store)

    def try_once(arguments: tuple[str, ...]) -> None:
        if not SLOW & {*arguments}:
            sandbox.lab(*arguments)
        for leftover in sandbox.work.iterdir():
            if leftover.name not in ("runs", "wide.py", "own.py") or (
                (leftover.name == "runs") and not leftover.is_dir()
            ):
                sandbox.reset(store)
                break

    fuzz(try_once, OTHERS, minutes, examples=25)


def test_every_way_to_run_a_study_has_an_answer(sandbox: Sandbox, store: Path, minutes: float) -> None:
    sandbox.reset(store)

    def try_once(options: list[tuple[str, ...]]) -> None:
        arguments: list[Any] = [word for option in options for word in option]
        if not SLOW & {*arguments}:
            sandbox.lab("run", "wide.py", "--workers", "1", "--plan", *arguments)

    fuzz(try_once, st.lists(RUN_OPTIONS, max_size=3), minutes, examples=12)


@pytest.mark.parametrize("stream", ["ascii", "latin-1", "cp1252"])
def test_plugins_are_listed_on_streams_of_any_encoding(stream: str, sandbox: Sandbox, store: Path) -> None:
    sandbox.reset(store)
    code, out, _ = sandbox.lab("plugins")
    assert code == 0
    assert out.encode(stream, "replace")
