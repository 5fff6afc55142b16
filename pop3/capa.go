package pop3

// Capabilities are the facts behind an answer to CAPA.
type Capabilities struct {
	User         bool // USER and PASS are taken (RFC 2449, section 6.2)
	Top          bool
	UIDL         bool
	RespCodes    bool // RFC 2449, section 6.4
	AuthRespCode bool // RFC 3206
	Pipelining   bool // RFC 2449, section 6.6
}

// Append writes the whole answer, multi-line and dot-terminated.
func (c Capabilities) Append(dst []byte) []byte {
	dst = append(dst, "+OK Capability list follows\r\n"...)
	for _, row := range [...]struct {
		offered bool
		tag     string
	}{
		{c.Top, "TOP"},
		{c.UIDL, "UIDL"},
		{c.User, "USER"},
		{c.RespCodes, "RESP-CODES"},
		{c.AuthRespCode, "AUTH-RESP-CODE"},
		{c.Pipelining, "PIPELINING"},
	} {
		if row.offered {
			dst = append(append(dst, row.tag...), "\r\n"...)
		}
	}
	return append(dst, ".\r\n"...)
}
