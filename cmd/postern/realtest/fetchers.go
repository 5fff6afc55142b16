package realtest

import (
	"bytes"
	"context"
	"fmt"
	"os/user"
	"regexp"
	"strconv"
)

// FetchFetchmail lets fetchmail hand each message to a delivery program that
// writes it to a file, as it would to procmail.
//
// sslproto with nothing in it is its way to say no STLS.
func FetchFetchmail(ctx context.Context, a Account) ([][]byte, error) {
	return a.fetchmail(ctx, "sslproto ''")
}

// fetchmail runs it with options for TLS. "invisible" leaves out fetchmail's own
// Received line, "no rewrite" the domain it would put behind bare names.
func (a Account) fetchmail(ctx context.Context, security string) ([][]byte, error) {
	if err := a.deliverInto("mail", ""); err != nil {
		return nil, err
	}
	local, err := user.LookupId(strconv.Itoa(a.person.uid))
	if err != nil {
		return nil, err
	}
	err = a.settings("fetchmailrc", fmt.Sprintf(`set invisible
set no bouncemail
poll %s protocol POP3 service %s timeout 60 no dns auth password
  user "%s" password "%s" is "%s" here
  %s mda "sh %s" fetchall no keep no rewrite pass8bits
`, a.Host, a.Port, a.User, a.Password, local.Username, security, a.path("deliver")))
	if err != nil {
		return nil, err
	}
	_, err = a.run(ctx, "", "fetchmail", "--fetchmailrc", a.path("fetchmailrc"),
		"--pidfile", a.path("pid"), "--idfile", a.path("ids"))
	if err != nil {
		return nil, err
	}
	return a.withoutStrays("mail")
}

// deliverInto writes the script deliver, which files its input in a folder and
// then runs a last command.
func (a Account) deliverInto(folder, last string) error {
	if err := a.folders(folder); err != nil {
		return err
	}
	script := fmt.Sprintf("cat >\"$(mktemp %s/XXXXXXXX)\" || exit 1\n%s\n", a.path(folder), last)
	return a.settings("deliver", script)
}

// strayOctets are what fetchmail 6.4 puts into lines longer than its buffer of
// 8 KiB: at the end of each full buffer it looks for a LF that isn't there,
// runs past the buffer, and writes the NUL it finds, and what lies behind it
// up to a LF. It does so with any server. No message of ours has a NUL.
var strayOctets = regexp.MustCompile(`\x00[^\n]*\n`)

// withoutStrays is stored without fetchmail's stray octets.
func (a Account) withoutStrays(folder string) ([][]byte, error) {
	messages, err := a.stored(folder)
	for i, message := range messages {
		messages[i] = strayOctets.ReplaceAll(message, nil)
	}
	return messages, err
}

// FetchMpop lets mpop, which pipelines its commands, deliver to a Maildir.
func FetchMpop(ctx context.Context, a Account) ([][]byte, error) {
	return a.mpop(ctx, "auth user\ntls off")
}

// mpop runs it with settings for TLS and SASL. "received_header off" leaves out
// its own header.
func (a Account) mpop(ctx context.Context, security string) ([][]byte, error) {
	if err := a.folders("new", "cur", "tmp"); err != nil {
		return nil, err
	}
	err := a.settings("mpoprc", fmt.Sprintf(`account default
host %s
port %s
user %s
password %s
%s
timeout 60
received_header off
keep off
uidls_file %s
delivery maildir %s
`, a.Host, a.Port, a.User, a.Password, security, a.path("uidls"), a.dir))
	if err != nil {
		return nil, err
	}
	if _, err := a.run(ctx, "", "mpop", "--file=mpoprc", "--quiet"); err != nil {
		return nil, err
	}
	return a.stored("new")
}

// getmailLine is what getmail writes before each message, whatever its settings.
const getmailLine = "Return-Path: <unknown>\r\n"

// FetchGetmail lets getmail hand each message to a delivery program.
func FetchGetmail(ctx context.Context, a Account) ([][]byte, error) {
	return a.getmail(ctx, "SimplePOP3Retriever")
}

// getmail runs it with a retriever, and further settings of that in lines of
// their own; without the two headers that it can be told to leave out, and takes
// off the one that it can't.
//
// The program sleeps before it ends: getmail begins to listen for the end of
// its child after it has started it, and where the child was faster it waits
// in vain for a minute and fails. Its own Maildir delivery is such a child.
func (a Account) getmail(ctx context.Context, retriever string) ([][]byte, error) {
	if err := a.deliverInto("mail", "sleep 0.2"); err != nil {
		return nil, err
	}
	err := a.settings("getmailrc", fmt.Sprintf(`[retriever]
type = %s
server = %s
port = %s
username = %s
password = %s
timeout = 60
[destination]
type = MDA_external
path = /bin/sh
arguments = ("%s",)
[options]
read_all = true
delete = true
delivered_to = false
received = false
verbose = 0
`, retriever, a.Host, a.Port, a.User, a.Password, a.path("deliver")))
	if err != nil {
		return nil, err
	}
	if _, err := a.run(ctx, "", "getmail", "--getmaildir="+a.dir, "--rcfile=getmailrc"); err != nil {
		return nil, err
	}
	messages, err := a.stored("mail")
	for i, message := range messages {
		messages[i] = bytes.TrimPrefix(message, []byte(getmailLine))
	}
	return messages, err
}
