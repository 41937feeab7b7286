//go:build !purego

#include "textflag.h"

// func tanhAVX2(values *float32, n int, terms *float32)
//
// n is a positive multiple of 8. Y0 is x, Y1 is x², Y2 and Y3 are the polynomials. Y4 to Y15 are the terms but the last, which
// stays in memory for lack of a register.
TEXT ·tanhAVX2(SB), NOSPLIT, $0-24
	MOVQ         values+0(FP), DI
	MOVQ         n+8(FP), CX
	MOVQ         terms+16(FP), R8
	VBROADCASTSS 0(R8), Y4
	VBROADCASTSS 4(R8), Y5
	VBROADCASTSS 8(R8), Y6
	VBROADCASTSS 12(R8), Y7
	VBROADCASTSS 16(R8), Y8
	VBROADCASTSS 20(R8), Y9
	VBROADCASTSS 24(R8), Y10
	VBROADCASTSS 28(R8), Y11
	VBROADCASTSS 32(R8), Y12
	VBROADCASTSS 36(R8), Y13
	VBROADCASTSS 40(R8), Y14
	VBROADCASTSS 44(R8), Y15

eight:
	VMOVUPS      0(DI), Y0
	VMINPS       Y0, Y4, Y0
	VMAXPS       Y0, Y5, Y0
	VMULPS       Y0, Y0, Y1
	VMULPS       Y1, Y10, Y2
	VMULPS       Y1, Y15, Y3
	VADDPS       Y9, Y2, Y2
	VADDPS       Y14, Y3, Y3
	VMULPS       Y1, Y2, Y2
	VMULPS       Y1, Y3, Y3
	VADDPS       Y8, Y2, Y2
	VADDPS       Y13, Y3, Y3
	VMULPS       Y1, Y2, Y2
	VMULPS       Y1, Y3, Y3
	VADDPS       Y7, Y2, Y2
	VADDPS       Y12, Y3, Y3
	VMULPS       Y1, Y2, Y2
	VMULPS       Y1, Y3, Y3
	VADDPS       Y6, Y2, Y2
	VADDPS       Y11, Y3, Y3
	VMULPS       Y0, Y2, Y2
	VDIVPS       Y3, Y2, Y2
	VMINPS       Y2, Y11, Y2
	VBROADCASTSS 48(R8), Y1
	VMAXPS       Y2, Y1, Y2
	VMOVUPS      Y2, 0(DI)
	ADDQ         $32, DI
	SUBQ         $8, CX
	JNZ          eight

	VZEROUPPER
	RET
