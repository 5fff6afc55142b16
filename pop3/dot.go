package pop3

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// ErrBodyTooLong says that a multi-line answer passed its bound.
var ErrBodyTooLong = errors.New("multi-line answer too long")

// terminator ends a multi-line answer.
const terminator = ".\r\n"

// AppendStuffed writes a body as the lines of a multi-line answer: CRLF line ends,
// a dot before each leading dot, the last line ended if it wasn't, and the
// terminating dot (RFC 1939, section 3). A bare LF in the body becomes CRLF.
func AppendStuffed(dst, body []byte) []byte {
	for len(body) > 0 {
		line, rest, _ := bytes.Cut(body, []byte{'\n'})
		body = rest
		if len(line) > 0 && line[0] == '.' {
			dst = append(dst, '.')
		}
		dst = append(append(dst, bytes.TrimSuffix(line, []byte{'\r'})...), "\r\n"...)
	}
	return append(dst, terminator...)
}

// ReadStuffed reads the lines of a multi-line answer up to its terminating dot and
// returns them without stuffing, their ends as they came. A body above max octets
// is ErrBodyTooLong.
func ReadStuffed(r *bufio.Reader, max int) ([]byte, error) {
	var body []byte
	for {
		start := len(body)
		for whole := false; !whole; {
			part, err := r.ReadSlice('\n')
			body = append(body, part...)
			if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
				return nil, fmt.Errorf("reading a multi-line answer: %w", unexpected(err))
			}
			if len(body) > max+len(terminator) {
				return nil, ErrBodyTooLong
			}
			whole = err == nil
		}
		line := bytes.TrimSuffix(bytes.TrimSuffix(body[start:], []byte{'\n'}), []byte{'\r'})
		if string(line) == "." {
			return body[:start], nil
		}
		if len(line) > 0 && line[0] == '.' {
			body = append(body[:start], body[start+1:]...)
		}
		if len(body) > max {
			return nil, ErrBodyTooLong
		}
	}
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
