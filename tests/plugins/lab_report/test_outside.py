from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

import lab
from lab.cli.main import cli
from lab.errors import DataError, UnknownNameError
from lab.study.record import read_study
from lab.study.store import Store
from tests.kernel.stored_study import FIGURES, store_study

ROWS = {"resnet": [0.81, 0.82, 0.80, 0.83], "vit": [0.85, 0.86, 0.85, 0.88], "mlp": [0.80, 0.83, 0.79, 0.83]}
FILE = [{"model": arm, "seed": seed, "acc": v} for arm, values in ROWS.items() for seed, v in enumerate(values)]
ASKED = ("--arm", "model", "--metric", "acc", "--higher-is-better")

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli, [*map(str, arguments)], catch_exceptions=True)


def verdicts(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output or result.exception
    return [line for line in result.output.splitlines() if line.startswith(("vit: ", "mlp: "))]


EXPECTED = [
    "vit: better by 0.045 ± 0.016 (4 of 4 seeds)",
    "mlp: no difference shown: 4 seeds would show one of 0.0259 in 4 of 5 studies",
]


def test_a_file_gives_the_table_of_a_study_with_the_same_numbers(run: Run, tmp_path: Path) -> None:
    store_study(tmp_path / "runs", figures=ROWS)
    pd.DataFrame(FILE).rename(columns={"acc": "valid_accuracy"}).to_csv("f.csv", index=False)
    study = run("compare", "toy", "--metric", "valid_accuracy", "--format", "csv").output
    file = run("compare", "f.csv", "--arm", "model", "--metric", "valid_accuracy", "--format", "csv").output
    columns = ["arm", "difference", "low", "high", "p_corrected", "p_sign_flip", "detectable", "verdict"]
    tables = [
        [dict(zip(text.split("\n")[0].split(","), line.split(","), strict=False)) for line in text.split("\n")]
        for text in (study, file)
    ]
    assert [[row.get(name) for name in columns] for row in tables[0]] == [
        [row.get(name) for name in columns] for row in tables[1]
    ]


def write_csv(path: Path) -> None:
    pd.DataFrame(FILE).to_csv(path, index=False)


def write_index(path: Path) -> None:
    pd.DataFrame(FILE).to_csv(path)


def write_semicolons(path: Path) -> None:
    path.write_bytes(("\ufeff" + pd.DataFrame(FILE).to_csv(sep=";", index=False)).encode().replace(b"\n", b"\r\n"))


def write_tsv(path: Path) -> None:
    pd.DataFrame(FILE).to_csv(path, sep="\t", index=False)


def write_lines(path: Path) -> None:
    nested = [{"model": row["model"], "config": {"seed": row["seed"]}, "summary": {"acc": row["acc"]}} for row in FILE]
    path.write_text("\n".join(map(json.dumps, nested)))


def write_list(path: Path) -> None:
    path.write_text(json.dumps(FILE))


def write_parquet(path: Path) -> None:
    pytest.importorskip("pyarrow")
    pd.DataFrame(FILE).to_parquet(path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.csv", write_csv),
        ("b.csv", write_semicolons),
        ("c.csv", write_index),
        ("a.tsv", write_tsv),
        ("a.jsonl", write_lines),
        ("a.json", write_list),
        ("a.parquet", write_parquet),
    ],
)
def test_every_format_gives_the_same_verdicts(run: Run, name: str, write: Callable[[Path], None]) -> None:
    write(Path(name))
    assert verdicts(run("compare", name, *ASKED)) == EXPECTED


def test_wide_tables_give_the_same_verdicts(run: Run) -> None:
    frame = pd.DataFrame(FILE).pivot(index="seed", columns="model", values="acc")[list(ROWS)]
    frame.to_csv("arms.csv")
    frame.to_csv("nameless.csv", index=False)
    frame.T.rename(columns="seed_{}".format).to_csv("seeds.csv")
    frame.rename_axis(index=None).to_csv("index.csv")
    frame.T.rename_axis(index=None).to_csv("unnamed.csv")
    asked = ("--metric", "acc", "--higher-is-better")
    assert verdicts(run("compare", "index.csv", "--wide", "arms", *asked)) == EXPECTED
    assert verdicts(run("compare", "unnamed.csv", "--wide", "seeds", *asked)) == EXPECTED
    assert verdicts(run("compare", "arms.csv", "--wide", "arms", *asked)) == EXPECTED
    assert verdicts(run("compare", "nameless.csv", "--wide", "arms", *asked)) == EXPECTED
    assert verdicts(run("compare", "seeds.csv", "--wide", "seeds", *asked)) == EXPECTED


