"""A study of built-in components in a process of its own; prints the metrics and the weights of every run as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(folder: Path, site: str) -> None:
    # not by PYTHONPATH, which is part of the keys of code that reads it
    sys.path.insert(0, site)
    # As ``lab run``: plugins first, then torch.
    from lab.registry.plugins import load_catalog

    catalog = load_catalog()
    from lab import Experiment, Study, use
    from lab.study.execute import run_study

    base = Experiment(
        dataset=use("fr_en_questions", pairs=48, tokenizer="whitespace", holdout=0.25),
        architecture=use("seq2seq_rnn", embedding_dim=8, hidden_size=8, layers=1),
        loss="seq2seq_loss",
        stepper="teacher_forcing",
        callbacks=["one_cycle"],
        metrics=["bleu"],
        batch_size=8,
        epochs=2,
    )
    study = Study(base, seeds=2, name="builtin").swap("architecture.attention", {"dot": "dot"})
    results = run_study(study, runs=folder, catalog=catalog)
    rows = []
    for run in results.runs:
        # the digest of a file of the store covers every weight
        content = json.loads((run.folder / "result.json").read_text(encoding="utf-8"))
        curve = [
            {name: value for name, value in row.items() if not name.startswith(("seconds", "examples_per"))}
            for row in map(json.loads, (run.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
        ]
        rows.append(
            [run.arm, run.seed, run.key, curve, content["metrics"], content["files"]["model.safetensors"]["digest"]]
        )
    print("RESULT " + json.dumps(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
