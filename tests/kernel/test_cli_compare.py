from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from lab.cli.main import cli
from tests.kernel.stored_study import store_study


@pytest.fixture
def lab(tmp_path: Path) -> object:
    """The command line with ``--runs`` given: ``lab("compare", "toy")``."""

    def lab(*arguments: str) -> Result:
        return CliRunner().invoke(cli, [*arguments, "--runs", str(tmp_path)])

    return lab


def compiled(table: str, folder: Path) -> subprocess.CompletedProcess[str]:
    source = f"\\documentclass{{article}}\\usepackage{{booktabs}}\\begin{{document}}\n{table}\n\\end{{document}}\n"
    (folder / "table.tex").write_text(source, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)


def test_text_gives_figures_differences_and_verdicts(lab, tmp_path: Path) -> None:
    store_study(tmp_path)
    lines = lab("compare", "toy").output.splitlines()
    assert lines[0].split("  ")[0] == "arm"
    assert re.split(r"  +", lines[2]) == [
        "wide",
        "4",
        "0.7225 ± 0.026",
        "0.3667 ± 0",
        "+0.207 [+0.176, +0.239]",
        "0.00021",
    ]
    assert "wide: better by 0.207 ± 0.031 (4 of 4 seeds)" in lines


def test_steps_are_compared_with_the_arm_above(lab, tmp_path: Path) -> None:
    store_study(tmp_path, figures={"base": [0.1, 0.2], "wide": [0.3, 0.4], "wider": [0.3, 0.5]})
    output = lab("compare", "toy", "--stepwise").output
    differences = [re.split(r"  +", line)[4].split(" ")[0] for line in output.splitlines()[2:4]]
    assert differences == ["+0.2", "+0.05"]
    assert "from the arm above, paired by seed" in output


def test_steps_and_effects_exclude_each_other(lab, tmp_path: Path) -> None:
    done = lab("compare", "toy", "--stepwise", "--effects")
    assert done.exit_code == 2
    assert "--effects and --stepwise exclude each other" in done.output


def test_markdown_is_a_table_whose_cells_cannot_break_it(lab, tmp_path: Path) -> None:
    store_study(tmp_path, figures={"base": [1.0, 2.0], "a|b <i>_x_": [2.0, 3.5]})
    lines = lab("compare", "toy", "--format", "markdown").output.splitlines()
    assert lines[1] == "| --- | ---: | ---: | ---: | ---: | ---: |"
    assert lines[3].startswith(r"| a\|b \<i>\_x\_ | 2 | 2.75 ± 1.1 |")


def test_latex_has_as_many_cells_in_every_row_as_columns(lab, tmp_path: Path) -> None:
    store_study(tmp_path)
    output = lab("compare", "toy", "--format", "latex").output
    layout = re.search(r"\\begin\{tabular\}\{(l+r+)\}", output)
    assert layout is not None
    rows = [line for line in output.splitlines() if line.endswith(r"\\")]
    assert [len(re.split(r"(?<!\\)&", row)) for row in rows] == [len(layout.group(1))] * 4


def test_latex_writes_every_special_sign_as_text(lab, tmp_path: Path) -> None:
    store_study(tmp_path, figures={"base": [1.0, 2.0], r'50 % of $x_1^2$ & #3 {a} ~ \n "q" <b>': [2.0, 3.5]})
    output = lab("compare", "toy", "--format", "latex").output
    expected = (
        r"50 \% of \$x\_1\textasciicircum{}2\$ \& \#3 \{a\} \textasciitilde{} \textbackslash{}n ''q'' \textless{}b"
    )
    assert expected in output


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex with booktabs")
def test_latex_compiles(lab, tmp_path: Path) -> None:
    names = ["wide", r'50 % of $x_1^2$ & #3 {a} ~ \n "q" <b>', "- [0.5] → été … ≥ 2", "[x]"]
    store_study(tmp_path, figures={"base": [1.0, 2.0], **{name: [0.5, 0.2] for name in names}})
    done = compiled(lab("compare", "toy", "--format", "latex").output, tmp_path)
    assert done.returncode == 0, done.stdout[-2000:]


def test_csv_has_numbers_that_pandas_reads(lab, tmp_path: Path) -> None:
    store_study(tmp_path)
    frame = pd.read_csv(io.StringIO(lab("compare", "toy", "--format", "csv").output)).set_index("arm")
    assert frame.loc["wide", "difference"] == pytest.approx(0.2075)
    assert frame.loc["wide", "valid_accuracy_mean"] == pytest.approx(0.7225)
    assert frame["valid_accuracy_n"].dtype.kind == "i"
    assert frame.drop(columns=["verdict", "base"]).dtypes.map(lambda kind: kind.kind).isin(["i", "f"]).all()
    assert pd.isna(frame.loc["base", "difference"])