def test_a_frame_gives_results() -> None:
    results = lab.compare(pd.DataFrame(FILE), arm="model", metric="acc", higher_is_better=True, base="vit")
    base, *others = results.compare()
    assert base.name == "vit"
    assert others[0].comparison is not None
    assert others[0].comparison.verdict == "worse by 0.045 ± 0.016 (4 of 4 seeds)"
    assert "verdict" in results._repr_html_()
    indexed = pd.DataFrame(FILE).set_index(["model", "seed"])
    again = lab.compare(indexed, arm="model", metric="acc", higher_is_better=True, base="vit")
    assert [row.comparison for row in again.compare()] == [row.comparison for row in results.compare()]


def test_factors_give_main_effects_and_interactions(run: Run) -> None:
    rows = [
        {"width": w, "norm": n, "seed": s, "loss": 1 - 0.1 * w - 0.2 * (n == "layer") + 0.01 * s * w}
        for w in (1, 2)
        for n in ("batch", "layer")
        for s in range(4)
    ]
    pd.DataFrame(rows).to_csv("grid.csv", index=False)
    output = run("compare", "grid.csv", "--factors", "width,norm", "--metric", "loss").output
    assert "width=2 × layer" in output
    assert "width=2: better by 0.085" in output
    pd.DataFrame(rows[:-4]).to_csv("part.csv", index=False)
    part = run("compare", "part.csv", "--factors", "width,norm", "--metric", "loss")
    assert "the grid lacks width=2 + layer" in part.output


# --- runs.csv of a study of ours --------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["text", "latex", "csv"])
def test_runs_csv_gives_exactly_the_table_of_its_study(run: Run, tmp_path: Path, layout: str) -> None:
    folder = store_study(tmp_path / "runs", figures={**FIGURES, "lost": [0.1] * 4}, failed=("lost",), missing=("sgd",))
    store = Store(tmp_path / "runs")
    read_study(store, "toy").results(store).write_csv(folder / "runs.csv")
    study = run("compare", "toy", "--format", layout)
    assert study.exit_code == 0
    assert "better by 0.207" in study.output
    assert run("compare", folder / "runs.csv", "--format", layout).output == study.output
    # Away from its study the file says neither which metric decides nor in which direction.
    shutil.copy(folder / "runs.csv", "elsewhere.csv")
    elsewhere = run("compare", "elsewhere.csv", "--format", layout, "--metric", "valid_accuracy")
    assert elsewhere.output == study.output.replace("tab:toy", "tab:elsewhere")


def test_runs_csv_that_was_edited_is_read_as_any_file(run: Run, tmp_path: Path) -> None:
    folder = store_study(tmp_path / "runs")
    store = Store(tmp_path / "runs")
    read_study(store, "toy").results(store).write_csv(folder / "runs.csv")
    table = folder / "runs.csv"
    seeds = run("compare", table, "--metric", "valid_accuracy", "--where", "seed=0")
    assert "one seed: nothing can be concluded" in seeds.output
    written = table.read_text().splitlines()
    table.write_text("\n".join([*written, written[1]]))
    doubled = run("compare", table, "--metric", "valid_accuracy", "--higher-is-better")
    assert "arm 'base', seed 0 stands in line 2, line 14" in str(doubled.exception)
    table.write_text("\n".join([*written, written[1].replace("base,0", "base,x")]))
    assert "('x')" in str(run("compare", table, "--metric", "valid_accuracy").exception)
    # A value that was changed is the one that is compared.
    table.write_text("\n".join(written).replace("0.74", "0.94"))
    assert "0.7725" in run("compare", table).output


def test_runs_csv_of_a_grid_gives_its_effects(run: Run, tmp_path: Path) -> None:
    cells = {
        "base": [0.5, 0.52, 0.51],
        "wide": [0.6, 0.63, 0.6],
        "deep": [0.5, 0.5, 0.52],
        "wide + deep": [0.8, 0.9, 0.8],
    }
    folder = store_study(tmp_path / "runs", figures=cells)
    record = json.loads((folder / "study.json").read_text())
    for name, arm in record["arms"].items():
        arm["factors"] = {
            "width": "wide" if "wide" in name else "narrow",
            "depth": "deep" if "deep" in name else "flat",
        }
    (folder / "study.json").write_text(json.dumps(record))
    store = Store(tmp_path / "runs")
    read_study(store, "toy").results(store).write_csv(folder / "runs.csv")
    study = run("compare", "toy").output
    assert "wide × deep" in study
    assert run("compare", folder / "runs.csv").output == study


