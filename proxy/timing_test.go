package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/backend"
	"postern/directory"
)

// locators and dialers of functions, for tests.
type locatorFunc func(directory.Query) (directory.Route, error)

func (f locatorFunc) Locate(_ context.Context, q directory.Query) (directory.Route, error) {
	return f(q)
}

type dialerFunc func(backend.Target) (net.Conn, error)

func (f dialerFunc) DialFor(_ context.Context, t backend.Target, _ backend.Origin) (net.Conn, error) {
	return f(t)
}

// refuser is a backend in memory that refuses every password after a time.
func refuser(after time.Duration) net.Conn {
	gateway, here := net.Pipe()
	go func() {
		defer here.Close()
		lines := bufio.NewScanner(here)
		fmt.Fprint(here, "+OK ready\r\n")
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "PASS ") {
				time.Sleep(after)
				fmt.Fprint(here, "-ERR no\r\n")
				continue
			}
			fmt.Fprint(here, "+OK\r\n")
		}
	}()
	return gateway
}

// denial logs in as a user and measures how long the refusal took.
func denial(t *testing.T, s *Server, user string) time.Duration {
	client, gateway := net.Pipe()
	defer client.Close()
	s.admit(t.Context(), NewListener(nil, "test", &Access{}), gateway)
	lines := bufio.NewReader(client)
	say := func(line string) string {
		if line != "" {
			if _, err := io.WriteString(client, line+"\r\n"); err != nil {
				t.Error(err)
			}
		}
		reply, err := lines.ReadString('\n')
		if err != nil {
			t.Error(err)
		}
		return reply
	}
	say("")
	say("USER " + user)
	begin := time.Now()
	if reply := say("PASS wrong"); reply != "-ERR [AUTH] Wrong user name or password\r\n" {
		t.Errorf("%s hears %q", user, reply)
	}
	return time.Since(begin)
}

// An unknown mailbox and a wrong password can't be told apart by their time: 200 of
// each, before backends that refuse after 1, 300 and 4,500 ms.
func TestRefusalTimesTellNothing(t *testing.T) {
	delays := map[string]time.Duration{
		"guest-0": time.Millisecond, "guest-1": 300 * time.Millisecond, "guest-2": 4500 * time.Millisecond,
	}
	setups := map[string]func(i int) int{
		"one backend, fast":   func(int) int { return 0 },
		"one backend, medium": func(int) int { return 1 },
		"one backend, slow":   func(int) int { return 2 },
		"three backends":      func(i int) int { return i % 3 },
	}
	for name, guest := range setups {
		for _, gap := range []time.Duration{0, 50 * time.Millisecond} {
			t.Run(fmt.Sprintf("%s/gap=%v", name, gap), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := refusingServer(t, delays, guest)
					known, unknown := measure(t, s, gap)
					if p := kolmogorovSmirnov(known, unknown); p <= 0.01 {
						t.Errorf("p = %.4f: known %v, unknown %v", p, histogram(known), histogram(unknown))
					}
					for _, took := range append(known, unknown...) {
						if took%(3*time.Second) != 0 {
							t.Errorf("a refusal came after %v, no multiple of the delay", took)
						}
					}
				})
			})
		}
	}
}

func refusingServer(t *testing.T, delays map[string]time.Duration, guest func(int) int) *Server {
	set := testSettings(t)
	set.Plaintext = PlaintextAlways
	return NewServer(Options{
		Settings: set, Logger: slog.New(slog.DiscardHandler),
		Directory: locatorFunc(func(q directory.Query) (directory.Route, error) {
			var i int
			if n, _ := fmt.Sscanf(q.User, "known-%d", &i); n == 0 {
				return directory.Route{}, directory.ErrUnknown
			}
			name := fmt.Sprintf("guest-%d", guest(i))
			return directory.Route{Mailbox: q.User, Login: q.User, Backend: &backend.Target{Name: name}}, nil
		}),
		Dialer: dialerFunc(func(target backend.Target) (net.Conn, error) {
			return refuser(delays[target.Name]), nil
		}),
	})
}

// measure runs 200 logins of each kind side by side, one pair each gap.
func measure(t *testing.T, s *Server, gap time.Duration) (known, unknown []time.Duration) {
	const each = 200
	known, unknown = make([]time.Duration, each), make([]time.Duration, each)
	var all sync.WaitGroup
	for i := range each {
		all.Go(func() { known[i] = denial(t, s, fmt.Sprintf("known-%d", i)) })
		all.Go(func() { unknown[i] = denial(t, s, fmt.Sprintf("nobody-%d", i)) })
		time.Sleep(gap)
	}
	all.Wait()
	return known, unknown
}

// kolmogorovSmirnov returns the probability of a difference as large between two
// samples of one distribution (the asymptotic form, two-sided).
func kolmogorovSmirnov(a, b []time.Duration) float64 {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	var i, j int
	var d float64
	for i < len(a) && j < len(b) {
		x := min(a[i], b[j])
		for i < len(a) && a[i] == x {
			i++
		}
		for j < len(b) && b[j] == x {
			j++
		}
		d = max(d, math.Abs(float64(i)/float64(len(a))-float64(j)/float64(len(b))))
	}
	n := float64(len(a)*len(b)) / float64(len(a)+len(b))
	lambda := (math.Sqrt(n) + 0.12 + 0.11/math.Sqrt(n)) * d
	var p float64
	for k := 1; k <= 100; k++ {
		p += 2 * math.Pow(-1, float64(k-1)) * math.Exp(-2*lambda*lambda*float64(k*k))
	}
	if d == 0 {
		return 1
	}
	return min(1, max(0, p))
}

func TestKolmogorovSmirnovSeesADifference(t *testing.T) {
	var a, b []time.Duration
	for i := range 200 {
		a = append(a, 3*time.Second)
		b = append(b, time.Duration(3+3*(i%3/2))*time.Second) // a third after 6 s
	}
	if p := kolmogorovSmirnov(a, b); p > 0.01 {
		t.Errorf("p = %v for samples that differ in a third", p)
	}
	if p := kolmogorovSmirnov(b, b); p < 0.99 {
		t.Errorf("p = %v for a sample and itself", p)
	}
}

func histogram(times []time.Duration) map[time.Duration]int {
	h := make(map[time.Duration]int)
	for _, t := range times {
		h[t]++
	}
	return h
}
