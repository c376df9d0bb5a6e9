"""Which GPUs a worker has, of a fake nvidia-smi on PATH: numbers, UUIDs, parts of one, and what CUDA_VISIBLE_DEVICES leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.host.gpus import gpus

A, B = "GPU-aa11bb22-0000-4000-8000-000000000001", "GPU-aa99cc33-0000-4000-8000-000000000002"
PART = "MIG-11111111-2222-5333-9444-55555555555{}"
CARDS = f"0, {A}, NVIDIA A100-SXM4-40GB, 40960, 550.54\n1, {B}, NVIDIA L4, 23034, 550.54\n"
WHOLE = f"GPU 0: NVIDIA A100-SXM4-40GB (UUID: {A})\nGPU 1: NVIDIA L4 (UUID: {B})\n"
CUT = (
    f"GPU 0: NVIDIA A100-SXM4-40GB (UUID: {A})\n"
    f"  MIG 3g.20gb     Device  0: (UUID: {PART.format(0)})\n"
    f"  MIG 1g.5gb      Device  1: (UUID: {PART.format(1)})\n"
    f"GPU 1: NVIDIA L4 (UUID: {B})\n"
)


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts an nvidia-smi on PATH that knows the two questions."""

    def put(listed: str = WHOLE, *, cards: str = CARDS, visible: str | None = None) -> None:
        program = tmp_path / "nvidia-smi"
        program.write_text(
            f"#!/bin/sh\nif [ \"$1\" = -L ]; then printf '%s' '{listed}'; else printf '%s' '{cards}'; fi\n"
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        if visible is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    return put


def found() -> list[tuple[str, int]]:
    return [(gpu.index, gpu.memory_mib) for gpu in gpus()]


def test_without_a_word_of_the_environment_every_card_is_there_by_its_number(smi):
    smi()
    assert found() == [("0", 40960), ("1", 23034)]
    assert [gpu.name for gpu in gpus()] == ["NVIDIA A100-SXM4-40GB", "NVIDIA L4"]


@pytest.mark.parametrize(
    ("visible", "indices"),
    [
        ("1", ["1"]),
        ("1,0", ["1", "0"]),  # in the order that is asked for
        (f"{B},{A}", [B, A]),
        ("GPU-aa9", ["GPU-aa9"]),  # the beginning of one alone
        ("GPU-aa", []),  # of two
        ("", []),
        ("-1", []),
        ("1,7,0", ["1"]),  # CUDA reads up to the first that names nothing
        ("0,0", ["0"]),
    ],
)
def test_cuda_visible_devices_leaves_what_it_leaves_to_cuda(smi, visible, indices):
    smi(visible=visible)
    assert [gpu.index for gpu in gpus()] == indices


def test_of_a_card_that_is_cut_its_parts_are_there_with_their_memory(smi):
    smi(CUT)
    assert found() == [(PART.format(0), 20480), (PART.format(1), 5120), ("1", 23034)]
    smi(CUT, visible=PART.format(1))
    assert found() == [(PART.format(1), 5120)]
    assert gpus()[0].name == "NVIDIA A100-SXM4-40GB MIG 1g.5gb"
    smi(CUT, visible="0")  # CUDA takes its first part
    assert found() == [(PART.format(0), 20480)]
    smi(CUT, visible=f"MIG-{A}/2/0")  # as older drivers name them
    assert found() == [(f"MIG-{A}/2/0", 5120)], "the least that it can be"


def test_a_program_that_fails_or_says_something_else_shows_none(smi):
    smi(cards="NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.\n")
    assert found() == []
