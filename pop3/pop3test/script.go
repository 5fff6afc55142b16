package pop3test

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// maxRaw bounds what "x" * N becomes.
const maxRaw = 256 << 20

// step is one line of a transcript.
type step struct {
	line int    // in the file
	text string // as written
	wire wire
	play action

	label    string         // who, number and mark, "b2>"
	octets   []byte         // to send, or to come
	matches  *regexp.Regexp // what must come where the text is free
	duration time.Duration
	listener int // of a dial: the backend's number
}

// action does what a step says.
type action func(*player, step) error

// wire names a connection: C2 and S2 are one, b2< and b2> are another.
type wire struct {
	backend bool
	number  int
}

func (w wire) String() string {
	if w.backend {
		return "b" + w.suffix()
	}
	return "C" + w.suffix()
}

func (w wire) suffix() string {
	if w.number == 1 {
		return ""
	}
	return strconv.Itoa(w.number)
}

// form is how a kind of line is read and played.
type form struct {
	read func(s *step, rest string) error
	play action
}

// forms is the language: who and mark, without the number.
var forms = map[string]form{
	"C:":       {readText, (*player).send},
	"b<":       {readText, (*player).send},
	"C-raw:":   {readOctets, (*player).send},
	"b-raw:":   {readOctets, (*player).send},
	"S:":       {readPattern, (*player).expectLine},
	"b>":       {readPattern, (*player).expectLine},
	"S~":       {readRegexp, (*player).expectLine},
	"b>~":      {readRegexp, (*player).expectLine},
	"S-raw:":   {readOctets, (*player).expectOctets},
	"b>-raw:":  {readOctets, (*player).expectOctets},
	"C-fin":    {readNothing, (*player).fin},
	"b-fin":    {readNothing, (*player).fin},
	"C-rst":    {readNothing, (*player).rst},
	"b-rst":    {readNothing, (*player).rst},
	"C-close":  {readNothing, (*player).close},
	"b-close":  {readNothing, (*player).close},
	"S-fin":    {readNothing, (*player).expectFin},
	"b>-fin":   {readNothing, (*player).expectFin},
	"S-rst":    {readNothing, (*player).expectRst},
	"b>-rst":   {readNothing, (*player).expectRst},
	"S-close":  {readNothing, (*player).expectEnd},
	"b>-close": {readNothing, (*player).expectEnd},
	"S-quiet":  {readDuration, (*player).quiet},
	"b>-quiet": {readDuration, (*player).quiet},
	"C-dial":   {readNothing, (*player).dial},
	"b-dial":   {readListener, (*player).accept},
	"wait":     {readDuration, (*player).wait},
	"timeout":  {readDuration, (*player).setTimeout},
}

// labelForm splits WHO, NUMBER and MARK: "b2>-raw:" is b, 2 and ">-raw:".
var labelForm = regexp.MustCompile(`^([CSb])([0-9]*)(.*)$`)

// parse reads a transcript. Its first fault ends it.
func parse(script []byte) ([]step, error) {
	var steps []step
	number := 0
	for raw := range bytes.Lines(script) {
		number++
		text := strings.TrimRight(string(raw), "\r\n")
		if text == "" || text[0] == '#' {
			continue
		}
		s, err := parseLine(text)
		if err != nil {
			return nil, fmt.Errorf("line %d: %q: %w", number, text, err)
		}
		s.line = number
		steps = append(steps, s)
	}
	return steps, nil
}

func parseLine(text string) (step, error) {
	if strings.TrimRight(text, " \t") != text {
		return step{}, errors.New("white space at the end can't be seen: use a raw line")
	}
	label, rest, _ := strings.Cut(text, " ")
	s := step{text: text, label: label, wire: wire{number: 1}}
	kind := label
	if part := labelForm.FindStringSubmatch(label); part != nil {
		kind = part[1] + part[3]
		s.wire.backend = part[1] == "b"
		if part[2] != "" {
			s.wire.number, _ = strconv.Atoi(part[2])
		}
		if part[2] != s.wire.suffix() || s.wire.number < 1 || s.wire.number > 99 {
			return s, errors.New("a number is 2 to 99; the first goes without")
		}
	}
	f, known := forms[kind]
	if !known {
		return s, errors.New("nothing a transcript knows")
	}
	s.play = f.play
	return s, f.read(&s, rest)
}

func readText(s *step, rest string) error {
	s.octets = []byte(rest + "\r\n")
	return nil
}

// readPattern reads an expected line. " ..." at its end, or "..." alone, is any text.
func readPattern(s *step, rest string) error {
	before, open := strings.CutSuffix(" "+rest, " ...")
	pattern := regexp.QuoteMeta(strings.TrimPrefix(before, " "))
	switch {
	case open && before == "":
		pattern = ".*"
	case open:
		pattern += "( .*)?"
	}
	return readRegexp(s, pattern)
}

func readRegexp(s *step, rest string) (err error) {
	if _, err = regexp.Compile(rest); err != nil { // by itself: "a)(b" would fit into ours
		return err
	}
	s.matches, err = regexp.Compile(`^(?:` + rest + `)$`)
	return err
}

func readOctets(s *step, rest string) error {
	quoted, err := strconv.QuotedPrefix(rest)
	if err != nil {
		return errors.New(`want a Go string such as "QUIT\r\n"`)
	}
	octets, err := strconv.Unquote(quoted)
	if err != nil {
		return err
	}
	times := 1
	if factor, found := strings.CutPrefix(rest[len(quoted):], " * "); found {
		times, err = strconv.Atoi(factor)
	} else if rest != quoted {
		err = errors.New("what is behind the string?")
	}
	if err == nil && (times < 1 || len(octets) == 0 || times > maxRaw/len(octets)) {
		err = fmt.Errorf("want 1 to %d octets", maxRaw)
	}
	if err != nil {
		return err
	}
	s.octets = bytes.Repeat([]byte(octets), times)
	return nil
}

func readNothing(_ *step, rest string) error {
	if rest != "" {
		return errors.New("nothing belongs behind this")
	}
	return nil
}

func readDuration(s *step, rest string) (err error) {
	s.duration, err = time.ParseDuration(rest)
	if err == nil && s.duration <= 0 {
		err = errors.New("want a time above 0")
	}
	return err
}

// readListener reads the backend's number of a dial; without one it is the connection's.
func readListener(s *step, rest string) (err error) {
	s.listener = s.wire.number
	if rest != "" {
		s.listener, err = strconv.Atoi(rest)
	}
	return err
}
