package cache

import (
	"context"
	"errors"
	"maps"
	"testing"
	"testing/synctest"
	"time"
)

func TestFreshAsksAgain(t *testing.T) {
	try(t, usual, func(b *bench) {
		b.gets("alice", "a")
		time.Sleep(5 * time.Second)
		b.getsFresh("alice", 5*time.Second, "a")
		b.was("alice", 1)
		time.Sleep(time.Second)
		b.set(func(p *place) { p.says["alice"] = "a2" })
		b.getsFresh("alice", 5*time.Second, "a2")
		b.was("alice", 2)
		time.Sleep(6 * time.Second)
		b.set(down)
		b.getsFresh("alice", 5*time.Second, "a2") // better than nothing
		b.was("alice", 3)
	})
}

func TestForgottenServesNoMore(t *testing.T) {
	try(t, usual, func(b *bench) {
		b.gets("alice", "a")
		b.gets("carol", "unknown")
		if !b.Forget("alice") || !b.Forget("carol") || b.Forget("alice") || b.Forget("nobody") {
			b.t.Error("Forget does not tell what it forgot")
		}
		b.set(down)
		b.gets("alice", "down")
		b.gets("carol", "down")
		b.set(up)
		b.gets("alice", "a")
		b.gets("bob", "b")
		if n := b.ForgetAll(); n != 2 || b.Len() != 0 {
			b.t.Errorf("forgot %d, %d are left", n, b.Len())
		}
	})
}

// TestForgottenInFlight holds that an answer from before a change is not kept, nor given to who asks after it.
func TestForgottenInFlight(t *testing.T) {
	for name, forget := range map[string]func(*bench){
		"one": func(b *bench) { b.Forget("alice") },
		"all": func(b *bench) { b.ForgetAll() },
		"told": func(b *bench) {
			b.tells <- "alice"
			synctest.Wait()
		},
	} {
		t.Run(name, func(t *testing.T) {
			try(t, usual, func(b *bench) {
				b.set(func(p *place) { p.takes = 2 * time.Second })
				first := make(chan struct{})
				go func() { b.gets("alice", "a2"); close(first) }() // it asked before; what it hears is its luck
				synctest.Wait()
				b.set(func(p *place) { p.says["alice"] = "a2" })
				time.Sleep(time.Second)
				forget(b)
				b.gets("alice", "a2")
				b.was("alice", 2)
				<-first
				b.set(func(p *place) { p.says["alice"] = "a3" })
				b.gets("alice", "a2")
			})
		})
	}
}

func TestAChangeIsHeard(t *testing.T) {
	try(t, usual, func(b *bench) {
		b.gets("alice", "a")
		b.gets("carol", "unknown")
		b.set(func(p *place) { p.says["alice"] = "a2"; p.says["carol"] = "c" })
		moved := b.moved
		b.tells <- "alice"
		b.tells <- "carol"
		synctest.Wait()
		b.was("alice", 2) // without a session that asks
		if b.moved != moved+1 {
			b.t.Errorf("%d moves", b.moved-moved)
		}
		b.gets("alice", "a2")
		b.gets("carol", "c")
		b.set(down)
		b.tells <- "alice"
		synctest.Wait()
		b.gets("alice", "down") // it is known to be wrong
		if a, ok := b.Peek("alice"); !ok || a.Value != "a2" {
			b.t.Errorf("what is known to have been: %+v, %v", a, ok)
		}
		if all := maps.Collect(b.All()); len(all) != 1 || all["carol"].Value != "c" {
			b.t.Errorf("worth saving: %v", all)
		}
	})
}

func TestALostConnectionMakesAllOutdated(t *testing.T) {
	try(t, usual, func(b *bench) {
		b.gets("alice", "a")
		b.gets("carol", "unknown")
		b.set(func(p *place) { p.says["carol"] = "c" })
		b.loses <- errors.New("lost")
		time.Sleep(2 * time.Second) // it listens again
		b.gets("alice", "a")
		b.was("alice", 2)
		b.gets("carol", "c")
		b.loses <- errors.New("lost")
		time.Sleep(4 * time.Second)
		b.set(down)
		b.gets("alice", "a") // an outage begins like that, and is what stale answers are for
	})
}

func TestListeningIsTriedLaterAndLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var starts []time.Time
		ctx, cancel := context.WithCancel(t.Context())
		c := New(usual, Place[string]{Listen: func(context.Context, func(string)) error {
			if starts = append(starts, time.Now()); len(starts) == 12 {
				return nil
			}
			return errDown
		}})
		c.Run(ctx) // a nil is its end
		cancel()
		c.Run(ctx)
		if len(starts) != 12 {
			t.Fatalf("%d starts", len(starts))
		}
		for i := 1; i < len(starts); i++ {
			least := min(maxPause, firstPause<<(i-1)) / 2
			if pause := starts[i].Sub(starts[i-1]); pause < least || pause > 3*least {
				t.Errorf("pause %d is %v", i, pause)
			}
		}
	})
}

func TestCloseLeavesNothing(t *testing.T) {
	try(t, usual, func(b *bench) {
		b.gets("bob", "b")
		b.set(func(p *place) { p.takes = time.Hour })
		ended := make(chan struct{})
		for range 10 {
			go func() { b.gets("alice", "down"); ended <- struct{}{} }()
		}
		synctest.Wait()
		began := time.Now()
		b.Close()
		for range 10 {
			<-ended
		}
		b.gets("carol", "down")
		b.gets("bob", "b")
		if b.Status().Err != nil || time.Since(began) != 0 {
			b.t.Errorf("after the end: %v, %v", b.Status().Err, time.Since(began))
		}
	})
}

func TestRestoredAnswersKeepTheirTimes(t *testing.T) {
	try(t, usual, func(b *bench) {
		restore := func(address string, age time.Duration) {
			b.Restore(address, Answer[string]{Value: "old", At: time.Now().Add(-age)})
		}
		b.gets("bob", "b")
		restore("alice", 30*time.Minute)
		restore("carol", 2*time.Hour)
		restore("dave", -time.Second) // from the future
		restore("bob", 0)             // there is a newer one
		b.gets("bob", "b")
		if b.Len() != 3 {
			b.t.Errorf("%d entries", b.Len())
		}
		b.set(down)
		b.gets("alice", "old")
		b.gets("carol", "down")
		if _, ok := b.Peek("dave"); ok {
			b.t.Error("an answer from the future is kept")
		}
		b.set(up)
		b.gets("alice", "a")
	})
}

func TestSignals(t *testing.T) {
	try(t, usual, func(b *bench) {
		for i, step := range []struct {
			change        func()
			stored, moved int
		}{
			{func() { b.gets("alice", "a") }, 1, 0},
			{func() { b.gets("alice", "a") }, 0, 0},
			{func() { time.Sleep(time.Hour); b.gets("alice", "a") }, 1, 0},
			{func() {
				time.Sleep(time.Hour)
				b.set(func(p *place) { p.says["alice"] = "a2" })
				b.gets("alice", "a2")
			}, 1, 1},
			{func() {
				time.Sleep(time.Hour)
				b.set(func(p *place) { delete(p.says, "alice") })
				b.gets("alice", "unknown")
			}, 1, 1},
			{func() { b.gets("carol", "unknown") }, 0, 0},
			{func() { b.set(func(p *place) { p.says["alice"] = "a" }); b.Forget("alice"); b.gets("alice", "a") }, 1, 0},
			{func() { b.Forget("alice") }, 1, 0},
		} {
			stored, moved := b.stored, b.moved
			step.change()
			if b.stored-stored != step.stored || b.moved-moved != step.moved {
				b.t.Errorf("step %d: %d stored, %d moved", i, b.stored-stored, b.moved-moved)
			}
		}
	})
}
