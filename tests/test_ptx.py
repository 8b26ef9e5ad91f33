"""The interpreter of PTX computes as the ISA says, and finds what a kernel must not do."""

import ctypes

import ml_dtypes
import numpy as np
import pytest

from benchmarks.gpu.ptx import Fault, Interpreter, Kernel

BEGIN = """
.reg .pred %p<9>; .reg .b16 %rs<9>; .reg .b32 %r<40>; .reg .f32 %f<40>; .reg .b64 %rd<9>;
mov.u32 %r0, %tid.x;
mov.u32 %r1, %ctaid.x;
ld.param.u64 %rd0, [k_param_0];
ld.param.u64 %rd1, [k_param_0+8];
mul.wide.s32 %rd2, %r0, 4;
add.s64 %rd3, %rd0, %rd2; // thread i's number of the first array
add.s64 %rd4, %rd1, %rd2; // and of the second one
shl.b32 %r2, %r0, 2;      // and in shared memory
"""


def run(code, first, second, blocks=1, seed=0):
    """Both arrays after a kernel of 512 threads a block, with 4 KiB of shared memory."""
    interpreter = Interpreter(seed)
    placed = [interpreter.put(first), interpreter.put(second)]
    arguments = (ctypes.c_uint64 * 2)(*map(interpreter.address, placed))
    interpreter.launch(Kernel("k", f"{BEGIN}{code}\nret;"), arguments, blocks, 4096)
    return [interpreter.get(array) for array in placed]


def zeros(count=512, dtype=np.uint32):
    return np.zeros(count, dtype)


NAN = np.float32(np.nan)