def test_arms_without_a_common_seed_are_compared_unpaired(run: Run, tmp_path: Path) -> None:
    table = tmp_path / "apart.csv"
    table.write_text("arm,seed,acc\n" + "".join(f"a,{n},{n}\nb,{n + 10},{n + 50}\n" for n in range(5)))
    done = run("compare", str(table), "--metric", "acc", "--higher-is-better", "--unpaired")
    assert "better by 50" in done.stdout
    assert "not paired, 5 and 5 runs" in done.stdout


def test_a_missing_value_withholds_the_verdict_unless_the_base_lacks_the_same_seed(run: Run, tmp_path: Path) -> None:
    table = tmp_path / "gaps.csv"
    values = {(arm, seed): f"{start + seed / 100}" for arm, start in (("a", 0.8), ("b", 0.9)) for seed in range(5)}
    values["b", 2] = ""
    for lacking, verdict in (([], "no verdict: not the same seeds have a value"), ([("a", 2)], "better by 0.1")):
        values |= dict.fromkeys(lacking, "")
        rows = "".join(f"{arm},{seed},{value}\n" for (arm, seed), value in values.items())
        table.write_text(f"arm,seed,acc\n{rows}")
        assert f"b: {verdict}" in run("compare", str(table), "--metric", "acc", "--higher-is-better").stdout


def test_comparing_a_file_imports_no_torch(run: Run) -> None:
    write_csv(Path("f.csv"))
    code = (
        "import sys; from click.testing import CliRunner; from lab.cli.main import cli;"
        f"done = CliRunner().invoke(cli, ['compare', 'f.csv', *{ASKED!r}]);"
        "assert done.exit_code == 0, done.output;"
        "print([name for name in ('torch', 'pandas', 'matplotlib', 'optuna') if name in sys.modules])"
    )
    # The first command of a session imports plugins to find their commands, and keeps what it found.
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_comparing_in_python_imports_no_torch() -> None:
    code = (
        "import sys, lab;"
        f"lab.compare({FILE!r}, arm='model', metric='acc', higher_is_better=True).compare();"
        "print([name for name in ('torch', 'pandas', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_report_of_a_file_has_its_answer_and_its_rows(run: Run, tmp_path: Path) -> None:
    write_csv(Path("f.csv"))
    done = run("compare", "f.csv", *ASKED, "--report", "report")
    page = (tmp_path / "report" / "report.html").read_text()
    assert "better by 0.045" in page
    assert 'id="chart-differences"' in page
    assert "not comparable" not in page
    assert "Provenance" not in page
    assert (tmp_path / "report" / "runs.csv").read_text().startswith("arm,seed,key,status,acc\nresnet,0,")
    assert "report/report.html" in done.output
    # The rows that it wrote are compared as the file was.
    assert verdicts(run("compare", "report/runs.csv", "--metric", "acc", "--higher-is-better")) == EXPECTED


# --- bad input --------------------------------------------------------------------------------------------------------


def lines(*rows: str) -> str:
    return "\n".join(["model,seed,acc", *rows]) + "\n"


GOOD = ("a,0,0.1", "a,1,0.2", "a,2,0.3", "b,0,0.2", "b,1,0.3", "b,2,0.5")


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("", ASKED, "the file is empty"),
        (lines(), ASKED, "a header and no rows"),
        (lines(*GOOD[:3]), ASKED, "there is one arm, 'a'"),
        (lines(*GOOD), (*ASKED, "--base", "bb"), "unknown arm 'bb'"),
        (lines(*GOOD), ("--arm", "modle", "--metric", "acc"), "did you mean: model?"),
        (lines(*GOOD), ("--metric", "acc"), "name the column of the arms: --arm COLUMN"),
        (lines(*GOOD), ("--arm", "model"), "no metric is named"),
        (lines(*GOOD), ("--arm", "model", "--metric", "ac"), "unknown column 'ac'"),
        (lines(*GOOD), ("--metric", "ac"), "2 problems in these rows"),
        (lines("x,1", "y,1,2,3"), ("--metric", "acc"), "line 3 has 4 values"),
        (lines(*GOOD, 'b,3,"1', "c,0,1"), ASKED, "line 8 begins a quote that is not closed"),
        ("name,acc\na-seed0,1\n", ("--metric", "acc", "--names", "{arm}-seed{seed}{0}"), "names of runs do not fit"),
        (lines(*GOOD), ("--arm", "model", "--metric", "acc"), "nothing says whether higher or lower acc is better"),
        (lines(*GOOD, "a,1,0.2"), ASKED, "arm 'a', seed 1 stands in line 3, line 8"),
        (lines(*GOOD, "b,3,n/a", "b,4,1,5"), ASKED, "line 9 has 4 values"),
        (lines(*GOOD, "b,3,n/a"), ASKED, "column 'acc' holds no number: line 8 ('n/a')"),
        (lines(*GOOD, "b,x,1"), ASKED, "column 'seed' holds no whole number: line 8 ('x')"),
        (lines(*GOOD, ",3,1"), ASKED, "column 'model' names no arm: line 8"),
        (lines(*GOOD), (*ASKED, "--where", "model=c"), "no row has model=c"),
        (lines(*GOOD), (*ASKED, "--wide", "seeds"), "no seed stands in the names of these columns: seed, acc"),
        (lines("a,0,1", "a,1,1", "b,2,2", "c,3,2"), ASKED, "no arm has a seed of 'a', the base"),
        (lines(*(f"a{i},{i},1" for i in range(300)), "b,0,1"), ASKED, "300 seeds: 50,000 runs at most"),
        (lines(*GOOD, "a,3," + "1" * 400, "b,3,1_0"), ASKED, "column 'acc' holds no number: line 9 ('1_0')"),
        ("model,seed,seed\na,0,1\n", ASKED, "two columns are called 'seed'"),
    ],
)
def test_bad_files_are_refused_with_rows(run: Run, text: str, arguments: tuple[str, ...], message: str) -> None:
    Path("f.csv").write_text(text)
    done = run("compare", "f.csv", *arguments)
    assert isinstance(done.exception, lab.LabError), done.output
    assert message in str(done.exception)
    assert "f.csv" in str(done.exception)


