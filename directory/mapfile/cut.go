package mapfile

import (
	"bufio"
	"bytes"
	"errors"
	"hash/maphash"
	"io"
)

// A block's size in octets. Between the two it ends where a line says so, which is after
// cutSize more on average: few come near the largest size.
const (
	minBlock = 512 << 10
	cutSize  = 512 << 10
	maxBlock = 4 << 20
)

// cutter cuts a file into blocks at ends of lines. Where, is told by the lines' addresses and
// not by their places: where one is inserted, the blocks before and behind stay the same.
type cutter struct {
	lines *bufio.Reader
	seed  maphash.Seed
	rest  []byte // read, but not part of a block yet
	begun bool
	ended bool
}

func newCutter(r io.Reader, seed maphash.Seed) *cutter {
	return &cutter{lines: bufio.NewReaderSize(r, 64<<10), seed: seed}
}

// more tells whether there may be a block.
func (c *cutter) more() bool { return !c.ended || len(c.rest) > 0 }

// next returns the next block in space, which holds maxBlock octets, and io.EOF behind the last. Of
// a line that is far too long only the beginning is in it.
func (c *cutter) next(space []byte) ([]byte, error) {
	n := copy(space, c.rest)
	if !c.ended {
		more, err := c.fill(space[n:maxBlock])
		if err != nil {
			return nil, err
		}
		n += more
	}
	text := space[:n]
	if !c.begun {
		c.begun = true
		text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) // some editors put it there
	}
	if len(text) == 0 {
		return nil, io.EOF
	}
	end := c.end(text)
	if end == 0 {
		return c.shorten(text)
	}
	c.rest = append(c.rest[:0], text[end:]...)
	return text[:end], nil
}

// fill reads until space is full or the file ends. io.ReadFull would have the same error for
// an end and for a packed file that was cut short.
func (c *cutter) fill(space []byte) (n int, err error) {
	for n < len(space) && err == nil {
		var more int
		more, err = c.lines.Read(space[n:])
		n += more
	}
	if c.ended = errors.Is(err, io.EOF); c.ended {
		err = nil
	}
	return n, err
}

// end tells where the block that text begins with ends; 0: there is no line's end.
func (c *cutter) end(text []byte) int {
	start := min(minBlock, len(text))
	start += bytes.IndexByte(text[start:], '\n') + 1
	for {
		length := bytes.IndexByte(text[start:], '\n') + 1
		if length == 0 {
			break
		}
		if start += length; c.cuts(text[start-length : start]) {
			return start
		}
	}
	if c.ended && len(text) < maxBlock {
		return len(text)
	}
	return bytes.LastIndexByte(text, '\n') + 1
}

// cuts tells whether a block ends behind a line, by its first word. A long line is as likely
// as several short ones.
func (c *cutter) cuts(line []byte) bool {
	word := line[:min(len(line), 64)]
	if space := bytes.IndexAny(word, " \t\r\n"); space >= 0 {
		word = word[:space]
	}
	return maphash.Bytes(c.seed, word)%cutSize < uint64(len(line))
}

// shorten makes a block of the beginning of a line that is longer than any block.
func (c *cutter) shorten(text []byte) ([]byte, error) {
	c.rest = c.rest[:0]
	_, err := c.lines.ReadSlice('\n')
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = c.lines.ReadSlice('\n')
	}
	if c.ended = errors.Is(err, io.EOF); err != nil && !c.ended {
		return nil, err
	}
	text = text[:maxLine+2]
	text[maxLine+1] = '\n'
	return text, nil
}
