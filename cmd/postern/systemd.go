package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notifier tells the service manager how the gateway is (sd_notify). Without one, or
// as nil, it does nothing. A message that can't be sent is dropped: the service manager
// acts on what it doesn't hear, and the gateway has nothing better to do than to serve.
type notifier struct {
	socket   *net.UnixAddr
	watchdog time.Duration // silent for so long, the gateway is killed; 0: for ever
}

// statusEvery is how old the number of sessions in "systemctl status" may be.
const statusEvery = 10 * time.Second

// newNotifier takes the variables that tell where to report: a child must not
// report in the gateway's name.
func newNotifier() *notifier {
	name := os.Getenv("NOTIFY_SOCKET")
	watchdog, err := daemon.SdWatchdogEnabled(true)
	if err != nil {
		watchdog = 0 // not of systemd's making
	}
	_ = os.Unsetenv("NOTIFY_SOCKET") // fails on names that are none
	if name == "" {
		return nil
	}
	return &notifier{socket: &net.UnixAddr{Name: name, Net: "unixgram"}, watchdog: watchdog}
}

// send connects for each message, as libsystemd does: a service manager that executes
// itself anew has another socket under the old name.
func (n *notifier) send(state string) {
	if n == nil {
		return
	}
	conn, err := net.DialUnix(n.socket.Net, nil, n.socket)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetWriteDeadline(time.Now().Add(time.Second)) // its queue may be full
	_, _ = conn.Write([]byte(state))
}

func (n *notifier) ready() { n.send(daemon.SdNotifyReady) }

// reloading says that a reload begins; ready says that it is over, whatever came of it.
// The time tells systemd which of its signals this answers.
func (n *notifier) reloading() { n.send(daemon.SdNotifyMonotonicUsec() + daemon.SdNotifyReloading) }

// stopping says that the gateway drains.
func (n *notifier) stopping(sessions int) {
	n.send(daemon.SdNotifyStopping + "\n" + sessionsText(sessions))
}

func sessionsText(sessions int) string { return fmt.Sprintf("STATUS=%d sessions", sessions) }

// report tells the number of sessions until the context ends, and by that the
// watchdog that the gateway lives: a deadlock around the table of sessions ends the reports.
func (n *notifier) report(ctx context.Context, sessions func() int) {
	if n == nil {
		return
	}
	every, alive := statusEvery, ""
	if n.watchdog > 0 {
		every, alive = min(every, n.watchdog/2), "\n"+daemon.SdNotifyWatchdog
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		n.send(sessionsText(sessions()) + alive)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
