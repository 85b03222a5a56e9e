"""Standard streams: robust against readers that leave, and kept clean while plugins and studies are imported."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.streams import _Robust, stdout_to_stderr


def test_a_reader_that_leaves_ends_the_printing_and_not_the_work():
    reader, writer = os.pipe()
    os.close(reader)
    try:
        stream = io.TextIOWrapper(io.BufferedWriter(_Robust(writer, "w", closefd=False)), "ascii", "replace")
        for _ in range(3):
            stream.write("± nobody reads this\n")
            stream.flush()
    finally:
        os.close(writer)


def test_a_full_disk_is_no_reader_that_left():
    with open("/dev/full", "wb") as full:
        stream = _Robust(full.fileno(), "w", closefd=False)
        with pytest.raises(OSError, match="No space left"):
            stream.write(b"an answer that is not to be lost")


def test_what_is_printed_in_the_block_goes_to_stderr_by_whatever_means(capfd):
    print("before")
    with stdout_to_stderr():
        print("by Python")
        sys.stdout.flush()
        os.write(1, b"by C\n")
    print("after")
    captured = capfd.readouterr()
    assert captured.out == "before\nafter\n"
    assert captured.err == "by Python\nby C\n"


def test_stdout_comes_back_after_an_error(capfd):
    with pytest.raises(ValueError, match="broken"), stdout_to_stderr():
        raise ValueError("broken")
    print("after")
    assert capfd.readouterr().out == "after\n"


CODE = """
from lab.streams import make_robust
make_robust()
import sys
print("Δ ± ✓ done")
print("to stderr: Δ", file=sys.stderr)
"""


def python(*, redirect: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = f'"{sys.executable}" -c "$CODE" {redirect}'
    environment = {**os.environ, "CODE": CODE, "PYTHONIOENCODING": "", **environment}
    return subprocess.run(["sh", "-c", command], capture_output=True, env=environment, check=False)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_signs_that_an_encoding_lacks_are_replaced(encoding):
    done = python(PYTHONIOENCODING=encoding)
    assert done.returncode == 0
    assert done.stdout == "Δ ± ✓ done\n".encode(encoding, "replace")


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="closes descriptors as a shell does")
@pytest.mark.parametrize("redirect", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_lead_nowhere(redirect):
    done = python(redirect=redirect)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
