package consul

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"
)

// room tells how many queries this client should have open, wanted at most. Consul allows each address 200
// connections, and several gateways and the tools may share one. Where there is no room for all that are
// wanted, half of what there is is left to those who come later.
//
// It asks the cheapest question on so many connections at once, and keeps those that it may use. To find out
// by the queries themselves would be too late: one that waits holds its connection until its time is
// up, even when its client has gone.
func (c *Client) room(ctx context.Context, wanted int) int {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	answers := make([]*http.Response, wanted)
	var asking sync.WaitGroup
	for i := range answers {
		asking.Go(func() { answers[i] = c.knock(ctx) })
	}
	asking.Wait()
	free := 0
	for _, answer := range answers {
		if answer != nil && answer.StatusCode == http.StatusOK {
			free++
		}
	}
	if free < wanted {
		free /= 2
	}
	kept := 0
	for _, answer := range answers {
		if answer == nil {
			continue
		}
		if answer.StatusCode == http.StatusOK && kept < free {
			kept++
			_, _ = io.Copy(io.Discard, answer.Body) // a connection is kept if its answer was read
		}
		_ = answer.Body.Close()
	}
	return free
}

// knock asks who leads, on a connection that nobody else gets before the answer is read. The
// caller closes its body.
func (c *Client) knock(ctx context.Context) *http.Response {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/v1/status/leader", nil)
	if err != nil {
		return nil
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil
	}
	return answer
}
