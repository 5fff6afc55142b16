package ldap

import (
	"io"
	"net"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// fake is a server that does what a real one can't be made to do.
type fake struct {
	t   *testing.T
	url string
}

// caller is a client's connection to a fake, and the search that it asked for.
type caller struct {
	net.Conn
	t      *testing.T
	id     int64
	cookie string // of the sync request control
	sync   bool   // there is one
}

// newFake has each connection served by the next function; the last serves all further ones.
// When it returns, the connection is closed.
func newFake(t *testing.T, serve ...func(c *caller)) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for i := 0; ; i++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(time.Minute))
			do := serve[min(i, len(serve)-1)]
			go func() {
				defer conn.Close()
				do(&caller{Conn: conn, t: t})
			}()
		}
	}()
	return &fake{t: t, url: "ldap://" + l.Addr().String()}
}

// request reads the next one and returns its operation, or nil.
func (c *caller) request() *ber.Packet {
	p, err := ber.ReadPacket(c)
	if err != nil || len(p.Children) < 2 {
		return nil
	}
	c.id = p.Children[0].Value.(int64)
	c.sync, c.cookie = false, ""
	if len(p.Children) > 2 {
		for _, control := range p.Children[2].Children {
			c.control(control)
		}
	}
	return p.Children[1]
}

func (c *caller) control(p *ber.Packet) {
	if p.Children[0].Value != ldap.ControlTypeSyncRequest {
		return
	}
	c.sync = true
	value := ber.DecodePacket(p.Children[len(p.Children)-1].Data.Bytes())
	for _, child := range value.Children {
		if child.Tag == ber.TagOctetString {
			c.cookie = string(child.ByteValue)
		}
	}
}

// wait keeps the connection until the client closes it.
func (c *caller) wait() { _, _ = io.Copy(io.Discard, c) }

func sequence(children ...*ber.Packet) *ber.Packet {
	p := ber.NewSequence("")
	for _, child := range children {
		p.AppendChild(child)
	}
	return p
}

func octets(text string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, text, "")
}

func number(tag ber.Tag, n int64) *ber.Packet {
	return ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, tag, n, "")
}

func flag(b bool) *ber.Packet {
	return ber.NewBoolean(ber.ClassUniversal, ber.TypePrimitive, ber.TagBoolean, b, "")
}

// say sends a message, with controls if there are any.
func (c *caller) say(operation *ber.Packet, controls ...*ber.Packet) {
	p := sequence(number(ber.TagInteger, c.id), operation)
	if len(controls) > 0 {
		all := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
		for _, control := range controls {
			all.AppendChild(control)
		}
		p.AppendChild(all)
	}
	_, _ = c.Write(p.Bytes())
}

func application(tag ber.Tag, children ...*ber.Packet) *ber.Packet {
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	for _, child := range children {
		p.AppendChild(child)
	}
	return p
}

func (c *caller) result(tag ber.Tag, code int64, text string) {
	c.say(application(tag, number(ber.TagEnumerated, code), octets(""), octets(text)))
}

func (c *caller) done(code int64) { c.result(ldap.ApplicationSearchResultDone, code, "") }

// entry is one with address and backend, as attributes mail and host.
func entryOf(name, mail, host string) *ber.Packet {
	attribute := func(name, value string) *ber.Packet {
		set := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
		set.AppendChild(octets(value))
		return sequence(octets(name), set)
	}
	return application(ldap.ApplicationSearchResultEntry, octets("uid="+name+",o=x"),
		sequence(attribute("mail", mail), attribute("host", host)))
}

// uuid is made of one letter.
func uuid(letter byte) string {
	var id [16]byte
	for i := range id {
		id[i] = letter
	}
	return string(id[:])
}

// synced sends an entry with its state. Its uuid is its name's first letter.
func (c *caller) synced(state ldap.ControlSyncStateState, name, mail, host string) {
	value := sequence(number(ber.TagEnumerated, int64(state)), octets(uuid(name[0])))
	c.say(entryOf(name, mail, host), sequence(octets(ldap.ControlTypeSyncState), octets(string(value.Bytes()))))
}

// info sends a sync info message whose choice has the given tag.
func (c *caller) info(tag ber.Tag, members ...*ber.Packet) {
	choice := ber.Encode(ber.ClassContext, ber.TypeConstructed, tag, nil, "")
	for _, m := range members {
		choice.AppendChild(m)
	}
	name := ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, ldap.ControlTypeSyncInfo, "")
	value := ber.NewString(ber.ClassContext, ber.TypePrimitive, 1, string(choice.Bytes()), "")
	c.say(application(ldap.ApplicationIntermediateResponse, name, value))
}

func (c *caller) refreshed(cookie string) { c.info(1, octets(cookie)) } // refreshDelete, done
func (c *caller) presented(cookie string) { c.info(2, octets(cookie)) } // refreshPresent, done

// ids sends a set of uuids: what is gone, or what is still there.
func (c *caller) ids(gone bool, letters string) {
	set := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
	for i := range len(letters) {
		set.AppendChild(octets(uuid(letters[i])))
	}
	c.info(3, flag(gone), set)
}

func (f *fake) options() Options {
	return Options{URLs: []string{f.url}, Base: "o=x", Filter: "(mail={address})", Backend: "host", Timeout: 20 * time.Second}
}

func (f *fake) follow() *follower {
	o := f.options()
	o.Filter = ""
	return follow(f.t, o)
}
