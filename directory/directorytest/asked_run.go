package directorytest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"postern/directory"
)

// known is what the place knows at first.
func known() map[string]directory.Value {
	return map[string]directory.Value{
		"alice@example.com": {Backend: "guest-01"},
		"bob@example.com":   {Backend: "guest-02", Login: "b", State: directory.Moving},
		"carol@example.com": {Backend: "Guest-03.Example.NET:1110", Login: "CaRoL+{local}", State: directory.Suspended},
		"dave@example.org":  {Backend: "[2001:db8::1]:110", State: directory.Suspended},
		"erin":              {Backend: "guest-01", Login: "{address}"},
	}
}

func knownIsTold(a *asking) {
	for address, v := range known() {
		a.tells(address, v)
	}
}

func notKnownIsUnknown(a *asking) {
	for _, address := range []string{
		"nobody@example.com", "alice@example.org", "alice", "lice@example.com", "alice@example.co", "alice@example.comm", "guest-01", "b",
	} {
		a.unknown(address)
	}
	a.site.Set(a.t, "\n")
	a.unknown("alice@example.com")
}

func changeIsSeen(a *asking) {
	a.tells("alice@example.com", directory.Value{Backend: "guest-01"})
	changed := map[string]directory.Value{"alice@example.com": {Backend: "guest-02", State: directory.Moving}}
	a.site.Set(a.t, lines(changed))
	a.tells("alice@example.com", changed["alice@example.com"])
	a.unknown("bob@example.com")
}

// hostile are names that mean something else to a place that takes them for a piece of a question.
// All of them are canonical.
func hostile() []string {
	return []string{
		"o'brien@example.com", `"quoted"@example.com`, "`tick`@example.com", "a;b@example.com", "a--b@example.com", "a/*b*/@example.com",
		"*@example.com", "al*@example.com", "a*b@example.com", "(x)@example.com", "*)(mail=*@example.com", "a)(|(uid=*))@example.com", "*)(uid=*))(|(uid=*@example.com",
		"a&b@example.com", "a|b@example.com", "!a@example.com", "a=b@example.com", "a,b@example.com", "a+b@example.com", "<a>@example.com",
		`a\b@example.com`, `a\@example.com`, `a\\@example.com`, `a\'b@example.com`, `\2a@example.com`, `\5c2a@example.com`,
		"%@example.com", "al_ce@example.com", "al%ce@example.com", "%00@example.com", "%s@example.com", "%27@example.com", "%d%n@example.com",
		"$1@example.com", "?@example.com", ":name@example.com", "@@example.com", "{address}@example.com", "{local}@example.com", "${local}@example.com",
		"../../etc/passwd@example.com", "a/../b@example.com", "a#b@example.com",
		"x'or'1'='1@example.com", "x'/**/union/**/select/**/'guest-01'--@example.com", "x';drop/**/table/**/mailbox;--@example.com",
	}
}

// beyond are further names that are unknown everywhere, and that a place may be unable to hold.
func beyond() []string {
	return []string{
		"' or '1'='1", "x' or '1'='1' --@example.com", "alice' or ''='@example.com",
		"münchen@example.com", "用户@example.com", "почта@example.com", "alice@bücher.example",
		strings.Repeat("a", 254-len("@example.com")) + "@example.com",
		strings.Repeat("*", 254-len("@example.com")) + "@example.com",
		strings.Repeat(`\`, 254-len("@example.com")) + "@example.com",
		strings.Repeat("'", 254-len("@example.com")) + "@example.com",
		strings.Repeat("(", 254), strings.Repeat("日", 84),
	}
}

func hostileNamesStayNames(a *asking) {
	for _, address := range slices.Concat(hostile(), beyond()) {
		a.unknown(address)
	}
	knownIsTold(a) // nothing was dropped or changed on the way
}

func hostileNamesAreFound(a *asking) {
	entries := known()
	for i, address := range hostile() {
		entries[address] = directory.Value{Backend: fmt.Sprintf("guest-%02d", i+10)}
	}
	a.site.Set(a.t, lines(entries))
	for _, address := range slices.Sorted(maps.Keys(entries)) {
		a.tells(address, entries[address])
	}
	for _, address := range beyond() {
		a.unknown(address)
	}
}

func brokenIsNoUnknown(a *asking) {
	a.tells("alice@example.com", known()["alice@example.com"])
	a.site.Break(a.t)
	for range 3 {
		a.fails("alice@example.com")
		a.fails("nobody@example.com")
	}
}

func repairedAnswers(a *asking) {
	for range 2 {
		a.tells("alice@example.com", known()["alice@example.com"])
		a.site.Break(a.t)
		a.fails("alice@example.com")
		a.site.Repair(a.t)
		a.comesBack("alice@example.com", known()["alice@example.com"])
		a.unknown("nobody@example.com")
	}
}

func brokenAtFirst(a *asking) {
	a.site.Break(a.t)
	a.fails("alice@example.com")
	a.site.Repair(a.t)
	a.comesBack("bob@example.com", known()["bob@example.com"])
}

// calledOffEnds calls questions off before, while and after they are asked. One that had its answer
// by then may keep it.
func calledOffEnds(a *asking) {
	for i := range 40 {
		ctx, cancel := context.WithCancel(a.t.Context())
		var calling sync.WaitGroup
		if i%4 == 0 {
			cancel()
		} else {
			calling.Go(func() { <-time.After(time.Duration(i) * 50 * time.Microsecond); cancel() })
		}
		began := time.Now()
		_, err := a.resolver.Resolve(ctx, mailbox("alice@example.com"))
		took := time.Since(began)
		calling.Wait()
		a.keepsSecret(err)
		if errors.Is(err, directory.ErrUnknown) || (err == nil && i == 0) || took > patience {
			a.t.Errorf("a question called off: %v after %v", err, took)
		}
	}
	a.tells("alice@example.com", known()["alice@example.com"]) // what was called off leaves no answer behind for others
	a.tells("bob@example.com", known()["bob@example.com"])
}

func manyAtOnce(a *asking) {
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			for address, v := range known() {
				a.tells(address, v)
			}
			a.unknown(fmt.Sprintf("nobody-%d@example.com", i))
		})
	}
	all.Wait()
}
