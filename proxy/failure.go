package proxy

import (
	"log/slog"

	"postern/pop3"
)

// failure says why a login came to nothing.
type failure uint8

const (
	succeeded failure = iota
	unknownMailbox
	badCredentials
	wrongPassword
	mailboxMoving
	mailboxSuspended
	mailboxInUse
	mailboxFull
	loginTooSoon
	backendTemporary
	backendPermanent
	backendUnreachable
	backendUnconfigured
	backendDown
	backendBusy
	backendDrained
	directoryUnavailable
	loginTimedOut
)

// denied is one and the same for an unknown mailbox and a wrong password: the
// difference would tell who exists.
var (
	denied      = pop3.Reply{Code: pop3.Auth, Text: "Wrong user name or password"}
	tooMany     = pop3.Reply{Code: pop3.SysTemp, Text: "Too many connections, try again later"}
	busy        = pop3.Reply{Code: pop3.SysTemp, Text: "The mail server is busy, try again later"}
	parting     = pop3.Reply{Code: pop3.SysTemp, Text: "The session is ended by the mail system, try again later"}
	unavailable = pop3.Reply{Code: pop3.SysTemp, Text: "The mail server can't be reached, try again later"}
)

// failures is THE table: what a client hears, and how loud the log is. What has
// [AUTH] is told at its time only (failure_delay) and counts towards
// max_failures; all else is told at once, and the client may try again.
// A fault on our side is never [AUTH]: mail clients throw the saved password away.
var failures = [...]struct {
	result string // in records
	reply  pop3.Reply
	level  slog.Level
}{
	succeeded:            {"ok", pop3.Reply{}, slog.LevelInfo},
	unknownMailbox:       {"unknown mailbox", denied, slog.LevelInfo},
	badCredentials:       {"bad credentials", denied, slog.LevelInfo},
	wrongPassword:        {"refused", denied, slog.LevelInfo},
	mailboxMoving:        {"moving", pop3.Reply{Code: pop3.SysTemp, Text: "The mailbox is being moved, try again later"}, slog.LevelInfo},
	mailboxSuspended:     {"suspended", pop3.Reply{Code: pop3.SysPerm, Text: "The mailbox is suspended"}, slog.LevelInfo},
	mailboxInUse:         {"in use", pop3.Reply{Code: pop3.InUse, Text: "The mailbox is in use by another session"}, slog.LevelInfo},
	mailboxFull:          {"too many sessions", pop3.Reply{Code: pop3.InUse, Text: "The mailbox has too many sessions already"}, slog.LevelInfo},
	loginTooSoon:         {"login delay", pop3.Reply{Code: pop3.LoginDelay, Text: "Too soon after the last login"}, slog.LevelInfo},
	backendTemporary:     {"backend temporary", unavailable, slog.LevelWarn},
	backendPermanent:     {"backend permanent", pop3.Reply{Code: pop3.SysPerm, Text: "The mailbox can't be opened, ask your provider"}, slog.LevelWarn},
	backendUnreachable:   {"backend unreachable", unavailable, slog.LevelWarn},
	backendUnconfigured:  {"backend not configured", unavailable, slog.LevelError},
	backendDown:          {"backend down", unavailable, slog.LevelInfo}, // the change of its state has its own record
	backendBusy:          {"backend busy", busy, slog.LevelInfo},
	backendDrained:       {"backend drained", pop3.Reply{Code: pop3.SysTemp, Text: "The mail server is down for maintenance, try again later"}, slog.LevelInfo},
	directoryUnavailable: {"directory unavailable", unavailable, slog.LevelError},
	loginTimedOut:        {"login timeout", pop3.Reply{Code: pop3.SysTemp, Text: "The login took too long, try again later"}, slog.LevelWarn},
}

func (f failure) String() string { return failures[f].result }

// secret tells whether the reply may not come before failure_delay.
func (f failure) secret() bool { return failures[f].reply.Code == pop3.Auth }

// refused is the failure behind the code of a backend's refusal.
func refused(code pop3.Code) failure {
	switch code {
	case pop3.InUse:
		return mailboxInUse
	case pop3.LoginDelay:
		return loginTooSoon
	case pop3.SysTemp:
		return backendTemporary
	case pop3.SysPerm:
		return backendPermanent
	}
	return wrongPassword
}
