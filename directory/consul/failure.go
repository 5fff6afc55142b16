package consul

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/hashicorp/consul/api"
)

// maxText bounds what a server's words may add to an error.
const maxText = 200

// failure is an error of a request, told in the same words as long as it lasts: a port of
// this side, or a whole URL, would make each attempt a new error in the log.
type failure struct {
	text  string
	cause error
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.cause }

// failed makes the error of a request presentable. The token is never part of it.
func (c *Client) failed(err error) error {
	text := reason(err)
	if c.secret != "" {
		text = strings.ReplaceAll(text, c.secret, "[redacted]")
	}
	return &failure{fmt.Sprintf("asking Consul at %s: %s", c.address, text), err}
}

func reason(err error) string {
	if status, ok := errors.AsType[api.StatusError](err); ok {
		return fmt.Sprintf("it answers %d %.*q", status.Code, maxText, status.Body)
	}
	if request, ok := errors.AsType[*url.Error](err); ok {
		err = request.Err
	}
	if operation, ok := errors.AsType[*net.OpError](err); ok {
		return operation.Op + ": " + operation.Err.Error()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	text := err.Error()
	return text[:min(len(text), 2*maxText)]
}

// denied tells whether Consul refused a request for want of rights.
func denied(err error) bool {
	status, ok := errors.AsType[api.StatusError](err)
	return ok && status.Code == 403
}

// crowded tells whether Consul refused a connection because this machine has too many
// (limits.http_max_conns_per_client, 200 by default, and several gateways may share an agent).
func crowded(err error) bool {
	status, ok := errors.AsType[api.StatusError](err)
	return ok && status.Code == 429
}
