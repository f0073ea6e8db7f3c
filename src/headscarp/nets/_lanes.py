"""Sixteen float32 numbers held together in registers, for numba: load, store, add, multiply-add.

Numba keeps short arrays in memory, where sums of a few terms wait for each other. A `Lanes` value is one LLVM vector,
which becomes one AVX-512 register, two AVX2 ones or four of SSE or NEON. Only for code that numba compiles.
"""

from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.extending import models, register_model

LANES = 16
intrinsic: Any = extending.intrinsic  # so that calls from compiled code are not type-checked as Python
_VECTOR = ir.VectorType(ir.FloatType(), LANES)


class _LanesType(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Lanes16xFloat32")


_lanes = _LanesType()


@register_model(_LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _VECTOR)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, at: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), _VECTOR.as_pointer())


@intrinsic
def load(typingctx, array, at):  # type: ignore[no-untyped-def]
    """The 16 numbers of a flat float32 array from position `at` on (int64, not checked)."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.load(_pointer(context, builder, signature.args[0], *args), align=4)

    return _lanes(array, types.int64), codegen


@intrinsic
def store(typingctx, array, at, lanes):  # type: ignore[no-untyped-def]
    """Writes 16 numbers into a flat float32 array from position `at` on (int64, not checked)."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        array, at, lanes = args
        builder.store(lanes, _pointer(context, builder, signature.args[0], array, at), align=4)
        return None

    return types.void(array, types.int64, _lanes), codegen


@intrinsic
def add(typingctx, one, other):  # type: ignore[no-untyped-def]
    """one + other, lane by lane."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.fadd(*args)

    return _lanes(_lanes, _lanes), codegen


@intrinsic
def multiply_add(typingctx, total, lanes, number):  # type: ignore[no-untyped-def]
    """total + lanes * number (float32), lane by lane; rounded once where the machine can."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        total, lanes, number = args
        spread = ir.Constant(_VECTOR, ir.Undefined)
        spread = builder.insert_element(spread, number, ir.Constant(ir.IntType(32), 0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        spread = builder.shuffle_vector(spread, ir.Constant(_VECTOR, ir.Undefined), mask)
        return builder.fadd(total, builder.fmul(lanes, spread, flags=("contract",)), flags=("contract",))

    return _lanes(_lanes, _lanes, types.float32), codegen
