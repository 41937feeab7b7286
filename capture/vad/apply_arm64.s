//go:build !purego

#include "textflag.h"

// The assembler has no names for these instructions on four floats: FADD, and FMUL with one element of V16.
#define FADD4(sum, addend) WORD $(0x4E20D400 | (addend)<<16 | (sum)<<5 | (sum))
#define FMUL4(product, factor, element) WORD $(0x4F909000 | ((element)&1)<<21 | ((element)>>1)<<11 | (factor)<<5 | (product))

// ROWS adds the product of the value in V16 with the weights in four registers to four sums.
#define ROWS(weights, sums) \
	FMUL4(weights, weights, 0);     \
	FMUL4(weights+1, weights+1, 0); \
	FMUL4(weights+2, weights+2, 0); \
	FMUL4(weights+3, weights+3, 0); \
	FADD4(sums, weights);           \
	FADD4(sums+1, weights+1);       \
	FADD4(sums+2, weights+2);       \
	FADD4(sums+3, weights+3)

// func columnsNEON(out, weights, bias *float32, shift int, index *int32, value *float32, n int)
//
// V0 to V15 add up the 64 rows.
TEXT ·columnsNEON(SB), NOSPLIT, $0-56
	MOVD   out+0(FP), R0
	MOVD   weights+8(FP), R1
	MOVD   bias+16(FP), R2
	MOVD   shift+24(FP), R3
	MOVD   index+32(FP), R4
	MOVD   value+40(FP), R5
	MOVD   n+48(FP), R6
	ADD    R3<<2, R1, R1
	VLD1.P 64(R2), [V0.S4, V1.S4, V2.S4, V3.S4]
	VLD1.P 64(R2), [V4.S4, V5.S4, V6.S4, V7.S4]
	VLD1.P 64(R2), [V8.S4, V9.S4, V10.S4, V11.S4]
	VLD1   (R2), [V12.S4, V13.S4, V14.S4, V15.S4]

column:
	MOVW.P  4(R4), R7
	FMOVS.P 4(R5), F16
	ADD     R7<<2, R1, R8
	VLD1.P  64(R8), [V17.S4, V18.S4, V19.S4, V20.S4]
	VLD1.P  64(R8), [V21.S4, V22.S4, V23.S4, V24.S4]
	VLD1.P  64(R8), [V25.S4, V26.S4, V27.S4, V28.S4]
	ROWS(17, 0)
	VLD1    (R8), [V17.S4, V18.S4, V19.S4, V20.S4]
	ROWS(21, 4)
	ROWS(25, 8)
	ROWS(17, 12)
	SUBS    $1, R6
	BNE     column

	VST1.P [V0.S4, V1.S4, V2.S4, V3.S4], 64(R0)
	VST1.P [V4.S4, V5.S4, V6.S4, V7.S4], 64(R0)
	VST1.P [V8.S4, V9.S4, V10.S4, V11.S4], 64(R0)
	VST1   [V12.S4, V13.S4, V14.S4, V15.S4], (R0)
	RET

// WINDOW adds the products of the magnitude of a window with the 16 weights in V17 to V20 to the four sums of an output.
#define WINDOW(window, sums) \
	FMUL4(21, 17, window); \
	FMUL4(22, 18, window); \
	FMUL4(23, 19, window); \
	FMUL4(24, 20, window); \
	FADD4(sums, 21);       \
	FADD4(sums+1, 22);     \
	FADD4(sums+2, 23);     \
	FADD4(sums+3, 24)

// func windowsNEON(out *float32, stride int, weights, bias, spectra *float32, bins int)
//
// V0 to V3 add up the 16 rows of the first output, V4 to V7 those of the second, and so on to V15. V16 has the magnitudes of
// the four windows.
TEXT ·windowsNEON(SB), NOSPLIT, $0-48
	MOVD out+0(FP), R0
	MOVD stride+8(FP), R1
	MOVD weights+16(FP), R2
	MOVD bias+24(FP), R3
	MOVD spectra+32(FP), R4
	MOVD bins+40(FP), R5
	LSL  $2, R1
	VLD1 (R3), [V0.S4, V1.S4, V2.S4, V3.S4]
	VLD1 (R3), [V4.S4, V5.S4, V6.S4, V7.S4]
	VLD1 (R3), [V8.S4, V9.S4, V10.S4, V11.S4]
	VLD1 (R3), [V12.S4, V13.S4, V14.S4, V15.S4]

bin:
	VLD1.P 16(R4), [V16.S4]
	VLD1.P 64(R2), [V17.S4, V18.S4, V19.S4, V20.S4]
	WINDOW(0, 4)
	WINDOW(1, 8)
	WINDOW(2, 12)
	VLD1.P 64(R2), [V17.S4, V18.S4, V19.S4, V20.S4]
	WINDOW(0, 0)
	WINDOW(1, 4)
	WINDOW(2, 8)
	WINDOW(3, 12)
	VLD1.P 64(R2), [V17.S4, V18.S4, V19.S4, V20.S4]
	WINDOW(1, 0)
	WINDOW(2, 4)
	WINDOW(3, 8)
	SUBS   $1, R5
	BNE    bin

	VST1 [V0.S4, V1.S4, V2.S4, V3.S4], (R0)
	ADD  R1, R0
	VST1 [V4.S4, V5.S4, V6.S4, V7.S4], (R0)
	ADD  R1, R0
	VST1 [V8.S4, V9.S4, V10.S4, V11.S4], (R0)
	ADD  R1, R0
	VST1 [V12.S4, V13.S4, V14.S4, V15.S4], (R0)
	RET
