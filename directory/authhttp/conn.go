package authhttp

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"time"
)

const (
	// idleTime is shorter than what usual servers grant an idle connection (Apache and Node: 5 s), so
	// that hardly ever the service closes one at the moment in which a question is written to it.
	idleTime = 3 * time.Second
	// maxHeader bounds an answer's header in octets. It is as large as the gateway's own for requests.
	maxHeader = 16 << 10
	// maxBody is how much of an answer's body is read, to keep the connection. What is
	// longer costs the connection.
	maxBody = 16 << 10
	// maxInterim bounds the answers of status 1xx before the real one.
	maxInterim = 4
)

// errGarbage says nothing of what came, which may be what was sent.
var errGarbage = errors.New("the answer is not HTTP, or too long")

// conn is a connection to a server. It carries one question at a time.
//
// Go's http.Transport isn't used, because it repeats a GET by itself where a kept connection broke before
// the answer, and prints what it doesn't expect to the process's log.
type conn struct {
	net.Conn
	raw     net.Conn          // below TLS
	bounded *io.LimitedReader // what the answer may still have
	reader  *bufio.Reader
	timer   *time.Timer // ends it while it is idle
}

func newConn(raw net.Conn) *conn {
	c := &conn{Conn: raw, raw: raw}
	c.bounded = &io.LimitedReader{R: readerOf{c}}
	c.reader = bufio.NewReader(c.bounded)
	return c
}

// readerOf reads from what the connection is by then: TLS, or not.
type readerOf struct{ c *conn }

func (r readerOf) Read(p []byte) (int, error) { return r.c.Conn.Read(p) }

// exchange writes a request and reads its answer. keep tells whether another may follow.
func (c *conn) exchange(opening, fields []byte) (a *answer, keep bool, err error) {
	request := slices.Concat(opening, fields, []byte("\r\n"))
	_, err = c.Write(request)
	clear(request) // the password is in it
	if err != nil {
		return nil, false, err
	}
	c.bounded.N = maxHeader
	r, err := c.response()
	if err != nil {
		return nil, false, plain(err)
	}
	c.bounded.N = maxBody
	_, bodyErr := io.Copy(io.Discard, io.LimitReader(r.Body, maxBody+1))
	keep = bodyErr == nil && c.bounded.N > 0 && !r.Close && c.reader.Buffered() == 0
	return &answer{status: r.StatusCode, header: r.Header}, keep, nil
}

func (c *conn) response() (*http.Response, error) {
	for range maxInterim {
		r, err := http.ReadResponse(c.reader, &http.Request{Method: http.MethodGet})
		if err != nil || r.StatusCode/100 != 1 {
			return r, err
		}
	}
	return nil, errGarbage
}

// plain lets only those errors through whose text has nothing of the answer.
func plain(err error) error {
	_, network := errors.AsType[net.Error](err)
	switch {
	case network:
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the connection ended before the answer did")
	}
	return errGarbage
}
