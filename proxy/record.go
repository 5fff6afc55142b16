package proxy

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/netip"
	"time"

	"postern/backend"
	"postern/directory"
	"postern/pop3"
	"postern/proxy/relay"
	posterntls "postern/proxy/tls"
)

// party is who ended a session.
type party string

const (
	byClient  party = "client"
	byBackend party = "backend"
	byGateway party = "gateway"
)

// ending is how a session came to its end.
type ending struct {
	by  party
	why string
}

// verdict is what the login record says: how one attempt ended.
type verdict struct {
	failure failure
	step    backend.Step
	// user is what was typed; never logged as it is unless the settings say so.
	user      string
	mechanism pop3.Mechanism
	route     directory.Route
	cause     error
	phases    phases
	began     time.Time
}

func (d *dialogue) emitVerdict(cause error) {
	a := &d.attempt
	d.intents = append(d.intents, intent{kind: inRecord, verdict: &verdict{
		failure: a.failure, step: a.step(), user: a.credentials.User, mechanism: a.credentials.Mechanism, route: a.route,
		cause: cause, phases: a.phases, began: a.began,
	}})
}

// recorder writes the two records of a session: `login` at each verdict, since fail2ban
// can't wait and a crash must not lose it, and `end` at the close. Both carry the
// session's id; keys are fixed, and keys without a value are left out.
type recorder struct {
	log     *slog.Logger
	hashKey [32]byte // of this process: hashes of unknown names can't be looked up elsewhere
}

func newRecorder(log *slog.Logger) *recorder {
	r := &recorder{log: log}
	_, _ = rand.Read(r.hashKey[:]) // never fails, see crypto/rand
	return r
}

// identity is what all records of a session begin with.
type identity struct {
	session  string
	client   netip.AddrPort
	listener string
	via      string // the peer that spoke for the client
	origin   string // its id of the session
	tls      posterntls.State
}

// event is what is counted of a verdict.
func (v *verdict) event() Event {
	e := Event{Happening: Judged, Result: v.failure.String(), Step: v.step.String()}
	if v.exists() {
		e.Mailbox = v.route.Mailbox
	}
	if v.route.Backend != nil {
		e.Backend = v.route.Backend.Name
	}
	last := v.began
	for _, phase := range [...]struct {
		ended time.Time
		took  *time.Duration
	}{
		{v.phases.located, &e.Locate}, {v.phases.connected, &e.Connect},
		{v.phases.greeted, &e.Greeting}, {v.phases.decided, &e.Login},
	} {
		if !phase.ended.IsZero() {
			*phase.took, last = phase.ended.Sub(last), phase.ended
		}
	}
	return e
}

func (r *recorder) common(id identity, style RecordStyle, attrs []slog.Attr) []slog.Attr {
	attrs = append(attrs,
		slog.String("session", id.session),
		slog.String("client", clientText(id.client, style.Client)),
		slog.String("listener", id.listener))
	for _, optional := range [...]struct{ key, value string }{
		{"via", id.via}, {"proxy_session", id.origin}, {"tls", id.tls.Version}, {"cipher", id.tls.CipherSuite},
		{"server_name", id.tls.ServerName}, {"client_subject", id.tls.ClientSubject},
	} {
		if optional.value != "" {
			attrs = append(attrs, slog.String(optional.key, optional.value))
		}
	}
	return attrs
}

func clientText(c netip.AddrPort, style ClientStyle) string {
	if style == FullClient {
		return c.String()
	}
	bits := 48
	if c.Addr().Is4() {
		bits = 24
	}
	prefix, err := c.Addr().Prefix(bits)
	if err != nil {
		return ""
	}
	return prefix.String()
}

// login writes the record of a verdict.
func (r *recorder) login(id identity, style RecordStyle, v *verdict) {
	row := failures[v.failure]
	if !r.log.Enabled(context.Background(), row.level) {
		return
	}
	attrs := r.common(id, style, make([]slog.Attr, 0, 16))
	attrs = append(attrs, r.who(v, style.UnknownUsers)...)
	attrs = append(attrs, slog.String("result", row.result))
	if v.mechanism != "" {
		attrs = append(attrs, slog.String("mechanism", string(v.mechanism)))
	}
	if row.reply.Code != pop3.NoCode {
		attrs = append(attrs, slog.String("code", string(row.reply.Code)))
	}
	if v.route.Backend != nil {
		attrs = append(attrs, slog.String("backend", v.route.Backend.Name), slog.String("step", v.step.String()))
	}
	attrs = append(attrs, v.times()...)
	if v.cause != nil {
		attrs = append(attrs, slog.Any("err", v.cause))
	}
	r.log.LogAttrs(context.Background(), row.level, "login", attrs...)
}

// who names the mailbox, or the user whom the directory doesn't know.
func (r *recorder) who(v *verdict, style UnknownUsers) []slog.Attr {
	switch {
	case v.exists():
		return []slog.Attr{slog.String("mailbox", v.route.Mailbox)}
	case style == PlainUnknown:
		return []slog.Attr{slog.String("user", pop3.Printable(v.user, pop3.MaxCommandLine))}
	case style == HashUnknown:
		mac := hmac.New(sha256.New, r.hashKey[:])
		mac.Write([]byte(v.user))
		return []slog.Attr{slog.String("user_hash", hex.EncodeToString(mac.Sum(nil)[:8]))}
	}
	return nil
}

// exists tells whether the mailbox is known to be one: by its own entry, or by a backend that
// accepted its password. Under a domain's entry any name has a route, also a
// password that somebody typed as user.
func (v *verdict) exists() bool {
	switch v.failure {
	case succeeded, mailboxInUse, mailboxFull, loginTooSoon, mailboxSuspended:
		return v.route.Mailbox != ""
	}
	return v.route.Mailbox != "" && v.route.Entry == v.route.Mailbox
}

// times are the durations of an attempt's phases, in the order in which they are gone through.
func (v *verdict) times() []slog.Attr {
	attrs := make([]slog.Attr, 0, 4)
	e := v.event()
	for _, phase := range [...]struct {
		key  string
		took time.Duration
	}{
		{"locate_time", e.Locate}, {"connect_time", e.Connect}, {"greeting_time", e.Greeting}, {"login_time", e.Login},
	} {
		if phase.took > 0 {
			attrs = append(attrs, slog.Duration(phase.key, phase.took))
		}
	}
	return attrs
}

// end writes the record of a session's close. A connection that came and went
// without a login is worth a line for who debugs only: load balancers probe that way.
func (r *recorder) end(id identity, style RecordStyle, e ending, last *verdict, moved relay.Result, lasted time.Duration) {
	level := slog.LevelInfo
	if last == nil {
		level = slog.LevelDebug
	}
	if !r.log.Enabled(context.Background(), level) {
		return
	}
	attrs := r.common(id, style, make([]slog.Attr, 0, 12))
	if last != nil {
		attrs = append(attrs, r.who(last, style.UnknownUsers)...)
		attrs = append(attrs, slog.String("result", last.failure.String()))
		if last.route.Backend != nil {
			attrs = append(attrs, slog.String("backend", last.route.Backend.Name))
		}
	}
	attrs = append(attrs,
		slog.Int64("to_client", moved.ToClient), slog.Int64("to_backend", moved.ToBackend),
		slog.String("ended_by", string(e.by)), slog.String("reason", e.why),
		slog.Duration("duration", lasted))
	r.log.LogAttrs(context.Background(), level, "end", attrs...)
}