def test_all_problems_are_told_at_once(run: Run) -> None:
    Path("f.csv").write_text(lines(*GOOD, "a,y,?"))
    error = str(run("compare", "f.csv", *ASKED).exception)
    assert "2 problems in these rows" in error
    assert "line 8 ('y')" in error
    assert "line 8 ('?')" in error


def test_columns_that_tell_duplicates_apart_are_offered(run: Run) -> None:
    rows = [{**row, "dataset": name} for name in ("mnist", "cifar") for row in FILE]
    pd.DataFrame(rows).to_csv("f.csv", index=False)
    assert "--where dataset=…" in str(run("compare", "f.csv", *ASKED).exception)
    assert verdicts(run("compare", "f.csv", *ASKED, "--where", "dataset=cifar")) == EXPECTED


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (GOOD[:-1], "No row: b, seed 2"),
        ((*GOOD, "a,3,", "b,3,1"), "No acc: line 8"),
        ((*GOOD, "a,3,nan", "b,3,inf"), "Acc is not finite: line 8 (nan), line 9 (inf)"),
        (("a,0,1", "b,0,2"), "b: one seed: nothing can be concluded"),
    ],
)
def test_what_rows_lack_is_told_below_the_table(run: Run, rows: tuple[str, ...], told: str) -> None:
    Path("f.csv").write_text(lines(*rows))
    done = run("compare", "f.csv", *ASKED)
    assert done.exit_code == 0
    assert told in done.output


def test_runs_that_a_tracker_calls_failed_count_as_lost(run: Run) -> None:
    Path("f.csv").write_text(
        "model,seed,acc,State\n" + "\n".join(f"{row},finished" for row in GOOD) + "\nb,3,0.1,crashed"
    )
    output = run("compare", "f.csv", *ASKED).output
    assert "b 3 of 4 (1 failed)" in output
    assert "a 3 of 4 (1 without a row)" in output


