"""What a validation found wrong, in the words of this project: which field, its value, and what would be right."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from core.schemas.conflicts import CONFLICT

#: How our own validators name a field that the place of the fault does not: "training.lr must be above 0".
_NAMED = re.compile(r"([\w.]+) must be (.+)", re.DOTALL)

#: What an entry's type asks for, where nothing beside it matters. Follows "it must be ...".
WANTED = {
    "missing": "given",
    "extra_forbidden": "left out: there is no such field",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "none_required": "null",
    "string_type": "text",
    "string_unicode": "text in UTF-8",
    "string_not_ascii": "text in ASCII",
    "bytes_type": "text",
    "json_type": "JSON",
    "dict_type": "an object of names and values",
    "mapping_type": "an object of names and values",
    "model_type": "an object of names and values",
    "model_attributes_type": "an object of names and values",
    "dataclass_type": "an object of names and values",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "iterable_type": "a list",
    "invalid_key": "named by text",
    "date_type": "a date",
    "datetime_type": "a date with a time",
    "timezone_aware": "a time with its zone",
    "timezone_naive": "a time without a zone",
    "recursion_loop": "an object that does not hold itself",
    "recursion_depth_exceeded": "less deep",
    "union_tag_not_found": "an object that names its type",
}


def fault_of(fault: Mapping[str, Any]) -> tuple[str, Any, str]:
    """Of one entry of pydantic's `errors()`: the dotted name of the field ("" for the whole), its value, what is wanted.

    The value is None where it would tell nothing: what is missing, an object, a text that is not even JSON.
    """
    if fault["type"] == CONFLICT:
        return tuple(fault["ctx"][name] for name in ("field", "value", "expected"))
    path, value, wanted = [str(part) for part in fault["loc"]], fault.get("input"), expected(fault)
    named = _NAMED.fullmatch(_own_words(fault)) if fault["type"] == "value_error" else None
    if named:
        for part in named[1].split("."):
            path.append(part)
            value = value.get(part) if isinstance(value, Mapping) else None
    if fault["type"] in ("missing", "json_invalid", "json_type") or isinstance(value, Mapping):
        value = None
    return ".".join(path), value, wanted


def expected(fault: Mapping[str, Any]) -> str:
    """What one entry of pydantic's `errors()` asks for; follows "it must be ..."."""
    kind, limits = fault["type"], fault.get("ctx", {})
    if kind in WANTED:
        return WANTED[kind]
    match kind:
        case "value_error" | "assertion_error":
            named = _NAMED.fullmatch(_own_words(fault))
            return named[2] if named else _own_words(fault)
        case "greater_than":
            return f"above {_plain(limits['gt'])}"
        case "greater_than_equal":
            return f"at least {_plain(limits['ge'])}"
        case "less_than":
            return f"below {_plain(limits['lt'])}"
        case "less_than_equal":
            return f"at most {_plain(limits['le'])}"
        case "multiple_of":
            return f"a multiple of {_plain(limits['multiple_of'])}"
        case "literal_error" | "enum":
            return f"one of {limits['expected']}"
        case "conflict":
            return str(limits["expected"])
        case "stage":
            return fault["msg"]
        case "union_tag_invalid":
            return f"of a type that is one of {limits['expected_tags']}"
        case "string_pattern_mismatch" if limits["pattern"] == "^[0-9a-f]{64}$":
            return "the SHA-256 of a finished run's weights: 64 hexadecimal digits"
        case "string_pattern_mismatch":
            return f"text of the form {limits['pattern']}"
        case "string_too_short" | "bytes_too_short":
            return f"text of at least {_counted(limits['min_length'], 'character')}"
        case "string_too_long" | "bytes_too_long" | "url_too_long":
            return f"text of at most {_counted(limits['max_length'], 'character')}"
        case "too_short":
            return f"a list of at least {_counted(limits['min_length'], 'entry')}"
        case "too_long":
            return f"a list of at most {_counted(limits['max_length'], 'entry')}"
        case "json_invalid":
            return f"JSON ({limits['error']})"
        case _:
            return _of_a_kind(fault["msg"])


def _own_words(fault: Mapping[str, Any]) -> str:
    """What a validator of ours said."""
    return fault["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")


def _of_a_kind(message: str) -> str:
    """The kind of value that a message of pydantic's own names, without its sentence: `a valid UUID`."""
    found = re.match(r"Input should (?:be )?((?:an?|the|in) [^,]+)", message)
    return found[1] if found else "another value"


def _counted(n: int, what: str) -> str:
    return f"{n} {what if n == 1 else {'entry': 'entries'}.get(what, what + 's')}"


def _plain(limit: float) -> str:
    """A whole number with all its digits, others short."""
    return f"{limit:.0f}" if limit == int(limit) else f"{limit:g}"
