//go:build !purego

#include "textflag.h"

// SSE_ROWS adds the product of X8 with four weights to a sum.
#define SSE_ROWS(weights, product, sum) \
	MOVUPS weights, product; \
	MULPS  X8, product;      \
	ADDPS  product, sum

// func columnsSSE(out, weights, bias *float32, shift int, index *int32, value *float32, n int)
//
// The 64 rows are computed in two passes. X0 to X7 add up 32 rows. They do not wait for each other.
TEXT ·columnsSSE(SB), NOSPLIT, $0-56
	MOVQ out+0(FP), DI
	MOVQ weights+8(FP), SI
	MOVQ bias+16(FP), BX
	MOVQ shift+24(FP), AX
	MOVQ $2, DX
	LEAQ (SI)(AX*4), SI

pass:
	MOVQ   index+32(FP), R8
	MOVQ   value+40(FP), R9
	MOVQ   n+48(FP), CX
	MOVUPS 0(BX), X0
	MOVUPS 16(BX), X1
	MOVUPS 32(BX), X2
	MOVUPS 48(BX), X3
	MOVUPS 64(BX), X4
	MOVUPS 80(BX), X5
	MOVUPS 96(BX), X6
	MOVUPS 112(BX), X7

column:
	MOVLQSX (R8), AX
	MOVSS   (R9), X8
	LEAQ    (SI)(AX*4), R10
	SHUFPS  $0, X8, X8
	SSE_ROWS(0(R10), X9, X0)
	SSE_ROWS(16(R10), X10, X1)
	SSE_ROWS(32(R10), X11, X2)
	SSE_ROWS(48(R10), X12, X3)
	SSE_ROWS(64(R10), X13, X4)
	SSE_ROWS(80(R10), X14, X5)
	SSE_ROWS(96(R10), X15, X6)
	SSE_ROWS(112(R10), X9, X7)
	ADDQ    $4, R8
	ADDQ    $4, R9
	DECQ    CX
	JNZ     column

	MOVUPS X0, 0(DI)
	MOVUPS X1, 16(DI)
	MOVUPS X2, 32(DI)
	MOVUPS X3, 48(DI)
	MOVUPS X4, 64(DI)
	MOVUPS X5, 80(DI)
	MOVUPS X6, 96(DI)
	MOVUPS X7, 112(DI)
	ADDQ   $128, DI
	ADDQ   $128, SI
	ADDQ   $128, BX
	DECQ   DX
	JNZ    pass
	RET

// SSE_WINDOW adds the products of the magnitude of a window with the eight weights in X12 and X13 to two sums.
#define SSE_WINDOW(magnitude, low, high) \
	MOVAPS X12, X14;       \
	MOVAPS X13, X15;       \
	MULPS  magnitude, X14; \
	MULPS  magnitude, X15; \
	ADDPS  X14, low;       \
	ADDPS  X15, high

// func windowsSSE(out *float32, stride int, weights, bias, spectra *float32, bins int)
//
// The 16 rows are computed in two passes. X0 and X1 add up eight rows of the first output, X2 and X3 those of the second, and
// so on to X7. X8 to X11 are the magnitudes of the windows.
TEXT ·windowsSSE(SB), NOSPLIT, $0-48
	MOVQ out+0(FP), DI
	MOVQ stride+8(FP), R10
	MOVQ weights+16(FP), R11
	MOVQ bias+24(FP), BX
	MOVQ $2, DX
	SHLQ $2, R10

pass:
	MOVQ   R11, SI
	MOVQ   spectra+32(FP), R8
	MOVQ   bins+40(FP), CX
	MOVUPS 0(BX), X0
	MOVUPS 16(BX), X1
	MOVAPS X0, X2
	MOVAPS X1, X3
	MOVAPS X0, X4
	MOVAPS X1, X5
	MOVAPS X0, X6
	MOVAPS X1, X7

bin:
	MOVSS  0(R8), X8
	MOVSS  4(R8), X9
	MOVSS  8(R8), X10
	MOVSS  12(R8), X11
	SHUFPS $0, X8, X8
	SHUFPS $0, X9, X9
	SHUFPS $0, X10, X10
	SHUFPS $0, X11, X11
	MOVUPS 0(SI), X12
	MOVUPS 16(SI), X13
	SSE_WINDOW(X8, X2, X3)
	SSE_WINDOW(X9, X4, X5)
	SSE_WINDOW(X10, X6, X7)
	MOVUPS 64(SI), X12
	MOVUPS 80(SI), X13
	SSE_WINDOW(X8, X0, X1)
	SSE_WINDOW(X9, X2, X3)
	SSE_WINDOW(X10, X4, X5)
	SSE_WINDOW(X11, X6, X7)
	MOVUPS 128(SI), X12
	MOVUPS 144(SI), X13
	SSE_WINDOW(X9, X0, X1)
	SSE_WINDOW(X10, X2, X3)
	SSE_WINDOW(X11, X4, X5)
	ADDQ   $192, SI
	ADDQ   $16, R8
	DECQ   CX
	JNZ    bin

	MOVQ   DI, AX
	MOVUPS X0, 0(AX)
	MOVUPS X1, 16(AX)
	ADDQ   R10, AX
	MOVUPS X2, 0(AX)
	MOVUPS X3, 16(AX)
	ADDQ   R10, AX
	MOVUPS X4, 0(AX)
	MOVUPS X5, 16(AX)
	ADDQ   R10, AX
	MOVUPS X6, 0(AX)
	MOVUPS X7, 16(AX)
	ADDQ   $32, DI
	ADDQ   $32, R11
	ADDQ   $32, BX
	DECQ   DX
	JNZ    pass
	RET

