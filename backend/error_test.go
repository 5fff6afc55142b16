package backend_test

import (
	"errors"
	"io"
	"testing"

	"postern/backend"
	"postern/pop3"
)

func TestErrorNamesStepAndKind(t *testing.T) {
	for want, err := range map[string]*backend.Error{
		`connect: unreachable: EOF`:               {Kind: backend.Unreachable, Step: backend.Connect, Err: io.EOF},
		`greeting: timed out`:                     {Kind: backend.TimedOut, Step: backend.Greeting},
		`user: closed: EOF`:                       {Kind: backend.Closed, Step: backend.User, Err: io.EOF},
		`greeting: temporary failure "too busy"`:  {Kind: backend.Temporary, Step: backend.Greeting, Text: "too busy"},
		`pass: refused [IN-USE] "Mailbox in use"`: {Kind: backend.Refused, Step: backend.Pass, Code: pop3.InUse, Text: "Mailbox in use"},
		`pass: protocol error "\"": EOF`:          {Kind: backend.Protocol, Step: backend.Pass, Text: `"`, Err: io.EOF},
		`pass: canceled`:                          {Kind: backend.Canceled, Step: backend.Pass},
		`unknown 0: unknown 0`:                    {},
		`unknown 200: unknown 201`:                {Step: 200, Kind: 201},
	} {
		if err.Error() != want {
			t.Errorf("got %s\nwant %s", err.Error(), want)
		}
	}
}

func TestErrorUnwraps(t *testing.T) {
	var err error = &backend.Error{Kind: backend.Closed, Step: backend.User, Err: io.ErrUnexpectedEOF}
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error("the cause is lost")
	}
	if typed, ok := errors.AsType[*backend.Error](err); !ok || typed.Kind != backend.Closed {
		t.Error("the type is lost")
	}
}
