package detector

import (
	"math/bits"
	"slices"
)

// ref addresses a block of an arena, by its first word; 0 is none. So an arena holds
// up to 32 GiB.
type ref uint32

const (
	chunkBits  = 21             // words of the largest chunk, as a power of two
	chunkWords = 1 << chunkBits // 16 MiB
	leastWords = 1 << 10        // of the first chunk
	largeWords = chunkWords / 4 // blocks over this get a chunk of their own
)

// arena hands out blocks of 64-bit words in fixed size classes. It holds no
// pointers but those to its chunks, so the garbage collector has nothing to
// follow however many subjects there are. A block's words are not cleared.
type arena struct {
	chunks  [][]uint64
	rest    region   // what new blocks are cut from
	regions []region // the same, once rest is too small
	free    []ref    // by class, a list
	spare   []int    // numbers of chunks given back (large blocks)
	held    int      // words in chunks
	live    int64    // words in blocks of records and sets that are in use
}

// region is a stretch of words that were never handed out, or were given back whole.
type region struct {
	at    ref
	words int
}

func newArena() *arena {
	// Chunk 0 starts small: most partitions of a test or a small site stay there.
	return &arena{chunks: [][]uint64{make([]uint64, leastWords)}, rest: region{1, leastWords - 1}, held: leastWords, free: make([]ref, classCount)}
}

// The size classes in words: each number up to 16, then four steps to each doubling,
// so that at most a fifth of a block is slack.
const classCount = 104

// sizeClass gives the smallest class that holds n words (n ≥ 1).
func sizeClass(n int) int {
	if n <= 16 {
		return n - 1
	}
	e := bits.Len(uint(n-1)) - 1 // 2^e < n ≤ 2^(e+1), e ≥ 4
	quarter := (n - 1 - 1<<e) >> (e - 2)
	return 16 + (e-4)*4 + quarter
}

// classWords gives the words of a class.
func classWords(class int) int {
	if class < 16 {
		return class + 1
	}
	e, quarter := (class-16)/4+4, (class-16)%4
	return 1<<e + (quarter+1)<<(e-2)
}

// at gives the words from r on; the caller knows how many of them are its block's.
func (a *arena) at(r ref) []uint64 {
	return a.chunks[r>>chunkBits][r&(1<<chunkBits-1):]
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
	if a.rest.words < words {
		a.nextRegion(words)
	}
	r := a.rest.at
	a.rest.at += ref(words)
	a.rest.words -= words
	return r, class
}

// leastRegion is how many words are worth to be remembered.
const leastRegion = 32

// nextRegion goes on with a region that holds a block of so many words.
func (a *arena) nextRegion(words int) {
	left := a.rest
	if i := slices.IndexFunc(a.regions, func(r region) bool { return r.words >= words }); i >= 0 {
		a.rest = a.regions[i]
		a.regions = slices.Delete(a.regions, i, i+1)
	} else {
		// Chunks grow with what is held, so that little of it is room for more.
		size := min(max(1<<bits.Len(uint(words-1)), 1<<(bits.Len(uint(a.held/4))-1)), chunkWords)
		chunk := newWords(size)
		a.held += size
		a.rest = region{ref(len(a.chunks) << chunkBits), size}
		a.chunks = append(a.chunks, chunk)
	}
	if left.words >= leastRegion {
		a.regions = append(a.regions, left)
	}
}

func (a *arena) allocLarge(words int) ref {
	a.held += words
	if n := len(a.spare); n > 0 {
		i := a.spare[n-1]
		a.spare = a.spare[:n-1]
		a.chunks[i] = newWords(words)
		return ref(i << chunkBits)
	}
	a.chunks = append(a.chunks, newWords(words))
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

// allocTable gives a block of exactly so many words, a power of two, for the slots of
// a table. It is not counted as live.
func (a *arena) allocTable(words int) ref {
	r, class := a.alloc(words)
	a.live -= int64(classWords(class))
	return r
}

// recycle gives the block of a table back to be cut up: one that has outgrown its block
// will not want one of that size again.
func (a *arena) recycle(r ref, words int) {
	if words > largeWords {
		a.live += int64(words)
		a.release(r, sizeClass(words))
		return
	}
	a.regions = append(a.regions, region{r, words})
}

// bytes says how much the arena holds, free blocks included.
func (a *arena) bytes() int64 { return int64(a.held) * 8 }
