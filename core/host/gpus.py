"""The GPUs that `nvidia-smi` lists and CUDA_VISIBLE_DEVICES leaves: by number, by UUID, and parts of one (MIG)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, replace

from core.host.machine import Gpu

LIMIT_S = 20
QUERY = ["--query-gpu=index,uuid,name,memory.total,driver_version", "--format=csv,noheader,nounits"]
_CARD = re.compile(r"GPU (\d+): .*\(UUID: (GPU-[0-9a-fA-F-]+)\)")
_PART = re.compile(r"\s+MIG (\S+)\s+Device\s+\d+: \(UUID: (MIG-\S+?)\)")
_GB = re.compile(r"\.(\d+)gb", re.IGNORECASE)  # in the name of a profile: 1g.10gb


@dataclass(frozen=True, kw_only=True)
class _Card:
    gpu: Gpu
    uuid: str
    parts: tuple[Gpu, ...] = ()


def gpus() -> list[Gpu]:
    """In the order in which CUDA numbers them for a program; empty without `nvidia-smi`.

    A number in CUDA_VISIBLE_DEVICES is nvidia-smi's, which is CUDA's under CUDA_DEVICE_ORDER=PCI_BUS_ID: trainers get
    that. As CUDA does, the list is read up to the first entry that names nothing. Of a card that is cut into parts CUDA sees
    its parts alone, by their UUIDs.
    """
    cards = _cards()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [gpu for card in cards for gpu in card.parts or (card.gpu,)]
    found: list[Gpu] = []
    for entry in (part.strip() for part in visible.split(",")):
        gpu = _named(entry, cards)
        if gpu is None or gpu.index in [one.index for one in found]:
            break
        found.append(gpu)
    return found


def _named(entry: str, cards: list[_Card]) -> Gpu | None:
    """The one that an entry means: a number, or a UUID or its beginning, where that is of one alone."""
    if entry.isdecimal():
        card = next((card for card in cards if card.gpu.index == str(int(entry))), None)
        return None if card is None else next(iter(card.parts), card.gpu)
    if entry.startswith("MIG-GPU-"):  # of drivers before 470: MIG-<the card's UUID>/<instance>/<instance>
        card = next((card for card in cards if entry[4:].partition("/")[0] == card.uuid), None)
        return None if card is None else replace(card.gpu, index=entry, memory_mib=_least(card))
    if not entry.startswith(("GPU-", "MIG-")):
        return None
    named = [(card.uuid, card.gpu) for card in cards] + [(part.index, part) for card in cards for part in card.parts]
    fitting = [gpu for uuid, gpu in named if uuid.startswith(entry)]
    return replace(fitting[0], index=entry) if len(fitting) == 1 else None


def _least(card: _Card) -> int:
    return min((part.memory_mib for part in card.parts), default=card.gpu.memory_mib)


def _cards() -> list[_Card]:
    found = []
    for line in _ask(*QUERY).splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 5 and parts[3].isdigit():
            gpu = Gpu(index=parts[0], name=parts[2], memory_mib=int(parts[3]), driver=parts[4])
            found.append(_Card(gpu=gpu, uuid=parts[1]))
    listed = _ask("-L") if found else ""
    return [replace(card, parts=tuple(_parts(card, listed))) for card in found]


def _parts(card: _Card, listed: str) -> list[Gpu]:
    """Of what `nvidia-smi -L` says, the lines below the card's own."""
    found, at = [], ""
    for line in listed.splitlines():
        if (head := _CARD.match(line)) is not None:
            at = head[2]
        elif at == card.uuid and (part := _PART.match(line)) is not None:
            size = _GB.search(part[1])
            memory = int(size[1]) * 1024 if size else card.gpu.memory_mib
            found.append(replace(card.gpu, index=part[2], name=f"{card.gpu.name} MIG {part[1]}", memory_mib=memory))
    return found


def _ask(*args: str) -> str:
    """What nvidia-smi says; nothing where it is not there or fails."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    try:
        return subprocess.run([program, *args], capture_output=True, text=True, timeout=LIMIT_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
