"""What a class may be called, and how many there may be: the same for sets that users add and for bundles from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence

MAX_LENGTH = 80
#: As many as ImageNet has. A confusion matrix grows with the square: at a thousand it is a page, at ten thousand a
#: gigabyte.
MAX_CLASSES = 1000
NAME_RULE = f"1 to {MAX_LENGTH} printable characters, without < and >"
NUMBER_RULE = f"at most {MAX_CLASSES}"
#: Words of Persian and of Indian languages are spelt with them. Between other letters, and at an end, they would be two
#: names that look alike.
_JOINED = re.compile("(?<=[^\x00-\x7f\u200c\u200d])[\u200c\u200d](?=[^\x00-\x7f\u200c\u200d])")


def is_class_name(name: str) -> bool:
    """Whether it can stand in every table, chart and page. A lone surrogate is not printable."""
    return 1 <= len(name) <= MAX_LENGTH and _JOINED.sub("", name).isprintable() and not set("<>") & set(name)


def unfit(names: Sequence[str]) -> str | None:
    """The first name that is none; None where all are."""
    return next((name for name in names if not is_class_name(name)), None)
