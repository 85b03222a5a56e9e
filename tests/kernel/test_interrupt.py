"""Signals: each asks to save, a second Ctrl-C interrupts, children do not take part."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from lab.study.interrupt import ignore_signals, signals_held, stop_on_interrupt

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def _heard():
    """Also where whoever runs the tests ignores SIGHUP, as nohup does."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", SIGNALS)
def test_every_signal_asks_to_stop_and_handlers_come_back(number):
    before = [signal.getsignal(each) for each in SIGNALS]
    with stop_on_interrupt() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        assert stop.is_set()
    assert [signal.getsignal(each) for each in SIGNALS] == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_end_may_come_twice_and_still_only_asks_to_save(number):
    with stop_on_interrupt() as stop:
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        assert stop.is_set()


@pytest.mark.parametrize("first", SIGNALS)
def test_ctrl_c_after_a_request_to_stop_interrupts_at_once(first):
    def interrupted_twice():
        with stop_on_interrupt():
            os.kill(os.getpid(), first)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        interrupted_twice()


def test_a_hangup_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with stop_on_interrupt() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.is_set()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_outside_of_the_main_thread_no_signal_is_touched():
    seen = []

    def work():
        with stop_on_interrupt() as stop:
            seen.append(stop.is_set())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_terminated_and_is_not_interrupted():
    with stop_on_interrupt():
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGINT):
            os.kill(child, number)
            time.sleep(0.02)
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
        os.kill(child, signal.SIGTERM)
        _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGTERM


def test_a_process_started_while_signals_are_held_hears_none_before_it_ignores_them():
    code = "import time; from lab.study.interrupt import ignore_signals; time.sleep(0.2); ignore_signals(); print('on')"
    with signals_held():
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    for number in SIGNALS:
        child.send_signal(number)
    assert child.communicate()[0] == "on\n"
    assert child.returncode == 0


def test_a_worker_ignores_what_its_process_group_gets():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        ignore_signals()
        for number in SIGNALS:
            os.kill(os.getpid(), number)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


ENDING = """
import os, signal, sys, time
from lab.study.interrupt import end_on_signals
done = end_on_signals()
caught = 0
for number in [signal.{name}] * {times}:
    try:
        os.kill(os.getpid(), number)
    except KeyboardInterrupt:
        caught += 1
        if caught == 2 and {is_done}:
            done()
print(caught)
"""


@pytest.mark.parametrize(
    ("times", "is_done", "code", "out"), [(2, False, 0, "2\n"), (3, False, 130, ""), (9, True, 130, "")]
)
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_third_signal_ends_the_process_without_a_word(name, times, is_done, code, out):
    source = ENDING.format(name=name, times=times, is_done=is_done)
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, out, "")


def test_an_interrupt_that_a_library_turns_into_another_error_is_an_interrupt(lab, tmp_path, monkeypatch):
    """As Python does with one that is raised while a class is created."""
    (tmp_path / "interrupted.py").write_text(
        "import os, signal\n\n\nclass Field:\n    def __set_name__(self, owner, name):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n\n\nclass Owner:\n    field = Field()\n"
    )
    outcome = lab("run", "interrupted.py")
    assert outcome.code == 130
    assert "Error calling" not in outcome.err


LOST = """
import os, signal, sys, time, weakref
from lab.study.interrupt import end_on_signals
end_on_signals()
class Thing: pass
thing = Thing()
reference = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.{name}))
try:
    del thing
    time.sleep(20)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_during_a_callback_that_python_guards_is_not_lost(name):
    """Python prints and ignores what such a callback raises."""
    source = LOST.format(name=name)
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False, timeout=15)
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted\n", "")
