package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postern/backend"
	"postern/directory"
	"postern/pop3/pop3test"
)

// secretly says one login in every way there is. Each holds the canary.
func secretly() map[string][]string {
	return map[string][]string{
		"PASS":                 {"USER alice", "PASS " + canary},
		"PASS, unknown":        {"USER nobody", "PASS " + canary},
		"PASS, control octets": {"USER alice", "PASS \x01" + canary},
		"PASS without USER":    {"PASS " + canary},
		"PASS for USER":        {"PASS " + canary, "USER " + canary, "PASS " + canary},
		"PLAIN":                {"AUTH PLAIN " + b64("\x00alice\x00"+canary)},
		"PLAIN, authzid":       {"AUTH PLAIN " + b64("bob\x00alice\x00"+canary)},
		"PLAIN, no base64":     {"AUTH PLAIN " + canary + "!"},
		"LOGIN":                {"AUTH LOGIN", b64("alice"), b64(canary)},
		"LOGIN, CRLF":          {"AUTH LOGIN", b64("alice"), b64(canary + "\r\n")},
		"XOAUTH2":              {"AUTH XOAUTH2 " + b64("user=alice\x01auth=Bearer "+canary+"\x01\x01"), ""},
		"XOAUTH2, unknown":     {"AUTH XOAUTH2 " + b64("user=nobody\x01auth=Bearer "+canary+"\x01\x01"), ""},
		"OAUTHBEARER":          {"AUTH OAUTHBEARER", b64("n,a=alice,\x01auth=Bearer " + canary + "\x01\x01"), "AQ=="},
		"an unknown mechanism": {"AUTH " + canary},
		"an unknown command":   {canary + " " + canary},
		"too long":             {"PASS " + canary + strings.Repeat("x", 300)},
	}
}

// traces are the forms in which a secret could stand in a log.
func traces() []string {
	return []string{canary, strings.TrimRight(b64(canary), "="), b64("\x00alice\x00" + canary)[:16], b64("Bearer " + canary), fmt.Sprint([]byte(canary))[1:20], fmt.Sprintf("%x", canary)}
}

// Neither the sessions' records nor anything else that is logged, at any level, holds a
// password or token: whether the login succeeds, is refused by a server that repeats
// what it heard, or meets a fault or panic on our side.
func TestEdgeCanary(t *testing.T) {
	faults := map[string]func(*Settings, *Options){
		"accepted": nil,
		"a panic in the directory": func(_ *Settings, o *Options) {
			o.Directory = locatorFunc(func(directory.Query) (directory.Route, error) { panic("broken") })
		},
		"a directory that is down": func(_ *Settings, o *Options) {
			o.Directory = locatorFunc(func(directory.Query) (directory.Route, error) { return directory.Route{}, errors.New("down") })
		},
		"a panic in the dialer": func(_ *Settings, o *Options) {
			o.Dialer = dialerFunc(func(backend.Target) (net.Conn, error) { panic("broken") })
		},
		"AUTH PLAIN":   func(set *Settings, _ *Options) { set.Offer = offersPlain },
		"no plaintext": func(set *Settings, _ *Options) { set.Plaintext = PlaintextNever },
	}
	for name, fault := range faults {
		for _, implicit := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/tls=%v", name, implicit), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { tellSecrets(t, implicit, fault) })
			})
		}
	}
}

func tellSecrets(t *testing.T, implicit bool, fault func(*Settings, *Options)) {
	server, trusting := tlsFront(t, nil)
	access := &Access{}
	if implicit {
		access = &Access{TLS: server, Implicit: true}
	}
	e := edgeWith(t, access, repeats, func(set *Settings, o *Options) {
		set.Mechanisms, set.FailureDelay = allMechanisms(), time.Second
		o.Directory = locatorFunc(locateResident) // who typed a password for a name is unknown
		if fault != nil {
			fault(set, o)
		}
	})
	for _, lines := range secretly() {
		socket := e.socket(t, someClient)
		c := pop3test.NewClient(socket)
		if implicit {
			c = pop3test.NewClient(tls.Client(socket, trusting))
		}
		c.SetTimeout(2 * time.Minute)
		_, err := c.Line()
		for _, line := range lines {
			if err == nil {
				_, err = c.Cmd(line)
			}
		}
		_ = c.Close()
	}
	if implicit { // and in the clear, where a handshake belongs
		socket := e.socket(t, someClient)
		_, _ = socket.Write([]byte("USER alice\r\nPASS " + canary + "\r\n"))
	}
	time.Sleep(3 * time.Minute)
	log := e.logs.String()
	if !strings.Contains(log, "msg=end") && !strings.Contains(log, "panicked") {
		t.Errorf("log: %q", log)
	}
	for _, trace := range traces() {
		if strings.Contains(log, trace) {
			t.Errorf("%q is in the log:\n%s", trace, log)
		}
	}
}

// repeats plays a guest that refuses everybody with the words that it heard.
func repeats(c *pop3test.Conn) {
	reply := "+OK"
	for c.SendLine(reply) == nil {
		line, err := c.Line()
		if err != nil {
			return
		}
		if reply = "-ERR I don't know " + line; strings.HasPrefix(line, "USER ") {
			reply = "+OK"
		}
	}
}
