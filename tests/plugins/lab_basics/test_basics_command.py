"""A command line as an experiment: parameters, metrics, failures, children, keys."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab import Study, command, run_study, use
from lab.errors import LabError, StudyError
from lab.registry.plugins import load_catalog
from lab.study.keys import key_of
from lab.study.results import Results

SCRIPT = """
import json, pathlib, random, sys
lr, seed, folder = float(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3])
random.seed(seed)
score = lr + random.random()
print(f"score: {score / 2:.6f}")
print(f"score: {score:.6f}")
(folder / "metrics.json").write_text(json.dumps({"score": score, "note": "a text"}))
(folder / "rows.jsonl").write_text('{"score": 0.5}\\n' + json.dumps({"score": score}) + "\\n")
(folder / "rows.csv").write_text(f"epoch,score\\n0,0.5\\n1,{score}\\n")
"""
PYTHON = sys.executable


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train it.py"
    path.write_text(SCRIPT)
    return path


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Results]:
    def run(base: Any, swap: Any = None, **options: Any) -> Results:
        study = Study(base, seeds=options.pop("seeds", 1), compare="score", higher_is_better=True, name="commands")
        study = study if swap is None else study.swap(*swap)
        return run_study(study, runs=tmp_path / "runs", catalog=load_catalog(), **options)

    return run


def training(script: Path, metrics: Any = "{folder}/metrics.json", **options: Any) -> Any:
    line = f"{PYTHON} '{script}' {{lr}} {{seed}} {{folder}}"
    return command(line, metrics=metrics, **{"lr": 0.25, "sources": [str(script)], **options})


def error_of(found: Results) -> str:
    return str(found.runs[0].result.get("error", ""))


def test_arms_are_values_in_the_command_and_seeds_are_given(run, script):
    found = run(training(script), ("lr", [1.25]), seeds=2)
    assert found.arms[1].difference == {"lr": (0.25, 1.25)}
    base, other = found.scores("base", "score"), found.scores("lr=1.25", "score")
    assert {seed: other[seed] - base[seed] for seed in base} == {0: pytest.approx(1.0), 1: pytest.approx(1.0)}
    assert base[0] != base[1]


@pytest.mark.parametrize(
    "metrics", ["{folder}/metrics.json", "{folder}/rows.jsonl", "{folder}/rows.csv", {"score": r"score: ([0-9.]+)"}]
)
def test_metrics_come_from_a_file_or_from_the_output(run, script, metrics):
    reference = run(training(script)).scores("base", "score")[0]
    assert run(training(script, metrics), fresh=True).scores("base", "score")[0] == pytest.approx(reference, abs=1e-6)


def test_the_output_is_kept_with_the_run(run, script):
    [record] = run(training(script)).runs
    assert (record.folder / "output.txt").read_text().count("score: ") == 2


def test_a_changed_source_is_trained_again_and_an_unchanged_one_is_found(run, script):
    first, again = run(training(script)).runs[0].key, run(training(script)).runs[0].key
    script.write_text(SCRIPT.replace("score = lr", "score = 2 * lr"))
    assert first == again != run(training(script)).runs[0].key


@pytest.mark.parametrize(
    ("line", "options", "message"),
    [
        (f"{PYTHON} -c 'import sys; print(1); sys.exit(3)' {{lr}}", {}, "the command ended with exit code 3"),
        (f"{PYTHON} -c 'import os; os.kill(os.getpid(), 9)' {{lr}}", {}, "the command ended with signal 9"),
        (f"{PYTHON} -c 'import time; time.sleep(60)' {{lr}}", {"timeout_s": 0.5}, "the command took longer than 0.5 s"),
        (f"{PYTHON} -c pass {{lr}}", {}, "the command wrote no metrics"),
        (
            f'{PYTHON} -c \'import sys; open(sys.argv[2] + "/metrics.json", "w").write("[1")\' {{lr}} {{folder}}',
            {},
            "the metrics cannot be read",
        ),
        (f"{PYTHON} -c pass {{lr}}", {"metrics": {"score": "score ([0-9]+)"}}, "'score' is not in the output"),
    ],
)
def test_a_command_that_fails_says_how(run, line, options, message):
    found = run(command(line, lr=1.0, **{"metrics": "{folder}/metrics.json", **options}))
    assert message in error_of(found)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("no_such_program_here {lr}", "there is no program 'no_such_program_here'\n  install it, or give its path"),
        (f"{PYTHON} no_such_script.py {{lr}}", "there is no script 'no_such_script.py'"),
    ],
)
def test_a_program_or_a_script_that_is_not_there_is_told_before_anything_is_called(run, line, message):
    with pytest.raises(StudyError) as caught:
        run(command(line, lr=1.0, metrics="{folder}/metrics.json"))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": 1.0, "width": 3}, "parameter 'width' does not stand in the command: write {width}"),
        ({}, "'{lr}' is not a parameter: give lr=..."),
        ({"lr": 1.0, "metrics": "out/m.json"}, "metrics must be in the run's own folder: '{folder}/m.json'"),
        ({"lr": 1.0, "sources": ["nowhere/*.py"]}, "no source fits 'nowhere/*.py'"),
        ({"lr": 1.0, "timeout_s": -1}, "timeout_s must be more than 0 seconds, not -1"),
        ({"lr": 1.0, "metrics": {"score": "score: .*"}}, "the pattern of 'score' has no groups, and one is the number"),
    ],
)
def test_a_command_that_cannot_be_run_is_told_when_it_is_written(options, message):
    with pytest.raises(LabError) as caught:
        command("train {lr}", **{"metrics": "{folder}/m.json", **options})
    assert message in str(caught.value)


def test_a_brace_that_is_not_closed_is_told():
    for template, message in [
        (
            "python 'train.py {lr}",
            "the command cannot be read: No closing quotation\n  python 'train.py {lr}\n  quotes",
        ),
        ("train {lr} | tee log.txt", "'|' is for a shell, and none reads this command: bash -c '...' runs one"),
        ("train {lr", "the command cannot be read: a '{' has no '}'"),
        ("train {lr} }", "the command cannot be read: a '}' has no '{'"),
        ("python -c 'print({1: 2})' {lr}", "'{1}' is not a parameter: braces that are meant are written twice: {{1}}"),
    ]:
        with pytest.raises(LabError) as caught:
            command(template, metrics="{folder}/m.json", lr=1)
        assert message in str(caught.value)


def test_a_parameter_that_is_not_in_the_command_is_a_problem_of_the_study(run, script):
    with pytest.raises(StudyError, match=r"unknown parameter 'lrr'\n  did you mean: lr\?"):
        run(training(script), ("lrr", [1.0]))


def test_children_of_a_command_end_with_it(run, tmp_path):
    child = "import subprocess, sys; p = subprocess.Popen(['sleep', '300']); open(sys.argv[1], 'w').write(str(p.pid))"
    line = f'{PYTHON} -c "{child}" {tmp_path}/pid {{lr}}'
    run(command(line, lr=1.0, metrics="{folder}/metrics.json"))
    number = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while Path(f"/proc/{number}/status").exists() and time.monotonic() < deadline:
        if "zombie" in Path(f"/proc/{number}/status").read_text():
            break
        time.sleep(0.05)
    assert not _runs(number)


def test_a_child_with_a_session_of_its_own_ends_with_a_command_that_takes_too_long(run, tmp_path):
    child = (
        "import subprocess, sys, time; p = subprocess.Popen(['sleep', '300'], start_new_session=True); "
        "open(sys.argv[1], 'w').write(str(p.pid)); time.sleep(300)"
    )
    line = f'{PYTHON} -c "{child}" {tmp_path}/pid {{lr}}'
    assert "took longer than 2 s" in error_of(run(command(line, lr=1.0, timeout_s=2, metrics="{folder}/m.json")))
    assert not _runs(int((tmp_path / "pid").read_text()))


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs groups of processes")
def test_a_command_that_takes_too_long_is_asked_once_to_end(run, tmp_path):
    """A second SIGTERM may mean "at once"."""
    (tmp_path / "count.py").write_text(
        "import signal, sys, time\nseen = []\nsignal.signal(signal.SIGTERM, lambda *_: seen.append(1))\n"
        "while not seen:\n    time.sleep(0.01)\ntime.sleep(0.5)\nopen(sys.argv[1], 'w').write(str(len(seen)))\n"
    )
    line = f"{PYTHON} {tmp_path}/count.py {tmp_path}/seen {{lr}}"
    assert "took longer than 2 s" in error_of(run(command(line, lr=1.0, timeout_s=2, metrics="{folder}/m.json")))
    assert (tmp_path / "seen").read_text() == "1"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.jsonl", '{"score": 1}\n{"sco', "line 2 is not JSON: Unterminated string starting at (column 2)"),
        ("m.json", '{"score"', "Expecting ':' delimiter"),
        ("m.csv", "epoch,score\n0,1.0\n1,abc\n", "the metrics hold no number: 'score' is 'abc'"),
        ("m.json", "[1]", "the metrics are not an object but list"),
    ],
)
def test_metrics_that_are_no_numbers_are_told_with_their_place(run, tmp_path, name, text, message):
    (tmp_path / "text").write_text(text)
    line = f"cp {tmp_path}/text {{folder}}/{name} --backup={{backup}}"
    assert message in error_of(run(command(line, backup="none", metrics=f"{{folder}}/{name}")))


def _runs(number: int) -> bool:
    try:
        return "zombie" not in Path(f"/proc/{number}/status").read_text()
    except OSError:
        return False


def test_ctrl_c_ends_the_command_and_the_study(tmp_path, script):
    (tmp_path / "slow.py").write_text(
        "from lab import Study, command\n"
        "base = command('sleep {seconds}', seconds=300, metrics='{folder}/metrics.json')\n"
        "study = Study(base, seeds=1, compare='score', higher_is_better=True)\n"
    )
    process = subprocess.Popen([PYTHON, "-m", "lab", "run", "slow.py", "--quiet"], cwd=tmp_path, start_new_session=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("runs/.store/*/output.txt")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(timeout=30) == 130


def test_a_folder_of_sources_counts_with_the_files_below_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf" / "inner").mkdir(parents=True)
    (tmp_path / "conf" / "inner" / "v.txt").write_text("1")
    (tmp_path / "conf" / "__pycache__").mkdir()

    def key() -> str:
        base = command(f"{PYTHON} -c 1 {{lr}}", lr=1.0, metrics="{folder}/m.json", sources=["conf"])
        study = Study(base, seeds=1, compare="score", higher_is_better=True)
        [arm] = study.resolve(load_catalog())
        return key_of(arm.experiment, 0, "", "cpu")

    before = key()
    (tmp_path / "conf" / "__pycache__" / "v.pyc").write_bytes(b"compiled")
    assert key() == before
    (tmp_path / "conf" / "inner" / "v.txt").write_text("2")
    assert key() != before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux, which tells the child")
@pytest.mark.parametrize("has_setpriv", [True, False])
def test_a_command_ends_when_lab_is_killed(tmp_path, has_setpriv):
    if has_setpriv and shutil.which("setpriv") is None:
        pytest.skip("setpriv (util-linux) is not installed")
    (tmp_path / "wait.py").write_text(
        "import os, sys, time\nopen(sys.argv[1] + '/pid', 'w').write(str(os.getpid()))\ntime.sleep(300)\n"
    )
    (tmp_path / "slow.py").write_text(
        "from lab import Study, command\n"
        f"base = command('{PYTHON} wait.py {{folder}} {{lr}}', lr=1.0, metrics='{{folder}}/metrics.json')\n"
        "study = Study(base, seeds=1, compare='score', higher_is_better=True)\n"
    )
    path = os.environ["PATH"] if has_setpriv else str(Path(PYTHON).parent)
    words = [PYTHON, "-m", "lab", "run", "slow.py", "--quiet"]
    process = subprocess.Popen(words, cwd=tmp_path, env={**os.environ, "PATH": path})
    deadline = time.monotonic() + 60
    while not any(f.read_text() for f in tmp_path.glob("runs/.store/*/pid")) and time.monotonic() < deadline:
        time.sleep(0.05)
    [noted] = tmp_path.glob("runs/.store/*/pid")
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while _runs(int(noted.read_text())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(int(noted.read_text()))


def test_workers_run_commands(run, script):
    found = run(training(script), seeds=2, executor=use("processes", workers=2, threads=1))
    assert [each.status for each in found.runs] == ["finished", "finished"]
    assert found.scores("base", "score") == run(training(script), seeds=2, fresh=True).scores("base", "score")


@pytest.mark.parametrize(
    ("printed", "pattern", "part"),
    [
        ("loss: 2e-05", r"loss: ([0-9.]+)", "'2' in"),
        ("loss: 0.25", r"loss.*([0-9.]+)", "'5' in"),
        ("loss: -0.25", r"loss: -([0-9.]+)", "'0.25' in"),
    ],
)
def test_a_pattern_that_finds_a_part_of_a_number_is_told(run, printed, pattern, part):
    [record] = run(command(f"{PYTHON} -c \"print('{printed}')\" {{lr}}", metrics={"score": pattern}, lr=0.1)).runs
    assert record.status == "failed"
    assert f"finds only a part of a number: {part}" in record.result["error"]


@pytest.mark.parametrize("printed", ["loss: 2e-05", "loss: -0.25", "loss: 0.5.", "loss=3, accuracy=4"])
def test_a_whole_number_is_found_however_it_is_written(run, printed):
    pattern = r"loss[:=] ?([-+0-9.e]*[0-9])"
    [record] = run(command(f"{PYTHON} -c \"print('{printed}')\" {{lr}}", metrics={"score": pattern}, lr=0.1)).runs
    assert record.status == "finished"


@pytest.mark.parametrize(
    ("template", "metrics", "message"),
    [
        ("python x.py {lr}", {"score": "score: ([0-9"}, "the pattern of 'score' is no regular expression"),
        ("python x.py {lr}", {"score": "(a)(b)"}, "the pattern of 'score' has 2 groups, and one is the number"),
        (["python", "x.py"], {"score": "(a)"}, "a command is one text, not list"),
    ],
)
def test_a_wrong_pattern_and_a_list_are_told_when_the_study_is_read(template, metrics, message):
    with pytest.raises(LabError) as caught:
        command(template, metrics=metrics, lr=0.1)
    assert message in str(caught.value)