def test_another_figure_may_be_compared(lab, tmp_path: Path) -> None:
    store_study(tmp_path)
    output = lab("compare", "toy", "--metric", "train_loss").output
    assert "Δ train_loss [95 %]" in output
    assert "lower is better" in output


def test_an_unknown_metric_gives_close_matches(lab, tmp_path: Path) -> None:
    store_study(tmp_path)
    error = lab("compare", "toy", "--metric", "valid_los").exception
    assert str(error) == (
        "unknown metric 'valid_los'\n  did you mean: valid_loss or train_loss?\n"
        "  metrics: valid_accuracy, train_loss, valid_loss"
    )


def test_lab_report_writes_what_lab_run_left_out(lab, tmp_path: Path) -> None:
    folder = store_study(tmp_path)
    done = lab("report", "toy")
    assert done.output.strip() == str(folder / "report.html")
    assert "better by 0.207" in (folder / "report.html").read_text(encoding="utf-8")
    assert (folder / "runs.csv").is_file()


def test_lab_report_opens_the_page_when_asked(lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, opened = store_study(tmp_path), []
    monkeypatch.setattr("click.launch", opened.append)
    lab("report", "toy", "--open")
    assert opened == [(folder / "report.html").resolve().as_uri()]


def test_comparing_and_listing_import_no_torch(tmp_path: Path) -> None:
    import sys

    store_study(tmp_path)
    for command in (["compare", "toy"], ["runs"]):
        code = (
            "import sys; from lab.cli.main import cli\n"
            f"cli.main({[*command, '--runs', str(tmp_path)]!r}, standalone_mode=False)\n"
            "print(json.dumps([n for n in ('torch', 'pandas', 'spacy', 'matplotlib') if n in sys.modules]))"
        )
        done = subprocess.run(
            [sys.executable, "-c", f"import json; {code}"], capture_output=True, text=True, check=True
        )
        assert json.loads(done.stdout.splitlines()[-1]) == []


def test_lab_run_leaves_a_report_that_lab_report_can_make_again(lab, tmp_path: Path) -> None:
    study = tmp_path / "coin.py"
    study.write_text(STUDY)
    done = lab("run", str(study), "--quiet")
    assert done.exception is None, done.output
    report = tmp_path / "coin" / "report.html"
    assert f"report: {report}" in done.output
    made_by_run = report.read_text(encoding="utf-8")
    assert "Is a larger step better?" in made_by_run
    lab("report", "coin")
    assert report.read_text(encoding="utf-8") == made_by_run


def test_a_study_run_from_a_notebook_is_recorded_before_its_first_run(lab, tmp_path: Path) -> None:
    from lab.study.execute import SilentListener
    from lab.study.load import load_study
    from lab.study.record import read_study
    from lab.study.store import Store

    class Watcher(SilentListener):
        def run_started(self, run: object) -> None:
            found.append(len(read_study(Store(tmp_path), "coin").runs))

    found: list[int] = []
    (tmp_path / "coin.py").write_text(STUDY)
    load_study(tmp_path / "coin.py").run(runs=tmp_path, listener=Watcher())
    assert found == [4, 4, 4, 4]
    assert "large: " in lab("compare", "coin").output
    assert lab("runs", "prune", "--yes").output == "every run belongs to a study\n"


STUDY = '''"""Is a larger step better?"""
import attrs
import torch
from torch import nn
from torch.utils.data import TensorDataset
from lab import Data, Experiment, Study

@attrs.define(eq=False)
class Coins(Data):
    in_features: int = 2

def coins() -> Coins:
    x = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    split = TensorDataset(x, (x[:, 0] > 0).long())
    return Coins(split, split, fingerprint="coins")

class Line(nn.Module):
    def __init__(self, in_features):
        super().__init__()
        self.layer = nn.Linear(in_features, 2)

    def forward(self, x):
        return self.layer(x)

base = Experiment(dataset=coins, architecture=Line, loss="cross_entropy", epochs=2)
study = Study(base, seeds=2).swap("lr", {"large": 0.1})
'''


def test_a_margin_can_be_asked_for_and_must_be_above_zero(lab, tmp_path: Path) -> None:
    store_study(tmp_path)
    result = lab("compare", "toy", "--margin", "0.2")
    assert "sgd: equivalent within ± 0.2" in result.output
    assert "wide: better by" in result.output
    assert lab("compare", "toy", "--margin", "0").exit_code == 2
