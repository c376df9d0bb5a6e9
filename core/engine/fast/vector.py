"""Vector instructions that a loop in Python cannot ask for: single operations for kernels, written as LLVM code.

LLVM brings them down to whatever the processor has: a vector of LANES numbers is one AVX-512 register, two of AVX2, four
of NEON. Nothing here checks bounds; each function says what its arrays must hold. Additions are in the order in which the
index lists them, one rounding each, so a result hangs neither on the processor's width nor on how work is cut.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16
_AT_ONCE = (8, 4, 2, 1)  # vectors that are summed side by side: eight hide the latency of an addition

_BYTE, _WORD, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_REAL = ir.FloatType()
_REALS = ir.VectorType(_REAL, LANES)


def _places() -> np.ndarray:
    """[256, 8] int32: the places of a byte's set bits, lowest first; then zeros."""
    table = np.zeros((256, 8), np.int32)
    for byte in range(256):
        found = [bit for bit in range(8) if byte >> bit & 1]
        table[byte, : len(found)] = found
    return table


def _bits() -> np.ndarray:
    """[256] uint64: each bit of a byte as a byte of its own, 0 or 1."""
    return np.array([sum((byte >> bit & 1) << (8 * bit) for bit in range(8)) for byte in range(256)], np.uint64)


PLACES, BITS = _places(), _bits()
#: Whether the processor multiplies and adds in one instruction; without it each takes a call. All of 64-bit ARM's do.
_HAS_FMA = platform.machine() in ("arm64", "aarch64") or get_host_cpu_features().get("fma", False)
SLACK = 8  # elements behind the last one of a list that `listed` may overwrite


def _data(context: Any, builder: ir.IRBuilder, kind: Any, array: Any) -> ir.Value:
    return context.make_array(kind)(context, builder, array).data


def _vector_at(builder: ir.IRBuilder, data: ir.Value, place: ir.Value, kind: ir.VectorType) -> ir.Value:
    return builder.bitcast(builder.gep(data, [place]), kind.as_pointer())


def _splat(builder: ir.IRBuilder, value: ir.Value, lanes: int) -> ir.Value:
    one = builder.insert_element(ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined), value, _I32(0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(_I32, lanes), [0] * lanes))


