package realtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"
)

// slapdConfig has entries of usual people, and a class of our own for mailboxes whose attributes keep
// any octet as it is. What dies here need not be on the disk: dbnosync.
var slapdConfig = template.Must(template.New("slapd.conf").Parse(`
modulepath /usr/lib/ldap
moduleload back_mdb
{{if .Sync}}moduleload syncprov
{{end}}include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/misc.schema
attributetype ( 1.1.2.1 NAME 'mailboxAddress' EQUALITY octetStringMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 )
attributetype ( 1.1.2.2 NAME 'mailboxLogin' EQUALITY octetStringMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 )
attributetype ( 1.1.2.3 NAME 'mailboxState' EQUALITY octetStringMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 )
attributetype ( 1.1.2.4 NAME 'mailboxBackend' EQUALITY octetStringMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 )
objectclass ( 1.1.1.1 NAME 'mailbox' SUP top AUXILIARY MAY ( mailboxAddress $ mailboxLogin $ mailboxState $ mailboxBackend ) )
pidfile {{.Dir}}/pid
argsfile {{.Dir}}/args
TLSCACertificateFile {{.Dir}}/authority.pem
TLSCertificateFile {{.Dir}}/cert.pem
TLSCertificateKeyFile {{.Dir}}/key.pem
sizelimit size.soft=600 size.hard=600 size.prtotal=unlimited
database mdb
suffix "{{.Base}}"
rootdn "{{.Admin}}"
rootpw {{.Password}}
directory {{.Dir}}/db
maxsize 268435456
dbnosync
access to attrs=userPassword by anonymous auth by * none
access to * by * read
index objectClass,entryUUID,entryCSN,mail,mailboxAddress eq
{{if .Sync}}overlay syncprov
syncprov-sessionlog 10000
{{end}}`))

// SlapdOptions say what kind of slapd.
type SlapdOptions struct {
	Sync     bool   // it offers content synchronisation
	Password string // of Admin
}

// Slapd is an OpenLDAP server with an empty tree below Base, whose certificate is for 127.0.0.1
// and ldap.example.com. Others than Admin get at most 600 entries at once.
type Slapd struct {
	Plain, Secure, Socket string // URLs: ldap://, ldaps://, ldapi://
	Authority             string // the file of the certificate's own authority
	Base, People          string // DNs
	Admin                 string // a DN without limits
	Password              string // Admin's

	Dir     string
	Sync    bool
	process *Process
}

// StartSlapd starts a server that is ended with the test.
func StartSlapd(t testing.TB, o SlapdOptions) (*Slapd, error) {
	dir, err := shortTemp(t)
	if err != nil {
		return nil, err
	}
	s := &Slapd{
		Dir: dir, Sync: o.Sync, Password: o.Password, Authority: filepath.Join(dir, "authority.pem"),
		Base: "dc=example,dc=com", People: "ou=people,dc=example,dc=com",
		Admin:  "cn=admin,dc=example,dc=com",
		Socket: "ldapi://" + strings.ReplaceAll(filepath.Join(dir, "socket"), "/", "%2F"),
	}
	plain, err := FreeAddress()
	secure, err2 := FreeAddress()
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	s.Plain, s.Secure = "ldap://"+plain, "ldaps://"+secure
	if err := s.write(); err != nil {
		return nil, fmt.Errorf("setting up slapd: %w", err)
	}
	t.Cleanup(func() {
		s.process.stopNow(t)
	})
	if err := s.Start(); err != nil {
		return nil, err
	}
	return s, s.plant()
}

func (s *Slapd) write() error {
	if err := os.Mkdir(filepath.Join(s.Dir, "db"), 0o700); err != nil {
		return err
	}
	if err := writeAuthority(s.Dir); err != nil {
		return err
	}
	var config strings.Builder
	if err := slapdConfig.Execute(&config, s); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.Dir, "slapd.conf"), []byte(config.String()), 0o600)
}

// Start starts the server once more, with what it held.
func (s *Slapd) Start() (err error) {
	cmd := exec.Command("/usr/sbin/slapd", "-d", "0", "-f", filepath.Join(s.Dir, "slapd.conf"),
		"-h", strings.Join([]string{s.Plain, s.Secure, s.Socket}, " "))
	if s.process, err = StartProcess(cmd, filepath.Join(s.Dir, "log")); err != nil {
		return err
	}
	return s.process.Answers("tcp", strings.TrimPrefix(s.Plain, "ldap://"))
}

// Kill ends the server as a crash does.
func (s *Slapd) Kill() {
	s.process.Signal(syscall.SIGKILL)
	<-s.process.done
}

// Freeze has the server hang, with its connections open; Thaw has it go on.
func (s *Slapd) Freeze() error {
	if err := s.process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for deadline := time.Now().Add(stopTimeout); !s.process.isStopped(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			return errors.New("slapd does not stop")
		}
	}
	return nil
}

// Thaw is Freeze's end.
func (s *Slapd) Thaw() error { return s.process.Signal(syscall.SIGCONT) }

// plant makes the folder that people lie in.
func (s *Slapd) plant() error {
	return s.Modify("dn: " + s.Base + "\nchangetype: add\nobjectClass: domain\ndc: example\n\n" +
		"dn: " + s.People + "\nchangetype: add\nobjectClass: organizationalUnit\nou: people\n")
}

// Modify applies changes in LDIF.
func (s *Slapd) Modify(ldif string) error {
	_, err := run(exec.Command("ldapmodify", "-x", "-H", s.Plain, "-D", s.Admin, "-w", s.Password), ldif)
	return err
}

// isStopped looks at each thread: the signal reaches them one by one, and one is enough for an answer.
func (p *Process) isStopped() bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid))
	for _, thread := range threads {
		text, _ := os.ReadFile(thread)
		if _, state, _ := strings.Cut(string(text), ") "); !strings.HasPrefix(state, "T") {
			return false
		}
	}
	return len(threads) > 0
}

// stopNow ends a program that may be stopped by a signal, and that has ended already at times.
func (p *Process) stopNow(t testing.TB) {
	if p == nil {
		return
	}
	if t.Failed() {
		t.Logf("%s:\n%s", p.cmd.Path, p.LogTail(8<<10))
	}
	p.Signal(syscall.SIGCONT)
	p.Signal(syscall.SIGKILL)
	<-p.done
}

// writeAuthority makes a certificate that stands for itself, and its key.
func writeAuthority(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a test's authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "ldap.example.com"},
		NotBefore: authority.NotBefore, NotAfter: authority.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"ldap.example.com"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	top, err1 := x509.CreateCertificate(rand.Reader, authority, authority, key.Public(), key)
	leaf, err2 := x509.CreateCertificate(rand.Reader, server, authority, own.Public(), key)
	private, err3 := x509.MarshalPKCS8PrivateKey(own)
	return errors.Join(err1, err2, err3,
		writePEM(dir, "authority.pem", "CERTIFICATE", top), writePEM(dir, "cert.pem", "CERTIFICATE", leaf),
		writePEM(dir, "key.pem", "PRIVATE KEY", private))
}

func writePEM(dir, name, kind string, der []byte) error {
	return os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
