package pop3test

import (
	"fmt"
	"net"

	"postern/pop3"
)

// maxBody bounds what Multiline takes.
const maxBody = 64 << 20

// Client is a mail client that says what it is told. Its methods return errors
// instead of ending a test, so that hundreds can run in goroutines.
type Client struct{ *Conn }

// NewClient takes c over. The greeting is not read: it is the first Line.
func NewClient(c net.Conn) *Client { return &Client{NewConn(c)} }

// Dial connects over TCP.
func Dial(address string) (*Client, error) {
	c, err := net.DialTimeout("tcp", address, DefaultTimeout)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	return NewClient(c), nil
}

// Cmd sends a command and returns the first line of the answer.
func (c *Client) Cmd(line string) (string, error) {
	if err := c.SendLine(line); err != nil {
		return "", err
	}
	return c.Line()
}

// Multiline reads the rest of a multi-line answer, without stuffing and terminator.
func (c *Client) Multiline() ([]byte, error) {
	c.patience(c.timeout)
	return pop3.ReadStuffed(c.in, maxBody)
}

// Login reads the greeting and logs in. What is refused is an error that holds the
// reply.
func (c *Client) Login(user, password string) error {
	greeting, err := c.Line()
	if err != nil {
		return fmt.Errorf("waiting for the greeting: %w", err)
	}
	if err := accepted(greeting); err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	for _, line := range []string{"USER " + user, "PASS " + password} {
		reply, err := c.Cmd(line)
		if err == nil {
			err = accepted(reply)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", line[:4], err)
		}
	}
	return nil
}

func accepted(line string) error {
	reply, err := pop3.ParseReply([]byte(line))
	if err == nil && !reply.OK {
		err = fmt.Errorf("refused: %s", line)
	}
	return err
}
