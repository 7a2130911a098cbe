package detector

import (
	"testing"

	"pgregory.net/rapid"
)

func TestSizeClassesHoldWhatTheyPromise(t *testing.T) {
	for n := 1; n <= 1<<20; n += 1 + n/100 {
		c := sizeClass(n)
		if w := classWords(c); w < n {
			t.Fatalf("class %d of %d words holds %d", c, n, w)
		}
		if c > 0 && classWords(c-1) >= n {
			t.Fatalf("%d words fit class %d already", n, c-1)
		}
		if sizeClass(classWords(c)) != c {
			t.Fatalf("class %d is not its own", c)
		}
	}
	if c := sizeClass(1 << 19); c >= classCount {
		t.Fatalf("class %d out of range", c)
	}
}

func TestArenaBlocksNeverOverlap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type block struct {
			r     ref
			class int
			mark  uint64
		}
		a := newArena()
		var blocks []block
		mark := uint64(0)
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			if len(blocks) > 0 && rapid.Bool().Draw(t, "free") {
				i := rapid.IntRange(0, len(blocks)-1).Draw(t, "which")
				b := blocks[i]
				for j, w := range a.at(b.r)[:classWords(b.class)] {
					if w != b.mark {
						t.Fatalf("word %d of block %d was overwritten", j, b.r)
					}
				}
				if rapid.Bool().Draw(t, "whole") {
					a.recycle(b.r, classWords(b.class))
				} else {
					a.release(b.r, b.class)
				}
				blocks = append(blocks[:i], blocks[i+1:]...)
				continue
			}
			n := rapid.SampledFrom([]int{1, 5, 14, 17, 40, 333, 5000, largeWords + 1}).Draw(t, "words")
			r, class := a.alloc(n)
			if r == 0 {
				t.Fatal("block 0 stands for none")
			}
			mark++
			for j := range a.at(r)[:classWords(class)] {
				a.at(r)[j] = mark
			}
			blocks = append(blocks, block{r, class, mark})
		}
	})
}
