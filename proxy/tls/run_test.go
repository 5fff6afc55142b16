package tls

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"

	"postern/proxy/tls/tlstest"
)

// running lets a front follow its files until the test ends.
func running(t *testing.T, f *Front) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { f.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	time.Sleep(50 * time.Millisecond) // so that changes are seen by the watch, not by the first look
}

// now is the first name of the default certificate.
func now(f *Front) string { return f.Certificates()[0].Names[0] }

// TestRenewalIsNoticed: written as certbot does, the key some time behind the certificate.
func TestRenewalIsNoticed(t *testing.T) {
	source, log := written(t, "old.example.com"), &lines{}
	f := front(t, Options{Certificates: []Source{source}, Poll: time.Hour, Settle: time.Second, Logger: log.logger()})
	running(t, f)
	cert, key := tlstest.Issue(t, "new.example.com")
	tlstest.WriteFile(t, source.Cert, cert)
	time.Sleep(60 * time.Millisecond)
	tlstest.WriteFile(t, source.Key, key)
	eventually(t, "the new certificate serves", func() bool { return now(f) == "new.example.com" })
	log.wantRecord(t, "certificate loaded") // and none of a mismatch in between
}

// TestRenewalInPlace: truncated and written anew, slowly, piece by piece.
func TestRenewalInPlace(t *testing.T) {
	source := written(t, "old.example.com")
	f := front(t, Options{Certificates: []Source{source}, Poll: 10 * time.Millisecond, Settle: 50 * time.Millisecond})
	running(t, f)
	cert, key := tlstest.Issue(t, "new.example.com")
	for path, text := range map[string][]byte{source.Cert: cert, source.Key: key} {
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
		if err != nil {
			t.Fatal(err)
		}
		for piece := range 4 {
			_, _ = file.Write(text[piece*len(text)/4 : (piece+1)*len(text)/4])
			time.Sleep(20 * time.Millisecond)
			if n := now(f); n != "old.example.com" && n != "new.example.com" {
				t.Errorf("%s serves", n)
			}
		}
		_ = file.Close()
	}
	eventually(t, "the new certificate serves", func() bool { return now(f) == "new.example.com" })
}

