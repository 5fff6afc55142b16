package realtest

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
)

// Scan is what sslscan found at a port. Two things that it doesn't tell: compression,
// which Debian's OpenSSL lacks (see [Secured.Compression]), and renegotiation, which it
// tries in TLS 1.0 and 1.1 only (see [Secured.Renegotiate]).
type Scan struct {
	Protocols []struct {
		Type    string `xml:"type,attr"` // ssl or tls
		Version string `xml:"version,attr"`
		Enabled bool   `xml:"enabled,attr"`
	} `xml:"protocol"`
	Heartbleeds []struct {
		Protocol   string `xml:"sslversion,attr"`
		Vulnerable bool   `xml:"vulnerable,attr"`
	} `xml:"heartbleed"`
	Ciphers []struct {
		Protocol string `xml:"sslversion,attr"`
		Name     string `xml:"cipher,attr"`
		Strength string `xml:"strength,attr"`
	} `xml:"cipher"`
	Groups []struct {
		Protocol string `xml:"sslversion,attr"`
		Name     string `xml:"name,attr"`
		Bits     int    `xml:"bits,attr"`
	} `xml:"group"`
	Signatures []struct {
		Protocol string `xml:"sslversion,attr"`
		Name     string `xml:"name,attr"`
	} `xml:"connection-signature-algorithm"`
}

// Scan lets sslscan try everything it knows.
func (s Secured) Scan(ctx context.Context) (*Scan, error) {
	args := []string{"--xml=-", "--no-colour", "--show-sigs"}
	if s.STLS {
		args = append(args, "--starttls-pop3")
	}
	out, err := run(exec.CommandContext(ctx, "sslscan", append(args, net.JoinHostPort(s.Host, s.Port))...), "")
	if err != nil {
		return nil, err
	}
	return parseScan(out)
}

// parseScan refuses a report that lacks what Findings looks at: nothing found is
// not the same as nothing wrong.
func parseScan(report []byte) (*Scan, error) {
	var document struct {
		Scan *Scan `xml:"ssltest"`
	}
	if err := xml.NewDecoder(bytes.NewReader(report)).Decode(&document); err != nil {
		return nil, fmt.Errorf("reading sslscan's report: %w", err)
	}
	s := document.Scan
	if s == nil || len(s.Protocols) != 6 || len(s.Heartbleeds) == 0 ||
		len(s.Ciphers) == 0 || len(s.Groups) == 0 || len(s.Signatures) == 0 {
		return nil, errors.New("sslscan's report is not whole:\n" + string(tail(report, 8<<10)))
	}
	return s, nil
}

// Findings is what is wrong with the port, by RFC 9325: only TLS 1.2 and 1.3, forward
// secrecy and authenticated encryption, no SHA-1.
func (s *Scan) Findings() []string {
	return slices.Concat(s.protocolFindings(), s.cipherFindings(), s.keyFindings())
}

func (s *Scan) protocolFindings() (found []string) {
	for _, p := range s.Protocols {
		name := p.Type + " " + p.Version
		if modern := name == "tls 1.2" || name == "tls 1.3"; p.Enabled != modern {
			found = append(found, fmt.Sprintf("%s is enabled: %v", name, p.Enabled))
		}
	}
	for _, h := range s.Heartbleeds {
		if h.Vulnerable {
			found = append(found, "heartbleed in "+h.Protocol)
		}
	}
	return found
}

func (s *Scan) cipherFindings() (found []string) {
	for _, c := range s.Ciphers {
		sealed := strings.Contains(c.Name, "GCM") || strings.Contains(c.Name, "CHACHA20_POLY1305") ||
			strings.HasSuffix(c.Name, "CHACHA20-POLY1305")
		forward := c.Protocol == "TLSv1.3" || strings.HasPrefix(c.Name, "ECDHE-")
		strong := c.Strength == "strong" || c.Strength == "acceptable"
		if !sealed || !forward || !strong {
			found = append(found, fmt.Sprintf("%s takes %s (%s)", c.Protocol, c.Name, c.Strength))
		}
	}
	return found
}

func (s *Scan) keyFindings() (found []string) {
	for _, g := range s.Groups {
		if g.Bits < 112 {
			found = append(found, fmt.Sprintf("%s takes %s of %d bits", g.Protocol, g.Name, g.Bits))
		}
	}
	for _, a := range s.Signatures {
		name := strings.ToLower(a.Name)
		if strings.Contains(name, "sha1") || strings.Contains(name, "md5") {
			found = append(found, fmt.Sprintf("%s signs with %s", a.Protocol, a.Name))
		}
	}
	return found
}
