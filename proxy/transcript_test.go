package proxy

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postern/backend"
	"postern/directory"
	"postern/pop3/pop3test"
)

// residents are who the transcripts know: alice, carol and dave live on backend 1,
// bob on backend 2.
var residents = map[string]directory.Route{
	"alice": {Backend: &backend.Target{Name: "b1", Addresses: []string{"192.0.2.1:110"}}},
	"bob":   {Backend: &backend.Target{Name: "b2", Addresses: []string{"192.0.2.2:110"}}},
	"carol": {Backend: &backend.Target{Name: "b1", Addresses: []string{"192.0.2.1:110"}}, State: directory.Suspended},
	"dave":  {Backend: &backend.Target{Name: "b1", Addresses: []string{"192.0.2.1:110"}}, State: directory.Moving},
}

func locateResident(q directory.Query) (directory.Route, error) {
	mailbox := q.User + "@example.com"
	if q.User == "erin" {
		return directory.Route{}, &directory.NoBackendError{Mailbox: mailbox, Backend: "nowhere", Source: "test"}
	}
	route, ok := residents[q.User]
	if !ok {
		return directory.Route{}, directory.ErrUnknown
	}
	route.Mailbox, route.Entry, route.Login = mailbox, mailbox, mailbox
	return route, nil
}

// The transcripts are the specification of a session as its two peers see it. They are
// played in a bubble of synctest, so that minutes pass in no time and every
// promised time is exact.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/transcripts/*.txt")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d transcripts, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			script, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) { playTranscript(t, script) })
		})
	}
}

// transcriptSettings are the words that a transcript's first line, "# settings:", may hold.
var transcriptSettings = map[string]func(*Settings, *Access){
	"oauth":      func(set *Settings, _ *Access) { set.Mechanisms = allMechanisms() },
	"auth-plain": func(set *Settings, _ *Access) { set.Offer = offersPlain },
	"eager":      func(set *Settings, _ *Access) { set.EagerConnect = true },
	"replace":    func(set *Settings, _ *Access) { set.ReplaceStale = time.Minute },
	"stls":       func(_ *Settings, a *Access) { a.TLS = &tls.Config{} },
	"proxies":    func(_ *Settings, a *Access) { a.Proxies = everywhere() },
}

func settingsOf(t *testing.T, script []byte) (*Settings, *Access) {
	t.Helper()
	set, access := testSettings(t), &Access{}
	first, _, _ := strings.Cut(string(script), "\n")
	if words, ok := strings.CutPrefix(first, "# settings: "); ok {
		for word := range strings.FieldsSeq(words) {
			change := transcriptSettings[word]
			if change == nil {
				t.Fatalf("no setting %q", word)
			}
			change(set, access)
		}
	}
	return set, access
}

func playTranscript(t *testing.T, script []byte) {
	set, access := settingsOf(t, script)
	front := pipe(t, "127.0.0.1:110")
	backends := []*pop3test.PipeListener{pipe(t, "192.0.2.1:110"), pipe(t, "192.0.2.2:110")}
	dial := pop3test.DialPipes(backends...)
	s := NewServer(Options{
		Settings: set, Logger: slog.New(slog.DiscardHandler),
		Directory: locatorFunc(locateResident),
		Dialer: dialerFunc(func(target backend.Target) (net.Conn, error) {
			return dial(context.Background(), "tcp", target.Addresses[0])
		}),
	})
	served := make(chan struct{})
	go func() { s.Serve(context.Background(), NewListener(front, "test", access)); close(served) }()
	pop3test.Run(t, script, pop3test.Env{
		Dial: front.Dial, Backends: []net.Listener{backends[0], backends[1]},
	})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.Shutdown(ctx)
	<-served
}

func pipe(t *testing.T, address string) *pop3test.PipeListener {
	t.Helper()
	l, err := pop3test.ListenPipe(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}
