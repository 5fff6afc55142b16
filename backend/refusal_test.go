package backend_test

import (
	"strings"
	"testing"

	"postern/backend"
	"postern/pop3"
)

// parse reads a refusal as it stands on the wire.
func parse(t *testing.T, line string) pop3.Reply {
	t.Helper()
	reply, err := pop3.ParseReply([]byte(line))
	if err != nil || reply.OK {
		t.Fatalf("%q is no refusal: %v", line, err)
	}
	return reply
}

// What servers say to a right password, where the mailbox can't be had. Each
// line is what the program named in the comment writes, read in its source or in
// a published transcript.
var unavailable = []struct {
	line string
	code pop3.Code
}{
	{"-ERR /var/mail/.alice.pop lock busy!  Is another session active? (11)", pop3.InUse},          // qpopper 2, popper/pop_dropcopy.c
	{"-ERR .alice.pop lock busy!  Is another session active? (11)", pop3.InUse},                    // the same, relative drop
	{"-ERR [IN-USE] /var/mail/.alice.pop lock busy!  Is another session active? (11)", pop3.InUse}, // qpopper 4, pop_dropcopy.c
	{"-ERR Maildrop lock busy!  Is another session active?", pop3.InUse},                           // UCB's and Heimdal's popper, pop_dropcopy.c
	{"-ERR [IN-USE] Maildrop being unlocked; try again.", pop3.InUse},                              // qpopper 4, pop_dropcopy.c
	{"-ERR Maildrop being unlocked; try again.", pop3.InUse},                                       // the same without its code
	{"-ERR Can't get lock.  Mailbox in use", pop3.InUse},                                           // UW ipop3d 2004, ipopd/ipop3d.c
	{"-ERR Can't get lock.  Try again or use IMAP instead", pop3.InUse},                            // UW ipop3d, 1990s, ipop3d.c
	{"-ERR can't lock mailbox file", pop3.InUse},                                                   // solid-pop3d 0.15, src/mailbox.c
	{"-ERR [IN-USE] Mailbox in use", pop3.InUse},                                                   // GNU mailutils, pop3d
	{"-ERR Mailbox in use", pop3.InUse},                                                            // the same without its code
	{"-ERR [IN-USE] Mailbox is locked by another POP3 session.", pop3.InUse},                       // Dovecot 2, src/pop3/pop3-client.c
	{"-ERR Mailbox is locked by another POP3 session.", pop3.InUse},                                // the same without its code
	{"-ERR [IN-USE] Unable to lock maildrop", pop3.InUse},                                          // Cyrus, imap/pop3d.c
	{"-ERR unable to lock maildrop", pop3.InUse},                                                   // RFC 1939, section 7, PASS
	{"-ERR maildrop already locked", pop3.InUse},                                                   // RFC 1939, section 7, PASS, example
	{"-ERR Maildrop is locked by someone else!", pop3.InUse},                                       // small servers
	{"-ERR Your mailbox is already locked", pop3.InUse},                                            // hMailServer 5
	{"-ERR Mailbox Locked", pop3.InUse},                                                            // VPOP3, its manual
	{"-ERR mailbox already in use by pid 12345", pop3.InUse},                                       // seen behind perdition
	{"-ERR Temporary problem, please try again later", pop3.SysTemp},                               // Courier, imap/pop3login.c
	{"-ERR Your account is temporarily unavailable (+t bit set on home directory).", pop3.SysTemp}, // Courier, imap/pop3dserver.c
	{"-ERR Temporary authentication failure.", pop3.SysTemp},                                       // Dovecot, login-common
	{"-ERR Account is temporarily unavailable.", pop3.SysTemp},                                     // Dovecot's proxy, pop3-login/pop3-proxy.c
	{"-ERR Internal error occurred. Refer to server log for more information.", pop3.SysTemp},      // Dovecot, mail-storage
	{"-ERR Unable to open user's INBOX", pop3.SysTemp},                                             // UW ipop3d, ipop3d.c
	{"-ERR System error, can't create temporary file.", pop3.SysTemp},                              // Heimdal popper, pop_dropcopy.c
	{"-ERR System error, can't open temporary file, do you own it?", pop3.SysTemp},                 // Heimdal popper, pop_dropcopy.c
	{"-ERR aack, child crashed", pop3.SysTemp},                                                     // qmail-popup.c
	{"-ERR unable to scan $HOME/Maildir", pop3.SysTemp},                                            // qmail-pop3d.c
	{"-ERR Server Unavailable. 21", pop3.SysTemp},                                                  // Exchange 2007 and 2010, reports
	{"-ERR mail storage services unavailable, wait a few minutes and try again", pop3.SysTemp},     // InterMail, as fetchmail's pop3.c quotes it
	{"-ERR [LOGIN-DELAY] Attempt to log in within the minimum login delay interval", pop3.LoginDelay},
	{"-ERR [SYS/PERM] Cannot authenticate", pop3.SysPerm},
	{"-ERR [SYS/TEMP/DISK] full", pop3.SysTemp}, // levels below a known code refine it
}

func TestRefusalsUnavailable(t *testing.T) {
	r := refusals(t)
	for _, c := range unavailable {
		for _, line := range []string{c.line, "-ERR " + strings.ToUpper(c.line[5:]), "-ERR " + strings.ToLower(c.line[5:])} {
			if got := r.Code(parse(t, line)); got != c.code {
				t.Errorf("%s: %s, want %s", line, got, c.code)
			}
		}
	}
}

