package detector

import "math/bits"

// ref addresses a block of an arena; 0 is none. It counts in units of two words
// (16 bytes) inside chunks of chunkWords.
type ref uint32

const (
	unitWords  = 2
	chunkBits  = 19                     // units of the largest chunk, as a power of two
	chunkWords = unitWords << chunkBits // 1 Mi words, 8 MiB
	leastWords = 1 << 10                // of the first chunk
	largeWords = chunkWords / 4         // blocks over this get a chunk of their own
)

// arena hands out blocks of 64-bit words in fixed size classes. It holds no
// pointers but those to its chunks, so the garbage collector has nothing to
// follow however many subjects there are. A block's words are not cleared.
type arena struct {
	chunks  [][]uint64
	current int // the chunk that new blocks are cut from
	used    int // words of it in use
	free    []ref
	spare   []int // numbers of chunks given back (large blocks)
	held    int   // words in chunks
	live    int64 // words in blocks that are in use
}

func newArena() *arena {
	// Chunk 0 starts small: most partitions of a test or a small site stay there.
	return &arena{chunks: [][]uint64{make([]uint64, leastWords)}, used: unitWords, held: leastWords, free: make([]ref, classCount)}
}

// The size classes in words: multiples of two up to 16, then four steps to each
// doubling, so that at most a fifth of a block is slack.
const classCount = 96

// sizeClass gives the smallest class that holds n words (n ≥ 1).
func sizeClass(n int) int {
	if n <= 16 {
		return (n+1)/2 - 1 // 2, 4, ... 16 words: classes 0 to 7
	}
	e := bits.Len(uint(n-1)) - 1 // 2^e < n ≤ 2^(e+1), e ≥ 4
	quarter := (n - 1 - 1<<e) >> (e - 2)
	return 8 + (e-4)*4 + quarter
}

// classWords gives the words of a class.
func classWords(class int) int {
	if class < 8 {
		return 2 * (class + 1)
	}
	e, quarter := (class-8)/4+4, (class-8)%4
	return 1<<e + (quarter+1)<<(e-2)
}

// at gives the words from r on; the caller knows how many of them are its block's.
func (a *arena) at(r ref) []uint64 {
	return a.chunks[r>>chunkBits][(r&(1<<chunkBits-1))*unitWords:]
}

// alloc gives a block of at least n words and its class. Its contents are undefined.
func (a *arena) alloc(n int) (ref, int) {
	class := sizeClass(n)
	words := classWords(class)
	a.live += int64(words)
	if words > largeWords {
		return a.allocLarge(words), class
	}
	if r := a.free[class]; r != 0 {
		a.free[class] = ref(a.at(r)[0])
		return r, class
	}
	if a.used+words > len(a.chunks[a.current]) {
		a.addChunk(words)
	}
	r := ref(a.current<<chunkBits | a.used/unitWords)
	a.used += (words + 1) &^ 1
	return r, class
}

// addChunk adds a chunk with room for a block of words. Chunks grow with what is
// held, so that at most a third of it is room for more.
func (a *arena) addChunk(words int) {
	size := 1 << bits.Len(uint(max(words, a.held/2)-1))
	size = min(size, chunkWords)
	chunk := make([]uint64, size)
	adviseHuge(chunk)
	a.held += size
	a.chunks = append(a.chunks, chunk)
	a.current, a.used = len(a.chunks)-1, 0
}

func (a *arena) allocLarge(words int) ref {
	a.held += words
	if n := len(a.spare); n > 0 {
		i := a.spare[n-1]
		a.spare = a.spare[:n-1]
		a.chunks[i] = make([]uint64, words)
		return ref(i << chunkBits)
	}
	a.chunks = append(a.chunks, make([]uint64, words))
	return ref((len(a.chunks) - 1) << chunkBits)
}

// release gives a block of the class back.
func (a *arena) release(r ref, class int) {
	words := classWords(class)
	a.live -= int64(words)
	if words > largeWords {
		i := int(r >> chunkBits)
		a.chunks[i] = nil
		a.held -= words
		a.spare = append(a.spare, i)
		return
	}
	a.at(r)[0] = uint64(a.free[class])
	a.free[class] = r
}

// bytes says how much the arena holds, free blocks included.
func (a *arena) bytes() int64 { return int64(a.held) * 8 }
