//go:build !purego

#include "textflag.h"

// func transformSSE(work *float32, n int, twiddle *float32)
//
// n is the number of elements. CX is the size of the work area, R9 is its end.
TEXT ·transformSSE(SB), NOSPLIT, $0-24
	MOVQ work+0(FP), DI
	MOVQ n+8(FP), CX
	MOVQ twiddle+16(FP), R8
	SHLQ $5, CX
	LEAQ (DI)(CX*1), R9
	MOVQ DI, SI

	// The first two stages: four elements a pass.
four:
	MOVUPS 0(SI), X0
	MOVUPS 16(SI), X1
	MOVUPS 32(SI), X2
	MOVUPS 48(SI), X3
	MOVUPS 64(SI), X4
	MOVUPS 80(SI), X5
	MOVUPS 96(SI), X6
	MOVUPS 112(SI), X7
	MOVAPS X0, X8
	MOVAPS X1, X9
	MOVAPS X4, X10
	MOVAPS X5, X11
	ADDPS  X2, X0
	ADDPS  X3, X1
	ADDPS  X6, X4
	ADDPS  X7, X5
	SUBPS  X2, X8
	SUBPS  X3, X9
	SUBPS  X6, X10
	SUBPS  X7, X11
	MOVAPS X0, X2
	MOVAPS X1, X3
	MOVAPS X8, X6
	MOVAPS X9, X7
	ADDPS  X4, X0
	ADDPS  X5, X1
	ADDPS  X11, X8
	SUBPS  X10, X9
	SUBPS  X4, X2
	SUBPS  X5, X3
	SUBPS  X11, X6
	ADDPS  X10, X7
	MOVUPS X0, 0(SI)
	MOVUPS X1, 16(SI)
	MOVUPS X8, 32(SI)
	MOVUPS X9, 48(SI)
	MOVUPS X2, 64(SI)
	MOVUPS X3, 80(SI)
	MOVUPS X6, 96(SI)
	MOVUPS X7, 112(SI)
	ADDQ   $128, SI
	CMPQ   SI, R9
	JLT    four

	// DX is the size of the transforms that a stage joins.
	MOVQ $128, DX

stage:
	CMPQ DX, CX
	JGE  done
	MOVQ DI, SI

join:
	LEAQ (SI)(DX*1), R10
	MOVQ R10, R12
	MOVQ R8, R11

	// SI is an element of the first transform, R12 that of the second. R10 is the end of the first.
butterfly:
	MOVSS  0(R11), X0
	MOVSS  4(R11), X1
	MOVUPS 0(R12), X2
	MOVUPS 16(R12), X3
	SHUFPS $0, X0, X0
	SHUFPS $0, X1, X1
	MOVAPS X2, X4
	MOVAPS X3, X5
	MULPS  X0, X4
	MULPS  X1, X5
	MULPS  X1, X2
	MULPS  X0, X3
	SUBPS  X5, X4
	ADDPS  X3, X2
	MOVUPS 0(SI), X6
	MOVUPS 16(SI), X7
	MOVAPS X6, X8
	MOVAPS X7, X9
	ADDPS  X4, X6
	ADDPS  X2, X7
	SUBPS  X4, X8
	SUBPS  X2, X9
	MOVUPS X6, 0(SI)
	MOVUPS X7, 16(SI)
	MOVUPS X8, 0(R12)
	MOVUPS X9, 16(R12)
	ADDQ   $32, SI
	ADDQ   $32, R12
	ADDQ   $8, R11
	CMPQ   SI, R10
	JLT    butterfly

	MOVQ R12, SI
	CMPQ SI, R9
	JLT  join

	MOVQ R11, R8
	SHLQ $1, DX
	JMP  stage

done:
	RET

// func separateSSE(out, work, split *float32, n int)
//
// SI is element k, R10 is element n-k, or the first for k = 0. DI and R9 are bins k and n-k.
TEXT ·separateSSE(SB), NOSPLIT, $0-32
	MOVQ out+0(FP), DI
	MOVQ work+8(FP), SI
	MOVQ split+16(FP), R8
	MOVQ n+24(FP), CX
	MOVQ CX, AX
	SHLQ $4, AX
	LEAQ (DI)(AX*1), R9
	LEAQ (SI)(AX*2), R11
	MOVQ SI, R10
	SHRQ $1, CX
	INCQ CX

bin:
	MOVUPS 0(SI), X0
	MOVUPS 16(SI), X1
	MOVUPS 0(R10), X2
	MOVUPS 16(R10), X3
	MOVSS  0(R8), X6
	MOVSS  4(R8), X7
	SHUFPS $0, X6, X6
	SHUFPS $0, X7, X7

	// X4 and X5 are the even part, X1 and X2 the odd part.
	MOVAPS X0, X4
	MOVAPS X1, X5
	ADDPS  X2, X4
	SUBPS  X3, X5
	ADDPS  X3, X1
	SUBPS  X0, X2

	// X8 and X1 are the odd part, turned.
	MOVAPS X1, X8
	MOVAPS X2, X9
	MULPS  X6, X8
	MULPS  X7, X9
	MULPS  X7, X1
	MULPS  X6, X2
	SUBPS  X9, X8
	ADDPS  X2, X1

	MOVAPS X4, X10
	MOVAPS X5, X11
	ADDPS  X8, X10
	ADDPS  X1, X11
	SUBPS  X8, X4
	SUBPS  X1, X5
	MULPS  X10, X10
	MULPS  X11, X11
	MULPS  X4, X4
	MULPS  X5, X5
	ADDPS  X11, X10
	ADDPS  X5, X4
	SQRTPS X10, X10
	SQRTPS X4, X4
	MOVUPS X10, 0(DI)
	MOVUPS X4, 0(R9)
	ADDQ   $16, DI
	SUBQ   $16, R9
	ADDQ   $32, SI
	SUBQ   $32, R11
	MOVQ   R11, R10
	ADDQ   $8, R8
	DECQ   CX
	JNZ    bin
	RET