def test_an_arm_with_seeds_of_its_own_was_not_asked_for_those_of_others(run: Run) -> None:
    own = [f"c,{seed},{value}" for seed, value in ((10, 0.4), (11, 0.5), (12, 0.6))]
    Path("f.csv").write_text(lines(*GOOD, *own))
    for layout in ("text", "markdown", "latex", "csv", "json", "methods"):
        output = run("compare", "f.csv", *ASKED, "--format", layout, "--report", "page").output
        assert not re.search(r"\d of \d (finished|runs)|did not finish|without a row|not run|No row", output), layout
    assert "All runs finished." in run("compare", "f.csv", *ASKED, "--format", "methods").output
    page = Path("page/report.html").read_text()
    assert "did not finish" not in page
    assert "9 of 9 runs finished" in page
    assert re.search(r"^c +3 ", run("compare", "f.csv", *ASKED).output, re.MULTILINE)


def test_every_layout_takes_unrelated_seeds(run: Run, tmp_path: Path) -> None:
    Path("f.csv").write_text(lines(*(row.replace("b,", "b,7") for row in GOOD)))
    methods = run("compare", "f.csv", *ASKED, "--unpaired", "--format", "methods", "--report", "page").output
    assert "Each was run 3 times; seeds are taken for unrelated." in methods
    assert "welch1947" in methods
    assert "All runs finished." in methods
    assert "welch1947" in run("compare", "f.csv", *ASKED, "--unpaired", "--format", "bibtex").output
    (arm,) = json.loads(run("compare", "f.csv", *ASKED, "--unpaired", "--format", "json").output)["arms"][1:]
    assert arm["comparison"]["test"] == "Welch's t-test"
    page = Path("page/report.html").read_text()
    assert "6 of 6 runs finished" in page
    assert "not paired" in page
    # also where seeds are in common
    Path("g.csv").write_text(lines(*GOOD))
    output = run("compare", "g.csv", *ASKED, "--unpaired", "--format", "methods", "--report", "two").output
    assert "seeds are taken for unrelated" in output
    assert "welch1947" in run("compare", "g.csv", *ASKED, "--unpaired", "--format", "bibtex").output
    assert "Welch" in Path("two/report.html").read_text()


def test_arms_that_are_not_paired_have_seeds_of_their_own(run: Run) -> None:
    Path("f.csv").write_text(lines(*(row.replace("b,", "b,7") for row in GOOD)))
    output = run("compare", "f.csv", *ASKED, "--unpaired").output
    assert "not paired, 3 and 3 runs" in output
    assert "without a row" not in output
    assert "No row" not in output


def test_options_of_files_are_refused_for_a_study(run: Run, tmp_path: Path) -> None:
    store_study(tmp_path / "runs")
    assert "--arm is for files; 'toy' is a study" in run("compare", "toy", "--arm", "model").output
    assert "--report is for files" in run("compare", "toy", "--report", "x").output
    assert run("compare", "toy", "--base", "wide").output.startswith("arm ")


def test_python_names_rows_too() -> None:
    frame = pd.DataFrame(FILE)
    with pytest.raises(DataError, match=r"arm 'mlp', seed 3 stands in row 11, row 12"):
        lab.compare(
            pd.concat([frame, frame.tail(1)], ignore_index=True), arm="model", metric="acc", higher_is_better=True
        )
    with pytest.raises(UnknownNameError, match="did you mean: model"):
        lab.compare(frame, arm="modell", metric="acc")
    for wrong in ("results.csv", [1, 2]):
        with pytest.raises(DataError, match="these are no rows"):
            lab.compare(wrong, metric="acc")
    with pytest.raises(DataError, match="there are no rows"):
        lab.compare(frame.head(0), arm="model", metric="acc")


def test_a_study_whose_name_looks_like_a_file_is_a_study(run: Run, tmp_path: Path) -> None:
    store_study(tmp_path / "runs", "v1.5")
    assert "wide: better by 0.207" in run("compare", "v1.5").output
    assert "did you mean: v1.5" in str(run("compare", "v1.4").exception)
    assert "wide: better by 0.207" in run("compare", "runs/v1.5").output


def test_both_directions_at_once_are_refused(run: Run) -> None:
    Path("f.csv").write_text("model,seed,acc\na,0,1\nb,0,2\n")
    done = run("compare", "f.csv", *ASKED, "--lower-is-better")
    assert done.exit_code == 2
    assert "--higher-is-better and --lower-is-better exclude each other" in done.output
