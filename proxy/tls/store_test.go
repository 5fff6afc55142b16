package tls

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern/proxy/tls/tlstest"
)

// hours makes a self-signed certificate that is valid between two times from now.
func hours(t *testing.T, name string, from, to time.Duration) (cert, key []byte) {
	t.Helper()
	now := time.Now()
	return tlstest.SelfSigned(t, tlstest.Leaf{
		Names: []string{name}, NotBefore: now.Add(from * time.Hour), NotAfter: now.Add(to * time.Hour),
	})
}

func TestBrokenPairsAtTheStart(t *testing.T) {
	cert, key := tlstest.Issue(t, "mail.example.com")
	_, other := tlstest.Issue(t, "mail.example.com")
	encrypted := []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n")
	for want, files := range map[string][2][]byte{
		"does not match":           {cert, other},
		"the key is encrypted":     {cert, encrypted},
		"failed to find any PEM":   {nil, key},
		"PEM data in key input":    {cert, nil},
		"cut short":                {append(cert[:len(cert):len(cert)], cert[:len(cert)/2]...), key},
		"larger than":              {make([]byte, maxFile+1), key},
		"cut short or spoilt":      {cert[:len(cert)/2], key},
		"found a certificate":      {cert, cert},
		"failed to find certifica": {key, key},
	} {
		source, log := placed(t, files[0], files[1]), &lines{}
		_, err := New(Options{Certificates: []Source{source}, Logger: log.logger()})
		log.wantRecord(t) // what is returned is not logged too
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "certificates[0]: ") {
			t.Errorf("want %q: %v", want, err)
		}
		if err != nil && !strings.Contains(err.Error(), source.Cert) && !strings.Contains(err.Error(), source.Key) {
			t.Errorf("%v: no path", err)
		}
	}
}

func TestOddFiles(t *testing.T) {
	good, dir := written(t, "mail.example.com"), t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{pipe, dir, filepath.Join(dir, "missing")} {
		for _, source := range []Source{{Cert: bad, Key: good.Key}, {Cert: good.Cert, Key: bad}} {
			if _, err := New(Options{Certificates: []Source{source}}); err == nil || !strings.Contains(err.Error(), bad) {
				t.Errorf("%+v: %v", source, err)
			}
		}
	}
	mustWrite(t, filepath.Join(dir, "a.key"), "no key")
	if _, err := New(Options{Certificates: []Source{{Dir: dir}}}); !errors.Is(err, errNone) {
		t.Errorf("a folder with a broken pair only: %v", err)
	}
	_, err := New(Options{Certificates: []Source{{Cert: filepath.Join(dir, "missing"), Key: good.Key}}})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not a missing file", err)
	}
}

// TestKeysThatOthersMayRead: the group may, which is what systemd's credentials look like.
func TestKeysThatOthersMayRead(t *testing.T) {
	source := written(t, "mail.example.com")
	for mode, allowed := range map[fs.FileMode]bool{
		0o600: true, 0o400: true, 0o440: true, 0o640: true, 0o660: true,
		0o644: false, 0o604: false, 0o602: false, 0o606: false, 0o666: false, 0o777: false,
	} {
		if err := os.Chmod(source.Key, mode); err != nil {
			t.Fatal(err)
		}
		_, err := New(Options{Certificates: []Source{source}})
		if (err == nil) != allowed || err != nil && !strings.Contains(err.Error(), source.Key+": others may") {
			t.Errorf("%o: %v", mode, err)
		}
	}
}

// TestNothingSecretIsSaid: a key and a certificate that were taken for each other.
func TestNothingSecretIsSaid(t *testing.T) {
	cert, key := tlstest.Issue(t, "mail.example.com")
	secret := strings.Split(string(key), "\n")[1]
	log := &lines{}
	source := placed(t, cert, key)
	f := front(t, Options{Certificates: []Source{source}, Logger: log.logger()})
	for _, files := range [][2][]byte{
		{key, cert}, {key, key}, {cert, key[:len(key)/2]}, {cert, []byte(secret)}, {cert, []byte("-----BEGIN X-----\n" + secret)},
		{cert, []byte(strings.Replace(string(key), secret[:4], "AAAA", 1))},
	} {
		source.renew(t, files[0], files[1])
		err := f.Reload()
		if err == nil {
			t.Error("good?")
			continue
		}
		if text := err.Error() + log.take(); strings.Contains(text, secret[8:24]) {
			t.Errorf("the key is in:\n%s", text)
		}
	}
}

