package consul

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/hashicorp/consul/api"

	"postern/pop3"
)

// maxText bounds what others' words may add to a text of ours, in octets.
const maxText = 100

// failure is an error of a request, told in the same words as long as it lasts: a port of
// this side, or a whole URL, would make each attempt a new error in the log.
type failure struct {
	text  string
	cause error
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.cause }

func failed(err error) error { return &failure{"asking Consul: " + reason(err), err} }

// answers are those of Consul's words that are repeated. The others are not: an
// answer may repeat the token that it was asked with.
var answers = [...]string{"No cluster leader", "No path to datacenter", "ACL not found", "Permission denied", "rpc error"}

func reason(err error) string {
	if status, ok := errors.AsType[api.StatusError](err); ok {
		text := fmt.Sprintf("it answers %d", status.Code)
		for _, known := range answers {
			if strings.Contains(status.Body, known) {
				text += ", " + known
			}
		}
		return text
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
	return pop3.Printable(err.Error(), 2*maxText)
}

// denied tells whether Consul refused a request for want of rights.
func denied(err error) bool {
	status, ok := errors.AsType[api.StatusError](err)
	return ok && status.Code == http.StatusForbidden
}
