package relay

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// talk feeds a dialogue: a line that begins with C is the client's, with S the backend's;
// \n in a line stands for CRLF.
func talk(lines ...string) *framing {
	f := new(framing)
	for _, line := range lines {
		octets := []byte(strings.ReplaceAll(line[2:], "\n", "\r\n"))
		if line[0] == 'C' {
			f.asked(octets)
		} else {
			f.answered(octets)
		}
	}
	return f
}

func TestFraming(t *testing.T) {
	for _, test := range []struct {
		name    string
		lines   []string
		between bool
		lost    bool
	}{
		{"fresh", nil, true, false},
		{"a command under way", []string{"C NO"}, false, false},
		{"asked", []string{"C NOOP\n"}, false, false},
		{"answered", []string{"C NOOP\n", "S +OK\n"}, true, false},
		{"answered in pieces", []string{"C NO", "C OP\n", "S +O", "S K fine", "S \n"}, true, false},
		{"small letters", []string{"C retr 1\n", "S +OK\n"}, false, false},
		{"a message", []string{"C RETR 1\n", "S +OK\nSubject: x\n\nbody\n", "S .\n"}, true, false},
		{"a message with a stuffed dot", []string{"C RETR 1\n", "S +OK\nx\n..\n"}, false, false},
		{"a message's piece that looks like a line's end", []string{"C RETR 1\n", "S +OK\nx\n"}, false, false},
		{"an empty message", []string{"C RETR 1\n", "S +OK\n.\n"}, true, false},
		{"the end in single octets", []string{"C TOP 1 0\n", "S +OK\nx\n", "S .", "S \n"}, true, false},
		{"a refused message", []string{"C RETR 9\n", "S -ERR no such message\n"}, true, false},
		{"a refused message in two", []string{"C RETR 9\n", "S -", "S ERR\n"}, true, false},
		{"LIST", []string{"C LIST\n", "S +OK\n"}, false, false},
		{"LIST with an end", []string{"C LIST\n", "S +OK\n1 2\n.\n"}, true, false},
		{"LIST of one", []string{"C LIST 1\n", "S +OK 1 2\n"}, true, false},
		{"LIST and a blank", []string{"C LIST \n", "S +OK\n1 2\n.\n"}, true, false},
		{"two at once", []string{"C DELE 1\nDELE 2\n", "S +OK\n"}, false, false},
		{"two at once, both answered", []string{"C DELE 1\nDELE 2\n", "S +OK\n+OK\n"}, true, false},
		{"three at once in odd pieces", []string{"C RETR 1\nLIST\nNOOP\n", "S +OK\na\n.", "S \n+OK\n1 1\n", "S .\n+", "S OK\n"}, true, false},
		{"pipelined behind a message under way", []string{"C RETR 1\n", "S +OK\nabc\n", "C NOOP\n", "S .\n+OK\n"}, true, false},
		{"pipelined, the first refused", []string{"C RETR 9\nRETR 1\n", "S -ERR\n+OK\nx\n.\n"}, true, false},
		{"unknown and refused", []string{"C XTND\n", "S -ERR\n"}, true, false},
		{"unknown and taken", []string{"C XTND\n", "S +OK\n"}, false, true},
		{"spoken unasked", []string{"S -ERR autologout\n"}, false, true},
		{"an empty line", []string{"C \n"}, false, true},
		{"after QUIT", []string{"C QUIT\n", "S +OK\n"}, false, false},
		{"a long unknown word", []string{"C RETRRETRRETR 1\n", "S -ERR\n"}, true, false},
		{"an operand that looks like a verb", []string{"C NOOP RETR\n", "S +OK\n"}, true, false},
		{"sixty-four ahead", []string{"C " + strings.Repeat("NOOP\n", 64), "S " + strings.Repeat("+OK\n", 64)}, true, false},
		{"too many ahead", []string{"C " + strings.Repeat("NOOP\n", 65)}, false, true},
	} {
		f := talk(test.lines...)
		if f.between() != test.between || f.lost != test.lost {
			t.Errorf("%s: between %v, lost %v: %+v", test.name, f.between(), f.lost, f)
		}
	}
}

