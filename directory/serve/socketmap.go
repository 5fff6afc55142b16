package serve

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"
)

// SocketmapOptions say what is answered, and to whom.
type SocketmapOptions struct {
	Locate    Locate
	Transport *Transport
	Allow     []netip.Prefix // who may ask by TCP; who may open a Unix socket says its mode
	Idle      time.Duration  // between two requests; 0: 10 minutes
	Logger    *slog.Logger
}

// The limits of a connection. A mail server writes a request at once and waits for the answer.
const (
	maxAskers      = 256
	defaultIdle    = 10 * time.Minute // Postfix's own processes live for max_idle, 100 s, and are many
	requestTime    = 10 * time.Second // for the rest of a request whose first octet came, and for writing an answer
	answerTime     = 30 * time.Second // for the directory's part; Postfix waits for 100 s
	acceptInterval = 100 * time.Millisecond
)

// Socketmap answers Postfix and Sendmail.
type Socketmap struct {
	options SocketmapOptions
	log     *slog.Logger
}

// NewSocketmap returns a server that listens nowhere yet.
func NewSocketmap(o SocketmapOptions) (*Socketmap, error) {
	if o.Locate == nil || o.Transport == nil {
		return nil, errors.New("socketmap: an option is missing")
	}
	if o.Idle <= 0 {
		o.Idle = defaultIdle
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Socketmap{options: o, log: o.Logger}, nil
}

// Serve answers until ctx is done, and then closes the listener and all connections. It returns
// nil after that, and why it ended where it did so before.
func (s *Socketmap) Serve(ctx context.Context, l net.Listener) error {
	refused := func(from net.Addr) { s.log.Warn("socketmap: refused", "client", from.String()) }
	return serveConns(ctx, newBounded(l, maxAskers, s.options.Allow, refused), s.serveConn)
}

// serveConn owns the connection.
func (s *Socketmap) serveConn(ctx context.Context, c net.Conn) {
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	in := bufio.NewReaderSize(c, maxRequest)
	for {
		err := s.serveRequest(ctx, c, in)
		if err != nil {
			if !errors.Is(err, io.EOF) && ctx.Err() == nil {
				s.log.Debug("socketmap: connection ended", "client", c.RemoteAddr().String(), "error", err)
			}
			return
		}
	}
}

func (s *Socketmap) serveRequest(ctx context.Context, c net.Conn, in *bufio.Reader) error {
	if err := c.SetReadDeadline(time.Now().Add(s.options.Idle)); err != nil {
		return err
	}
	if _, err := in.Peek(1); err != nil {
		return err
	}
	if err := c.SetReadDeadline(time.Now().Add(requestTime)); err != nil {
		return err
	}
	request, err := readNetstring(in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	answer := s.answer(ctx, request)
	cancel()
	if err := c.SetWriteDeadline(time.Now().Add(requestTime)); err != nil {
		return err
	}
	_, err = c.Write(appendNetstring(nil, answer))
	return err
}
