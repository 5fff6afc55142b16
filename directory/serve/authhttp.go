package serve

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"postern/pop3"
)

// AuthHTTPOptions say what nginx is answered.
type AuthHTTPOptions struct {
	Locate Locate
	Ports  Ports
	// Resolve finds the address of a backend that is configured by name: nginx takes no names.
	// Nil: the system's resolver.
	Resolve func(ctx context.Context, host string) (netip.Addr, error)
	Allow   []netip.Prefix // who may ask by TCP
	Key     pop3.Secret    // has to stand in X-Auth-Key of each request; empty: none has to
	// Wait is how long nginx has a client wait after a login of an unknown mailbox; 0: 3 s.
	Wait   time.Duration
	Logger *slog.Logger
}

const (
	defaultWait    = 3 * time.Second
	maxAuthConns   = 256
	maxAuthHeader  = 16 << 10
	authReadTime   = 10 * time.Second
	authWriteTime  = answerTime + 10*time.Second // from the request's header on
	authIdleTime   = 60 * time.Second
	authPath       = "/auth"
	keyHeader      = "X-Auth-Key"
	resolveTimeout = 5 * time.Second
)

// AuthHTTP answers the requests of nginx's auth_http directive. The password in them is never looked at:
// nginx takes it to the backend, which checks it.
//
// An unknown mailbox is refused at once, a known one by its backend. nginx knows the difference,
// and its clients may tell it by the time and, with proxy_pass_error_message, by the text.
// Where that matters, clients should go through the gateway itself.
type AuthHTTP struct {
	options AuthHTTPOptions
	key     [sha256.Size]byte
	log     *slog.Logger
}

// NewAuthHTTP returns a handler that listens nowhere yet.
func NewAuthHTTP(o AuthHTTPOptions) (*AuthHTTP, error) {
	if o.Locate == nil || o.Ports == nil {
		return nil, errors.New("auth_http: an option is missing")
	}
	if o.Resolve == nil {
		o.Resolve = resolve
	}
	if o.Wait <= 0 {
		o.Wait = defaultWait
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &AuthHTTP{options: o, key: sha256.Sum256(o.Key.Reveal()), log: o.Logger}, nil
}

func resolve(ctx context.Context, host string) (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, err
	}
	return found[0].Unmap(), nil
}

// Serve answers until ctx is done, and then closes the listener and all connections. It returns
// nil after that, and why it ended where it did so before.
func (a *AuthHTTP) Serve(ctx context.Context, l net.Listener) error {
	var protocols http.Protocols
	protocols.SetHTTP1(true) // a connection is one request at a time, so that bounding these bounds those
	server := &http.Server{
		Handler: a, Protocols: &protocols, MaxHeaderBytes: maxAuthHeader,
		ReadHeaderTimeout: authReadTime, ReadTimeout: authReadTime,
		WriteTimeout: authWriteTime, IdleTimeout: authIdleTime,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	defer server.Close()
	refused := func(from net.Addr) { a.log.Warn("auth_http: refused", "client", from.String()) }
	if err := server.Serve(newBounded(l, maxAuthConns, a.options.Allow, refused)); ctx.Err() == nil {
		return err
	}
	return nil
}

// ServeHTTP answers one request. nginx doesn't look at the status: a request that gets another than 200
// gets none of the protocol's headers, which nginx takes as a fault of the service, and so
// as something temporary.
func (a *AuthHTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch from := remote(r.RemoteAddr); {
	case !allowed(from, a.options.Allow):
		a.log.Warn("auth_http: refused", "client", r.RemoteAddr)
		http.Error(w, "forbidden", http.StatusForbidden)
		return
	case !a.hasKey(r):
		a.log.Warn("auth_http: wrong key", "client", r.RemoteAddr)
		http.Error(w, "forbidden", http.StatusForbidden)
		return
	}
	switch {
	case r.URL.Path != authPath:
		http.NotFound(w, r)
		return
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	q, err := readQuestion(r.Header)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()
	for name, value := range a.answer(ctx, q) {
		w.Header().Set(name, value)
	}
}

// hasKey compares digests, so that neither the key's length nor what is right of a guess shows in the time.
func (a *AuthHTTP) hasKey(r *http.Request) bool {
	if len(a.options.Key.Reveal()) == 0 {
		return true
	}
	shown := sha256.Sum256([]byte(r.Header.Get(keyHeader)))
	return subtle.ConstantTimeCompare(shown[:], a.key[:]) == 1
}

// remote is the address of who asks. A Unix socket's peer has none.
func remote(text string) net.Addr {
	at, err := netip.ParseAddrPort(text)
	if err != nil {
		return &net.UnixAddr{Name: text, Net: "unix"}
	}
	return net.TCPAddrFromAddrPort(at)
}
