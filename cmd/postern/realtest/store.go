package realtest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// Mailbox is one user's account on a server.
type Mailbox struct {
	Address  string // what the user types at the gateway
	Login    string // what the server knows the user as
	Password string
	Messages []Message
}

// emptyLine stands between the messages of most mbox files.
const emptyLine = "\n"

// owner is the system user that a store belongs to.
type owner struct{ uid, gid int }

// asText are the messages as a program of the system would store them: lines
// that end in LF, the last one too. What else a message had is lost here; the
// normal form is the same.
func asText(messages []Message) []Message {
	text := make([]Message, len(messages))
	for i, m := range messages {
		text[i] = Message{Name: m.Name, Stored: m.withLineEnds("\n")}
	}
	return text
}

// writeMaildir lays messages into a new Maildir, octet by octet. The names sort
// in the messages' order. S is "seen": otherwise Courier renames a file when it
// is fetched, under the eyes of the mailbox's other sessions.
func writeMaildir(dir string, who owner, messages []Message) error {
	for _, sub := range []string{"", "new", "cur", "tmp"} {
		if err := makeOwned(filepath.Join(dir, sub), who); err != nil {
			return err
		}
	}
	for i, m := range messages {
		name := fmt.Sprintf("1767607200.M%06dP1.test:2,S", i+1)
		if err := writeOwned(filepath.Join(dir, "cur", name), who, m.Stored); err != nil {
			return err
		}
	}
	return nil
}

// writeMbox lays messages into one mbox file: a "From " line before each and
// separator behind it. The format needs text.
func writeMbox(file string, who owner, separator string, messages []Message) error {
	var b bytes.Buffer
	for _, m := range asText(messages) {
		b.WriteString("From sender@example.org Mon Jan  5 10:00:00 2026\n")
		b.Write(m.Stored)
		b.WriteString(separator)
	}
	return writeOwned(file, who, b.Bytes())
}

func makeOwned(dir string, who owner) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.Chown(dir, who.uid, who.gid)
}

func writeOwned(file string, who owner, content []byte) error {
	if err := os.WriteFile(file, content, 0o600); err != nil {
		return err
	}
	return os.Chown(file, who.uid, who.gid)
}