func TestFolders(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b", "a", "broken", "half", ".hidden"} {
		cert, key := tlstest.Issue(t, name+".example.com")
		tlstest.Write(t, dir, name, cert, key)
	}
	mustWrite(t, filepath.Join(dir, "broken.key"), "no key")
	mustWrite(t, filepath.Join(dir, "README"), "no pair")
	if err := os.Remove(filepath.Join(dir, "half.pem")); err != nil {
		t.Fatal(err)
	}
	log := &lines{}
	f := front(t, Options{Certificates: []Source{{Dir: dir}}, Logger: log.logger()})
	for name, want := range map[string]string{
		"": "a.example.com", "a.example.com": "a.example.com", "b.example.com": "b.example.com",
		"broken.example.com": "a.example.com", ".hidden.example.com": "a.example.com",
	} {
		if got := served(t, f, name); got != want {
			t.Errorf("%q gets %s, want %s", name, got, want)
		}
	}
	text := log.take()
	if strings.Count(text, "\n") != 2 || !strings.Contains(text, "broken.pem") || !strings.Contains(text, "half.pem") {
		t.Errorf("want a record each for broken and half:\n%s", text)
	}
	faults, _ := errors.AsType[Faults](f.Reload())
	if len(faults) != 2 || faults[0].Key != "certificates[0]" {
		t.Errorf("what check has to show: %v", faults)
	}
	log.wantRecord(t)
}

func TestFolderChanges(t *testing.T) {
	dir, log := t.TempDir(), &lines{}
	cert, key := tlstest.Issue(t, "a.example.com")
	certA, keyA := tlstest.Write(t, dir, "a", cert, key)
	f := front(t, Options{Certificates: []Source{{Dir: dir}}, Logger: log.logger()})

	cert, key = tlstest.Issue(t, "b.example.com")
	tlstest.WriteFile(t, filepath.Join(dir, "b.pem"), cert)
	if err := f.Reload(); err == nil {
		t.Error("half a pair is no fault")
	}
	log.wantRecord(t, "level=WARN", "left out", "b.pem", "b.key")
	tlstest.WriteFile(t, filepath.Join(dir, "b.key"), key)
	if err := f.Reload(); err != nil || served(t, f, "b.example.com") != "b.example.com" {
		t.Errorf("the new one doesn't serve: %v", err)
	}
	log.wantRecord(t, "level=INFO", "certificate loaded", "b.pem", "b.example.com")

	if err := errors.Join(os.Remove(certA), os.Remove(keyA)); err != nil {
		t.Fatal(err)
	}
	if err := f.Reload(); err != nil || served(t, f, "a.example.com") != "b.example.com" {
		t.Errorf("the removed one still serves: %v", err)
	}
	log.wantRecord(t, "level=INFO", "certificate removed", "a.pem")

	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := f.Reload(); err == nil || served(t, f, "b.example.com") != "b.example.com" {
			t.Errorf("without the folder: %v", err)
		}
	}
	if text := log.take(); strings.Count(text, "\n") != 2 || !strings.Contains(text, "a folder of certificates can't be read") {
		t.Errorf("want one record of the folder and one of its pair:\n%s", text)
	}
}

// TestUnreadableFolder: what it had stays, beside what others have.
func TestUnreadableFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs.d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		cert, key := tlstest.Issue(t, name+".example.com")
		tlstest.Write(t, dir, name, cert, key)
	}
	f := front(t, Options{Certificates: []Source{{Dir: dir}, written(t, "other.example.com")}})
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := f.Reload(); err == nil {
			t.Error("a folder that is gone is no fault")
		}
		for name, want := range map[string]string{"": "a.example.com", "b.example.com": "b.example.com", "other.example.com": "other.example.com"} {
			if got := served(t, f, name); got != want {
				t.Errorf("%q gets %s, want %s", name, got, want)
			}
		}
	}
}

// TestEmptiedFolder: the last certificates stay, said once.
func TestEmptiedFolder(t *testing.T) {
	dir, log := t.TempDir(), &lines{}
	cert, key := tlstest.Issue(t, "a.example.com")
	certPath, keyPath := tlstest.Write(t, dir, "a", cert, key)
	f := front(t, Options{Certificates: []Source{{Dir: dir}}, Logger: log.logger()})
	if err := errors.Join(os.Remove(certPath), os.Remove(keyPath)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := f.Reload(); err == nil || served(t, f, "") != "a.example.com" {
			t.Errorf("an emptied folder: %v", err)
		}
	}
	log.wantRecord(t, "level=WARN", "no certificate is left", dir)
	if _, err := New(Options{Certificates: []Source{{Dir: dir}}}); err == nil {
		t.Error("an empty folder is enough for a start")
	}
}

