"""The command line as its users meet it: real processes and real signals where they matter."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import called
from forking import PIPE, Fork, Parent, loaded
from pydantic import ValidationError

from core.bundle import Bundle
from core.cli.commands.train import read_config
from core.errors import BadValue
from core.recipes.build import build_config
from core.recipes.catalog import RECIPES
from core.schemas.request import RunRequest
from core.schemas.results import EVENTS, Summary
from core.schemas.run import RunConfig
from core.schemas.wording import fault_of
from core.units import format_about

SMALL = {"train_limit": "60", "batch_size": "16", "max_epochs": "2", "time_steps": "2"}
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "SPIKEFRONT_HOME": "/nonexistent/spikefront"}
ENVIRONMENT["SPIKEFRONT_RECOUNT"] = "off"  # test_recount_run looks at it; here every process would load SpikingJelly


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "core.cli", *words]


def train_words(out: Path, **settings: str) -> list[str]:
    words = ["train", "--mask", "F9", "--dataset", "digits", "--recipe", "smoke", "--threads", "1", "--out", str(out)]
    for name, value in {**SMALL, **settings}.items():
        words += ["--set", f"{name}={value}"]
    return words


def fresh(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(list(words), capture_output=True, text=True, timeout=120, env=ENVIRONMENT, check=False)


@pytest.fixture(scope="module")
def engine() -> Iterator[Parent]:
    """A process that has the engine loaded, for those that train in a process of their own."""
    with loaded(
        "core.cli.commands.train", "core.cli.commands.trainer", "core.engine.experiment", "core.engine.warm"
    ) as one:
        yield one


def here(*words: str) -> subprocess.CompletedProcess:
    """In this process, which has the engine loaded."""
    return called(*words, **{name: ENVIRONMENT[name] for name in ("SPIKEFRONT_HOME", "SPIKEFRONT_RECOUNT")})


def events_of(text: str) -> list:
    return [EVENTS.validate_json(line) for line in text.splitlines()]


def same_numbers(one: Path, other: Path) -> bool:
    """Weights, outputs and metrics of two bundles, bit for bit; times apart."""
    a, b = Bundle(one), Bundle(other)
    metrics = [bundle.metrics().model_dump(exclude={"wall_s"}) for bundle in (a, b)]
    weights = [{name: value.tobytes() for name, value in bundle.weights().items()} for bundle in (a, b)]
    return (
        metrics[0] == metrics[1]
        and weights[0] == weights[1]
        and a.predictions().outputs.tobytes() == b.predictions().outputs.tobytes()
        and a.gradients() == b.gradients()
        and a.counts() == b.counts()
    )


LONG = {"train_limit": "400", "max_epochs": "4"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """An uninterrupted run, long enough to be hit in its middle."""
    out = tmp_path_factory.mktemp("cli") / "whole"
    done = here(*train_words(out, **LONG), "--events", "-")
    assert done.returncode == 0, done.stderr
    assert events_of(done.stdout)[-1].type == "finished"
    return out


def read_until(process: Fork, wanted) -> None:
    """Follow the event stream until `wanted(event)`."""
    for line in process.stdout:
        event = json.loads(line)
        assert event["type"] not in ("finished", "failed"), event
        if wanted(event):
            return
    raise AssertionError(process.stderr.read())


def test_sigterm_inside_an_epoch_leaves_a_checkpoint_that_resumes_to_the_same_bits(
    engine: Parent, whole: Path, tmp_path: Path
) -> None:
    words = [*train_words(tmp_path / "run", **LONG), "--events", "-"]
    with engine.start(*words, env=ENVIRONMENT) as process:
        read_until(process, lambda event: event["type"] == "progress" and event["phase"] == "training")
        process.send_signal(signal.SIGTERM)
        rest, said = process.communicate(timeout=60)
    assert process.returncode == 75
    assert "Stopped on request" in said and "Traceback" not in said
    assert '"failed"' not in rest and '"finished"' not in rest
    assert (tmp_path / "run" / "checkpoint").exists()

    again = here(*words)
    assert again.returncode == 0, again.stderr
    first = events_of(again.stdout)[0]
    assert first.resumed_step is not None and (first.resumed_epoch, first.resumed_step) > (1, 0)
    assert same_numbers(whole, tmp_path / "run")


def test_a_killed_run_resumes_from_its_last_checkpoint_to_the_same_bits(
    engine: Parent, whole: Path, tmp_path: Path
) -> None:
    words = [*train_words(tmp_path / "run", **LONG), "--events", "-"]
    with engine.start(*words, env=ENVIRONMENT) as process:
        # the end of an epoch is told before its checkpoint is written, so by now the first epoch's is there
        read_until(process, lambda event: event["type"] == "epoch" and event["epoch"] == 2)
        process.kill()
        process.communicate(timeout=60)
    again = here(*words)
    assert again.returncode == 0, again.stderr
    assert events_of(again.stdout)[0].resumed_epoch in (2, 3)
    assert same_numbers(whole, tmp_path / "run")


def test_a_run_killed_while_its_teacher_trains_goes_on_there_and_a_finished_teacher_can_be_given(
    engine: Parent, tmp_path: Path
) -> None:
    taught = {"distillation": "0.5", "train_limit": "300", "max_epochs": "3"}
    words = [*train_words(tmp_path / "cut", **taught), "--events", "-"]
    with engine.start(*words, env=ENVIRONMENT) as process:
        read_until(process, lambda event: event["type"] == "epoch" and event["epoch"] == 2)
        process.kill()
        process.communicate(timeout=60)
    assert not Bundle(tmp_path / "cut" / "teacher").complete
    again = here(*words)
    assert again.returncode == 0, again.stderr
    first = events_of(again.stdout)[0]
    assert (first.part, first.resumed_epoch) in (("teacher", 2), ("teacher", 3))

    given = here(*train_words(tmp_path / "given", **taught), "--teacher", str(tmp_path / "cut" / "teacher"))
    assert given.returncode == 0, given.stderr
    assert "twin" not in given.stderr  # nothing of it was trained
    assert same_numbers(tmp_path / "given", tmp_path / "cut")


def test_json_prints_the_summary_and_nothing_else(whole: Path) -> None:
    done = here(*train_words(whole, **LONG), "--json")
    assert done.returncode == 0
    assert Summary.model_validate_json(done.stdout) == Bundle(whole).summary()
    assert "accuracy" in done.stderr  # the same, for people


def test_a_finished_run_is_emitted_again(whole: Path) -> None:
    done = here(*train_words(whole, **LONG), "--events", "-")
    (event,) = events_of(done.stdout)
    assert event.summary == Bundle(whole).summary()


def test_a_bundles_config_file_repeats_its_run(whole: Path, tmp_path: Path) -> None:
    done = here("train", "--config", str(whole / "config.json"), "--threads", "1", "--out", str(tmp_path / "again"))
    assert done.returncode == 0, done.stderr
    assert same_numbers(whole, tmp_path / "again")
    both = here("train", "--config", str(whole / "config.json"), "--seed", "3", "--out", str(tmp_path / "x"))
    assert both.returncode == 1
    assert "--seed" in both.stderr


def test_the_bundle_commands_show_and_verify(whole: Path, tmp_path: Path) -> None:
    shown = here("bundle", "show", str(whole), "--json")
    assert json.loads(shown.stdout)["summary"] == Bundle(whole).summary().model_dump(mode="json")
    assert "parameters" in here("bundle", "show", str(whole)).stdout
    assert here("bundle", "verify", str(whole)).returncode == 0
    stops = json.loads(here("bundle", "steps", str(whole), "--at-most", "1000", "--within", "100", "--json").stdout)
    assert stops["best_at_most"] == max(stops["points"], key=lambda point: (point["accuracy"], -point["steps"]))
    assert stops["fewest_within"]["steps"] == 1 == stops["points"][0]["steps"]
    said = here("bundle", "steps", str(whole), "--at-most", "0.000001").stdout
    assert "best at no more than 1 pJ: none, it costs more after its first step" in said
    refused = here("bundle", "steps", str(whole), "--at-most", "0")
    assert refused.returncode == 1 and "--at-most is 0.0; it must be a number of uJ above 0" in refused.stderr
    bad = here("bundle", "verify", str(tmp_path), "--json")
    assert bad.returncode == 1
    assert json.loads(bad.stdout)["code"] == "bundle-corrupt"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--backbone", "sqeezenet"], 1, "Did you mean squeezenet"),
        (["--mask", "F1"], 1, "F1"),
        (["--set", "tau=0.5"], 1, "neuron.tau is '0.5'; it must be above 1."),
        (["--set", "tau"], 1, "FIELD=VALUE"),
        (["--set", "tau=2", "--set", "tau=3"], 1, "given once"),
        (["--config", "/nonexistent.json"], 1, "a readable file"),
        (["--device", "tpu"], 1, "one of auto, cpu, cuda"),
        (["--events", "file"], 1, "standard output"),
        (["--teacher", "/nonexistent"], 1, "this config learns from no teacher"),
        (["--device", "cpu", "--set", "precision=mixed"], 1, "mixed needs a GPU"),
        (["--kind", "rnn"], 2, "rnn"),
        (["--seed", "-1"], 2, "seed"),
        (["--nonsense"], 2, "nonsense"),
    ],
)
def test_a_mistake_is_one_clear_sentence(tmp_path: Path, words: list[str], code: int, said: str) -> None:
    done = here("train", "--out", str(tmp_path / "run"), *words)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""
    if code == 1:
        assert len(done.stderr.strip().splitlines()) == 1


def test_with_json_a_mistake_is_also_a_problem_as_json(tmp_path: Path) -> None:
    done = here("train", "--out", str(tmp_path), "--set", "lr=0", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout) == {
        "code": "bad-value",
        "message": "training.lr is '0'; it must be above 0.",
        "fields": {"field": "training.lr", "value": "0", "expected": "above 0"},
    }


def test_a_missing_data_set_is_a_failed_event(tmp_path: Path) -> None:
    done = here("train", "--dataset", "cifar10", "--data", str(tmp_path), "--out", str(tmp_path / "r"), "--events", "-")
    assert done.returncode == 1
    (event,) = events_of(done.stdout)
    assert (event.type, event.code) == ("failed", "dataset-missing")


def test_help_names_every_recipe_with_its_expected_time() -> None:
    said = " ".join(here("train", "--help").stdout.replace("│", " ").split())
    for recipe in RECIPES.values():
        assert f"{recipe.name} ({format_about(recipe.expected_minutes)})" in said


def test_help_and_light_commands_load_no_torch() -> None:
    every = (["--help"], ["train", "--help"], ["trainer", "--help"], ["bundle", "--help"], ["train", "--set", "x"])
    code = (
        "import sys; from core.cli.main import main\n"
        f"for words in {every!r}:\n"
        "    try: main(words)\n"
        "    except SystemExit: pass\n"
        "    heavy = {'torch', 'numba', 'celery', 'fastapi', 'streamlit', 'sklearn', 'pandas'} & set(sys.modules)\n"
        "    assert not heavy, (words, heavy)"
    )
    done = fresh(sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr


# The standby trainer


def request(out: Path, **settings: str) -> str:
    config = build_config(RunRequest(mask="F9", overrides={**SMALL, **settings}))
    line = {"config": config.model_dump(mode="json"), "out": str(out), "data": str(out.parent), "threads": 1}
    return json.dumps({**line, "device": "cpu"}) + "\n"


@pytest.fixture
def standby(engine: Parent) -> Iterator[Fork]:
    with engine.start("trainer", stdin=PIPE, env=ENVIRONMENT) as process:
        assert json.loads(process.stdout.readline()) == {"type": "ready"}
        yield process


def test_a_standby_trainer_trains_the_run_it_is_sent(standby: Fork, whole: Path, tmp_path: Path) -> None:
    standby.stdin.write(request(tmp_path / "run", **LONG))
    standby.stdin.flush()
    events = [EVENTS.validate_json(line) for line in standby.stdout]
    assert standby.wait(timeout=60) == 0
    assert [events[0].type, events[-1].type] == ["started", "finished"]
    assert same_numbers(whole, tmp_path / "run")


def test_a_trainer_whose_supervisor_dies_ends_at_once_and_saves_nothing(standby: Fork, tmp_path: Path) -> None:
    standby.stdin.write(request(tmp_path / "run", max_epochs="500"))
    standby.stdin.flush()
    read_until(standby, lambda event: event["type"] == "epoch" and event["epoch"] == 2)
    standby.stdin.close()
    assert standby.wait(timeout=5) == 3
    checkpoint = tmp_path / "run" / "checkpoint" / "last.safetensors"
    written = checkpoint.stat().st_mtime
    time.sleep(0.5)
    assert checkpoint.stat().st_mtime == written


def test_a_trainer_stopped_by_sigterm_keeps_a_checkpoint(standby: Fork, tmp_path: Path) -> None:
    standby.stdin.write(request(tmp_path / "run", max_epochs="500"))
    standby.stdin.flush()
    read_until(standby, lambda event: event["type"] == "started")
    standby.terminate()
    assert standby.wait(timeout=30) == 75
    assert (tmp_path / "run" / "checkpoint" / "last.safetensors").exists()


def test_a_trainer_that_is_offered_a_broken_teacher_trains_its_own(standby: Fork, tmp_path: Path) -> None:
    line = json.loads(request(tmp_path / "run", distillation="0.5", max_epochs="1"))
    standby.stdin.write(json.dumps({**line, "teacher": str(tmp_path / "gone")}) + "\n")
    standby.stdin.flush()
    events = [EVENTS.validate_json(said) for said in standby.stdout]
    assert standby.wait(timeout=60) == 0
    assert [event.part for event in events if event.type == "started"] == ["teacher", "run"]
    assert "the teacher is not used" in standby.stderr.read()


# The protocol alone, with a stand-in for the engine that is there at once


EARLY = """
import os, signal, sys
class Hook:
    def find_spec(self, name, path=None, target=None):
        if name == "{module}":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Hook())
