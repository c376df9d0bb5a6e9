"""A table that a user brings: rounding as intervals, and clear words for whatever cannot be used."""

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadValue
from core.paper.own_table import MAX_BYTES, MAX_ROWS, table_audit
from core.paper.rounding import Interval, Printed, Row, energy

HEADER = "model,ac,mac,energy_mj\n"
ROUNDINGS = st.sampled_from([ROUND_HALF_UP, ROUND_HALF_EVEN])
ROW = Row(id="line 2", table="t.csv", model="net")
counts = st.decimals(min_value=0, max_value=10**9, places=3)


@pytest.fixture
def audited(tmp_path):
    def run(content: str | bytes):
        path = tmp_path / "t.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return table_audit(path)

    return run


def rounded(value: Decimal, step: Decimal, how: str) -> Printed:
    return Printed.of(str((value / step).quantize(Decimal(1), rounding=how) * step), str(step))


def formula_mj(acs: Decimal, macs: Decimal) -> Decimal:
    return (acs * Decimal("0.9") + macs * Decimal("4.6")) * Decimal("1e-9")


@given(counts, counts, st.integers(-3, 5), st.integers(-3, 5), st.integers(-9, -1), ROUNDINGS)
def test_a_row_made_by_the_formula_and_rounded_is_always_confirmed(acs, macs, ac_digit, mac_digit, digit, how):
    found = energy(
        ROW,
        acs=rounded(acs, Decimal(10) ** ac_digit, how),
        macs=rounded(macs, Decimal(10) ** mac_digit, how),
        energy_mj=rounded(formula_mj(acs, macs), Decimal(10) ** digit, how),
    )
    assert found.verdict == "confirmed", found.arithmetic


@given(counts, counts, st.integers(-9, -1), st.integers(2, 10**6))
def test_an_energy_two_last_digits_off_is_always_contradicted(acs, macs, digit, off):
    step = Decimal(10) ** digit
    printed = (formula_mj(acs, macs) / step).quantize(Decimal(1), rounding=ROUND_DOWN) * step + off * step
    exactly = {"step": Fraction(1, 10**6)}
    found = energy(
        ROW,
        acs=Printed(value=Fraction(acs), **exactly),
        macs=Printed(value=Fraction(macs), **exactly),
        energy_mj=Printed(value=Fraction(printed), step=Fraction(step)),
    )
    assert found.verdict == "contradicted", found.arithmetic


@given(st.fractions(0, 9), st.fractions(0, 9), st.fractions(10, 19), st.fractions(10, 19))
def test_intervals_hold_whatever_their_members_make(a, b, c, d):
    left, right = Interval(low=min(a, b), high=max(a, b)), Interval(low=min(c, d), high=max(c, d))
    for x in (a, b):
        for y in (c, d):
            for made, interval in ((x + y, left + right), (x - y, left - right), (x / y, left / right)):
                assert interval.low <= made <= interval.high


def test_a_half_counts_for_both_neighbours():
    half = Interval.exactly(Fraction("0.00425"))
    assert half.meets(Printed.of("0.0042", "0.0001").interval) and half.meets(Printed.of("0.0043", "0.0001").interval)
    assert not half.meets(Printed.of("0.0044", "0.0001").interval)


def test_what_is_printed_as_zero_stands_for_nothing_below_it():
    zero = Printed.of("0.00", "0.01").interval
    assert (zero.low, zero.high) == (0, Fraction("0.005"))
    assert (Printed.of("0.01", "0.01").interval.low, Printed.of("0.3", "1").interval.low) == (Fraction("0.005"), 0)


def test_a_table_by_hand(audited):
    # 1e6 x 0.9 + 1e6 x 4.6 pJ = 5.5e6 pJ = 0.0055 mJ
    result = audited(HEADER + "right,1000000,1000000,0.0055\nwrong,1000000,1000000,0.0054\n")
    assert [(f.row, f.model, f.verdict) for f in result.findings] == [
        ("line 2", "right", "confirmed"),
        ("line 3", "wrong", "contradicted"),
    ]
    assert result.findings[0].recomputed == pytest.approx(0.0055)
    assert (result.confirmed, result.contradicted, result.source) == (1, 1, "t.csv")


def test_headings_name_the_unit_and_digits_the_rounding(audited):
    # 1.51 M ACs and 96.30 M MACs, rounded, allow 444.4 uJ; the same counts to the unit do not
    loose = audited("Model, AC_M, MAC_M, energy_uJ\nXception, 1.51, 96.30, 444.4\n")
    tight = audited("model,ac,mac,energy_uj\nXception,1510000,96300000,444.4\n")
    assert (loose.findings[0].verdict, tight.findings[0].verdict) == ("confirmed", "contradicted")
    assert loose.findings[0].printed == pytest.approx(0.4444) and loose.findings[0].unit == "mJ"


