package directorytest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"postern/directory"
	"postern/directory/mapfile"
)

// shelf is the simplest place that can be asked.
type shelf struct {
	mu     sync.Mutex
	table  *directory.Table
	broken bool
}

func (s *shelf) Set(t *testing.T, lines string) {
	t.Helper()
	table, err := mapfile.Read(strings.NewReader(lines), mapfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.table = table
}

func (s *shelf) Break(*testing.T)  { s.become(true) }
func (s *shelf) Repair(*testing.T) { s.become(false) }

func (s *shelf) become(broken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = broken
}

func (s *shelf) Resolve(ctx context.Context, m directory.Mailbox) (directory.Value, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return directory.Value{}, err
	}
	if s.broken {
		return directory.Value{}, errors.New("the shelf is broken")
	}
	v, ok := s.table.Get(m.Address)
	if !ok {
		return directory.Value{}, directory.ErrUnknown
	}
	return v, nil
}

func (*shelf) Close() error { return nil }

// TestRunResolver holds the suite itself: what keeps the contract passes.
func TestRunResolver(t *testing.T) {
	RunResolver(t, "c4n4ry", func(*testing.T) (directory.Resolver, AskedSite) {
		s := &shelf{}
		return s, s
	})
}

// TestHostileNamesAreCanonical holds that the suite asks only for names which a session can ask for.
func TestHostileNamesAreCanonical(t *testing.T) {
	for _, address := range append(hostile(), beyond()...) {
		if got, err := directory.Canonical(address, ""); err != nil || got != address {
			t.Errorf("%q becomes %q, %v", address, got, err)
		}
	}
}
