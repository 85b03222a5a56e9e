"""Start-up: what commands that only look do not import."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "spacy", "pandas", "numpy", "scipy", "matplotlib", "rich", "pydantic", "importlib.metadata")
CODE = """
import sys
from lab.cli.main import main
sys.argv = ["lab", *{arguments!r}]
try:
    main()
except SystemExit as error:
    assert not error.code, error.code
print("heavy:", *(name for name in {heavy!r} if name in sys.modules))
"""


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["list", "losses"], ["plugins"], ["run", "--help"]])
def test_looking_imports_nothing_heavy(arguments):
    code = CODE.format(arguments=arguments, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == ["heavy:"]


def test_importing_lab_imports_neither_click_nor_torch():
    code = "import sys, lab; print([name for name in ('torch', 'click', 'attr') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_python_dash_m_lab_is_lab():
    done = subprocess.run([sys.executable, "-m", "lab", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("lab, version ")


def test_a_closed_pipe_is_no_error():
    done = subprocess.run(
        f"{sys.executable} -m lab list | head -1", shell=True, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("datasets: training data\n", "")


def test_an_error_is_told_without_traceback_unless_debugging(tmp_path):
    (tmp_path / "s.py").write_text("1 +\n")
    command = [sys.executable, "-m", "lab", "run", str(tmp_path / "s.py")]
    plain = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (plain.returncode, plain.stderr.splitlines()[0]) == (
        2,
        "lab: this study file has a syntax error: invalid syntax",
    )
    debug = subprocess.run([*command, "--debug"], capture_output=True, text=True, check=False)
    assert (debug.returncode, debug.stderr.splitlines()[0]) == (2, "Traceback (most recent call last):")
