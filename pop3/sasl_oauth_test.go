package pop3

import (
	"strings"
	"testing"
)

func TestXOAuth2Messages(t *testing.T) {
	for _, c := range []struct{ message, user string }{
		{"user=alice@example.com\x01auth=Bearer ya29.vF9d-_~+/==\x01\x01", "alice@example.com"},
		{"user=alice\x01auth=bearer t\x01\x01", "alice"},
		{"user=alice\x01auth=BEARER t\x01\x01", "alice"},
		{"user=a=b,c\x01auth=Bearer t\x01\x01", "a=b,c"}, // no escapes here
		{"user=\u00e4\xff\x01auth=Bearer t\x01\x01", "\u00e4\xff"},
	} {
		expectCredentials(t, converse(XOAUTH2, encode(c.message)), XOAUTH2, c.user, c.message)
		expectCredentials(t, converse(XOAUTH2, absent, encode(c.message)), XOAUTH2, c.user, c.message)
	}
}

func TestXOAuth2Refusals(t *testing.T) {
	for _, message := range []string{
		"\x01", "\x01\x01", "\x01\x01\x01", "user=alice", "user=alice\x01\x01", "auth=Bearer t\x01\x01",
		"user=\x01auth=Bearer t\x01\x01",
		"user=alice\x01auth=\x01\x01", "user=alice\x01auth=Bearer\x01\x01", "user=alice\x01auth=Bearer \x01\x01", "user=alice\x01auth=Bearer   \x01\x01",
		"user=alice\x01auth=Basic dDp0\x01\x01", "user=alice\x01auth=Bearert\x01\x01", "user=alice\x01auth= Bearer t\x01\x01",
		"user=alice\x01auth=Bearer t", "user=alice\x01auth=Bearer t\x01", "user=alice\x01auth=Bearer t\x01\x01\x01", "user=alice\x01auth=Bearer t\x01\x01x",
		"user=alice\x01\x01auth=Bearer t\x01\x01", "\x01user=alice\x01auth=Bearer t\x01\x01",
		"auth=Bearer t\x01user=alice\x01\x01", "user=alice\x01auth=Bearer t\x01user=bob\x01\x01", "user=alice\x01user=bob\x01auth=Bearer t\x01\x01",
		"user=alice\x01auth=Bearer t\x01auth=Bearer u\x01\x01", "user=alice\x01host=h\x01auth=Bearer t\x01\x01",
		"USER=alice\x01auth=Bearer t\x01\x01", "user=alice\x01AUTH=Bearer t\x01\x01", " user=alice\x01auth=Bearer t\x01\x01", "user alice\x01auth=Bearer t\x01\x01",
		"n,a=alice,\x01auth=Bearer t\x01\x01", // the other mechanism's
	} {
		if s := converse(XOAUTH2, encode(message)); s.err != ErrMessage || s.done {
			t.Errorf("%q: done %v, error %v", message, s.done, s.err)
		}
	}
	long := "user=" + strings.Repeat("x", maxField+1) + "\x01auth=Bearer t\x01\x01"
	if s := converse(XOAUTH2, encode(long)); s.err != ErrTooLong {
		t.Errorf("a long user: %v", s.err)
	}
}

func TestOAuthBearerMessages(t *testing.T) {
	for _, c := range []struct{ message, user string }{
		{"n,a=alice@example.com,\x01host=pop.example.com\x01port=995\x01auth=Bearer ya29.vF9d-_~+/==\x01\x01", "alice@example.com"},
		{"n,a=alice,\x01auth=Bearer t\x01\x01", "alice"},
		{"n,a=alice,\x01auth=bEaReR t\x01\x01", "alice"},
		{"n,a=alice,\x01auth=Bearer t\x01port=995\x01host=h\x01\x01", "alice"},
		{"n,a=a=2Cb=3Dc,\x01auth=Bearer t\x01\x01", "a,b=c"},
		{"n,a=a=2cb=3dc,\x01auth=Bearer t\x01\x01", "a,b=c"},
		{"n,a==3D2C,\x01auth=Bearer t\x01\x01", "=2C"}, // unfolded once only
		{"n,a==2C,\x01auth=Bearer t\x01\x01", ","},
		{"n,a=\u00e4,\x01auth=Bearer t\x01\x01", "\u00e4"},
		{"n,a=alice,\x01mthd=POST\x01qs=a=b&c=d\x01Unknown=\x01auth=Bearer t\x01\x01", "alice"},
	} {
		expectCredentials(t, converse(OAUTHBEARER, encode(c.message)), OAUTHBEARER, c.user, c.message)
		expectCredentials(t, converse(OAUTHBEARER, absent, encode(c.message)), OAUTHBEARER, c.user, c.message)
	}
}

