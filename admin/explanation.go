package admin

import "time"

// Explanation is all there is to know of one mailbox: where its logins go, what every
// source says of it and who wins, and whether a login would be let in now.
type Explanation struct {
	Gateway  string         `json:"gateway,omitempty"` // who says so; empty: read from the configuration
	Typed    string         `json:"typed"`
	Mailbox  string         `json:"mailbox,omitempty"` // canonical
	Fault    string         `json:"fault,omitempty"`   // why there is no canonical form, or no route
	Backend  *Backend       `json:"backend,omitempty"`
	Login    string         `json:"login,omitempty"` // what the backend gets as user name
	State    string         `json:"state,omitempty"`
	Admitted bool           `json:"admitted"` // whether a login with the right password would be let in
	Because  []string       `json:"because,omitempty"`
	Sources  []SourceAnswer `json:"sources"`
	Sessions []Session      `json:"sessions,omitempty"` // live
	Logins   []LoginAttempt `json:"logins,omitempty"`   // the last ones that are remembered, the newest first
}

// SourceAnswer is what one source says of a mailbox. The first one that knows it wins.
type SourceAnswer struct {
	Source
	Known   bool   `json:"known"` // it has an entry for the mailbox
	Wins    bool   `json:"wins"`
	Entry   string `json:"entry,omitempty"` // what matched: the mailbox itself, or @ and its domain
	Backend string `json:"backend,omitempty"`
	State   string `json:"state,omitempty"`
	Login   string `json:"login,omitempty"`
	Says    string `json:"says,omitempty"` // why its entry leads nowhere, or why it can't answer
}

// LoginAttempt is one login to a mailbox that was decided.
type LoginAttempt struct {
	At      time.Time `json:"at"`
	Client  string    `json:"client"`
	Result  string    `json:"result"`
	Backend string    `json:"backend,omitempty"`
	Step    string    `json:"step,omitempty"`
}
