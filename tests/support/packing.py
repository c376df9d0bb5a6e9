"""Archives as each system's own packer writes them, from names and contents."""

import io
import tarfile
import unicodedata
import zipfile

APPLE_DOUBLE = b"\0\5\x16\7" + bytes(60)


def zip_of(*members: tuple[bytes, bytes], utf8: bool | list[bool] = False, extra: bytes = b"") -> bytes:
    """A zip whose names are exactly these bytes, with or without the flag that says UTF-8 (for each, if a list)."""
    flags = utf8 if isinstance(utf8, list) else [utf8] * len(members)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        for number, (name, content) in enumerate(members):
            stand_in = zipfile.ZipInfo(f"{number:06}".rjust(len(name), "x")[-len(name) :])
            stand_in.extra = extra
            zipped.writestr(stand_in, content)
    archive = bytearray(buffer.getvalue())
    with zipfile.ZipFile(io.BytesIO(archive)) as zipped:
        local = [member.header_offset for member in zipped.infolist()]
        central = zipped.start_dir
    for start, (name, _), flag in zip(local, members, flags, strict=True):
        for at, flags_at, name_at in ((start, 6, 30), (central, 8, 46)):
            archive[at + name_at : at + name_at + len(name)] = name
            archive[at + flags_at + 1] = archive[at + flags_at + 1] & ~8 | 8 * flag
        central += 46 + sum(
            int.from_bytes(archive[central + field : central + field + 2], "little") for field in (28, 30, 32)
        )
    return bytes(archive)


def tar_of(*members: tuple[str, bytes], kind: int = tarfile.GNU_FORMAT) -> bytes:
    """A plain tar; a name that ends with a stroke is a folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as tar:
        for name, content in members:
            member = tarfile.TarInfo(name.rstrip("/"))
            member.type, member.size = (tarfile.DIRTYPE, 0) if name.endswith("/") else (tarfile.REGTYPE, len(content))
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def folders_of(files: dict[str, bytes]) -> list[str]:
    """Every folder of these paths, each with a stroke at its end."""
    return sorted(
        {"/".join(path.split("/")[:depth]) + "/" for path in files for depth in range(1, path.count("/") + 1)}
    )


def with_companions(files: dict[str, bytes]) -> dict[str, bytes]:
    """What macOS keeps beside each file on a disk that is not its own, in its own spelling of accents."""
    spelt = {unicodedata.normalize("NFD", path): content for path, content in files.items()}
    beside = {}
    for path in spelt:
        folder, _, name = path.rpartition("/")
        beside[f"{folder}/._{name}".lstrip("/")] = APPLE_DOUBLE
        beside[f"{folder}/.DS_Store".lstrip("/")] = b"Bud1"
    return spelt | beside


def zip_of_linux(files: dict[str, bytes]) -> bytes:
    names = [*folders_of(files), *files]
    members = [(name.encode(), files.get(name, b"")) for name in names]
    return zip_of(*members, utf8=[not name.isascii() for name in names])


def zip_of_macos(files: dict[str, bytes]) -> bytes:
    """UTF-8 without the flag, decomposed, and a folder of companions."""
    spelt = {unicodedata.normalize("NFD", path): content for path, content in files.items()}
    beside = {}
    for path in spelt:
        folder, _, name = path.rpartition("/")
        beside[f"__MACOSX/{folder}/._{name}".replace("//", "/")] = APPLE_DOUBLE
    every = spelt | {".DS_Store": b"Bud1"} | beside
    return zip_of(*((name.encode(), every.get(name, b"")) for name in [*folders_of(every), *every]))


def zip_of_windows(files: dict[str, bytes]) -> bytes:
    """Back slashes; the code page where it has the letters, else UTF-8 with the flag."""
    members, flags = [], []
    for path, content in {**files, "Thumbs.db": b"x", "desktop.ini": b"x"}.items():
        name = path.replace("/", "\\")
        try:
            members.append((name.encode("cp437"), content))
            flags.append(False)
        except UnicodeEncodeError:
            members.append((name.encode(), content))
            flags.append(True)
    return zip_of(*members, utf8=flags)
