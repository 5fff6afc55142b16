package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"postern/admin"
)

// exitPartial is the exit status where a gateway that was asked did not answer.
const exitPartial = 3

// partialError is an error that ends in exitPartial.
type partialError struct{ error }

func (e partialError) Unwrap() error { return e.error }

const (
	defaultSocket = "/run/postern/admin.sock"
	tokenVariable = "POSTERN_TOKEN"
	maxAnswer     = 64 << 20 // octets of one gateway's answer
)

// asking is how the commands reach running gateways.
type asking struct {
	addresses []string
	tokenFile string
	timeout   time.Duration
	json      bool
}

// askingFlags adds the flags that these commands have in common, for subcommands too.
func askingFlags(cmd *cobra.Command) *asking {
	a := new(asking)
	flags := cmd.PersistentFlags()
	flags.StringArrayVar(&a.addresses, "admin", nil,
		"a gateway's `ADDRESS`, repeatable: a socket's path, unix:PATH, HOST:PORT, http://HOST:PORT or https://HOST:PORT (default "+defaultSocket+")")
	flags.StringVar(&a.tokenFile, "token-file", "", "the `FILE` with the token for gateways asked by TCP (default: the variable "+tokenVariable+")")
	flags.DurationVar(&a.timeout, "timeout", 5*time.Second, "how long to wait for the gateways")
	flags.BoolVar(&a.json, "json", false, "one JSON object a line")
	return a
}

// remote is a running gateway that can be asked.
type remote struct {
	name   string // as the operator calls it
	base   string // of its URLs
	token  string
	client *http.Client
}

// remotes are the gateways that the flags name.
func (a *asking) remotes() ([]*remote, error) {
	if a.timeout <= 0 {
		return nil, usageError{errors.New("--timeout: want more than 0s")}
	}
	addresses := a.addresses
	if len(addresses) == 0 {
		addresses = []string{defaultSocket}
	}
	var all []*remote
	for i, address := range addresses {
		if slices.Contains(addresses[:i], address) {
			continue
		}
		r, err := newRemote(address)
		if err != nil {
			return nil, usageError{fmt.Errorf("--admin %s: %w", address, err)}
		}
		all = append(all, r)
	}
	return all, a.handTokens(all)
}

// handTokens gives the token to those who want one. A socket's file mode decides instead.
func (a *asking) handTokens(all []*remote) error {
	for _, r := range all {
		if r.base == socketBase {
			continue
		}
		token, err := a.token()
		if err != nil {
			return usageError{err}
		}
		r.token = token
	}
	return nil
}

func (a *asking) token() (string, error) {
	if a.tokenFile == "" {
		return strings.TrimSpace(os.Getenv(tokenVariable)), nil
	}
	info, err := os.Stat(a.tokenFile)
	if err != nil {
		return "", fmt.Errorf("--token-file: %w", err)
	}
	if info.Mode().Perm()&0o007 != 0 && runtime.GOOS != "windows" { // which has no such modes
		return "", fmt.Errorf("--token-file %s: others may read it: chmod o= %[1]s", a.tokenFile)
	}
	text, err := os.ReadFile(a.tokenFile)
	if err != nil {
		return "", fmt.Errorf("--token-file: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// socketBase is where URLs of a gateway asked by its socket begin. The host is for the eye only.
const socketBase = "http://socket"

func newRemote(address string) (*remote, error) {
	transport := &http.Transport{} // without a proxy from the environment: the token is not for it
	r := &remote{name: address, client: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // nor for where it leads
	}}
	path, isSocket := socketPath(address)
	switch {
	case strings.HasPrefix(address, "consul:"):
		return nil, errors.New("this version can't ask Consul for gateways: name each by its address")
	case isSocket:
		r.base = socketBase
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
		return r, nil
	case !strings.Contains(address, "://"):
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Scheme == "http" && u.Port() == "" {
		return nil, errors.New("want a path, unix:PATH, HOST:PORT, http://HOST:PORT or https://HOST:PORT")
	}
	r.base = u.Scheme + "://" + u.Host
	return r, nil
}

// socketPath knows a path by its slash, or by what stands before it.
func socketPath(address string) (string, bool) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return path, true
	}
	return address, strings.ContainsRune(address, filepath.Separator) && !strings.Contains(address, "://")
}

// refusedError is an answer that is none: the gateway is there and says no.
type refusedError struct {
	status int
	admin.Refusal
}

func (e *refusedError) Error() string {
	if e.status == http.StatusUnauthorized {
		return "it wants a token that it knows: --token-file or " + tokenVariable
	}
	return cmp.Or(e.Refusal.Error, http.StatusText(e.status))
}

// call asks for one thing and reads the answer into v.
func (r *remote) call(ctx context.Context, method, path string, v any) error {
	request, err := http.NewRequestWithContext(ctx, method, r.base+path, nil)
	if err != nil {
		return err
	}
	if r.token != "" {
		request.Header.Set("Authorization", "Bearer "+r.token)
	}
	got, err := r.client.Do(request)
	if err != nil {
		return unwrapURL(err)
	}
	defer got.Body.Close()
	body, err := io.ReadAll(io.LimitReader(got.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("reading its answer: %w", err)
	}
	if got.StatusCode != http.StatusOK {
		refused := &refusedError{status: got.StatusCode}
		_ = json.Unmarshal(body, &refused.Refusal) // else the status has to do
		return refused
	}
	if err := json.Unmarshal(body, v); err != nil {
		return errors.New("what answers there is no postern")
	}
	return nil
}

// unwrapURL leaves out the URL, which says nothing to who named a gateway.
func unwrapURL(err error) error {
	var wrapped *url.Error
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("no answer in time")
	}
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// answered is what became of asking one gateway.
type answered[T any] struct {
	from  *remote
	value T
	err   error
}

// ask asks all gateways at once and waits for no one longer than the timeout.
func ask[T any](ctx context.Context, a *asking, all []*remote, question func(context.Context, *remote) (T, error)) []answered[T] {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	answers := make([]answered[T], len(all))
	var asked sync.WaitGroup
	for i, r := range all {
		asked.Go(func() {
			value, err := question(ctx, r)
			answers[i] = answered[T]{r, value, err}
		})
	}
	asked.Wait()
	return answers
}

// get is the question that one GET answers.
func get[T any](path string) func(context.Context, *remote) (T, error) {
	return func(ctx context.Context, r *remote) (v T, err error) {
		err = r.call(ctx, http.MethodGet, path, &v)
		return v, err
	}
}

// settle names the gateways that did not answer, or said no, and returns the error with the
// command's exit status. One that did not answer outweighs the rest: nobody knows how it is there.
func settle[T any](faults io.Writer, answers []answered[T]) error {
	var worst error
	for _, a := range answers {
		if a.err == nil {
			continue
		}
		_, _ = fmt.Fprintf(faults, "postern: %s: %s\n", clean(a.from.name), clean(a.err.Error()))
		var refused *refusedError
		switch {
		case !errors.As(a.err, &refused):
			worst = partialError{errSilent}
		case refused.status == http.StatusUnprocessableEntity && !errors.As(worst, new(partialError)):
			worst = usageError{errSilent}
		default:
			worst = cmp.Or(worst, errSilent)
		}
		if refused != nil {
			for _, line := range refused.Faults {
				_, _ = fmt.Fprintln(faults, clean(line))
			}
		}
	}
	return worst
}
