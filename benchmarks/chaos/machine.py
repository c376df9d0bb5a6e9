"""What a storm needs of the machine: a disk of its own that can be full, a clock that can be set, processes to find."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DISK_MIB = 4096


def processes_of(home: Path) -> dict[int, str]:
    """Living processes whose environment names this data folder, or whose command line does (the broker's)."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environ, command = (entry / "environ").read_bytes(), (entry / "cmdline").read_bytes()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z" and (f"SPIKEFRONT_HOME={home}\0".encode() in environ or f"{home}/".encode() in command):
            found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace")
    return found


def holders(runs: Path) -> dict[str, int]:
    """Run -> process that holds its folder now, which is its trainer: from the kernel's list of locks."""
    with open("/proc/locks") as file:
        lines = [line.split() for line in file]
    # "12: FLOCK ADVISORY WRITE 4711 00:2f:815 0 EOF"; one that waits has "->" in the second place
    by_file = {words[5].rpartition(":")[2]: int(words[4]) for words in lines if words[1] == "FLOCK"}
    found = {}
    for lock in runs.glob("*/.lock"):
        with suppress(OSError):
            pid = by_file.get(str(lock.stat().st_ino))
            if pid is not None and "trainer" in command_of(pid):
                found[lock.parent.name] = pid
    return found


def command_of(pid: int) -> str:
    """Its command line; empty once it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


class Disk:
    """A file system in memory. Its size can be cut to what is in use, and then it is as full as a disk gets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        found = os.statvfs(self.folder)
        used = (found.f_blocks - found.f_bfree) * found.f_frsize
        self._resize(f"{max(used, 4096) // 1024}k")

    def empty(self) -> None:
        self._resize(f"{DISK_MIB}m")

    def _resize(self, size: str) -> None:
        # What is written meanwhile makes the kernel refuse the smaller size: the next look knows better.
        subprocess.run(["mount", "-o", f"remount,size={size}", str(self.folder)], check=False, capture_output=True)


@contextmanager
def disk(folder: Path) -> Iterator[Disk | None]:
    """Mounted on `folder`; None where this user may not mount."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=700", "spikefront-chaos", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode != 0:
        yield None
        return
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


class Clock:
    """The wall clock of every process that is started with `environment`."""

    def __init__(self, library: Path, file: Path) -> None:
        self._file = file
        self.environment = {"LD_PRELOAD": str(library), "CHAOS_CLOCK": str(file)}
        self.set(0)

    def set(self, seconds: int) -> None:
        """Ahead of the true time, or behind it below zero."""
        beside = self._file.with_suffix(".new")
        beside.write_text(str(seconds))
        beside.replace(self._file)


def clock(folder: Path) -> Clock | None:
    """None where there is no C compiler, or its library cannot be loaded here."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    library, source = folder / "moved_clock.so", Path(__file__).with_name("moved_clock.c")
    made = subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", library, source], check=False, capture_output=True
    )
    return None if made.returncode else Clock(library, folder / "clock")
