package directory

import (
	"errors"
	"testing"

	"postern/backend"
)

func TestExplainAsksEverySource(t *testing.T) {
	d := serve(t, "example.com", []backend.Target{
		{Name: "guest-01", Addresses: []string{"192.0.2.1:110"}}, {Name: "guest-02", Addresses: []string{"192.0.2.2:110"}},
	}, []string{"alice@example.com guest-01", "@example.org guest-02"}, []string{"alice@example.com guest-02", "bob@example.com nowhere"})
	for _, tt := range []struct {
		typed   string
		mailbox string
		known   [2]bool
	}{
		{"ALICE", "alice@example.com", [2]bool{true, true}},
		{"bob", "bob@example.com", [2]bool{false, true}},
		{"x@example.org", "x@example.org", [2]bool{true, false}},
		{"nobody", "nobody@example.com", [2]bool{}},
	} {
		mailbox, answers, err := d.Answers(t.Context(), Query{User: tt.typed})
		if err != nil || mailbox != tt.mailbox || len(answers) != 2 {
			t.Fatalf("%s: %q, %d answers, %v", tt.typed, mailbox, len(answers), err)
		}
		for i, want := range tt.known {
			if answers[i].Known != want {
				t.Errorf("%s: source %d knows it: %v", tt.typed, i, answers[i].Known)
			}
		}
	}
	if _, _, err := d.Answers(t.Context(), Query{User: "@example.org"}); err == nil {
		t.Error("a name without a local part is explained")
	}
	_, answers, _ := d.Answers(t.Context(), Query{User: "bob"})
	if !errors.As(answers[1].Err, new(*NoBackendError)) {
		t.Errorf("bob's entry leads nowhere: %v", answers[1].Err)
	}
}
