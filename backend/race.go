package backend

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// headStart is how long an address may take before the next one is tried as well
// (RFC 8305, section 5).
const headStart = 250 * time.Millisecond

var errNoAddress = errors.New("no address")

// attempts are the faults of all addresses that were tried.
type attempts []error

func (a attempts) Error() string {
	var texts []string
	for _, err := range a {
		texts = append(texts, err.Error())
	}
	return strings.Join(texts, "; ")
}

// Unwrap returns the faults.
func (a attempts) Unwrap() []error { return a }

// add notes a fault, or those of a race within this one.
func (a attempts) add(err error) attempts {
	if several, ok := errors.AsType[attempts](err); ok {
		return append(a, several...)
	}
	return append(a, err)
}

// finish is how one attempt ended.
type finish struct {
	conn net.Conn
	lane int
	err  error
}

// race tries n ways in order: the next one when the one before failed, or had its
// head start. The first connection wins; when race returns all others are
// closed and nobody is running any more.
func race(ctx context.Context, n int, connect func(ctx context.Context, lane int) (net.Conn, error)) (net.Conn, int, error) {
	switch n {
	case 0:
		return nil, 0, errNoAddress
	case 1:
		conn, err := connect(ctx, 0)
		return conn, 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	finishes := make(chan finish)
	started, running := 0, 0
	timer := time.NewTimer(headStart)
	defer timer.Stop()
	start := func() {
		lane := started
		started, running = started+1, running+1
		timer.Reset(headStart)
		go func() {
			conn, err := connect(ctx, lane)
			finishes <- finish{conn, lane, err}
		}()
	}
	start()
	var faults attempts
	for running > 0 {
		select {
		case f := <-finishes:
			running--
			if f.err == nil {
				cancel()
				closeLosers(finishes, running)
				return f.conn, f.lane, nil
			}
			faults = faults.add(f.err)
		case <-timer.C:
		}
		if started < n && ctx.Err() == nil {
			start()
		}
	}
	return nil, 0, faults
}

func closeLosers(finishes <-chan finish, running int) {
	for range running {
		if f := <-finishes; f.err == nil {
			_ = f.conn.Close()
		}
	}
}

const (
	// winnerKept is how long another address than the first is tried first. Then the
	// first has its chance again.
	winnerKept = time.Minute
	maxWinners = 1024
)

// Winners remembers which addresses of backends answered while the first didn't,
// so that a dead first one costs a head start a minute and not one each login.
// It is safe for concurrent use.
type Winners struct {
	mu       sync.Mutex
	byTarget map[string]winner
}

type winner struct {
	address string
	until   time.Time
}

// NewWinners returns one that remembers nothing yet.
func NewWinners() *Winners { return &Winners{byTarget: make(map[string]winner)} }

// order is the target's addresses as they are to be tried now.
func (w *Winners) order(t Target) []string {
	if w == nil || len(t.Addresses) < 2 {
		return t.Addresses
	}
	w.mu.Lock()
	last, ok := w.byTarget[t.Name]
	w.mu.Unlock()
	at := slices.Index(t.Addresses, last.address)
	if !ok || at < 0 || !time.Now().Before(last.until) {
		return t.Addresses
	}
	order := append(make([]string, 0, len(t.Addresses)), last.address)
	return append(append(order, t.Addresses[:at]...), t.Addresses[at+1:]...)
}

// won notes who answered. To win again prolongs nothing, or the first address would
// never be tried again.
func (w *Winners) won(t Target, address string) {
	if w == nil || len(t.Addresses) < 2 {
		return
	}
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	last, ok := w.byTarget[t.Name]
	switch {
	case address == t.Addresses[0]:
		delete(w.byTarget, t.Name)
	case ok && last.address == address && now.Before(last.until):
	default:
		if len(w.byTarget) >= maxWinners {
			clear(w.byTarget)
		}
		w.byTarget[t.Name] = winner{address, now.Add(winnerKept)}
	}
}
