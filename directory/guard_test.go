package directory

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestShrinkGuardHolds(t *testing.T) {
	for _, test := range []struct {
		guard        ShrinkGuard
		serving, now int
		held         bool
	}{
		{contract, 0, 0, false},
		{contract, 100, 100, false},
		{contract, 100, 1000, false},
		{contract, 100, 50, false}, // half is not more than half
		{contract, 100, 49, true},
		{contract, 100, 0, true},
		{contract, 40, 20, false},
		{contract, 40, 19, true},
		{contract, 21, 1, false}, // 20 rows are not more than 20
		{contract, 21, 0, true},
		{contract, 20, 0, false}, // a small file may be emptied
		{contract, 10_000_000, 4_999_999, true},
		{ShrinkGuard{Ratio: 1}, 100, 0, false},
		{ShrinkGuard{}, 1, 0, true},
		{ShrinkGuard{}, 1, 1, false},
		{ShrinkGuard{Rows: 100}, 1000, 900, false},
		{ShrinkGuard{Rows: 100}, 1000, 899, true},
	} {
		if got := test.guard.holds(test.serving, test.now); got != test.held {
			t.Errorf("%+v from %d to %d entries: held %v", test.guard, test.serving, test.now, got)
		}
	}
}

// table returns one with as many mailboxes, the first of which are a to f.
func (f *following) table(entries int) *Table {
	b := NewBuilder("")
	for i := range entries {
		address := fmt.Sprintf("user%d", i)
		if i < 6 {
			address = "abcdef"[i : i+1]
		}
		if err := b.Add([]byte(address), Value{Backend: "guest-01"}); err != nil {
			f.t.Fatal(err)
		}
	}
	return b.Build()
}

func TestHeldStateServesOn(t *testing.T) {
	follow(t, contract, 1, func(t *testing.T, f *following) {
		whole := Update{Groups: []Group{{"g", f.table(100)}}}
		f.say(0, whole)
		f.say(0, Update{Groups: []Group{{"g", f.table(3)}}})
		f.knows("abcdef")
		s := f.Status()[0]
		var held *HeldError
		if !s.Held || s.Entries != 100 || !errors.As(s.Err, &held) || held.Most != 100 || held.Now != 3 {
			t.Errorf("status %+v", s)
		}
		f.logged("level=ERROR", 1)
		f.logged("from 100 entries to 3", 1)
		f.logged("held=true", 1)

		if err := f.reload(Update{}); !errors.As(err, &held) { // nothing new in the file
			t.Errorf("a reload of a held state: %v", err)
		}
		if err := f.reload(Update{Groups: []Group{{"g", f.table(3)}}}); !errors.As(err, &held) {
			t.Errorf("another reload: %v", err)
		}
		f.knows("abcdef")
		f.logged("level=ERROR", 1)

		f.say(0, Update{Groups: []Group{{"g", f.table(60)}}})
		f.knows("abcdef")
		if s := f.Status()[0]; s.Held || s.Err != nil || s.Entries != 60 {
			t.Errorf("after it came back: %+v", s)
		}
		f.logged("well again", 1)
	})
}

func TestHeldCountsAllGroupsOfAnUpdate(t *testing.T) {
	follow(t, contract, 1, func(t *testing.T, f *following) {
		f.say(0, Update{Groups: []Group{{"g", f.table(100)}, {"h", build(t, "x guest-01")}}})
		f.say(0, Update{Groups: []Group{{"g", nil}, {"k", f.table(90)}}}) // moved to another group
		if s := f.Status()[0]; s.Held || s.Entries != 91 {
			t.Errorf("a move between groups: %+v", s)
		}
		f.say(0, Update{Groups: []Group{{"k", nil}}})
		f.say(0, Update{Groups: []Group{{"h", build(t, "x guest-01", "y guest-01")}}})
		if s := f.Status()[0]; !s.Held || s.Entries != 91 {
			t.Errorf("another group's update while one is held: %+v", s)
		}
		f.say(0, Update{Groups: []Group{{"k", f.table(80)}}})
		if s := f.Status()[0]; s.Held || s.Entries != 82 {
			t.Errorf("after it came back: %+v", s)
		}
		if _, err := f.Locate(t.Context(), Query{User: "y"}); err != nil {
			t.Errorf("what came while another group was held: %v", err)
		}
	})
}

func TestHeldOverARestartOfTheSource(t *testing.T) {
	follow(t, contract, 1, func(t *testing.T, f *following) {
		f.say(0, Update{Groups: []Group{{"g", f.table(100)}}})
		f.sources[0].end <- errors.New("lost")
		f.say(0, Update{})
		f.knows("abcdef")
		if s := f.Status()[0]; !s.Held || s.Entries != 100 {
			t.Errorf("status %+v", s)
		}
	})
}

// shrinks has the source say one number of entries after the other, with some time before each.
func (f *following) shrinks(pause time.Duration, entries ...int) {
	for _, n := range entries {
		time.Sleep(pause)
		f.say(0, Update{Groups: []Group{{"g", f.table(n)}}})
	}
}

// Many small losses are as bad as one large one.
func TestManySmallLossesAreHeld(t *testing.T) {
	follow(t, contract, 1, func(t *testing.T, f *following) {
		f.shrinks(time.Second, 1000, 700, 600, 500)
		if s := f.Status()[0]; s.Held || s.Entries != 500 {
			t.Fatalf("half of it is gone: %+v", s)
		}
		f.shrinks(time.Second, 450, 400, 300, 250)
		s := f.Status()[0]
		if held := new(HeldError); !s.Held || s.Entries != 500 || s.Most != 1000 || !errors.As(s.Err, &held) || held.Most != 1000 || held.Now != 250 {
			t.Fatalf("more than half of it is gone: %+v", s)
		}

		f.shrinks(time.Hour, 300)
		if s := f.Status()[0]; !s.Held || s.Entries != 500 || s.Most != 1000 {
			t.Errorf("waiting has released it: %+v", s)
		}
		f.shrinks(0, 550)
		if s := f.Status()[0]; s.Held || s.Entries != 550 || s.Most != 0 {
			t.Errorf("when enough is back: %+v", s)
		}
	})
}

// What is lost more slowly is the site's business.
func TestSlowLossesPass(t *testing.T) {
	follow(t, contract, 1, func(t *testing.T, f *following) {
		f.shrinks(guardWindow+2*peakPiece, 1000, 600, 350, 200, 110)
		if s := f.Status()[0]; s.Held || s.Entries != 110 {
			t.Errorf("%+v", s)
		}
	})
}

// Once confirmed, a loss is not counted again.
func TestAConfirmedLossIsNotCountedAgain(t *testing.T) {
	follow(t, contract, 1, func(t *testing.T, f *following) {
		f.shrinks(time.Second, 1000, 400)
		if err := f.Confirm("s0"); err != nil {
			t.Fatal(err)
		}
		f.shrinks(time.Second, 300)
		if s := f.Status()[0]; s.Held || s.Entries != 300 {
			t.Errorf("a small loss after it: %+v", s)
		}
		f.shrinks(time.Second, 150)
		if s := f.Status()[0]; !s.Held || s.Most != 400 {
			t.Errorf("another large one: %+v", s)
		}
	})
}