// TestPollAlone: where the system gives no watch.
func TestPollAlone(t *testing.T) {
	source := written(t, "old.example.com")
	f := front(t, Options{Certificates: []Source{source}, Poll: 20 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { f.follow(ctx, &watch{log: f.log}) })
	defer func() { cancel(); wg.Wait() }()
	cert, key := tlstest.Issue(t, "new.example.com")
	source.renew(t, cert, key)
	eventually(t, "the new certificate serves", func() bool { return now(f) == "new.example.com" })
}

// TestLinks: certbot's live/NAME.pem leads to archive/NAME1.pem, then to NAME2.pem; and
// somebody may write through the link.
func TestLinks(t *testing.T) {
	live, archive := t.TempDir(), t.TempDir()
	link := func(generation string) {
		cert, key := tlstest.Issue(t, generation+".example.com")
		certPath, keyPath := tlstest.Write(t, archive, generation, cert, key)
		for name, target := range map[string]string{"pair.pem": certPath, "pair.key": keyPath} {
			temporary := filepath.Join(live, ".next")
			if err := os.Symlink(target, temporary); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(temporary, filepath.Join(live, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	link("first")
	for what, source := range map[string]Source{
		"pair":   {Cert: filepath.Join(live, "pair.pem"), Key: filepath.Join(live, "pair.key")},
		"folder": {Dir: live},
	} {
		f := front(t, Options{Certificates: []Source{source}, Poll: time.Hour, Settle: 20 * time.Millisecond})
		running(t, f)
		link(what)
		eventually(t, "the new link is followed", func() bool { return now(f) == what+".example.com" })
		cert, key := tlstest.Issue(t, "behind."+what+".example.com")
		tlstest.Write(t, archive, what, cert, key)
		eventually(t, "the link's target is watched", func() bool { return now(f) == "behind."+what+".example.com" })
	}
}

// TestNewInAFolder: an empty folder is watched, and what a new link in it leads to.
func TestNewInAFolder(t *testing.T) {
	folder, archive := t.TempDir(), t.TempDir()
	f := front(t, Options{
		Certificates: []Source{{Dir: folder}, written(t, "other.example.com")}, Poll: time.Hour, Settle: 20 * time.Millisecond,
	})
	running(t, f)
	for _, name := range []string{"first.example.com", "second.example.com"} {
		cert, key := tlstest.Issue(t, name)
		certPath, keyPath := tlstest.Write(t, archive, "pair", cert, key)
		for _, target := range []string{certPath, keyPath} {
			_ = os.Symlink(target, filepath.Join(folder, filepath.Base(target))) // the second time it is there
		}
		eventually(t, name+" serves", func() bool { return now(f) == name })
	}
}

// TestNeighboursDoNotDelay: somebody writes into the same folder all the time.
func TestNeighboursDoNotDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := written(t, "old.example.com")
		f := front(t, Options{Certificates: []Source{source}, Poll: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		events := make(chan fsnotify.Event)
		var wg sync.WaitGroup
		wg.Go(func() { f.follow(ctx, &watch{log: f.log, events: events}) })
		synctest.Wait()
		cert, key := tlstest.Issue(t, "new.example.com")
		source.renew(t, cert, key)
		for range 3 * patience {
			time.Sleep(f.settle / 2)
			events <- fsnotify.Event{Name: source.Cert + ".log", Op: fsnotify.Write}
		}
		synctest.Wait()
		if now(f) != "new.example.com" {
			t.Error("put off for ever")
		}
		cancel()
		wg.Wait()
	})
}

// TestSettling: nothing is read before the files were left alone for a moment.
func TestSettling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := written(t, "old.example.com")
		f := front(t, Options{Certificates: []Source{source}, Poll: 20 * time.Millisecond})
		ctx, cancel := context.WithCancel(t.Context())
		events := make(chan fsnotify.Event)
		var wg sync.WaitGroup
		wg.Go(func() { f.follow(ctx, &watch{log: f.log, events: events}) })
		synctest.Wait()
		for _, name := range []string{"second.example.com", "third.example.com"} {
			cert, key := tlstest.Issue(t, name)
			events <- fsnotify.Event{Name: source.Cert, Op: fsnotify.Create}
			source.renew(t, cert, key)
			time.Sleep(f.settle - time.Millisecond)
			if now(f) != "old.example.com" {
				t.Errorf("%s was read early", name)
			}
		}
		time.Sleep(2 * time.Millisecond)
		if now(f) != "third.example.com" {
			t.Errorf("%s serves", now(f))
		}
		cancel()
		wg.Wait()
	})
}

// TestHandshakesDuringReloads: each client gets one certificate or the other, whole, and
// sessions that run don't notice.
func TestHandshakesDuringReloads(t *testing.T) {
	source := written(t, "a.example.com")
	f := front(t, Options{Certificates: []Source{source}, TicketKeys: inTemp(t, "keys", hexKey(1)+"\n")})
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var servers, clients sync.WaitGroup
	servers.Go(func() {
		for {
			conn, err := socket.Accept()
			if err != nil {
				return
			}
			servers.Go(func() { _, _ = greet(conn, f.Config(one)) })
		}
	})
	var renewals atomic.Int64
	for range 4 {
		clients.Go(func() {
			for range 25 {
				state, err := visit(socket.Addr().String(), trusting("mail.example.com"))
				if err != nil {
					t.Error(err)
				} else if n := state.PeerCertificates[0].DNSNames[0]; n != "a.example.com" && n != "b.example.com" {
					t.Errorf("%s serves", n)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { clients.Wait(); close(done) }()
	for finished := false; !finished; renewals.Add(1) {
		cert, key := tlstest.Issue(t, []string{"a.example.com", "b.example.com"}[renewals.Load()%2])
		source.renew(t, cert, key)
		_ = f.Reload()
		_ = f.Certificates()
		select {
		case <-done:
			finished = true
		default:
		}
	}
	_ = socket.Close()
	servers.Wait()
	if renewals.Load() < 2 {
		t.Errorf("only %d renewals", renewals.Load())
	}
}

// TestSessionsSurvive: one that began before a reload goes on after it.
func TestSessionsSurvive(t *testing.T) {
	source := written(t, "old.example.com")
	f := front(t, Options{Certificates: []Source{source}})
	client, server := connected(t, f.Config(one), trusting("old.example.com"))
	cert, key := tlstest.Issue(t, "new.example.com")
	source.renew(t, cert, key)
	if err := f.Reload(); err != nil || served(t, f, "") != "new.example.com" {
		t.Fatal(err)
	}
	go func() { _, _ = server.Write([]byte("still here")) }()
	got := make([]byte, 10)
	if n, err := client.Read(got); err != nil || string(got[:n]) != "still here" {
		t.Errorf("%q, %v", got[:n], err)
	}
}

// TestExpiryIsTold: daily, the louder the nearer.
func TestExpiryIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &lines{}
		cert, key := hours(t, "mail.example.com", 0, 90*24)
		f := front(t, Options{Certificates: []Source{placed(t, cert, key)}, Logger: log.logger(), Poll: day})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { f.follow(ctx, &watch{log: f.log}) })
		time.Sleep(time.Hour) // looks fall into the middle of what happens
		for d := range 93 {
			synctest.Wait()
			switch left := 90 - d; {
			case left > 30:
				log.wantRecord(t)
			case left > 7:
				log.wantRecord(t, "level=INFO", "expires soon", "mail.example.com", fmt.Sprintf("days=%d", left))
			case left > 1:
				log.wantRecord(t, "level=WARN", "expires soon")
			case left > 0:
				log.wantRecord(t, "level=ERROR", "expires soon")
			case left < 0: // at 0 it is that very second
				log.wantRecord(t, "level=ERROR", "a certificate has expired")
			default:
				log.take()
			}
			time.Sleep(day)
		}
		cancel()
		wg.Wait()
	})
}

// TestNewWhenItsTimeHasCome: a renewed certificate that is not valid yet waits beside the old one.
func TestNewWhenItsTimeHasCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cert, key := hours(t, "old.example.com", -1, 48)
		source := placed(t, cert, key)
		f := front(t, Options{Certificates: []Source{source}})
		cert, key = hours(t, "new.example.com", 10, 1000)
		source.renew(t, cert, key)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { f.follow(ctx, &watch{log: f.log}) })
		time.Sleep(9 * time.Hour)
		if got := now(f); got != "old.example.com" {
			t.Errorf("%s serves before its time", got)
		}
		time.Sleep(2 * time.Hour)
		if got := now(f); got != "new.example.com" {
			t.Errorf("%s still serves", got)
		}
		cancel()
		wg.Wait()
	})
}

