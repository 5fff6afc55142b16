package realtest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"
)

// hello is a ClientHello of TLS 1.2 that offers to compress, by DEFLATE before not at
// all. No program does so any more, since CRIME.
var hello = strings.NewReplacer(" ", "", "\n", "", "\t", "").Replace(`
	0303 ` + strings.Repeat("5a", 32) + ` 00
	0004 c02b c02f
	02 01 00
	001f
	000a 0004 0002 001d
	000b 0002 01 00
	000d 0008 0006 0403 0804 0401
	ff01 0001 00
`)

// Compression is the method that the server chooses: 0 is none.
func (s Secured) Compression(ctx context.Context) (byte, error) {
	conn, reader, err := s.beforeTLS(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	body, err := hex.DecodeString(hello)
	if err != nil {
		return 0, err
	}
	conn.SetDeadline(time.Now().Add(terminalTimeout))
	message := slices.Concat([]byte{1, 0}, binary.BigEndian.AppendUint16(nil, uint16(len(body))), body)
	record := slices.Concat([]byte{22, 3, 1}, binary.BigEndian.AppendUint16(nil, uint16(len(message))), message)
	if _, err := conn.Write(record); err != nil {
		return 0, err
	}
	// A record's header, a message's header, version, random, and then a session's
	// name of 0 to 32 octets, which the cipher and the method follow.
	answer := make([]byte, 5+4+2+32+1)
	if _, err := io.ReadFull(reader, answer); err != nil {
		return 0, fmt.Errorf("the hello is answered with %x: %w", bytes.TrimRight(answer, "\x00"), err)
	}
	if answer[0] != 22 || answer[5] != 2 {
		return 0, fmt.Errorf("the hello is answered with %x", answer)
	}
	choice := make([]byte, int(answer[len(answer)-1])+3)
	_, err = io.ReadFull(reader, choice)
	return choice[len(choice)-1], err
}

// beforeTLS is a connection on which TLS is what comes next.
func (s Secured) beforeTLS(ctx context.Context) (net.Conn, *bufio.Reader, error) {
	address := net.JoinHostPort(s.Host, s.Port)
	if !s.STLS {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "tcp", address)
		return conn, bufio.NewReader(conn), err
	}
	t, err := DialTerminal(ctx, address)
	if err != nil {
		return nil, nil, err
	}
	if _, err := t.Must("STLS"); err != nil {
		t.Close()
		return nil, nil, err
	}
	return t.conn, t.reader, nil
}
