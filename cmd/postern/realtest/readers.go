package realtest

import (
	"bytes"
	"context"
	_ "embed"
	"net"
)

// FetchCurl lists the mailbox with curl and fetches each message by its
// number, in a session each.
func FetchCurl(ctx context.Context, a Account) ([][]byte, error) {
	url := "pop3://" + net.JoinHostPort(a.Host, a.Port) + "/"
	curl := func(number string) ([]byte, error) {
		return a.run(ctx, "", "curl", "--disable", "--silent", "--show-error", "--noproxy", "*",
			"--max-time", "60", "--user", a.User+":"+a.Password, url+number)
	}
	list, err := curl("")
	if err != nil {
		return nil, err
	}
	var messages [][]byte
	for line := range bytes.Lines(list) {
		number, _, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		if len(number) == 0 {
			continue // all that curl says of an empty mailbox
		}
		message, err := curl(string(number))
		if err != nil {
			return nil, err
		}
		messages = append(messages, message)
	}
	return messages, nil
}

//go:embed poplib_fetch.py
var poplibScript string

// FetchPoplib runs a script on Debian's Python and its poplib; a Python that
// somebody installed beside it may lack its certificates or be of any age.
func FetchPoplib(ctx context.Context, a Account) ([][]byte, error) {
	return a.poplib(ctx)
}

// poplib runs the script with further arguments.
func (a Account) poplib(ctx context.Context, security ...string) ([][]byte, error) {
	if err := a.folders("mail"); err != nil {
		return nil, err
	}
	if err := a.settings("fetch.py", poplibScript); err != nil {
		return nil, err
	}
	args := append([]string{"-I", "fetch.py", a.Host, a.Port, a.User, "mail"}, security...)
	if _, err := a.run(ctx, a.Password, "/usr/bin/python3", args...); err != nil {
		return nil, err
	}
	return a.stored("mail")
}

// FetchTerminal types what a person at a telnet would, one command after the
// other's answer, and takes each answer's octets as they come.
func FetchTerminal(ctx context.Context, a Account) ([][]byte, error) {
	t, err := DialTerminal(ctx, net.JoinHostPort(a.Host, a.Port))
	if err != nil {
		return nil, err
	}
	defer t.Close()
	if err := t.Login(a.User, a.Password); err != nil {
		return nil, err
	}
	messages, err := t.RetrieveAll()
	if err != nil {
		return nil, err
	}
	return messages, t.Quit()
}
