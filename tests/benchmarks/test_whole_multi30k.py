"""Results of training on the whole of Multi30k: validation loss against the plain loop, BLEU against JoeyNMT.

Takes an hour on two cores for each seed, so it needs ``--long FOLDER``, which saves each result in FOLDER and does not
train again for existing ones.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

EPOCHS, SEEDS = 3, (0,)

pytestmark = pytest.mark.skipif(not os.environ.get("LAB_DATA"), reason="LAB_DATA is not set: no Multi30k here")


@pytest.fixture
def folder(request: pytest.FixtureRequest) -> Path:
    """Folder of the results."""
    path = request.config.option.long
    if path is None:
        pytest.skip("takes hours: give --long FOLDER")
    path.mkdir(parents=True, exist_ok=True)
    return Path(path).resolve()


def trained(side: str, seed: int, folder: Path) -> dict[str, Any]:
    """Return the result of one side, trained in its own process if it does not exist."""
    program = [sys.executable, "-m", "tests.benchmarks.whole_multi30k"]
    subprocess.run([*program, side, str(seed), str(EPOCHS), str(folder)], check=True)
    result: dict[str, Any] = json.loads((folder / f"{side}-{seed}-{EPOCHS}.json").read_text(encoding="utf-8"))
    return result


@pytest.mark.parametrize("model", ["", "transformer-"])
def test_the_validation_loss_after_three_epochs_is_that_of_the_plain_loop(
    model: str, folder: Path, figure: Any
) -> None:
    losses = {}
    for side in ("plain", "float32", "bfloat16"):
        losses[side] = statistics.mean(trained(model + side, seed, folder)["valid_loss"] for seed in SEEDS)
        figure.value(f"validation loss after {EPOCHS} epochs of Multi30k: {model}{side}", losses[side], "nats")
    for side in ("float32", "bfloat16"):
        away = abs(losses[side] - losses["plain"])
        figure.value(f"how far {model}{side} is from the plain loop", away, "nats", at_most=0.02)


@pytest.mark.parametrize("model", ["", "transformer-"])
def test_bleu_after_three_epochs_is_at_least_joeynmts(model: str, folder: Path, figure: Any) -> None:
    if find_spec("joeynmt") is None:
        pytest.skip("JoeyNMT is not installed")
    lab, joey = (trained(model + side, 0, folder) for side in ("float32", "joey"))
    figure.ratio(
        f"BLEU of beam-5 after {EPOCHS} epochs of Multi30k{', transformer_tiny' if model else ''}",
        lab=lab["bleu"],
        peer=joey["bleu"],
        unit="BLEU",
        beside="JoeyNMT 2.3",
        at_least=1.0,
    )