func TestFramingWantsWholeLineEnds(t *testing.T) {
	for _, line := range []string{"NOOP\n", "NO\rOP\r\n", "\r\n", "\r\r\n"} {
		f := new(framing)
		f.asked([]byte(line))
		if !f.lost {
			t.Errorf("%q is taken for a command", line)
		}
	}
}

// dialogue makes a client's commands and what a backend answers, with the place at
// which each answer ends.
func dialogue(r *rand.Rand) (commands []string, answers []string) {
	for range 1 + r.IntN(20) {
		n := r.IntN(4)
		commands = append(commands, [...]string{"NOOP\r\n", "LIST\r\n", "RETR 7\r\n", "UIDL 3\r\n"}[n])
		body := strings.Repeat("line\r\n..\r\n.x\r\n\r\n", r.IntN(5))
		switch {
		case r.IntN(4) == 0:
			answers = append(answers, "-ERR [SYS/TEMP] no.\r\n")
		case n == 1 || n == 2:
			answers = append(answers, "+OK\r\n"+body+".\r\n")
		default:
			answers = append(answers, "+OK 3\r\n")
		}
	}
	return commands, answers
}

// TestFramingWhateverThePieces: in any interleaving that the protocol allows, the session is
// between two commands exactly when everything asked is answered.
func TestFramingWhateverThePieces(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		commands, answers := dialogue(r)
		f, said, given := new(framing), 0, 0
		var wire bytes.Buffer // what the backend has said and the client was not given
		for given < len(answers) || wire.Len() > 0 {
			if said < len(commands) && r.IntN(2) == 0 {
				f.asked([]byte(commands[said]))
				said++
			}
			if given < said && r.IntN(2) == 0 {
				wire.WriteString(answers[given])
				given++
			}
			f.answered(wire.Next(r.IntN(12)))
			if want := given == said && wire.Len() == 0; f.between() != want {
				t.Fatalf("seed %d: between %v after %d of %d commands, %d octets left: %+v", seed, f.between(), said, len(commands), wire.Len(), f)
			}
		}
	}
}

// FuzzFraming: whatever passes, a session that is between two commands has got an answer's end last.
func FuzzFraming(f *testing.F) {
	f.Add([]byte("NOOP\r\n"), []byte("+OK\r\n"), 3)
	f.Add([]byte("RETR 1\r\nLIST\r\n"), []byte("+OK\r\nx\r\n.\r\n+OK\r\n.\r\n"), 1)
	f.Fuzz(func(t *testing.T, asked, answered []byte, size int) {
		whole, pieces := new(framing), new(framing)
		whole.asked(asked)
		whole.answered(answered)
		for _, c := range asked {
			pieces.asked([]byte{c})
		}
		size = max(1, size%7)
		for rest := answered; len(rest) > 0; {
			n := min(size, len(rest))
			pieces.answered(rest[:n])
			rest = rest[n:]
		}
		if pieces.between() && !bytes.HasSuffix(answered, lineEnd) && len(answered) > 0 {
			t.Errorf("between two commands behind %q", answered)
		}
		// In one piece, what follows the only answer is not told apart from it.
		if pieces.between() && !whole.between() {
			t.Errorf("whole %+v\npieces %+v", whole, pieces)
		}
	})
}

func BenchmarkFramingAnswered(b *testing.B) {
	for _, ahead := range []int{1, 2} {
		b.Run(fmt.Sprintf("outstanding=%d", ahead), func(b *testing.B) {
			chunk := bytes.Repeat([]byte(strings.Repeat("x", 70)+"\r\n"), 455)
			f := new(framing)
			f.asked([]byte(strings.Repeat("RETR 1\r\n", ahead)))
			f.answered([]byte("+OK\r\n"))
			b.SetBytes(int64(len(chunk)))
			b.ReportAllocs()
			for b.Loop() {
				f.answered(chunk)
			}
		})
	}
}