@pytest.mark.parametrize(
    ("code", "given", "expected"),
    [
        ("div.s32 %r4, %r3, 2;", np.int32(-7), np.int32(-3)),
        ("rem.s32 %r4, %r3, 2;", np.int32(-7), np.int32(-1)),
        ("shr.s32 %r4, %r3, 1;", np.int32(-7), np.int32(-4)),
        ("shr.u32 %r4, %r3, 40;", np.uint32(9), np.uint32(0)),
        ("mad.lo.s32 %r4, %r3, %r3, -1;", np.int32(70_000), np.int32(70_000**2 % 2**32 - 1)),
        ("mul.wide.s32 %rd5, %r3, -3; shr.u64 %rd5, %rd5, 32; cvt.u32.u64 %r4, %rd5;",
         np.int32(5), np.int32(-1)),
        ("mov.b32 %f0, %r3; setp.eq.ftz.f32 %p0, %f0, %f0; selp.u32 %r4, 1, 2, %p0;",
         NAN, np.uint32(2)),
        ("mov.b32 %f0, %r3; setp.gtu.ftz.f32 %p0, %f0, 0f00000000; selp.u32 %r4, 1, 2, %p0;",
         NAN, np.uint32(1)),
        ("mov.b32 %f0, %r3; min.ftz.f32 %f1, %f0, 0f3F800000; mov.b32 %r4, %f1;",
         NAN, np.float32(1)),
        ("mov.b32 %f0, %r3; add.ftz.f32 %f1, %f0, %f0; mov.b32 %r4, %f1;",
         np.float32(1e-39), np.float32(0)),
        ("mov.b32 %f0, %r3; copysign.f32 %f1, %f0, 0f40000000; mov.b32 %r4, %f1;",
         np.float32(-3), np.float32(-2)),
        ("mov.b32 %f0, %r3; cvt.rzi.ftz.s32.f32 %r4, %f0;", np.float32(-2.7), np.int32(-2)),
        ("mov.b32 %f0, %r3; cvt.rzi.ftz.s32.f32 %r4, %f0;", NAN, np.int32(0)),
        ("mov.b32 %f0, %r3; cvt.rzi.ftz.s32.f32 %r4, %f0;",
         np.float32(1e20), np.int32(2**31 - 1)),
        ("mov.b32 %f0, %r3; cvt.rni.f32.f32 %f1, %f0; mov.b32 %r4, %f1;",
         np.float32(2.5), np.float32(2)),
        ("mov.b32 %f0, %r3; { cvt.rn.bf16.f32 %rs0, %f0;} mov.b32 %r4, {%rs0, %rs0};",
         np.uint32(0x3F808000), np.uint32(0x3F803F80)),  # halfway: to the even one
        ("{ .reg .b32 %t; mov.b32 {%rs0, %rs1}, %r3; } mov.b32 %r4, {%rs1, %rs0};",
         np.uint32(0x00010002), np.uint32(0x00020001)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_an_instruction_computes_as_the_isa_says(code, given, expected):
    given = np.full(512, given).view(np.uint32)
    code = f"ld.global.u32 %r3, [%rd3]; {code} st.global.u32 [%rd4], %r4;"
    np.testing.assert_array_equal(run(code, given, zeros())[1], expected.view(np.uint32))


@pytest.mark.parametrize(
    ("operation", "function"),
    [("rcp.approx", np.reciprocal), ("sqrt.approx", np.sqrt), ("ex2.approx", np.exp2)],
)
def test_approximate_functions_are_off_by_little(operation, function):
    values = np.linspace(0.5, 4, 512, dtype=np.float32)
    code = f"ld.global.f32 %f0, [%rd3]; {operation}.ftz.f32 %f1, %f0; st.global.f32 [%rd4], %f1;"
    made = run(code, values, zeros(dtype=np.float32))[1]
    np.testing.assert_allclose(made, function(values.astype(np.float64)), rtol=2**-21)
    assert (made != function(values)).any()


@pytest.mark.parametrize("turned", [False, True])
def test_a_warp_multiplies_matrices(turned):
    """D = A B of A [16, 16] by rows and B [16, 8], which lies by columns or by rows."""
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-8, 8, shape).astype(ml_dtypes.bfloat16) for shape in ((16, 16), (16, 8)))
    matrices = np.concatenate([a.reshape(-1), (b if turned else b.T).reshape(-1)]).view(np.uint32)
    # B's two 8 x 8 matrices: bytes from a row to the next, and from one to the other.
    trans, row, half = (".trans", 16, 128) if turned else ("", 32, 16)
    code = f"""
    setp.ge.s32 %p0, %r0, 192; @%p0 bra $DONE;
    ld.global.u32 %r3, [%rd3]; st.shared.u32 [%r2], %r3;
    $DONE: bar.sync 0;
    setp.ge.s32 %p0, %r0, 32; @%p0 bra $END;
    and.b32 %r3, %r0, 15; shl.b32 %r3, %r3, 5; shr.u32 %r4, %r0, 4; shl.b32 %r4, %r4, 4;
    add.s32 %r3, %r3, %r4;
    ldmatrix.sync.aligned.m8n8.x4.shared.b16 {{%r10, %r11, %r12, %r13}}, [%r3];
    and.b32 %r3, %r0, 7; mul.lo.s32 %r3, %r3, {row}; shr.u32 %r4, %r0, 3; and.b32 %r4, %r4, 1;
    mad.lo.s32 %r3, %r4, {half}, %r3; add.s32 %r3, %r3, 512;
    ldmatrix.sync.aligned.m8n8.x4{trans}.shared.b16 {{%r20, %r21, %r22, %r23}}, [%r3];
    mov.f32 %f0, 0f00000000; mov.f32 %f1, %f0; mov.f32 %f2, %f0; mov.f32 %f3, %f0;
    mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {{%f0, %f1, %f2, %f3}},
      {{%r10, %r11, %r12, %r13}}, {{%r20, %r21}}, {{%f0, %f1, %f2, %f3}};
    mul.wide.s32 %rd5, %r0, 8; add.s64 %rd5, %rd1, %rd5;
    st.global.v2.f32 [%rd5], {{%f0, %f1}}; st.global.v2.f32 [%rd5+256], {{%f2, %f3}};
    $END:
    """
    made = run(code, matrices, np.zeros((16, 8), np.float32))[1]
    np.testing.assert_array_equal(made, a.astype(np.float32) @ b.astype(np.float32))


def test_lanes_exchange_registers():
    code = """
    shfl.sync.bfly.b32 %r3, %r0, 5, 31, -1; st.global.u32 [%rd3], %r3;
    shfl.sync.idx.b32 %r3|%p0, %r0, 3, 31, -1; st.global.u32 [%rd4], %r3;
    """
    first, second = run(code, zeros(), zeros())
    threads = np.arange(512)
    np.testing.assert_array_equal(first, threads ^ 5)
    np.testing.assert_array_equal(second, threads // 32 * 32 + 3)


PUT, SYNC = "st.shared.u32 [%r2], %r0;", "bar.sync 0;"
FROM_NEXT_WARP = "xor.b32 %r3, %r2, 128; ld.shared.u32 %r4, [%r3];"
FROM_NEXT_LANE = "xor.b32 %r3, %r2, 4; ld.shared.u32 %r4, [%r3];"
UNORDERED = "without a barrier between"
FAULTS = [
    ("outside of all arrays in global memory", "ld.global.u32 %r3, [%rd3+2048];"),
    ("outside of all arrays in shared memory", "ld.shared.u32 %r3, [%r2+4096];"),
    ("address is not aligned", "ld.global.u32 %r3, [%rd3+2];"),
    ("it is in shared memory", "cvta.shared.u64 %rd5, 0; ld.global.u32 %r3, [%rd5];"),
    ("read before it was written", "ld.shared.u32 %r3, [%r2];"),
    (UNORDERED, f"{PUT} {SYNC} {PUT} {FROM_NEXT_WARP}"),
    (UNORDERED, f"{PUT} {SYNC} {FROM_NEXT_WARP} {PUT}"),
    (UNORDERED, f"{PUT} {FROM_NEXT_LANE}"),
    (UNORDERED, f"{PUT} {SYNC} {FROM_NEXT_LANE} {PUT}"),
    (UNORDERED, "st.global.u32 [%rd3], %r0; xor.b32 %r3, %r0, 32; mul.wide.s32 %rd5, %r3, 4;"
                "add.s64 %rd5, %rd0, %rd5; ld.global.u32 %r3, [%rd5];"),
    ("two lanes write to one place", "st.global.u32 [%rd0], %r0;"),
    ("it divides by 0", "div.s32 %r3, %r0, %r1;"),
    ("wait for each other at several places", "setp.eq.s32 %p0, %r0, 0; @%p0 bra $OTHER;"
                                              "bar.warp.sync -1; $OTHER: bar.warp.sync -1;"),
    ("never come to the barrier", f"setp.lt.s32 %p0, %r0, 32; @%p0 bra $END; {SYNC} $END:"),
    ("all that can go on wait", "$AGAIN: ld.relaxed.gpu.global.u32 %r3, [%rd3];"
                                "setp.eq.s32 %p0, %r3, 0; @%p0 bra $AGAIN;"),
    ("all that can go on wait", "$AGAIN: ld.relaxed.gpu.global.u32 %r3, [%rd3];"
                                "setp.ne.s32 %p0, %r3, 0; @%p0 bra $END; bra.uni $AGAIN; $END:"),
    ("all that can go on wait", "$AGAIN: bra.uni $AGAIN;"),
    ("both with .relaxed and without", "st.relaxed.gpu.global.u32 [%rd3], %r0;"
                                       "ld.global.u32 %r3, [%rd3];"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "code"), FAULTS)
def test_a_fault_is_found(said, code):
    with pytest.raises(Fault, match=said):
        run(code, zeros(), zeros())


def test_what_has_a_barrier_between_is_no_fault():
    code = f"""{PUT} {SYNC} {FROM_NEXT_WARP} {SYNC} {PUT} bar.warp.sync -1; {FROM_NEXT_LANE}
    st.global.u32 [%rd3], %r4;"""
    np.testing.assert_array_equal(run(code, zeros(), zeros())[0], np.arange(512) ^ 1)


def test_what_two_blocks_use_is_a_fault():
    assert run("ld.global.u32 %r3, [%rd3];", zeros(), zeros(), blocks=2)
    for code in (
        "st.global.u32 [%rd3], %r0;",
        "ld.global.u32 %r3, [%rd3]; st.global.u32 [%rd3], 1;",
    ):
        with pytest.raises(Fault, match="without a barrier between"):
            run(code, zeros(), zeros(), blocks=2)


@pytest.mark.parametrize("instruction", ["mad.wide.s32 %rd5, %r0, 2, %rd5", "mov.u32 %r3, %laneid"])
def test_an_instruction_that_is_not_known_is_named(instruction):
    with pytest.raises(Fault, match=f"unknown instruction {instruction.split()[0]}"):
        run(f"{instruction};", zeros(), zeros())


HAND_AND_TAKE = """
setp.ne.s32 %p0, %r1, 0; @%p0 bra $TAKE;
st.relaxed.gpu.global.u32 [%rd3], 7; st.relaxed.gpu.global.u32 [%rd3+2048], 1; bra.uni $END;
$TAKE: ld.relaxed.gpu.global.u32 %r3, [%rd3+2048]; setp.eq.s32 %p0, %r3, 0; @%p0 bra $TAKE;
ld.relaxed.gpu.global.u32 %r4, [%rd3]; st.global.u32 [%rd4], %r4;
$END:
"""


def test_numbers_that_come_later_may_be_seen_first():
    """As on a GPU, where a flag beside a number does not say that the number is there."""
    seen = np.concatenate([run(HAND_AND_TAKE, zeros(1024), zeros(), 2, s)[1] for s in range(3)])
    assert {*seen} == {0, 7}


def test_a_place_is_never_seen_older_again():
    code = """
    setp.ne.s32 %p0, %r1, 0; @%p0 bra $TAKE;
    st.relaxed.gpu.global.u32 [%rd3], 1; st.relaxed.gpu.global.u32 [%rd3], 2;
    st.relaxed.gpu.global.u32 [%rd3], 3; bra.uni $END;
    $TAKE: ld.relaxed.gpu.global.u32 %r3, [%rd3]; ld.relaxed.gpu.global.u32 %r4, [%rd3];
    sub.s32 %r5, %r4, %r3; st.global.u32 [%rd4], %r5;
    $END:
    """
    later = [run(code, zeros(), zeros(), 2, seed)[1].view(np.int32) for seed in range(3)]
    assert np.min(later) == 0
    assert np.max(later) > 1


def test_lanes_may_wait_for_others_of_their_warp():
    code = """
    setp.eq.s32 %p0, %r0, 0; @%p0 bra $HAND;
    $AGAIN: ld.relaxed.gpu.global.u32 %r3, [%rd0]; setp.eq.s32 %p0, %r3, 0; @%p0 bra $AGAIN;
    bra.uni $END;
    $HAND: st.relaxed.gpu.global.u32 [%rd0], 1;
    $END:
    """
    assert run(code, zeros(), zeros())[0][0] == 1