// What servers say to a wrong password or name: nothing of it may become another
// code, since that would tell who exists and come without the failure delay.
var wrong = []string{
	"-ERR",
	"-ERR ",
	"-ERR [AUTH] Authentication failed.", // Dovecot
	"-ERR Authentication failed.",
	"-ERR Authentication failed (bad password?)",             // popa3d
	"-ERR Login failed.",                                     // Courier
	"-ERR Bad login",                                         // UW ipop3d, mailutils
	"-ERR authentication failed",                             // solid-pop3d
	"-ERR authorization failed",                              // qmail-popup
	"-ERR [AUTH] Invalid login",                              // Cyrus
	"-ERR Logon failure: unknown user name or bad password.", // Exchange
	"-ERR unable to lock mailbox",                            // SLMail says this to a wrong password
	`-ERR Password supplied for "alice" is incorrect.`,       // qpopper
	`-ERR Password supplied for "mailbox in use" is incorrect.`,
	`-ERR "maildrop lock busy!" is unknown here`,
	"-ERR alice lock busy!", // a name in front, which the client chose
	"-ERR sorry, no mailbox for mailbox in use here",
	"-ERR Your account is locked",
	"-ERR Account locked after too many failures, try again later",
	"-ERR Access denied, try again later",
	"-ERR invalid user name or password, please try again",
	"-ERR maximum number of login attempts reached, wait a few minutes",
	"-ERR TLS required to log in.",
	"-ERR [OUT-SYNC] Mailbox in use", // an unknown code is no reason to guess
	"-ERR [IN-USE",
	"-ERR [in-use-not] no",
	"-ERR said before: Mailbox in use",
	"-ERR unavailable",
}

func TestRefusalsWrongPassword(t *testing.T) {
	r := refusals(t)
	for _, line := range wrong {
		if got := r.Code(parse(t, line)); got != pop3.Auth {
			t.Errorf("%s: %s, want AUTH", line, got)
		}
	}
}

func TestRefusalsOperatorsRules(t *testing.T) {
	r := refusals(t,
		backend.Rule{Match: `^$`, Code: pop3.InUse},
		backend.Rule{Match: `gesperrt|en cours d'utilisation`, Code: pop3.InUse},
		backend.Rule{Match: `^mailbox in use by the archiver`, Code: pop3.SysTemp},
		backend.Rule{Match: `quota`, Code: pop3.SysPerm},
		backend.Rule{Match: `quota of logins`, Code: pop3.LoginDelay},
		backend.Rule{Match: `bad login`, Code: pop3.SysTemp},
	)
	for line, want := range map[string]pop3.Code{
		"-ERR":                                 pop3.InUse,
		"-ERR Das Postfach ist GESPERRT":       pop3.InUse,
		"-ERR en cours d'utilisation":          pop3.InUse,
		"-ERR Mailbox in use by the archiver":  pop3.SysTemp, // over the built-in rule
		"-ERR Mailbox in use":                  pop3.InUse,   // which still holds
		"-ERR quota of logins used up":         pop3.SysPerm, // the first that matches
		"-ERR [AUTH] bad login":                pop3.Auth,    // a code of the backend's own wins
		"-ERR [LOGIN-DELAY] Postfach gesperrt": pop3.LoginDelay,
		"-ERR something else":                  pop3.Auth,
	} {
		if got := r.Code(parse(t, line)); got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}

// A long line costs a bounded match, and what stands behind the bound is not seen.
func TestRefusalsBound(t *testing.T) {
	r := refusals(t, backend.Rule{Match: `needle`, Code: pop3.InUse})
	hay := func(n int) pop3.Reply { return pop3.Reply{Text: strings.Repeat("x", n) + "needle"} }
	if got := r.Code(hay(512 - len("needle"))); got != pop3.InUse {
		t.Errorf("within the bound: %s", got)
	}
	if got := r.Code(hay(512)); got != pop3.Auth {
		t.Errorf("behind the bound: %s", got)
	}
}

func TestCompileRefusalsNamesAllFaults(t *testing.T) {
	_, err := backend.CompileRefusals([]backend.Rule{
		{Match: `fine`, Code: pop3.InUse},
		{Match: `(open`, Code: pop3.InUse},
		{Match: ``, Code: pop3.InUse},
		{Match: `x`, Code: "IN_USE"},
		{Match: `x`},
		{Match: `x`, Code: "in-use"},
		{Match: `x)(`, Code: pop3.SysTemp},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"refusals[1]: match: ", "refusals[2]: match is empty", `refusals[3]: code "IN_USE"`, `refusals[4]: code ""`, `refusals[5]: code "in-use"`, "refusals[6]: match: "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "refusals[0]") {
		t.Errorf("a good rule is blamed: %v", err)
	}
}

func BenchmarkRefusalsCode(b *testing.B) {
	r := refusals(b)
	for name, text := range map[string]string{"lock": "Can't get lock.  Mailbox in use", "none": "Authentication failed (bad password?)"} {
		b.Run("text="+name, func(b *testing.B) {
			b.ReportAllocs()
			reply := pop3.Reply{Text: text}
			for b.Loop() {
				r.Code(reply)
			}
		})
	}
}
