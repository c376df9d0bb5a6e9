"""The child process that runs networks: started on demand, ended when it hangs, dies or is not needed.

The children here speak the protocol and know no networks, so that starting one takes no torch.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backend.inference import InferProcess
from core.errors import BadValue, BundleCorrupt, DatasetMissing, ImpossibleMask, InferenceFailed, UnknownName
from core.schemas.inference import InferRequest

ANSWER = (
    '{"type": "inferred", "image": "", "passes": [], "picture": {"width": 1, "height": 1, "crop": [0, 0, 1, 1], '
    '"preview": "%s"}}'
)
BEGIN = "import os, sys, time, json\nprint(json.dumps({'type': 'ready'}), flush=True)\n"
#: What a child does with each line; `picture` is what the request carried.
KINDS = {
    "answers": f"print({ANSWER!r} % os.getpid(), flush=True)",
    "hangs": "time.sleep(600)",
    "dies": "os._exit(9)",
    "babbles": "print('hello', flush=True)",
    "refuses": "print(json.dumps({'type': 'failed', 'code': 'bad-value', 'message': 'no', 'fields': "
    "{'field': 'picture', 'value': 'x', 'expected': 'another'}}), flush=True)",
    "breaks": "print(json.dumps({'type': 'failed', 'code': 'internal', 'message': 'It broke.'}), flush=True)",
}
REQUEST = InferRequest(folders=(Path("/nowhere"),), data=Path("/nowhere"), picture="")


@pytest.fixture
def child() -> Iterator[Callable[..., InferProcess]]:
    made: list[InferProcess] = []

    def make(kind: str, **limits: float) -> InferProcess:
        code = BEGIN + f"for line in sys.stdin:\n    {KINDS[kind]}\n"
        made.append(InferProcess(argv=(sys.executable, "-c", code), **limits))
        return made[-1]

    yield make
    for process in made:
        process.close()


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def until(condition: Callable[[], bool], *, timeout_s: float = 20.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_nothing_is_started_before_the_first_request_and_one_child_answers_all(child):
    process = child("answers")
    assert process.pid is None
    first = process.ask(REQUEST)
    assert process.ask(REQUEST) == first  # the answer holds the child's id
    assert process.pid == int(first.picture.preview)


def test_many_at_once_are_answered_one_after_another_by_one_child(child):
    process = child("answers")
    seen: list[str] = []
    threads = [threading.Thread(target=lambda: seen.append(process.ask(REQUEST).picture.preview)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8 and len(set(seen)) == 1


def test_a_killed_child_is_replaced_at_the_next_request(child):
    process = child("answers")
    process.ask(REQUEST)
    before = process.pid
    os.kill(before, signal.SIGKILL)
    until(lambda: process.pid is None)
    process.ask(REQUEST)
    assert process.pid not in (None, before)


def test_a_request_that_takes_too_long_ends_the_child_and_says_so(child):
    process = child("hangs", answer_s=0.5)
    with pytest.raises(InferenceFailed, match="longer than 0.5 s"):
        process.ask(REQUEST)
    assert process.pid is None


def test_a_child_that_reads_nothing_cannot_hold_a_large_request(child):
    process = child("hangs", answer_s=1.0)
    with pytest.raises(InferenceFailed, match="longer than 1 s"):
        process.ask(REQUEST.model_copy(update={"picture": "x" * 7_000_000}))


def test_a_child_that_dies_over_a_request_is_said_to_have_ended(child):
    with pytest.raises(InferenceFailed, match="ended"):
        child("dies").ask(REQUEST)


def test_an_unreadable_answer_ends_the_child_since_the_next_one_might_be_stale(child):
    process = child("babbles")
    with pytest.raises(InferenceFailed, match="no readable answer"):
        process.ask(REQUEST)
    assert process.pid is None


def test_a_child_that_is_never_ready_is_given_up():
    process = InferProcess(argv=(sys.executable, "-c", "import time; time.sleep(600)"), start_s=0.5)
    with pytest.raises(InferenceFailed, match="longer than 0.5 s"):
        process.ask(REQUEST)
    assert process.pid is None


def test_what_the_asker_can_mend_is_the_childs_own_error_and_the_child_stays(child):
    process = child("refuses")
    with pytest.raises(BadValue) as caught:
        process.ask(REQUEST)
    assert caught.value.fields == {"field": "picture", "value": "x", "expected": "another"}
    assert process.pid is not None
    with pytest.raises(InferenceFailed, match="It broke."):
        child("breaks").ask(REQUEST)


@pytest.mark.parametrize(
    "error",
    [
        DatasetMissing(name="pets", folder="/data", how="Add it."),
        UnknownName(kind="backbone", name="old", known=["squeezenet"]),
        ImpossibleMask(mask=["F2"], why="it is.", trace=["a", "b"]),
        BundleCorrupt(file="weights.safetensors", why="no."),
    ],
    ids=lambda error: error.code,
)
def test_what_will_never_work_is_not_called_a_passing_failure(child, monkeypatch, error):
    refusal = {"type": "failed", "code": error.code, "message": error.message, "fields": error.fields}
    monkeypatch.setitem(KINDS, "told", f"print(json.dumps({refusal!r}), flush=True)")
    with pytest.raises(type(error)) as caught:
        child("told").ask(REQUEST)
    assert (caught.value.message, caught.value.fields) == (error.message, error.fields)


def test_an_idle_child_is_ended_and_one_that_was_asked_lately_is_not(child):
    process = child("answers", idle_s=3600)
    pid = int(process.ask(REQUEST).picture.preview)
    process._end_if_idle()  # a clock that was set before the last request
    assert process.pid == pid
    process._asked -= 3600
    process._end_if_idle()
    assert process.pid is None and gone(pid)


def test_the_clock_of_an_idle_child_runs_by_itself(child):
    process = child("answers", idle_s=0.2)
    pid = int(process.ask(REQUEST).picture.preview)
    until(lambda: process.pid is None and gone(pid))


def test_closing_ends_the_child_also_in_the_middle_of_an_answer(child):
    process = child("hangs")
    failures: list[InferenceFailed] = []

    def ask() -> None:
        try:
            process.ask(REQUEST)
        except InferenceFailed as error:
            failures.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: process.pid is not None)
    pid = process.pid
    process.close()
    asking.join(timeout=10)
    assert len(failures) == 1 and gone(pid)
    with pytest.raises(InferenceFailed, match="stopping"):
        process.ask(REQUEST)


def test_the_child_ends_by_itself_when_the_api_is_killed():
    """`core.cli infer` ends with its input (tests/core/test_infer.py); here, that nobody else holds the pipe."""
    child = BEGIN + f"for line in sys.stdin:\n    {KINDS['answers']}\n"
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom backend.inference import InferProcess\n"
        "from core.schemas.inference import InferRequest\n"
        f"process = InferProcess(argv=(sys.executable, '-c', {child!r}))\n"
        "process.ask(InferRequest(folders=(Path('/nowhere'),), data=Path('/'), picture=''))\n"
        "print(process.pid, flush=True)\ntime.sleep(600)\n"
    )
    api = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        pid = int(api.stdout.readline())
        assert not gone(pid)
    finally:
        api.kill()
        api.wait()
        api.stdout.close()
    until(lambda: gone(pid))


def test_the_child_gets_no_address_of_database_broker_or_artifacts(child, monkeypatch):
    for name in ("SPIKEFRONT_BROKER_URL", "SPIKEFRONT_DATABASE_URL", "SPIKEFRONT_ARTIFACTS_URL"):
        monkeypatch.setenv(name, "redis://:secret@host/0")
    monkeypatch.setenv("SPIKEFRONT_HOME", "/somewhere")
    said = KINDS["answers"].replace("os.getpid()", "sorted(n for n in os.environ if n.startswith('SPIKEFRONT'))")
    process = InferProcess(argv=(sys.executable, "-c", BEGIN + f"for line in sys.stdin:\n    {said}\n"))
    try:
        assert process.ask(REQUEST).picture.preview == "['SPIKEFRONT_HOME']"
    finally:
        process.close()
