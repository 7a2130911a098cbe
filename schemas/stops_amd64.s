#include "textflag.h"

// Bytes of a block that end plain text, as bits of mask (Y0: quotes, Y1: backslashes,
// Y2: the last control character). Y3 gathers what has its high bit set.
#define BLOCK(at, mask) \
	VMOVDQU at, Y4; \
	VPOR    Y4, Y3, Y3; \
	VPCMPEQB Y4, Y0, Y5; \
	VPCMPEQB Y4, Y1, Y6; \
	VPMINUB Y4, Y2, Y7; \
	VPCMPEQB Y4, Y7, Y7; \
	VPOR    Y5, Y6, Y5; \
	VPOR    Y5, Y7, Y5; \
	VPMOVMSKB Y5, mask

DATA stopBytes<>+0(SB)/1, $'"'
DATA stopBytes<>+1(SB)/1, $'\\'
DATA stopBytes<>+2(SB)/1, $0x1f
GLOBL stopBytes<>(SB), RODATA|NOPTR, $3

// func markStops(dst *uint64, src *byte, n int) (high bool)
TEXT ·markStops(SB), NOSPLIT, $0-25
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
	VPBROADCASTB stopBytes<>+0(SB), Y0
	VPBROADCASTB stopBytes<>+1(SB), Y1
	VPBROADCASTB stopBytes<>+2(SB), Y2
	VPXOR Y3, Y3, Y3

blocks:
	BLOCK((SI), AX)
	BLOCK(32(SI), DX)
	SHLQ $32, DX
	ORQ  DX, AX
	MOVQ AX, (DI)
	ADDQ $64, SI
	ADDQ $8, DI
	SUBQ $64, CX
	CMPQ CX, $64
	JGE  blocks

	// The rest is at the end of the last 64 bytes; behind it everything stops.
	MOVQ $-1, R8
	MOVQ R8, 8(DI)
	TESTQ CX, CX
	JZ   done
	BLOCK(-64(SI)(CX*1), AX)
	BLOCK(-32(SI)(CX*1), DX)
	SHLQ $32, DX
	ORQ  DX, AX
	SHLQ CX, R8
	NEGQ CX
	SHRQ CX, AX
	ORQ  AX, R8

done:
	MOVQ R8, (DI)
	VPMOVMSKB Y3, AX
	TESTL AX, AX
	SETNE high+24(FP)
	VZEROUPPER
	RET