// AVX_ROWS adds the product of Y8 with eight weights to a sum.
#define AVX_ROWS(weights, product, sum) \
	VMULPS weights, Y8, product; \
	VADDPS product, sum, sum

// func columnsAVX2(out, weights, bias *float32, shift int, index *int32, value *float32, n int)
//
// Y0 to Y7 add up the 64 rows.
TEXT ·columnsAVX2(SB), NOSPLIT, $0-56
	MOVQ    out+0(FP), DI
	MOVQ    weights+8(FP), SI
	MOVQ    bias+16(FP), BX
	MOVQ    shift+24(FP), AX
	MOVQ    index+32(FP), R8
	MOVQ    value+40(FP), R9
	MOVQ    n+48(FP), CX
	LEAQ    (SI)(AX*4), SI
	VMOVUPS 0(BX), Y0
	VMOVUPS 32(BX), Y1
	VMOVUPS 64(BX), Y2
	VMOVUPS 96(BX), Y3
	VMOVUPS 128(BX), Y4
	VMOVUPS 160(BX), Y5
	VMOVUPS 192(BX), Y6
	VMOVUPS 224(BX), Y7

column:
	MOVLQSX      (R8), AX
	VBROADCASTSS (R9), Y8
	LEAQ         (SI)(AX*4), R10
	AVX_ROWS(0(R10), Y9, Y0)
	AVX_ROWS(32(R10), Y10, Y1)
	AVX_ROWS(64(R10), Y11, Y2)
	AVX_ROWS(96(R10), Y12, Y3)
	AVX_ROWS(128(R10), Y13, Y4)
	AVX_ROWS(160(R10), Y14, Y5)
	AVX_ROWS(192(R10), Y15, Y6)
	AVX_ROWS(224(R10), Y9, Y7)
	ADDQ         $4, R8
	ADDQ         $4, R9
	DECQ         CX
	JNZ          column

	VMOVUPS Y0, 0(DI)
	VMOVUPS Y1, 32(DI)
	VMOVUPS Y2, 64(DI)
	VMOVUPS Y3, 96(DI)
	VMOVUPS Y4, 128(DI)
	VMOVUPS Y5, 160(DI)
	VMOVUPS Y6, 192(DI)
	VMOVUPS Y7, 224(DI)
	VZEROUPPER
	RET

// AVX_WINDOW adds the products of the magnitude of a window with the 16 weights in Y12 and Y13 to two sums.
#define AVX_WINDOW(magnitude, low, high) \
	VMULPS magnitude, Y12, Y14; \
	VMULPS magnitude, Y13, Y15; \
	VADDPS Y14, low, low;       \
	VADDPS Y15, high, high

// func windowsAVX2(out *float32, stride int, weights, bias, spectra *float32, bins int)
//
// Y0 and Y1 add up the 16 rows of the first output, Y2 and Y3 those of the second, and so on to Y7. Y8 to Y11 are the
// magnitudes of the windows.
TEXT ·windowsAVX2(SB), NOSPLIT, $0-48
	MOVQ    out+0(FP), DI
	MOVQ    stride+8(FP), R10
	MOVQ    weights+16(FP), SI
	MOVQ    bias+24(FP), BX
	MOVQ    spectra+32(FP), R8
	MOVQ    bins+40(FP), CX
	SHLQ    $2, R10
	VMOVUPS 0(BX), Y0
	VMOVUPS 32(BX), Y1
	VMOVAPS Y0, Y2
	VMOVAPS Y1, Y3
	VMOVAPS Y0, Y4
	VMOVAPS Y1, Y5
	VMOVAPS Y0, Y6
	VMOVAPS Y1, Y7

bin:
	VBROADCASTSS 0(R8), Y8
	VBROADCASTSS 4(R8), Y9
	VBROADCASTSS 8(R8), Y10
	VBROADCASTSS 12(R8), Y11
	VMOVUPS      0(SI), Y12
	VMOVUPS      32(SI), Y13
	AVX_WINDOW(Y8, Y2, Y3)
	AVX_WINDOW(Y9, Y4, Y5)
	AVX_WINDOW(Y10, Y6, Y7)
	VMOVUPS      64(SI), Y12
	VMOVUPS      96(SI), Y13
	AVX_WINDOW(Y8, Y0, Y1)
	AVX_WINDOW(Y9, Y2, Y3)
	AVX_WINDOW(Y10, Y4, Y5)
	AVX_WINDOW(Y11, Y6, Y7)
	VMOVUPS      128(SI), Y12
	VMOVUPS      160(SI), Y13
	AVX_WINDOW(Y9, Y0, Y1)
	AVX_WINDOW(Y10, Y2, Y3)
	AVX_WINDOW(Y11, Y4, Y5)
	ADDQ         $192, SI
	ADDQ         $16, R8
	DECQ         CX
	JNZ          bin

	VMOVUPS Y0, 0(DI)
	VMOVUPS Y1, 32(DI)
	ADDQ    R10, DI
	VMOVUPS Y2, 0(DI)
	VMOVUPS Y3, 32(DI)
	ADDQ    R10, DI
	VMOVUPS Y4, 0(DI)
	VMOVUPS Y5, 32(DI)
	ADDQ    R10, DI
	VMOVUPS Y6, 0(DI)
	VMOVUPS Y7, 32(DI)
	VZEROUPPER
	RET