def test_optional_columns_are_kept_and_may_be_open(audited):
    result = audited("model,ac,mac,energy_mj,params_k,accuracy_pct\na,0,0,0,599.1,81\nb,0,0,0,,\n")
    assert [(f.model, f.field, f.printed) for f in result.findings] == [
        ("a", "energy", 0.0),
        ("a", "params", 599_100.0),
        ("a", "accuracy", 0.81),
        ("b", "energy", 0.0),
    ]
    assert result.not_checkable == 2


def test_a_byte_order_mark_quotes_crlf_and_blank_lines_do_no_harm(audited):
    result = audited('\ufeffmodel,ac,mac,energy_mj\r\n\r\n"net, small",1000000,1000000,5.5e-3\r\n,,,\r\n')
    assert [(f.row, f.model, f.verdict) for f in result.findings] == [("line 3", "net, small", "confirmed")]


@pytest.mark.parametrize(
    ("cell", "column"),
    [
        ("many", "ac"), ("NaN", "ac"), ("inf", "mac"), ("-5", "mac"), ("", "energy_mj"), ("1_000", "ac"), ("0x10", "ac"),
        ("٣", "ac"), ("1e999999", "ac"), ("1e50", "ac"), ("9" * 500, "mac"), ("0.0042 mJ", "energy_mj"),
    ],
)  # fmt: skip
def test_a_cell_that_is_no_number_is_named_by_line_and_column(audited, cell, column):
    cells = {"model": "net", "ac": "1", "mac": "1", "energy_mj": "1"} | {column: cell}
    with pytest.raises(BadValue) as raised:
        audited(HEADER + "good,1000000,1000000,0.0055\n" + ",".join(cells.values()) + "\n")
    assert raised.value.fields["field"] == f"t.csv, line 3, {column}"
    assert raised.value.fields["value"] == cell[:80] and "a plain number of at least 0" in raised.value.message


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "an empty file"),
        ("\ufeff", "an empty file"),
        ("\n\n", "an empty file"),
        (HEADER, "a header alone"),
        ("model,ac,mac\nnet,1,1\n", "with a column energy_mj or energy_uj or energy_nj"),
        ("ac,mac,energy_mj\n1,1,1\n", "with a column model"),
        ("model;ac;mac;energy_mj\nnet;1;1;0,1\n", "separated by commas, not semicolons"),
        ("model\tac\tmac\tenergy_mj\nnet\t1\t1\t1\n", "separated by commas, not tabs"),
        ("model,ac,mac,energy\nnet,1,1,1\n", "header is 'energy'; it must be one of model, ac, ac_k"),
        ("model,ac,ac_k,mac,energy_mj\nnet,1,1,1,1\n", "left out beside ac"),
        ("model,model,ac,mac,energy_mj\nnet,net,1,1,1\n", "left out beside model"),
        (HEADER + "net,1,1\n", "line 2 is 'net,1,1'; it must be 4 values, as the header has, not 3"),
        (HEADER + "net,16,610,1,1\n", "not 5"),
        (HEADER + ",1,1,1\n", "line 2, model is ''"),
        (HEADER + '"net,1,1,1\n', "comma-separated values"),
        (HEADER + "n\0t,1,1,1\n", "line 2, model is 'n\\x00t'"),
        ("model,ac,mac,energy_mj,accuracy\nnet,1,1,1,81\n", "a plain number from 0 to 1"),
        ("model,ac,mac,energy_mj,accuracy_pct\nnet,1,1,1,101\n", "a plain number from 0 to 100"),
        (b"model,ac,mac,energy_mj\nn\xe9t,1,1,1\n", "UTF-8 text (byte 24 is not)"),
        ("model,ac,mac,energy_mj\nnet,1,1,1\n".encode("utf-16"), "UTF-8 text"),
        (b"x" * (MAX_BYTES + 1), "at most 1,000,000 bytes"),
        (HEADER + "net,1,1,1\n" * (MAX_ROWS + 1), "the first 5,000 rows"),
    ],
)
def test_a_table_that_cannot_be_used_says_what_would_be_right(audited, content, says):
    with pytest.raises(BadValue) as raised:
        audited(content)
    assert says in raised.value.message


def test_a_file_that_is_not_there_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(BadValue, match="a readable file"):
            table_audit(path)
