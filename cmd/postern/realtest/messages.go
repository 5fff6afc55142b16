package realtest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// Message is one mail as it was laid into a mailbox.
type Message struct {
	Name   string
	Stored []byte // the store's octets: LF or CRLF line ends, a final newline or none
}

// Wire is the message's normal form, the one that all comparisons use: what a
// POP3 server sends between its +OK line and the lone dot, dots unstuffed.
// Each line ends in CRLF, the last one too (RFC 1939, section 3), whatever the
// store has.
func (m Message) Wire() []byte { return m.withLineEnds("\r\n") }

// withLineEnds is the message with ends of its lines, the last one included.
// One pass: the race detector makes copies of five megabytes dear.
func (m Message) withLineEnds(end string) []byte {
	out := make([]byte, 0, len(m.Stored)+len(m.Stored)/32+64)
	for line := range bytes.Lines(m.Stored) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		out = append(append(out, line...), end...)
	}
	return out
}

// Sum is the SHA-256 of a message's normal form, in hexadecimal.
func Sum(wire []byte) string {
	sum := sha256.Sum256(wire)
	return hex.EncodeToString(sum[:])
}

// HardMessages are the messages that gateways, servers and clients have
// stumbled over. Each differs from mailbox to mailbox, so that a message that
// arrives in the wrong place is noticed.
//
// No line begins with "From ": mbox stores quote it, which is not the wire's
// fault, and could not be told from a fault of ours.
func HardMessages(address string) []Message {
	bodies := []struct{ name, body string }{
		{"plain", "Hello.\n"},
		{"empty body", ""},
		{"8-bit", eightBit()},
		{"dots", ".\n..\n...\n.foo\n..foo\nfoo.\n. \n.\t\n\n.\n"},
		{"dots at every offset", ladder()},
		{"blank lines at the end", "one\n\n\n\n"},
		{"lines of 70,000 octets", longLines(70_000)},
		{"5 MB", filler(address, 5<<20)},
		{"CRLF in the store", "one\r\n.\r\n\r\nfour\r\n"},
		{"no final newline", "the last line ends here"},
		{"no final newline, a dot", "the last line is a dot\n."},
	}
	messages := make([]Message, len(bodies))
	for i, b := range bodies {
		messages[i] = message(address, b.name, b.body)
	}
	return messages
}

// TaggedMessages are count messages of about size octets in which every body
// line names the mailbox and the message, so that one stray line is proof of
// mixed sessions.
func TaggedMessages(address string, count, size int) []Message {
	messages := make([]Message, count)
	for i := range messages {
		name := fmt.Sprintf("tagged %d", i+1)
		messages[i] = message(address, name, tagged(Tag(address, i+1), size))
	}
	return messages
}

// LargeMessage is one message of about size octets.
func LargeMessage(address string, size int) Message {
	return message(address, "large", filler(address, size))
}

// Tag begins each body line of a mailbox's tagged message; numbers begin at 1.
func Tag(address string, number int) string {
	return fmt.Sprintf("<%s #%d> ", address, number)
}

func tagged(tag string, size int) string {
	var b strings.Builder
	for line := 1; b.Len() < size; line++ {
		fmt.Fprintf(&b, "%sline %d\n", tag, line)
	}
	return b.String()
}

// message puts a header before the body, with the body's kind of line ends. No
// header line is longer than 78 octets: getmail would fold it. X-UIDL is there
// because mailutils would add one when it is asked for the UIDL.
func message(address, name, body string) Message {
	id := Sum([]byte(address + name))[:32]
	header := fmt.Sprintf("From: sender@example.org\nTo: %s\nSubject: %s\n"+
		"Date: Mon, 05 Jan 2026 10:00:00 +0000\nMessage-ID: <%s@example.org>\n"+
		"MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"+
		"Content-Transfer-Encoding: 8bit\nX-UIDL: %s\n\n", address, name, id, id)
	if strings.Contains(body, "\r\n") {
		header = strings.ReplaceAll(header, "\n", "\r\n")
	}
	return Message{Name: name, Stored: append([]byte(header), body...)}
}

// eightBit holds every octet but NUL, CR and LF, which a line can't hold, and
// some UTF-8.
func eightBit() string {
	var b strings.Builder
	for octet := 1; octet < 256; octet++ {
		if octet != '\r' && octet != '\n' {
			b.WriteByte(byte(octet))
		}
		if octet%32 == 31 {
			b.WriteByte('\n')
		}
	}
	return b.String() + "\nGrüße, здравствуйте, 你好\n"
}

// ladder is lines of 0 to 300 octets behind a dot: the stuffed dot falls on
// every offset of a reader's buffer, its last octet included.
func ladder() string {
	var b strings.Builder
	for range 4 {
		for length := range 301 {
			b.WriteString("." + strings.Repeat("x", length) + "\n")
		}
	}
	return b.String()
}

// longLines are lines of exactly length octets, one of which begins with a dot.
func longLines(length int) string {
	plain := strings.Repeat("0123456789", length/10)
	return plain + "\n." + plain[1:] + "\nshort\n" + plain + "\n"
}

// filler is about size octets of text: blocks that differ for each address, with
// a numbered line before each, so that a lost, doubled or swapped buffer can't
// go unseen.
func filler(address string, size int) string {
	random := make([]byte, 57*400) // 57 octets are a line of 76 letters
	rand.NewChaCha8(sha256.Sum256([]byte(address))).Read(random)
	var block strings.Builder
	for line := range slices.Chunk(random, 57) {
		block.WriteString(base64.StdEncoding.EncodeToString(line) + "\n")
	}
	var b strings.Builder
	for number := 1; b.Len() < size; number++ {
		fmt.Fprintf(&b, "block %d of %s\n%s", number, address, block.String())
	}
	return b.String()
}
