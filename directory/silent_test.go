package directory

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"
)

// TestSilentSource: a server that takes connections and says nothing holds back what was saved for a while, and
// no longer. Where nothing was saved, it may take its time.
func TestSilentSource(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		o := Options{State: folder, ShrinkGuard: contract, Sources: []NamedSource{{Name: "a", Source: newTold()}}}
		running(t, o, func(t *testing.T, d *Directory, _ *bytes.Buffer) {
			time.Sleep(10 * firstWord)
			synctest.Wait()
			if s := d.Status()[0]; !s.LoadedAt.IsZero() || s.Err != nil {
				t.Errorf("nothing was saved, and nothing said: %+v", s)
			}
			o.Sources[0].Source.(*told).tell(Group{"g", build(t, "alice guest-01")})
		})

		late := newTold()
		o.Sources[0].Source = late
		running(t, o, func(t *testing.T, d *Directory, _ *bytes.Buffer) {
			began := time.Now()
			if err := d.Load(t.Context()); err != nil || time.Since(began).Round(time.Second) != firstWord {
				t.Errorf("loaded after %v: %v", time.Since(began), err)
			}
			if s := d.Status()[0]; !s.Saved || s.Err == nil || owner(t, d, Query{User: "alice"}) != "guest-01" {
				t.Errorf("what was saved does not serve: %+v", s)
			}
			late.tell(Group{"g", build(t, "alice guest-02")})
			if s := d.Status()[0]; s.Saved || s.Err != nil || owner(t, d, Query{User: "alice"}) != "guest-02" {
				t.Errorf("once it spoke: %+v", s)
			}
		})

		prompt := newTold()
		o.Sources[0].Source = prompt
		running(t, o, func(t *testing.T, d *Directory, _ *bytes.Buffer) {
			prompt.tell(Group{"g", build(t, "alice guest-03")})
			time.Sleep(2 * firstWord)
			synctest.Wait()
			if s := d.Status()[0]; s.Saved || s.Err != nil || owner(t, d, Query{User: "alice"}) != "guest-03" {
				t.Errorf("one that spoke in time: %+v", s)
			}
		})
	})
}
