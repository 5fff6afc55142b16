package consul

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/pop3"
)

// echo answers each question with a key that holds what came: token, data center, namespace.
func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Consul-Index", "5")
	fmt.Fprintf(w, `[{"Key":%q,"Session":%q}]`, r.URL.Path[len("/v1/kv/"):],
		strings.Join([]string{r.Header.Get("X-Consul-Token"), r.URL.Query().Get("dc"), r.URL.Query().Get("ns"), r.URL.Query().Get("partition")}, " "))
}

func asks(t *testing.T, o ClientOptions) (string, error) {
	t.Helper()
	c, err := NewClient(o)
	if err != nil {
		return "", err
	}
	defer c.Close()
	pair, _, err := c.KV().Get("k", nil)
	if err != nil {
		return "", c.failed(err)
	}
	return pair.Session, nil
}

// silence takes Consul's own variables away.
func silence(t *testing.T) {
	for _, name := range []string{"ADDR", "TOKEN", "TOKEN_FILE", "AUTH", "SSL", "SSL_VERIFY"} {
		t.Setenv("CONSUL_HTTP_"+name, "")
	}
	for _, name := range []string{"CACERT", "CAPATH", "CLIENT_CERT", "CLIENT_KEY", "TLS_SERVER_NAME", "NAMESPACE", "PARTITION"} {
		t.Setenv("CONSUL_"+name, "")
	}
}

// TestEnvironment: Consul's variables apply only where the configuration is silent.
func TestEnvironment(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(echo))
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	token := pop3.NewSecret([]byte("configured"))
	for _, test := range []struct {
		name        string
		environment map[string]string
		options     ClientOptions
		want        string
	}{
		{"address from there", map[string]string{"CONSUL_HTTP_ADDR": server.URL}, ClientOptions{}, "   "},
		{"address configured", map[string]string{"CONSUL_HTTP_ADDR": "127.0.0.1:1"}, ClientOptions{Address: server.URL}, "   "},
		{"scheme configured", map[string]string{"CONSUL_HTTP_SSL": "true"}, ClientOptions{Address: server.URL}, "   "},
		{"scheme by its key", map[string]string{"CONSUL_HTTP_SSL": "true"}, ClientOptions{Address: server.URL[len("http://"):], Scheme: "http"}, "   "},
		{"token from there", map[string]string{"CONSUL_HTTP_TOKEN": "there"}, ClientOptions{Address: server.URL}, "there   "},
		{"token from a file there", map[string]string{"CONSUL_HTTP_TOKEN_FILE": file}, ClientOptions{Address: server.URL}, "from-file   "},
		{"token configured", map[string]string{"CONSUL_HTTP_TOKEN": "there"}, ClientOptions{Address: server.URL, Token: token}, "configured   "},
		{"token configured, and a file there", map[string]string{"CONSUL_HTTP_TOKEN_FILE": file, "CONSUL_HTTP_TOKEN": "configured"},
			ClientOptions{Address: server.URL, Token: token}, "configured   "},
		{"namespace and partition from there", map[string]string{"CONSUL_NAMESPACE": "n", "CONSUL_PARTITION": "p"}, ClientOptions{Address: server.URL}, "  n p"},
		{"all configured", map[string]string{"CONSUL_NAMESPACE": "n", "CONSUL_PARTITION": "p"},
			ClientOptions{Address: server.URL, Datacenter: "d", Namespace: "m", Partition: "q"}, " d m q"},
	} {
		t.Run(test.name, func(t *testing.T) {
			silence(t)
			for name, value := range test.environment {
				t.Setenv(name, value)
			}
			if got, err := asks(t, test.options); err != nil || got != test.want {
				t.Errorf("%q, %v, want %q", got, err, test.want)
			}
		})
	}
}

func TestTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(echo))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes
	server.StartTLS()
	t.Cleanup(server.Close)
	folder := t.TempDir()
	right, wrong := filepath.Join(folder, "right.pem"), filepath.Join(folder, "wrong.pem")
	if err := os.WriteFile(right, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name        string
		environment map[string]string
		tls         TLS
		good        bool
	}{
		{"nothing said", nil, TLS{}, false},
		{"CA configured", nil, TLS{CA: right}, true},
		{"CA from there", map[string]string{"CONSUL_CACERT": right}, TLS{}, true},
		{"CA configured, another there", map[string]string{"CONSUL_CACERT": wrong, "CONSUL_CAPATH": wrong}, TLS{CA: right}, true},
		{"not verified", nil, TLS{InsecureSkipVerify: true}, true},
		{"not verified, says the environment", map[string]string{"CONSUL_HTTP_SSL_VERIFY": "false"}, TLS{}, true},
		{"another name configured, not verified there", map[string]string{"CONSUL_HTTP_SSL_VERIFY": "false"}, TLS{CA: right, ServerName: "other.example.org"}, false},
		{"name configured", map[string]string{"CONSUL_TLS_SERVER_NAME": "other.example.org"}, TLS{CA: right, ServerName: "example.com"}, true},
		{"name from there", map[string]string{"CONSUL_TLS_SERVER_NAME": "other.example.org"}, TLS{CA: right}, false},
		{"a certificate without its key", nil, TLS{CA: right, Cert: right}, false},
		{"no CA in the file", nil, TLS{CA: wrong}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			silence(t)
			for name, value := range test.environment {
				t.Setenv(name, value)
			}
			if _, err := asks(t, ClientOptions{Address: server.URL, TLS: test.tls}); (err == nil) != test.good {
				t.Error(err)
			}
		})
	}
}

func TestUnixSocket(t *testing.T) {
	silence(t)
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(echo)}}
	server.Start()
	t.Cleanup(server.Close)
	if got, err := asks(t, ClientOptions{Address: "unix://" + path, Token: pop3.NewSecret([]byte("x"))}); err != nil || got != "x   " {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAddresses(t *testing.T) {
	silence(t)
	for _, o := range []ClientOptions{
		{Address: "ftp://127.0.0.1"}, {Scheme: "gopher"}, {Address: "http://user:pass@127.0.0.1:8500"}, {Address: "127.0.0.1:8500/path"}, {Address: "unix://"},
	} {
		if _, err := NewClient(o); err == nil || strings.Contains(err.Error(), "pass@") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// TestSecretsStay: whatever a server answers, the token is no part of an error or of what prints.
func TestSecretsStay(t *testing.T) {
	silence(t)
	const secret = "b1ab-token"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "no rights for "+r.Header.Get("X-Consul-Token"), http.StatusForbidden)
	}))
	t.Cleanup(server.Close)
	o := Options{ClientOptions: ClientOptions{Address: server.URL, Token: pop3.NewSecret([]byte(secret))}, Prefix: "p"}
	s := store(t, o)
	_, err := s.Groups(t.Context())
	if err == nil || !strings.Contains(err.Error(), "403") {
		t.Error(err)
	}
	for _, text := range []string{err.Error(), fmt.Sprintf("%v %+v %#v", err, o, o), fmt.Sprintf("%v %+v", s, source(t, o))} {
		if strings.Contains(text, secret) {
			t.Errorf("the token shows: %.300s", text)
		}
	}
}
