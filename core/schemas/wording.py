"""What a validation found wrong, in the words of this project: what would be right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def expected(fault: Mapping[str, Any]) -> str:
    """What one entry of pydantic's `errors()` asks for; follows "it must be ..."."""
    limits = fault.get("ctx", {})
    match fault["type"]:
        case "missing":
            return "given"
        case "extra_forbidden":
            return "left out: there is no such field"
        case "greater_than":
            return f"above {_plain(limits['gt'])}"
        case "greater_than_equal":
            return f"at least {_plain(limits['ge'])}"
        case "less_than":
            return f"below {_plain(limits['lt'])}"
        case "less_than_equal":
            return f"at most {_plain(limits['le'])}"
        case "literal_error" | "enum":
            return f"one of {limits['expected']}"
        case "int_parsing" | "int_type" | "int_from_float" | "int_parsing_size":
            return "a whole number"
        case "float_parsing" | "float_type":
            return "a number"
        case "bool_type" | "bool_parsing":
            return "true or false"
        case _:
            return fault["msg"].removeprefix("Value error, ").removeprefix("Input should be ")


def _plain(limit: float) -> str:
    """A whole number with all its digits, others short."""
    return f"{limit:.0f}" if limit == int(limit) else f"{limit:g}"
