"""A table that a user brings, as CSV: read with care, its energies recomputed.

Numbers are taken digit by digit as written, since the last digit says how far a figure is rounded.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from core.errors import BadValue
from core.paper.rounding import NEEDS_TRAINING, Printed, Row, audit, energy
from core.schemas.audit import Audit, AuditFinding

MAX_BYTES = 1_000_000
MAX_ROWS = 5_000
LARGEST = Fraction(10**18)  # more than any network does or costs, in operations as in mJ
#: Digits with at most one point and a small exponent: no sign but plus, no separators, no words such as NaN.
NUMBER = re.compile(r"\+?(\d{1,20}(\.\d{0,20})?|\.\d{1,20})([eE][+-]?\d{1,2})?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Column:
    """What a heading stands for: a quantity and the worth of its unit."""

    quantity: str
    factor: Fraction


def _columns() -> dict[str, Column]:
    named = {}
    for quantity in ("ac", "mac", "params"):
        for suffix, factor in (("", 1), ("_k", 10**3), ("_m", 10**6)):
            named[quantity + suffix] = Column(quantity=quantity, factor=Fraction(factor))
    for suffix, parts in (("mj", 1), ("uj", 10**3), ("nj", 10**6)):
        named[f"energy_{suffix}"] = Column(quantity="energy", factor=Fraction(1, parts))
    named["accuracy"] = Column(quantity="accuracy", factor=Fraction(1))
    named["accuracy_pct"] = Column(quantity="accuracy", factor=Fraction(1, 100))
    return named


COLUMNS = _columns()
REQUIRED = {"model": "model", "ac": "ac", "mac": "mac", "energy": "energy_mj"}  # quantity -> its usual heading
KNOWN = ", ".join(["model", *COLUMNS])


def table_audit(path: Path) -> Audit:
    """The findings of a CSV file. Raises BadValue, naming line and column, for whatever cannot be used."""
    return audit(path.name, _findings(_text(_content(path), "--csv"), path.name))


def content_audit(content: bytes, name: str) -> Audit:
    """The same for a file's content that lies in memory; `name` is the table's in the findings."""
    if len(content) > MAX_BYTES:
        raise BadValue(field=name, value=f"{len(content):,} bytes", expected=f"a table of at most {MAX_BYTES:,} bytes")
    return audit(name, _findings(_text(content, name), name))


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadValue(field="--csv", value=str(path), expected=f"a readable file ({error.strerror})") from None
    if len(content) > MAX_BYTES:
        raise BadValue(field="--csv", value=str(path), expected=f"a file of at most {MAX_BYTES:,} bytes")
    return content


def _text(content: bytes, field: str) -> str:
    try:
        return content.decode("utf-8-sig")  # spreadsheets put a byte order mark first
    except UnicodeDecodeError as error:
        shown = content[:20].decode("utf-8", "replace")
        raise BadValue(field=field, value=shown, expected=f"UTF-8 text (byte {error.start} is not)") from None


def _findings(text: str, name: str) -> Iterator[AuditFinding]:
    rows = list(_rows(text, name))  # all of them, so that a table that is too long costs no figure
    headings: list[str] | None = None
    for where, line, cells in rows:
        if headings is None:
            headings = _headings(cells, where)
            continue
        if len(cells) != len(headings):
            raise BadValue(
                field=where,
                value=",".join(cells)[:80],
                expected=f"{len(headings)} values, as the header has, not {len(cells)}",
            )
        yield from _row(dict(zip(headings, cells, strict=True)), where, row_id=f"line {line}", table=name)
    if len(rows) < 2:
        expected = (
            f"a header such as {','.join(REQUIRED.values())}" if headings is None else "followed by a row or more"
        )
        raise BadValue(field=name, value="an empty file" if headings is None else "a header alone", expected=expected)


def _rows(text: str, name: str) -> Iterator[tuple[str, int, list[str]]]:
    """The header and each row that is not empty: how an error names it, its line and its cells."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    rows = -1  # the header is none
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise BadValue(
                field=f"{name}, line {reader.line_num}", value=str(error), expected="comma-separated values"
            ) from None
        if cells is None:
            return
        cells = [cell.strip() for cell in cells]
        if not any(cells):
            continue
        rows += 1
        where = f"{name}, line {reader.line_num}"
        if rows > MAX_ROWS:
            raise BadValue(field=where, value=f"row {rows:,}", expected=f"within the first {MAX_ROWS:,} rows")
        yield where, reader.line_num, cells


def _headings(cells: list[str], where: str) -> list[str]:
    """Known headings, each quantity once and none of the required ones missing; case does not matter."""
    for separator, word in ((";", "semicolons"), ("\t", "tabs")):
        if any(separator in cell for cell in cells):
            expected = f"separated by commas, not {word}, with a point in decimals"
            raise BadValue(field=f"{where}, header", value=",".join(cells)[:80], expected=expected)
    names = [cell.lower() for cell in cells]
    quantities: dict[str, str] = {}
    for name, cell in zip(names, cells, strict=True):
        if name != "model" and name not in COLUMNS:
            raise BadValue(field=f"{where}, header", value=cell[:80], expected=f"one of {KNOWN}")
        quantity = "model" if name == "model" else COLUMNS[name].quantity
        if quantity in quantities:
            raise BadValue(field=f"{where}, header", value=cell, expected=f"left out beside {quantities[quantity]}")
        quantities[quantity] = name
    for quantity, usual in REQUIRED.items():
        if quantity not in quantities:
            choices = [usual] if quantity == "model" else [n for n, c in COLUMNS.items() if c.quantity == quantity]
            raise BadValue(
                field=f"{where}, header", value=",".join(cells)[:80], expected=f"with a column {' or '.join(choices)}"
            )
    return names


def _row(cells: dict[str, str], where: str, *, row_id: str, table: str) -> Iterator[AuditFinding]:
    if not cells["model"] or not cells["model"].isprintable():  # a control character would reach the terminal
        raise BadValue(field=f"{where}, model", value=cells["model"][:80], expected="the network's name, printable")
    numbers: dict[str, Printed] = {}
    for name, cell in cells.items():
        if name == "model":
            continue
        column = COLUMNS[name]
        if not cell and column.quantity not in REQUIRED:
            continue  # params and accuracy may be left open
        numbers[column.quantity] = _number(cell, name, where)
    row = Row(id=row_id, table=table, model=cells["model"])
    yield energy(row, acs=numbers["ac"], macs=numbers["mac"], energy_mj=numbers["energy"])
    if "params" in numbers:
        yield row.unknown("params", "", numbers["params"], "They need the network's definition, which a table has not.")
    if "accuracy" in numbers:
        yield row.unknown("accuracy", "", numbers["accuracy"], NEEDS_TRAINING)


def _number(cell: str, name: str, where: str) -> Printed:
    """A cell in its column's unit. The worth of its last digit follows from how it is written: 0.0042 -> 0.0001."""
    column = COLUMNS[name]
    span = {"accuracy": "from 0 to 1", "accuracy_pct": "from 0 to 100"}.get(name, "of at least 0")
    example = {"ac": "16610000", "mac": "4470000", "params": "736458", "accuracy": "0.81"}.get(name, "35.5")
    expected = f"a plain number {span}, such as {example}"
    if not NUMBER.fullmatch(cell):
        raise BadValue(field=f"{where}, {name}", value=cell[:80], expected=expected)
    printed = Printed.written(cell, factor=column.factor)
    if printed.value > (1 if column.quantity == "accuracy" else LARGEST):
        raise BadValue(field=f"{where}, {name}", value=cell[:80], expected=f"{expected}, and not as large")
    return printed