func TestOAuthBearerRefusals(t *testing.T) {
	const fields = "\x01auth=Bearer t\x01\x01"
	for _, message := range []string{
		"\x01", "\x01\x01", "n,a=alice,", "n,a=alice,\x01", "n,a=alice,\x01\x01", "n,a=alice,\x01\x01\x01",
		// the header
		fields, "n" + fields, "n," + fields, "n,," + fields, ",a=alice," + fields, "a=alice," + fields, "n,a=," + fields,
		"y,a=alice," + fields, "y,," + fields, "p=tls-exporter,a=alice," + fields, "N,a=alice," + fields, "F,n,a=alice," + fields,
		"n,A=alice," + fields, "n,user=alice," + fields, "n,alice," + fields, "n,a=alice" + fields, " n,a=alice," + fields,
		"n,a=alice,x" + fields, "n,a=alice,," + fields, "n,a=alice,a=bob," + fields, "n,a=ali,ce," + fields, "n,a=alice, " + fields,
		// the name's escapes
		"n,a=alice=," + fields, "n,a=alice=2," + fields, "n,a=alice=2D," + fields, "n,a=alice=00," + fields, "n,a=a=b," + fields,
		"n,a==," + fields, "n,a===3D," + fields, "n,a=alice=%2C," + fields, "n,a=alice=0A," + fields,
		// the fields
		"n,a=alice,auth=Bearer t\x01\x01", "n,a=alice,\x01auth=Bearer t", "n,a=alice,\x01auth=Bearer t\x01", "n,a=alice,\x01auth=Bearer t\x01\x01\x01",
		"n,a=alice,\x01\x01auth=Bearer t\x01\x01", "n,a=alice,\x01auth=Bearer t\x01\x01host=h\x01\x01", "n,a=alice,\x01auth=Bearer t\x01\x01x",
		"n,a=alice,\x01host\x01auth=Bearer t\x01\x01", "n,a=alice,\x01=v\x01auth=Bearer t\x01\x01", "n,a=alice,\x01h0st=v\x01auth=Bearer t\x01\x01",
		"n,a=alice,\x01ho st=v\x01auth=Bearer t\x01\x01", "n,a=alice,\x01\u00e4=v\x01auth=Bearer t\x01\x01", "n,a=alice,\x01@=v\x01auth=Bearer t\x01\x01",
		"n,a=alice,\x01[=v\x01auth=Bearer t\x01\x01", "n,a=alice,\x01`=v\x01auth=Bearer t\x01\x01", "n,a=alice,\x01{=v\x01auth=Bearer t\x01\x01",
		// the token
		"n,a=alice,\x01host=h\x01port=995\x01\x01", "n,a=alice,\x01auth=\x01\x01", "n,a=alice,\x01auth=Bearer\x01\x01", "n,a=alice,\x01auth=Bearer \x01\x01",
		"n,a=alice,\x01auth=Bearert\x01\x01", "n,a=alice,\x01auth=Basic dDp0\x01\x01", "n,a=alice,\x01auth=OAuth realm=\"x\"\x01\x01",
		"n,a=alice,\x01AUTH=Bearer t\x01\x01", "n,a=alice,\x01auth=Bearer t\x01auth=Bearer u\x01\x01", "n,a=alice,\x01auth=Bearer t\x01auth=\x01\x01",
		"user=alice\x01auth=Bearer t\x01\x01", // the other mechanism's
	} {
		if s := converse(OAUTHBEARER, encode(message)); s.err != ErrMessage || s.done {
			t.Errorf("%q: done %v, error %v", message, s.done, s.err)
		}
	}
	if s := converse(OAUTHBEARER, encode("n,a="+strings.Repeat("x", maxField+1)+","+fields)); s.err != ErrTooLong {
		t.Errorf("a long user: %v", s.err)
	}
}
