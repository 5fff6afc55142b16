package mapfile

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"runtime"
	"sync"

	"postern/directory"
)

// maxReaders bounds how many blocks are read at once, and by that the memory for their text.
const maxReaders = 8

// Sum is a block's text, as far as it matters whether it changed.
type Sum [sha256.Size]byte

// Block is a piece of a file, of about a megabyte, that changes by itself.
type Block struct {
	Sum   Sum
	Table *directory.Table
}

// Blocks reads files block by block. One is kept for all readings of a file, since it
// cuts the next as it cut the last.
type Blocks struct {
	options Options
	seed    maphash.Seed // of the cuts: nobody can write a file that is cut badly
}

// NewBlocks returns what reads files block by block. The options name no file.
func NewBlocks(o Options) *Blocks { return &Blocks{options: o, seed: maphash.MakeSeed()} }

// Read turns a whole file into the tables of its blocks, or says all that is wrong with it,
// as the function Read does. Blocks are read by several processors at once; one that known
// has is not read again. What is known must come from one reading.
func (b *Blocks) Read(r io.ReadSeeker, file string, known map[Sum]*directory.Table) ([]Block, error) {
	o := b.options
	o.File = file
	crew := &crew{options: o, known: known, todo: make(chan *piece), free: make(chan []byte, maxReaders+1)}
	pieces, err := crew.read(newCutter(r, b.seed))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	blocks, parts := make([]Block, len(pieces)), make([]*part, len(pieces))
	for i, p := range pieces {
		blocks[i], parts[i] = Block{Sum: p.sum, Table: p.part.table}, p.part
	}
	if err := join(r, o, parts); err != nil {
		return nil, err
	}
	return blocks, nil
}

// piece is a block on its way.
type piece struct {
	space []byte // given back as soon as the block is read
	text  []byte // in space
	first int    // its first line's number
	sum   Sum
	part  *part
}

// crew is who reads a file's blocks.
type crew struct {
	options Options
	known   map[Sum]*directory.Table
	todo    chan *piece
	free    chan []byte // texts' memory
	readers int
	texts   int // that were made
	working sync.WaitGroup
}

// read hands the blocks out and waits until all are read. Another reader comes
// only with another block: most files have just one.
func (c *crew) read(blocks *cutter) (pieces []*piece, err error) {
	for line := 1; blocks.more(); {
		p := &piece{space: c.text(), first: line}
		if p.text, err = blocks.next(p.space); err != nil {
			break
		}
		line += bytes.Count(p.text, []byte{'\n'})
		pieces = append(pieces, p)
		if c.readers < min(runtime.GOMAXPROCS(0), maxReaders) {
			c.readers++
			c.working.Go(c.work)
		}
		c.todo <- p
	}
	close(c.todo)
	c.working.Wait()
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return pieces, err
}

// text returns memory for a block, made anew for one more than there are readers.
func (c *crew) text() []byte {
	if c.texts <= c.readers {
		c.texts++
		return make([]byte, maxBlock)
	}
	return <-c.free
}

func (c *crew) work() {
	lines := newReader(c.options)
	for p := range c.todo {
		p.sum = sha256.Sum256(p.text)
		if table, ok := c.known[p.sum]; ok {
			p.part = &part{table: table, known: true}
		} else {
			p.part = lines.block(p.text, p.first)
		}
		c.free <- p.space
		p.text, p.space = nil, nil
	}
}

// block reads all lines of a text, of which the first has this number.
func (r *reader) block(text []byte, number int) *part {
	for ; len(text) > 0; number++ {
		end := bytes.IndexByte(text, '\n') + 1
		if end == 0 {
			end = len(text)
		}
		r.line(number, trimEnd(text[:end]))
		text = text[end:]
	}
	return r.take()
}
