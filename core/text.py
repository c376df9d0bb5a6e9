"""Text that people write with editors of their own: in UTF-8, with or without a byte order mark, or in UTF-16 with one."""

from __future__ import annotations

import codecs


def text_of(content: bytes) -> str:
    """The text without its mark. Raises UnicodeDecodeError for bytes that are none."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # as Windows' "Unicode" and its shell write it
        return content.decode("utf-16")
    return content.decode("utf-8-sig")
