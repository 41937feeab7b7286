//go:build !purego

#include "textflag.h"

// func sixteenSSE(out, first, second, bias *float32, index *int32, value *float32, n int)
//
// X0 to X3 add up rows 0-3, 4-7, 8-11 and 12-15; they do not wait for each other.
TEXT ·sixteenSSE(SB), NOSPLIT, $0-56
	MOVQ out+0(FP), DI
	MOVQ first+8(FP), SI
	MOVQ second+16(FP), DX
	MOVQ bias+24(FP), BX
	MOVQ index+32(FP), R8
	MOVQ value+40(FP), R9
	MOVQ n+48(FP), CX
	MOVUPS 0(BX), X0
	MOVUPS 16(BX), X1
	MOVUPS 32(BX), X2
	MOVUPS 48(BX), X3

column:
	MOVLQSX (R8), AX
	MOVSS   (R9), X4
	SHUFPS  $0, X4, X4
	MOVUPS  0(SI)(AX*4), X5
	MOVUPS  16(SI)(AX*4), X6
	MOVUPS  0(DX)(AX*4), X7
	MOVUPS  16(DX)(AX*4), X8
	MULPS   X4, X5
	MULPS   X4, X6
	MULPS   X4, X7
	MULPS   X4, X8
	ADDPS   X5, X0
	ADDPS   X6, X1
	ADDPS   X7, X2
	ADDPS   X8, X3
	ADDQ    $4, R8
	ADDQ    $4, R9
	DECQ    CX
	JNZ     column

	MOVUPS X0, 0(DI)
	MOVUPS X1, 16(DI)
	MOVUPS X2, 32(DI)
	MOVUPS X3, 48(DI)
	RET
