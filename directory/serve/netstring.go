package serve

import (
	"bufio"
	"errors"
	"io"
	"strconv"
)

// maxRequest bounds a request in octets, the netstring's own included. A name is shorter
// by far: an address has at most 254 octets.
const maxRequest = 1 << 10

// errNetstring says that what came is none. There is no way to find the next
// one behind it, so the connection is of no further use.
var errNetstring = errors.New("not a netstring of at most 1024 octets")

// readNetstring reads [length]":"[octets]",", with a length as djb defined it: decimal, without
// zeros before it.
func readNetstring(r *bufio.Reader) (string, error) {
	size := 0
	for digits := 0; ; digits++ {
		c, err := r.ReadByte()
		if err != nil {
			return "", err
		}
		if c == ':' && digits > 0 {
			break
		}
		if c < '0' || '9' < c || digits == 4 || digits == 1 && size == 0 {
			return "", errNetstring
		}
		size = 10*size + int(c-'0')
	}
	if size+len(strconv.Itoa(size))+len(":,") > maxRequest {
		return "", errNetstring
	}
	text := make([]byte, size+1)
	if _, err := io.ReadFull(r, text); err != nil {
		return "", err
	}
	if text[size] != ',' {
		return "", errNetstring
	}
	return string(text[:size]), nil
}

func appendNetstring(dst []byte, text string) []byte {
	dst = append(strconv.AppendInt(dst, int64(len(text)), 10), ':')
	return append(append(dst, text...), ',')
}
