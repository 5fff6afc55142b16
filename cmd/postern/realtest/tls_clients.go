package realtest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// FetchCurlSecure fetches all messages with curl in one session, after one that
// counts them.
func FetchCurlSecure(ctx context.Context, s Secured) ([][]byte, error) {
	if err := s.folders("mail"); err != nil {
		return nil, err
	}
	list, err := s.curl(ctx, "")
	if err != nil {
		return nil, err
	}
	count := bytes.Count(list, []byte("\n"))
	if _, err := s.curl(ctx, fmt.Sprintf("[1-%d]", count), "--output", s.path("mail/#1")); err != nil {
		return nil, err
	}
	messages := make([][]byte, count)
	for i := range messages {
		if messages[i], err = os.ReadFile(filepath.Join(s.path("mail"), fmt.Sprint(i+1))); err != nil {
			return nil, err
		}
	}
	return messages, nil
}

func (s Secured) curl(ctx context.Context, path string, more ...string) ([]byte, error) {
	args := []string{"--disable", "--silent", "--show-error", "--noproxy", "*", "--max-time", "60",
		"--cacert", s.authority(), "--user", s.User + ":" + s.Password}
	scheme := "pop3s://"
	if s.STLS {
		scheme, args = "pop3://", append(args, "--ssl-reqd")
	}
	if s.SASL != "" {
		args = append(args, "--login-options", "AUTH="+s.SASL)
	}
	url := scheme + net.JoinHostPort(s.Host, s.Port) + "/" + path
	return s.run(ctx, "", "curl", append(append(args, more...), url)...)
}

// FetchFetchmailSecure is [FetchFetchmail] over TLS. An sslproto that names
// versions is fetchmail's way to insist on STLS.
func FetchFetchmailSecure(ctx context.Context, s Secured) ([][]byte, error) {
	security := fmt.Sprintf("sslproto 'TLS1.2+' sslcertck sslcertfile \"%s\"", s.authority())
	if !s.STLS {
		security = "ssl " + security
	}
	return s.fetchmail(ctx, security)
}

// FetchMpopSecure is [FetchMpop] over TLS.
func FetchMpopSecure(ctx context.Context, s Secured) ([][]byte, error) {
	starttls := map[bool]string{false: "off", true: "on"}
	return s.mpop(ctx, fmt.Sprintf("auth %s\ntls on\ntls_starttls %s\ntls_trust_file %s",
		strings.ToLower(s.SASL), starttls[s.STLS], s.authority()))
}

// FetchGetmailSecure is [FetchGetmail] over TLS.
func FetchGetmailSecure(ctx context.Context, s Secured) ([][]byte, error) {
	return s.getmail(ctx, "SimplePOP3SSLRetriever\nca_certs = "+s.authority())
}

// FetchPoplibSecure is [FetchPoplib] over TLS.
func FetchPoplibSecure(ctx context.Context, s Secured) ([][]byte, error) {
	mode := map[bool]string{false: "implicit", true: "stls"}
	return s.poplib(ctx, mode[s.STLS], s.authority())
}
