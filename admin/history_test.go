package admin

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

func TestHistory(t *testing.T) {
	h, err := NewHistory(2)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 7 {
		h.Add("alice@example.com", LoginAttempt{At: time.Unix(int64(i), 0), Result: fmt.Sprint(i)})
	}
	h.Add("bob@example.com", LoginAttempt{Result: "b"})
	results := func(mailbox string) (text string) {
		for _, a := range h.Of(mailbox) {
			text += a.Result
		}
		return text
	}
	if a, b, c := results("alice@example.com"), results("bob@example.com"), results("carol@example.com"); a != "65432" || b != "b" || c != "" {
		t.Errorf("%q %q %q", a, b, c)
	}
	var flood sync.WaitGroup
	for worker := range 4 {
		flood.Go(func() {
			for i := range 1000 {
				h.Add(fmt.Sprintf("m%d-%d", worker, i), LoginAttempt{})
				h.Of("alice@example.com")
			}
		})
	}
	flood.Wait()
	if n := h.mailboxes.Len(); n != 2 || results("alice@example.com") != "" {
		t.Errorf("%d mailboxes after a flood", n)
	}
	if _, err := NewHistory(0); err == nil {
		t.Error("a history of nothing")
	}
}
