"""Where the files of Tiny ImageNet lie: as its authors pack them, and re-arranged.

wnids.txt names the classes in order, words.txt what they mean; train/<wnid>/images/<wnid>_<n>.JPEG;
val/images/*.JPEG with val/val_annotations.txt.

Many copies have been re-arranged for programs that want class folders: val/<wnid>/*.JPEG or val/<wnid>/images/*.JPEG,
and train/<wnid>/*.JPEG; or val/*.JPEG beside the table. They hold the same images under the same names, so they are the
same set here.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePath, PurePosixPath

from core.datasets.parts import passed_over

LAYOUT = "tiny-imagenet-200"
TABLES = ("wnids.txt", "words.txt", "val/val_annotations.txt")
WNID = re.compile(r"n\d{8}")
END = ".JPEG"


def place(member: str) -> str | None:
    """Where a member of an archive belongs below the data set's folder; None for what is no part of the set."""
    parts = PurePosixPath(member).parts
    match parts:
        case (*_, "train", wnid, "images", file) | (*_, "train", wnid, file) if _is_image(wnid, file):
            return f"{LAYOUT}/train/{wnid}/images/{file}"
        case (*_, "val", wnid, "images", file) | (*_, "val", wnid, file) if _is_image(wnid, file):
            return f"{LAYOUT}/val/{wnid}/{file}"
        case (*_, "val", "images", file) | (*_, "val", file) if file.endswith(END):
            return f"{LAYOUT}/val/images/{file}"
        case (*_, "val", "val_annotations.txt"):
            return f"{LAYOUT}/{TABLES[2]}"
        case (*_, ("wnids.txt" | "words.txt") as table):
            return f"{LAYOUT}/{table}"
    return None


def _is_image(wnid: str, file: str) -> bool:
    return WNID.fullmatch(wnid) is not None and file.endswith(END)


def image_folders(home: Path) -> dict[str, Path]:
    """train/<wnid>/images -> folder of every class, and val/images, or val/<wnid> of every class where that is used."""
    found = {f"train/{wnid}/images": folder for wnid, folder in _class_folders(home / "train").items()}
    flat = home / "val" / "images"
    if not flat.is_dir() and images_in(home / "val"):
        flat = home / "val"
    inside = _class_folders(home / "val").items()
    classes = {f"val/{wnid}": folder for wnid, folder in inside if WNID.fullmatch(wnid)}
    if classes and not ((home / TABLES[2]).is_file() and flat.is_dir() and images_in(flat)):
        return found | classes
    return found | ({"val/images": flat} if flat.is_dir() else {})


def _class_folders(part: Path) -> dict[str, Path]:
    """wnid -> the folder that holds its images: its own, or `images` in it."""
    found = {}
    for folder in sorted(part.glob("*")):
        if passed_over(PurePath(folder.name)):
            continue
        if (folder / "images").is_dir():
            found[folder.name] = folder / "images"
        elif WNID.fullmatch(folder.name) and folder.is_dir():
            found[folder.name] = folder
    return found


def folders_of_test(files: dict[str, Path]) -> dict[str, Path]:
    """Of the reader's files, the class folders that hold the test images; none in the authors' own layout."""
    return {name: path for name, path in files.items() if name.startswith("val/n")}


def images_in(folder: Path) -> list[Path]:
    """Its image files by name, without what a system keeps beside them (._n01443537_0.JPEG)."""
    return [path for path in sorted(folder.glob(f"*{END}")) if not passed_over(PurePath(path.name))]