sys.argv = ["spikefront", "up"]
from core.cli.__main__ import start
start()
"""


@pytest.mark.parametrize(
    "module", ["core.cli.main", "typer", "core.errors", "core.cli.commands.up", "core.launcher.supervise"]
)
def test_ctrl_c_while_a_command_is_loaded_ends_it_without_a_traceback(module: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", EARLY.format(module=module)],
        capture_output=True,
        env=ENVIRONMENT,
        timeout=30,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, b"", b"")


def test_ctrl_c_that_was_ignored_from_the_start_stays_ignored() -> None:
    code = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)" + EARLY.format(module="typer").replace(
        '"up"', '"--version"'
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, env=ENVIRONMENT, timeout=30, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.fixture
def protocol(engine: Parent) -> Iterator[Callable[..., Fork]]:
    """A function that starts `spikefront trainer` over an engine whose run() is the given source."""
    started = []

    def start(body: str = "pass") -> Fork:
        code = (
            "import sys, types\n"
            "from core.errors import NonFiniteLoss\n"
            "experiment, warm = types.ModuleType('experiment'), types.ModuleType('warm')\n"
            f"def run(config, *, emit, should_stop, **names): {body}\n"
            "experiment.run, warm.warm_up = run, lambda: None\n"
            "package = types.ModuleType('core.engine'); package.experiment = experiment; package.warm = warm\n"
            "sys.modules.update({'core.engine': package, 'core.engine.experiment': experiment,"
            " 'core.engine.warm': warm})\n"
            "from core.cli.main import main; main(['trainer'])"
        )
        process = engine.start(code=code, stdin=PIPE, env=ENVIRONMENT)
        started.append(process)
        assert json.loads(process.stdout.readline()) == {"type": "ready"}
        return process

    yield start
    for process in started:
        process.close()


def send(process: Fork, line: str) -> None:
    process.stdin.write(line)
    process.stdin.flush()


def test_a_trainer_lowers_its_priority_and_ends_when_asked_while_idle(protocol) -> None:
    idle = protocol()
    assert os.getpriority(os.PRIO_PROCESS, idle.pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 5)
    idle.terminate()
    assert idle.wait(timeout=20) == 0


def test_an_idle_trainer_ends_when_its_supervisor_is_gone(protocol) -> None:
    idle = protocol()
    idle.stdin.close()
    assert idle.wait(timeout=20) == 3


@pytest.mark.parametrize("line", ["rubbish\n", "{}\n", '{"config": {"mask": ["F9"], "time_steps": 0}}\n'])
def test_a_request_that_is_none_is_a_failed_event(protocol, line: str) -> None:
    process = protocol()
    send(process, line)
    event = EVENTS.validate_json(process.stdout.readline())
    assert (event.type, event.code) == ("failed", "bad-value")
    assert process.wait(timeout=20) == 1


def test_a_domain_error_is_a_failed_event_with_its_fields(protocol, tmp_path: Path) -> None:
    process = protocol("raise NonFiniteLoss(epoch=2, step=3, loss='nan', term='tet')")
    send(process, request(tmp_path))
    event = EVENTS.validate_json(process.stdout.readline())
    assert (event.code, event.fields) == ("non-finite-loss", {"epoch": 2, "step": 3, "loss": "nan", "term": "tet"})
    assert process.wait(timeout=20) == 1


def test_a_full_disk_is_a_failed_event_wherever_it_is_met(protocol, tmp_path: Path) -> None:
    process = protocol("raise OSError(28, 'No space left on device', '/secret/path')")
    send(process, request(tmp_path))
    event = EVENTS.validate_json(process.stdout.readline())
    assert (event.code, event.fields) == ("storage-full", {})
    assert process.wait(timeout=20) == 1


WAITS = "import time\n    while not should_stop(): time.sleep(0.02)\n    from core.errors import Interrupted\n"
STOPS = f"\n    {WAITS}    raise Interrupted(epoch=1, step=1)"


def test_a_later_attempt_ends_a_trainer_as_a_wish_to_stop_does(protocol, tmp_path: Path) -> None:
    process = protocol(STOPS)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".attempt").write_text("2")
    order = json.loads(request(tmp_path)) | {"out": str(tmp_path / "run"), "attempt": 2}
    send(process, json.dumps(order) + "\n")
    time.sleep(2.5)
    assert process.poll() is None, "its own attempt is not a later one"
    (tmp_path / "run" / ".attempt").write_text("3")
    assert process.wait(timeout=20) == 75


def test_a_trainer_that_hangs_when_a_later_attempt_comes_ends_all_the_same(protocol, tmp_path: Path) -> None:
    process = protocol(
        "\n    from core.cli.commands import trainer; trainer.YIELD_S = 0.5; import time; time.sleep(60)"
    )
    send(process, json.dumps(json.loads(request(tmp_path)) | {"out": str(tmp_path), "attempt": 1}) + "\n")
    time.sleep(1.5)
    (tmp_path / ".attempt").write_text("2")
    assert process.wait(timeout=20) == 3


def test_a_bug_is_a_failed_event_without_its_text(protocol, tmp_path: Path) -> None:
    process = protocol("raise KeyError('/secret/path')")
    send(process, request(tmp_path))
    event = EVENTS.validate_json(process.stdout.readline())
    assert (event.code, event.fields) == ("internal", {})
    assert "secret" not in event.message
    assert process.wait(timeout=20) == 1
    assert "KeyError" in process.stderr.read()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_config_file_may_begin_with_a_byte_order_mark(tmp_path, encoding):
    config = build_config(RunRequest(mask="F9", dataset="digits", seed=7))
    (tmp_path / "config.json").write_bytes(config.model_dump_json().encode(encoding))
    assert read_config(tmp_path / "config.json") == config


@pytest.mark.parametrize(
    ("content", "field", "expected"),
    [
        (b"{" + b"x" * 900_000, "--config", "JSON (key must be a string at line 1 column 2)"),
        (b"", "--config", "JSON (EOF while parsing a value at line 1 column 0)"),
        (b"[" * 100_000, "--config", "JSON (recursion limit exceeded at line 1 column 202)"),
        (b'{"backbone": "caf\xe9"}', "--config", "JSON in UTF-8 (byte 17 is not)"),
        (b" " * 3_000_000, "--config", "a config of at most 1,000,000 bytes, as a bundle's config.json is"),
        (b"[]", "config", "an object of names and values"),
        (b'{"surprise": "' + b"x" * 900_000 + b'"}', None, "left out: there is no such field"),
        (b'{"' + b"y" * 900_000 + b'": 1}', None, "left out: there is no such field"),
    ],
)
def test_a_config_file_that_cannot_be_used_is_never_repeated_whole(tmp_path, content, field, expected):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(BadValue) as caught:
        read_config(tmp_path / "config.json")
    error = caught.value
    if field is None:
        error = next(_every_fault(content))
    else:
        assert error.fields["field"] == field
    assert error.fields["expected"] == expected
    assert len(caught.value.message) < 1_000 and all(len(str(value)) < 1_000 for value in error.fields.values())


def _every_fault(content: bytes):
    """Faults beside those of what is missing, as translated."""
    with pytest.raises(ValidationError) as caught:
        RunConfig.model_validate_json(content)
    for fault in caught.value.errors():
        if fault["type"] != "missing":
            name, value, wanted = fault_of(fault)
            yield BadValue(field=name, value=value, expected=wanted)


def test_a_value_of_an_option_is_never_repeated_whole():
    for words in (["--set", f"training.lr={'9' * 5000}"], ["--mask", "F" * 100_000], ["--set", f"{'z' * 100_000}=1"]):
        done = here("train", "--dataset", "digits", "--out", "/nonexistent/out", *words, "--json")
        assert done.returncode == 1 and len(done.stderr) + len(done.stdout) < 10_000, done.stderr[
            :300
        ]  # every field has a name
        assert "Traceback" not in done.stderr