// TestBadRenewals: what served goes on serving, and each change of state is said once.
func TestBadRenewals(t *testing.T) {
	cert, key := tlstest.Issue(t, "old.example.com")
	next, nextKey := tlstest.Issue(t, "new.example.com")
	expired, expiredKey := hours(t, "new.example.com", -48, -1)
	future, futureKey := hours(t, "new.example.com", 1, 48)
	for want, files := range map[string][2][]byte{
		"does not match":      {next, key},
		"cut short":           {next[:len(next)/2], nextKey},
		"failed to find":      {next, nextKey[:len(nextKey)/2]},
		"but it expired on":   {expired, expiredKey},
		"it is not valid bef": {future, futureKey},
		"no such file":        {},
	} {
		log := &lines{}
		source := placed(t, cert, key)
		f := front(t, Options{Certificates: []Source{source}, Logger: log.logger()})
		source.renew(t, files[0], files[1])
		if files[0] == nil {
			_ = os.Remove(source.Cert)
		}
		for range 2 {
			if err := f.Reload(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("want %q: %v", want, err)
			}
		}
		log.wantRecord(t, "level=WARN", "the old one stays", want)
		if problem := f.Certificates()[0].Problem; !strings.Contains(problem, want) {
			t.Errorf("the status knows of %q, want %q", problem, want)
		}
		if got := served(t, f, ""); got != "old.example.com" {
			t.Errorf("%s serves", got)
		}
		source.renew(t, next, nextKey)
		if err := f.Reload(); err != nil || served(t, f, "") != "new.example.com" {
			t.Errorf("the good one doesn't serve: %v", err)
		}
		log.wantRecord(t, "level=INFO", "certificate loaded", "new.example.com")
	}
}

// TestBackToTheOldFiles: a renewal that was taken back is no renewal.
func TestBackToTheOldFiles(t *testing.T) {
	cert, key := tlstest.Issue(t, "mail.example.com")
	log := &lines{}
	source := placed(t, cert, key)
	f := front(t, Options{Certificates: []Source{source}, Logger: log.logger()})
	source.renew(t, cert, nil)
	_ = f.Reload()
	log.take()
	source.renew(t, cert, key)
	if err := f.Reload(); err != nil || f.Certificates()[0].Problem != "" {
		t.Errorf("%v, %+v", err, f.Certificates()[0])
	}
	log.wantRecord(t, "level=INFO", "well again")
}

// TestKeyModeAtReload: the permissions of a renewed key count too.
func TestKeyModeAtReload(t *testing.T) {
	source := written(t, "old.example.com")
	f := front(t, Options{Certificates: []Source{source}})
	cert, key := tlstest.Issue(t, "new.example.com")
	source.renew(t, cert, key)
	if err := os.Chmod(source.Key, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := f.Reload(); err == nil || served(t, f, "") != "old.example.com" {
		t.Errorf("a key that others may read serves: %v", err)
	}
	if err := os.Chmod(source.Key, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Reload(); err != nil || served(t, f, "") != "new.example.com" {
		t.Error(err)
	}
}

// TestExpiredIsBetterThanNone: at the start, and where the old one is no better.
func TestExpiredIsBetterThanNone(t *testing.T) {
	log := &lines{}
	cert, key := hours(t, "first.example.com", -48, -1)
	source := placed(t, cert, key)
	f := front(t, Options{Certificates: []Source{source}, Logger: log.logger()})
	log.wantRecord(t, "level=WARN", "clients will refuse it", "it expired on")
	for i, validity := range [][2]time.Duration{{-24, -1}, {1, 24}} {
		name := fmt.Sprintf("next%d.example.com", i)
		cert, key := hours(t, name, validity[0], validity[1])
		source.renew(t, cert, key)
		if err := f.Reload(); err != nil || served(t, f, "") != name {
			t.Errorf("%s doesn't serve: %v", name, err)
		}
		if text := log.take(); strings.Count(text, "level=WARN") != 1 || strings.Count(text, "level=INFO") != 1 {
			t.Errorf("want one record of the change and one warning:\n%s", text)
		}
	}
}

// TestOneBrokenPairBlocksNoOther: at a reload.
func TestOneBrokenPairBlocksNoOther(t *testing.T) {
	first, second := written(t, "first.example.com"), written(t, "second.example.com")
	f := front(t, Options{Certificates: []Source{first, second}})
	mustWrite(t, first.Key, "no key")
	cert, key := tlstest.Issue(t, "renewed.example.com")
	second.renew(t, cert, key)
	faults, _ := errors.AsType[Faults](f.Reload())
	if len(faults) != 1 || faults[0].Key != "certificates[0]" {
		t.Errorf("%v", faults)
	}
	if served(t, f, "") != "first.example.com" || served(t, f, "renewed.example.com") != "renewed.example.com" {
		t.Error("a broken pair blocked another")
	}
}

func TestCertificatesAreDescribed(t *testing.T) {
	shared := written(t, "mail.example.com", "192.0.2.1")
	own := written(t, "own.example.com")
	f := front(t, Options{Certificates: []Source{shared, written(t, "second.example.com")}, Listeners: []ListenerOptions{
		{Name: "pop"}, {Name: "own", Certificates: []Source{own}},
	}})
	all := f.Certificates()
	if len(all) != 3 {
		t.Fatalf("%+v", all)
	}
	for i, want := range []string{
		"[mail.example.com 192.0.2.1]  true", "[second.example.com]  false", "[own.example.com] own true",
	} {
		if got := fmt.Sprintf("%v %s %v", all[i].Names, all[i].Listener, all[i].Default); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if left := time.Until(all[0].NotAfter); all[0].Path != shared.Cert || left < 80*day || left > 100*day {
		t.Errorf("%+v", all[0])
	}
}
