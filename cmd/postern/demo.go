package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"postern/configs"
	"postern/pop3/maildrop"
)

const (
	demoAddress  = "127.0.0.1:1110"
	demoTLS      = "127.0.0.1:1995"
	demoPassword = "demo"
	demoDomain   = "example.com"
)

// demoGuests are the machines of the demo, and who has a mailbox on which.
var demoGuests = []struct {
	name  string
	users []string
}{
	{"guest-01", []string{"alice", "dave"}},
	{"guest-02", []string{"bob", "erin"}},
	{"guest-03", []string{"carol", "frank"}},
}

func demoCommand() *cobra.Command {
	var address, secure string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run three mail guests and a gateway before them, on loopback",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return demo(cmd.Context(), address, secure, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&address, "address", demoAddress, "where the gateway listens, as `HOST:PORT`")
	cmd.Flags().StringVar(&secure, "tls-address", demoTLS, "where it listens for implicit TLS, as `HOST:PORT`")
	return cmd
}

// demo is everything a real site has, made for the moment: mail servers, a map
// file, a configuration, and the gateway itself.
func demo(ctx context.Context, address, secure string, out, logs io.Writer) error {
	if err := harden(); err != nil {
		return err
	}
	incoming, release := signals()
	defer release()
	dir, err := os.MkdirTemp("", "postern-demo-")
	if err != nil {
		return fmt.Errorf("making the demo's folder: %w", err)
	}
	defer os.RemoveAll(dir)
	guests, err := startGuests()
	defer guests.close()
	if err != nil {
		return err
	}
	path, err := writeDemoFiles(dir, address, secure, guests)
	if err != nil {
		return err
	}
	config, err := configs.Load(path)
	if err != nil {
		return usageError{err}
	}
	g, err := newGateway(ctx, path, config, logs)
	if err != nil {
		return fmt.Errorf("%w\n(is another demo running? --address takes another address)", err)
	}
	if err := describeDemo(out, dir, g.listeners[0].Addr().String(), g.listeners[1].Addr().String(), guests); err != nil {
		return err
	}
	return g.serve(ctx, incoming)
}

// guest is one embedded mail server.
type guest struct {
	name    string
	users   []string
	address string
	server  *maildrop.Server
	served  chan error
}

type guests []*guest

func startGuests() (guests, error) {
	var all guests
	for _, d := range demoGuests {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return all, fmt.Errorf("starting %s: %w", d.name, err)
		}
		g := &guest{
			name: d.name, users: d.users, address: l.Addr().String(), served: make(chan error, 1),
			server: maildrop.New(maildrop.Options{Name: d.name, Logger: slog.New(slog.DiscardHandler)}),
		}
		for _, user := range d.users {
			address := user + "@" + demoDomain
			if err := g.server.AddMailbox(address, demoPassword, demoMail(address, d.name)...); err != nil {
				return all, fmt.Errorf("filling %s: %w", d.name, err)
			}
		}
		go func() { g.served <- g.server.Serve(l) }()
		all = append(all, g)
	}
	return all, nil
}

func (all guests) close() {
	for _, g := range all {
		g.server.Close()
		<-g.served
	}
}

// writeDemoFiles writes what an operator would: a map and a configuration.
func writeDemoFiles(dir, address, secure string, all guests) (path string, err error) {
	var mailboxes, static strings.Builder
	mailboxes.WriteString("# address backend\n")
	for _, g := range all {
		fmt.Fprintf(&static, "    - {name: %s, address: %q}\n", g.name, g.address)
		for _, user := range g.users {
			fmt.Fprintf(&mailboxes, "%s@%s %s\n", user, demoDomain, g.name)
		}
	}
	certificate, key, err := demoCertificate(time.Now())
	if err != nil {
		return "", fmt.Errorf("making the demo's certificate: %w", err)
	}
	config := fmt.Sprintf(`listeners:
  - {name: pop, address: %q}
  - {name: pops, address: %q, tls: implicit}
tls:
  certificates:
    - {cert: cert.pem, key: key.pem}
timeouts: {drain: 2s}
directory:
  default_domain: %s
  sources:
    - {type: file, path: mailboxes.map}
  state: ""
backends:
  static:
%s`, address, secure, demoDomain, static.String())
	path = filepath.Join(dir, "postern.yaml")
	return path, errors.Join(
		os.WriteFile(filepath.Join(dir, "cert.pem"), certificate, 0o600),
		os.WriteFile(filepath.Join(dir, "key.pem"), key, 0o600),
		os.WriteFile(filepath.Join(dir, "mailboxes.map"), []byte(mailboxes.String()), 0o600),
		os.WriteFile(path, []byte(config), 0o600))
}

// describeDemo prints what is running and what to try first.
func describeDemo(out io.Writer, dir, address, secure string, all guests) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "postern %s: one POP3 address, three mail guests behind it\n\n", version)
	fmt.Fprintln(table, "  USER\tPASSWORD\tGUEST\tAT")
	for _, g := range all {
		for _, user := range g.users {
			fmt.Fprintf(table, "  %s@%s\t%s\t%s\t%s\n", user, demoDomain, demoPassword, g.name, g.address)
		}
	}
	first := all[0].users[0] + "@" + demoDomain
	fmt.Fprintf(table, "\n  gateway\t%s (POP3, STLS)\n  gateway\t%s (implicit TLS)\n  files\t%s\n", address, secure, dir)
	fmt.Fprintf(table, "\nList a mailbox, fetch its first message:\n\n")
	fmt.Fprintf(table, "  curl pop3://%s/ --user %s:%s\n", address, first, demoPassword)
	fmt.Fprintf(table, "  curl pop3://%s/1 --user %s:%s\n", address, first, demoPassword)
	fmt.Fprintf(table, "\nThe same over TLS, with a certificate that only this demo knows:\n\n")
	fmt.Fprintf(table, "  curl pop3s://%s/1 --user %s:%s --cacert %s\n", secure, first, demoPassword, filepath.Join(dir, "cert.pem"))
	fmt.Fprintf(table, "\nmailboxes.map says who lives where; edit it, and the gateway follows.\nCtrl-C ends it all. The records of sessions follow.\n\n")
	return table.Flush()
}