def _fma(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    """a b + c, rounded once."""
    kind = ir.FunctionType(_REALS, [_REALS] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32"), [a, b, c])


def _sums(with_factors: bool) -> Callable[..., Any]:
    """The code of `add_rows` and `add_rows_times`."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        kinds = signature.args
        rows, index, out = (_data(context, builder, kinds[k], args[k]) for k in (0, 3, 7))
        width, first, begin, count, size, target = (args[k] for k in (1, 2, 4, 5, 6, 8))
        factors = _data(context, builder, kinds[9], args[9]) if with_factors else None
        place = cgutils.alloca_once_value(builder, _I64(0))
        for together in _AT_ONCE:
            span = _I64(together * LANES)
            more = builder.append_basic_block(f"more.{together}")
            work = builder.append_basic_block(f"work.{together}")
            done = builder.append_basic_block(f"done.{together}")
            builder.branch(more)
            builder.position_at_end(more)
            start = builder.load(place)
            builder.cbranch(builder.icmp_signed("<=", builder.add(start, span), size), work, done)
            builder.position_at_end(work)
            sums = [cgutils.alloca_once(builder, _REALS) for _ in range(together)]
            kept = [
                _vector_at(builder, out, builder.add(builder.add(target, start), _I64(number * LANES)), _REALS)
                for number in range(together)
            ]
            for where, part in zip(kept, sums, strict=True):
                builder.store(builder.load(where, align=4), part)
            base = builder.add(first, start)
            with cgutils.for_range(builder, count) as loop:
                listed_at = builder.add(begin, loop.index)
                row = builder.sext(builder.load(builder.gep(index, [listed_at])), _I64)
                at = builder.add(builder.mul(row, width), base)
                factor = None
                if factors is not None:
                    factor = _splat(builder, builder.load(builder.gep(factors, [listed_at])), LANES)
                for number, part in enumerate(sums):
                    where = _vector_at(builder, rows, builder.add(at, _I64(number * LANES)), _REALS)
                    weight, before = builder.load(where, align=4), builder.load(part)
                    if factor is None:
                        builder.store(builder.fadd(before, weight), part)
                    else:
                        builder.store(_fma(builder, weight, factor, before), part)
            for where, part in zip(kept, sums, strict=True):
                builder.store(builder.load(part), where, align=4)
            builder.store(builder.add(start, span), place)
            builder.branch(more)
            builder.position_at_end(done)
        return context.get_dummy_value()

    return generate


@intrinsic
def add_rows(typing, rows, width, first, index, begin, count, size, out, at):
    """Adds to out[at : at + size], float32, one after another, the parts rows[width k + first :] of as many elements, for
    each k of index[begin : begin + count]. `rows`: one array of rows of `width` float32; size: a multiple of LANES."""
    whole = types.intp
    return types.void(rows, whole, whole, index, whole, whole, whole, out, whole), _sums(with_factors=False)


@intrinsic
def add_rows_times(typing, rows, width, first, index, begin, count, size, out, at, factors):
    """As add_rows, each row times its element of `factors`, float32: product and addition rounded once, as a fused
    multiply-add does."""
    whole = types.intp
    signature = types.void(rows, whole, whole, index, whole, whole, whole, out, whole, factors)
    return signature, _sums(with_factors=True)


@intrinsic
def listed(typing, bits, start, size, first, places, index, count):
    """Appends to index[count:] the places of the bits set in bits[start : start + size], uint8, the first bit being
    `first`; returns the new count. `places` is PLACES. `index`, int32, has SLACK elements more than there can be."""

    def generate(context, builder, signature, args):
        kinds = signature.args
        data, table, out = (_data(context, builder, kinds[k], args[k]) for k in (0, 4, 5))
        eight = ir.VectorType(_I32, 8)
        total = cgutils.alloca_once_value(builder, args[6])
        with cgutils.for_range(builder, args[2]) as loop:
            byte = builder.load(builder.gep(data, [builder.add(args[1], loop.index)]))
            wide = builder.zext(byte, _I64)
            found = builder.load(_vector_at(builder, table, builder.shl(wide, _I64(3)), eight), align=4)
            begin = builder.add(args[3], builder.shl(loop.index, _I64(3)))
            moved = builder.add(found, _splat(builder, builder.trunc(begin, _I32), 8))
            now = builder.load(total)
            builder.store(moved, _vector_at(builder, out, now, eight), align=4)
            builder.store(builder.add(now, builder.zext(builder.ctpop(byte), _I64)), total)
        return builder.load(total)

    signature = types.intp(bits, types.intp, types.intp, types.intp, places, index, types.intp)
    return signature, generate


@intrinsic
def listed_counts(typing, bits, start, size, stride, planes, first, places, spread, index, factors, count):
    """As `listed`, of `planes` planes of bits that lie `stride` bytes apart, each plane's bits being among the one's
    before it. factors[count:] become, for each place, in how many planes it is set, float32. `spread` is BITS."""

    def generate(context, builder, signature, args):
        kinds = signature.args
        data, table, wider, out, values = (_data(context, builder, kinds[k], args[k]) for k in (0, 6, 7, 8, 9))
        eight, longs, reals = (ir.VectorType(kind, 8) for kind in (_I32, _I64, _REAL))
        total = cgutils.alloca_once_value(builder, args[10])
        with cgutils.for_range(builder, args[2]) as loop:
            at = builder.add(args[1], loop.index)
            byte = builder.load(builder.gep(data, [at]))
            sums = cgutils.alloca_once(builder, _I64)
            builder.store(_I64(0), sums)
            with cgutils.for_range(builder, args[4]) as plane:
                where = builder.add(at, builder.mul(plane.index, args[3]))
                one = builder.zext(builder.load(builder.gep(data, [where])), _I64)
                builder.store(builder.add(builder.load(sums), builder.load(builder.gep(wider, [one]))), sums)
            wide = builder.zext(byte, _I64)
            found = builder.load(_vector_at(builder, table, builder.shl(wide, _I64(3)), eight), align=4)
            begin = builder.add(args[5], builder.shl(loop.index, _I64(3)))
            now = builder.load(total)
            moved = builder.add(found, _splat(builder, builder.trunc(begin, _I32), 8))
            builder.store(moved, _vector_at(builder, out, now, eight), align=4)
            shift = builder.shl(builder.zext(found, longs), _splat(builder, _I64(3), 8))
            value = builder.and_(
                builder.lshr(_splat(builder, builder.load(sums), 8), shift), _splat(builder, _I64(255), 8)
            )
            real = builder.uitofp(builder.trunc(value, eight), reals)
            builder.store(real, _vector_at(builder, values, now, reals), align=4)
            builder.store(builder.add(now, builder.zext(builder.ctpop(byte), _I64)), total)
        return builder.load(total)

    whole = types.intp
    signature = whole(bits, whole, whole, whole, whole, whole, places, spread, index, factors, whole)
    return signature, generate


@intrinsic
def write_fired(typing, values, bits, at, channels):
    """Writes the bits of a pixel from byte `at` on: which of `channels` values, [padded] float32, are at least 1; returns
    their number."""

    def generate(context, builder, signature, args):
        kinds = signature.args
        data, out = (_data(context, builder, kinds[k], args[k]) for k in (0, 1))
        limit, total = ir.Constant(_REALS, [1.0] * LANES), cgutils.alloca_once_value(builder, _I32(0))
        with _groups(builder, args[3]) as group:
            place = builder.mul(group.index, _I64(LANES))
            found = builder.fcmp_ordered(">=", builder.load(_vector_at(builder, data, place, _REALS), align=4), limit)
            word = builder.and_(builder.bitcast(found, _WORD), _mask(builder, args[3], place))
            _store_word(builder, word, out, builder.add(args[2], builder.udiv(place, _I64(8))), total)
        return builder.load(total)

    return types.int32(values, bits, types.intp, types.intp), generate


def _normal(builder: ir.IRBuilder, parts: list[ir.Value], place: ir.Value) -> ir.Value:
    """x scale + shift of LANES values, rounded twice, as the kernels of `kernels_norm` do."""
    x, scale, shift = (builder.load(_vector_at(builder, part, place, _REALS), align=4) for part in parts)
    return builder.fadd(builder.fmul(x, scale), shift)


def _mask(builder: ir.IRBuilder, channels: ir.Value, place: ir.Value) -> ir.Value:
    """Which of the LANES channels from `place` on there are."""
    left = builder.sub(channels, place)
    some = builder.trunc(builder.sub(builder.shl(_I64(1), left), _I64(1)), _WORD)
    return builder.select(builder.icmp_signed(">=", left, _I64(LANES)), _WORD(0xFFFF), some)


def _store_word(builder: ir.IRBuilder, word: ir.Value, out: ir.Value, byte: ir.Value, total: ir.Value) -> None:
    """Write LANES bits, and add to `total` how many are set."""
    builder.store(word, builder.bitcast(builder.gep(out, [byte]), _WORD.as_pointer()), align=1)
    builder.store(builder.add(builder.load(total), builder.zext(builder.ctpop(word), _I32)), total)


def _groups(builder: ir.IRBuilder, channels: ir.Value) -> Any:
    """A loop over the groups of LANES channels."""
    return cgutils.for_range(builder, builder.sdiv(builder.add(channels, _I64(LANES - 1)), _I64(LANES)))


def divides_by_reciprocal(divisor: float) -> bool:
    """Whether x / divisor may be worked out as `_quotient` does, in the same bits, for every float32 x.

    With b the divisor scaled into [1, 2), d the error of the float32 nearest to 1 / b in units of 2^-25, and x scaled likewise,
    the first quotient is off by at most (b d + 1) 2^-25 where x < b, and (1 + d) 2^-24 else. The remainder is then a
    float32, and the second quotient before its rounding lies nearer to x / b than any point halfway between two
    float32 can, if the products below stay under 4 (Markstein, IBM J. Res. Dev. 34(1), 1990, for a first quotient within
    one unit in the last place). Not covered: quotients below 2^-100, whose remainder is no normal number.
    """
    if not _HAS_FMA or not 2.0**-20 < divisor < 2.0**20:
        return False
    b = 2 * float(np.frexp(np.float32(divisor))[0])
    d = abs(float(np.float32(1 / b)) - 1 / b) * 2.0**25
    below, above = b * d + 1, 1 + d
    return below * b < 4 and below * b * b * d < 4 and above * b * b * d < 4


def _quotient(builder: ir.IRBuilder, x: ir.Value, divisor: ir.Value, inverse: ir.Value) -> ir.Value:
    """x / divisor from its reciprocal: a quotient, its remainder, and the quotient of that. A division keeps its unit busy
    for several times as long. Where x is infinite the remainder is none, and the first quotient stands."""
    first = builder.fmul(x, inverse)
    rest = _fma(builder, builder.fneg(first), divisor, x)
    second = _fma(builder, rest, inverse, first)
    return builder.select(builder.fcmp_unordered("uno", second, second), first, second)


@intrinsic
def fire_once(typing, x, scale, shift, v, how, leak, v_threshold, soft, bits, at, channels):
    """One step of the neurons of a pixel: from x, [padded channels] float32, and V, to V and the bits from byte `at` on.

    X = x scale + shift; H = V + (X - V) leak where `how` is 0, V + (X - V) / leak where it is 1, V leak + X where it is 2,
    and as 1 but faster where it is 3, for a leak that `divides_by_reciprocal` allows; then as in `kernels.lif_forward`,
    every operation rounded by itself. Returns how many fired.
    """

    def generate(context, builder, signature, args):
        kinds = signature.args
        parts = [_data(context, builder, kinds[k], args[k]) for k in (0, 1, 2)]
        state, out = (_data(context, builder, kinds[k], args[k]) for k in (3, 8))
        how = args[4]
        leak, limit = (_splat(builder, args[k], LANES) for k in (5, 6))
        soft = builder.icmp_unsigned("!=", args[7], args[7].type(0))
        zeros = ir.Constant(_REALS, [0.0] * LANES)
        inverse = _splat(builder, builder.fdiv(ir.Constant(_REAL, 1.0), args[5]), LANES)
        total, charged = cgutils.alloca_once_value(builder, _I32(0)), cgutils.alloca_once(builder, _REALS)
        with _groups(builder, args[10]) as group:
            place = builder.mul(group.index, _I64(LANES))
            drive = _normal(builder, parts, place)
            kept = _vector_at(builder, state, place, _REALS)
            before = builder.load(kept, align=4)
            with builder.if_else(builder.icmp_signed("==", how, how.type(2))) as (apart, together):
                with apart:
                    builder.store(builder.fadd(builder.fmul(before, leak), drive), charged)
                with together:
                    away = builder.fsub(drive, before)
                    with builder.if_else(builder.icmp_signed("==", how, how.type(3))) as (by_products, plainly):
                        with by_products:
                            builder.store(builder.fadd(before, _quotient(builder, away, leak, inverse)), charged)
                        with plainly, builder.if_else(builder.icmp_signed("==", how, how.type(0))) as (times, over):
                            with times:
                                builder.store(builder.fadd(before, builder.fmul(away, leak)), charged)
                            with over:
                                builder.store(builder.fadd(before, builder.fdiv(away, leak)), charged)
            h = builder.load(charged)
            fired = builder.fcmp_ordered(">=", h, limit)
            left = builder.select(soft, builder.fsub(h, limit), zeros)
            builder.store(builder.select(fired, left, h), kept, align=4)
            word = builder.and_(builder.bitcast(fired, _WORD), _mask(builder, args[10], place))
            _store_word(builder, word, out, builder.add(args[9], builder.udiv(place, _I64(8))), total)
        return builder.load(total)

    real, whole = types.float32, types.intp
    return types.int32(x, scale, shift, v, whole, real, real, types.boolean, bits, whole, whole), generate


@intrinsic
def count_once(typing, x, scale, shift, top, planes, bits, at, stride, totals, place, step, channels):
    """The counts C = floor(clip(u, 0, top) + 1/2), u = x scale + shift, of a pixel, as planes: bit [t <= C] of plane t, t =
    1..`planes`, from byte at + (t - 1) stride on; totals[place + (t - 1) step], int32, becomes their number. A NaN fires at
    no step."""

    def generate(context, builder, signature, args):
        kinds = signature.args
        parts = [_data(context, builder, kinds[k], args[k]) for k in (0, 1, 2)]
        out, sums = (_data(context, builder, kinds[k], args[k]) for k in (5, 8))
        most, half = _splat(builder, args[3], LANES), ir.Constant(_REALS, [0.5] * LANES)
        zeros, longs = ir.Constant(_REALS, [0.0] * LANES), ir.VectorType(_I32, LANES)
        with cgutils.for_range(builder, args[4]) as plane:
            builder.store(_I32(0), builder.gep(sums, [builder.add(args[9], builder.mul(plane.index, args[10]))]))
        with _groups(builder, args[11]) as group:
            start = builder.mul(group.index, _I64(LANES))
            u = _normal(builder, parts, start)
            u = builder.select(builder.fcmp_ordered(">", u, zeros), u, zeros)
            u = builder.select(builder.fcmp_ordered("<", u, most), u, most)
            counts = builder.fptosi(builder.fadd(u, half), longs)  # rounds down what is not negative
            mask = _mask(builder, args[11], start)
            byte = builder.add(args[6], builder.udiv(start, _I64(8)))
            with cgutils.for_range(builder, args[4]) as plane:
                step = builder.trunc(plane.index, _I32)
                found = builder.icmp_signed(">", counts, _splat(builder, step, LANES))
                word = builder.and_(builder.bitcast(found, _WORD), mask)
                total = builder.gep(sums, [builder.add(args[9], builder.mul(plane.index, args[10]))])
                _store_word(builder, word, out, builder.add(byte, builder.mul(plane.index, args[7])), total)
        return context.get_dummy_value()

    whole = types.intp
    signature = types.void(
        x, scale, shift, types.float32, whole, bits, whole, whole, totals, whole, whole, whole
    )  # fmt: skip
    return signature, generate


@intrinsic
def write_sums(typing, bits, at, stride, planes, out, place):
    """Writes LANES numbers into out[place:], float32: in how many of `planes` planes, `stride` bytes apart, each bit of
    bits[at : at + LANES / 8] is set."""

    def generate(context, builder, signature, args):
        kinds = signature.args
        data, numbers = (_data(context, builder, kinds[k], args[k]) for k in (0, 4))
        flags = ir.VectorType(ir.IntType(1), LANES)
        total = cgutils.alloca_once(builder, _REALS)
        builder.store(ir.Constant(_REALS, [0.0] * LANES), total)
        with cgutils.for_range(builder, args[3]) as plane:
            where = builder.gep(data, [builder.add(args[1], builder.mul(plane.index, args[2]))])
            word = builder.load(builder.bitcast(where, _WORD.as_pointer()), align=1)
            builder.store(
                builder.fadd(builder.load(total), builder.uitofp(builder.bitcast(word, flags), _REALS)), total
            )
        builder.store(builder.load(total), _vector_at(builder, numbers, args[5], _REALS), align=4)
        return context.get_dummy_value()

    return types.void(bits, types.intp, types.intp, types.intp, out, types.intp), generate


@intrinsic
def ones(typing, bits, at):
    """How many of the LANES bits in bits[at:], uint8, are set."""

    def generate(context, builder, signature, args):
        data = _data(context, builder, signature.args[0], args[0])
        word = builder.load(builder.bitcast(builder.gep(data, [args[1]]), _WORD.as_pointer()), align=1)
        return builder.zext(builder.ctpop(word), _I32)

    return types.int32(bits, types.intp), generate
