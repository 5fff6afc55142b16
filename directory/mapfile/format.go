package mapfile

import "postern/directory"

// Append writes an entry as a line, without its end, that is read as the same entry.
func Append(dst []byte, address string, v directory.Value) []byte {
	dst = appendWord(dst, address)
	if n := len(dst); dst[n-1] == ':' { // at an address's end it would make a popmap line
		dst = append(dst[:n-1], "%3A"...)
	}
	dst = appendWord(append(dst, ' '), v.Backend)
	if v.Login != "" {
		dst = appendWord(append(dst, " login="...), v.Login)
	}
	if v.State != directory.Active {
		dst = append(append(dst, " state="...), v.State.String()...)
	}
	return dst
}

// appendWord writes what a line can't hold as %XX. A # is escaped everywhere; only
// a leading one needs it.
func appendWord(dst []byte, text string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(text) {
		switch c := text[i]; {
		case c <= ' ', c == 0x7f, c == '%', c == '#':
			dst = append(dst, '%', digits[c>>4], digits[c&0xf])
		default:
			dst = append(dst, c)
		}
	}
	return dst
}
