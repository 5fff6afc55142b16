package realtest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// terminalTimeout is the longest a person waits for one answer.
const terminalTimeout = 60 * time.Second

// Terminal is a person with telnet: plain text, no mail client's habits. It
// keeps a transcript for the test that fails.
type Terminal struct {
	conn       net.Conn
	reader     *bufio.Reader
	transcript []string
}

// DialTerminal connects and reads the greeting.
func DialTerminal(ctx context.Context, address string) (*Terminal, error) {
	return DialTerminalFrom(ctx, nil, address)
}

// DialTerminalFrom is DialTerminal from an address of this machine's own; nil: any.
func DialTerminalFrom(ctx context.Context, from net.IP, address string) (*Terminal, error) {
	var dialer net.Dialer
	if from != nil {
		dialer.LocalAddr = &net.TCPAddr{IP: from}
	}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	t := &Terminal{conn: conn, reader: bufio.NewReader(conn)}
	greeting, err := t.answer()
	if err == nil && !strings.HasPrefix(greeting, "+OK") {
		err = fmt.Errorf("the greeting is %q", greeting)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return t, nil
}

// Close hangs up.
func (t *Terminal) Close() error { return t.conn.Close() }

// Transcript is what was said, without the messages.
func (t *Terminal) Transcript() string { return strings.Join(t.transcript, "\n") }

// Command types a line and returns the answer's first line.
func (t *Terminal) Command(line string) (string, error) {
	t.transcript = append(t.transcript, "C: "+line)
	t.conn.SetDeadline(time.Now().Add(terminalTimeout))
	if _, err := t.conn.Write([]byte(line + "\r\n")); err != nil {
		return "", fmt.Errorf("typing %q: %w", line, err)
	}
	return t.answer()
}

// Pipeline sends all lines in one segment, which no person would, and returns
// the first line of each answer.
func (t *Terminal) Pipeline(lines ...string) ([]string, error) {
	t.conn.SetDeadline(time.Now().Add(terminalTimeout))
	if _, err := t.conn.Write([]byte(strings.Join(lines, "\r\n") + "\r\n")); err != nil {
		return nil, fmt.Errorf("sending %d lines: %w", len(lines), err)
	}
	var answers []string
	for _, line := range lines {
		t.transcript = append(t.transcript, "C: "+line)
		answer, err := t.answer()
		if err != nil {
			return answers, fmt.Errorf("%w, after\n%s", err, t.Transcript())
		}
		answers = append(answers, answer)
	}
	return answers, nil
}

// Must is Command for what has to succeed.
func (t *Terminal) Must(line string) (string, error) {
	answer, err := t.Command(line)
	if err != nil {
		return "", fmt.Errorf("%w, after\n%s", err, t.Transcript())
	}
	if !strings.HasPrefix(answer, "+OK") {
		return "", fmt.Errorf("%q was refused:\n%s", line, t.Transcript())
	}
	return answer, nil
}

// Login types user and password.
func (t *Terminal) Login(user, password string) error {
	if _, err := t.Must("USER " + user); err != nil {
		return err
	}
	_, err := t.Must("PASS " + password)
	return err
}

// Quit types QUIT, reads the answer, and waits for the end: then the server has
// let go of the mailbox, or is about to.
func (t *Terminal) Quit() error {
	if _, err := t.Must("QUIT"); err != nil {
		return err
	}
	return t.End()
}

// End waits for the other side to hang up without another word.
func (t *Terminal) End() error {
	t.conn.SetDeadline(time.Now().Add(terminalTimeout))
	if rest, err := t.reader.ReadString('\n'); !errors.Is(err, io.EOF) || rest != "" {
		return fmt.Errorf("after QUIT came %q (%v) and not the end", rest, err)
	}
	return t.conn.Close()
}

// Count is the number of messages in the mailbox.
func (t *Terminal) Count() (int, error) {
	answer, err := t.Must("STAT")
	if err != nil {
		return 0, err
	}
	var count, size int
	if _, err := fmt.Sscanf(answer, "+OK %d %d", &count, &size); err != nil {
		return 0, fmt.Errorf("STAT is %q: %w", answer, err)
	}
	return count, nil
}

// Retrieve fetches one message, in its normal form.
func (t *Terminal) Retrieve(number int) ([]byte, error) {
	if _, err := t.Must(fmt.Sprintf("RETR %d", number)); err != nil {
		return nil, err
	}
	return t.Message()
}

// Message reads a message whose answer's first line was read, in its normal form.
// What arrived before an error is returned with it.
func (t *Terminal) Message() ([]byte, error) {
	var message bytes.Buffer
	_, err := t.MessageTo(&message)
	return message.Bytes(), err
}

// CopyTo hands on so many octets of what comes, as they are: quicker than line by line.
func (t *Terminal) CopyTo(w io.Writer, size int) error {
	t.conn.SetDeadline(time.Now().Add(terminalTimeout))
	if n, err := io.CopyN(w, t.reader, int64(size)); err != nil {
		return fmt.Errorf("reading a message: %w after %d octets", err, n)
	}
	return nil
}

// MessageTo is Message for one that is too large to keep. It returns its size.
func (t *Terminal) MessageTo(w io.Writer) (size int, err error) {
	for {
		t.conn.SetDeadline(time.Now().Add(terminalTimeout))
		line, err := t.reader.ReadBytes('\n')
		if err != nil {
			return size, fmt.Errorf("reading a message: %w", err)
		}
		if string(line) == ".\r\n" {
			return size, nil
		}
		n, err := w.Write(bytes.TrimPrefix(line, []byte(".")))
		if size += n; err != nil {
			return size, err
		}
	}
}

// RetrieveAll fetches all messages in their order.
func (t *Terminal) RetrieveAll() ([][]byte, error) {
	count, err := t.Count()
	if err != nil {
		return nil, err
	}
	messages := make([][]byte, count)
	for i := range messages {
		if messages[i], err = t.Retrieve(i + 1); err != nil {
			return nil, err
		}
	}
	return messages, nil
}

// answer reads one line, which must end in CRLF.
func (t *Terminal) answer() (string, error) {
	t.conn.SetDeadline(time.Now().Add(terminalTimeout))
	line, err := t.reader.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("waiting for an answer: %w", err)
	}
	text, ok := strings.CutSuffix(line, "\r\n")
	if !ok {
		return "", fmt.Errorf("the answer %q does not end in CRLF", line)
	}
	t.transcript = append(t.transcript, "S: "+text)
	return text, nil
}