// TestExpiryIsToldAtTheStart: who restarts each night shall hear of it too.
func TestExpiryIsToldAtTheStart(t *testing.T) {
	log := &lines{}
	cert, key := hours(t, "mail.example.com", -88*24, 2*24)
	f := front(t, Options{Certificates: []Source{placed(t, cert, key)}, Logger: log.logger()})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f.follow(ctx, &watch{log: f.log})
	log.wantRecord(t, "level=WARN", "expires soon")
}

func TestDue(t *testing.T) {
	const hour = time.Hour
	for _, c := range []struct {
		lifetime, left time.Duration
		want           string
	}{
		{365 * day, 31 * day, "-"}, {365 * day, 30 * day, "INFO"}, {365 * day, 7 * day, "WARN"}, {365 * day, day, "ERROR"}, {365 * day, -day, "ERROR"},
		{45 * day, 20 * day, "-"}, {45 * day, 15 * day, "INFO"},
		{6 * day, 3 * day, "-"}, {6 * day, 2 * day, "WARN"}, {6 * day, 20 * hour, "ERROR"},
	} {
		begin := time.Now()
		info := Info{NotBefore: begin, NotAfter: begin.Add(c.lifetime)}
		level, due := info.due(info.NotAfter.Add(-c.left))
		if got := level.String(); due != (c.want != "-") || due && got != c.want {
			t.Errorf("%v of %v left: %v %s, want %s", c.left, c.lifetime, due, got, c.want)
		}
	}
}
