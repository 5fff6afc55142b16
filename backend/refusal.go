package backend

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"postern/pop3"
)

// Rule gives a code to the refusals of servers that send none.
type Rule struct {
	Match string    // a regular expression (RE2), in any case, against the text behind -ERR
	Code  pop3.Code // what the client hears
}

// builtin is THE table: what old servers say without a response code when the
// password was right and the mailbox still can't be had.
//
// A rule here may never catch a wrong password: the answer would come without
// the failure delay and tell who exists. So each begins at the text's start,
// where no server repeats the user's name (qpopper begins with a path), and each
// is the wording of a server whose source or transcript was read. "Unable to lock
// mailbox" is missing on purpose: SLMail says it to a wrong password. popa3d is
// missing because it has no words for a lock: it waits for it, and answers a
// mailbox that it can't load with a bare -ERR, which others say to a wrong
// password; where popa3d is the only backend, an operator's rule `^$` is right.
var builtin = [...]Rule{
	// qpopper and its relatives; old ones without the code, current ones with it.
	{`^(maildrop|[./]\S*) lock busy`, pop3.InUse},
	{`^maildrop being unlocked; try again`, pop3.InUse},
	// UW ipop3d, the wordings of 2004 and of the 1990s.
	{`^can't get lock\. `, pop3.InUse},
	// solid-pop3d.
	{`^can't lock mailbox file`, pop3.InUse},
	// RFC 1939, section 7 (PASS), and with it Cyrus and many small servers.
	{`^(unable to lock maildrop|maildrop (is )?(already )?locked)`, pop3.InUse},
	// GNU mailutils, Dovecot, hMailServer, VPOP3.
	{`^(your )?mailbox (is )?(already )?(locked|in use)`, pop3.InUse},

	// Courier: the authentication daemon is away; an operator locked the home.
	{`^temporary problem, please try again later`, pop3.SysTemp},
	{`^your account is temporarily unavailable \(\+t bit set`, pop3.SysTemp},
	// Dovecot before it sent codes, and its proxy where it still sends none.
	{`^temporary authentication failure`, pop3.SysTemp},
	{`^account is temporarily unavailable`, pop3.SysTemp},
	{`^internal error occurred\. refer to (the )?server log`, pop3.SysTemp},
	// UW ipop3d, behind a right password.
	{`^unable to open user's inbox`, pop3.SysTemp},
	// qpopper's relatives: no room or rights for the temporary maildrop.
	{`^system error, can't (create|open) temporary file`, pop3.SysTemp},
	// qmail: the password checker died, or the Maildir can't be read.
	{`^aack, child crashed`, pop3.SysTemp},
	{`^unable to scan \$home/maildir`, pop3.SysTemp},
	// Exchange 2007 and 2010, and InterMail as fetchmail knows it.
	{`^server unavailable\. 21`, pop3.SysTemp},
	{`^mail storage services unavailable, wait a few minutes`, pop3.SysTemp},
}

// maxRefusal bounds what a regular expression gets to see, in octets.
const maxRefusal = 512

// Refusals decides which code a backend's refusal has. It is immutable and safe
// for concurrent use.
type Refusals struct{ rules []compiledRule }

type compiledRule struct {
	match *regexp.Regexp
	code  pop3.Code
}

// CompileRefusals puts an operator's rules before the built-in ones; the first
// that matches wins. The error joins all faults, each with the rule's index.
func CompileRefusals(rules []Rule) (*Refusals, error) {
	r := &Refusals{}
	var faults []error
	for i, rule := range slices.Concat(rules, builtin[:]) {
		compiled, err := compile(rule)
		if err != nil {
			faults = append(faults, fmt.Errorf("refusals[%d]: %w", i, err))
		}
		r.rules = append(r.rules, compiled)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return r, nil
}

func compile(rule Rule) (compiledRule, error) {
	if rule.Match == "" {
		return compiledRule{}, errors.New("match is empty and would catch every refusal")
	}
	if rule.Code == pop3.NoCode || pop3.ParseCode(string(rule.Code)) != rule.Code {
		return compiledRule{}, fmt.Errorf("code %q: want AUTH, SYS/TEMP, SYS/PERM, IN-USE or LOGIN-DELAY", rule.Code)
	}
	match, err := regexp.Compile("(?i)" + rule.Match)
	if err != nil {
		return compiledRule{}, fmt.Errorf("match: %w", err)
	}
	return compiledRule{match, rule.Code}, nil
}

// Code returns the code of a refusal. One that the backend sent is kept, since it
// knows best; a text without one is looked up in the rules; what matches nothing
// is AUTH, the only guess that can't be used to find out who exists.
func (r *Refusals) Code(refusal pop3.Reply) pop3.Code {
	if refusal.Code != pop3.NoCode {
		return refusal.Code
	}
	text := refusal.Text[:min(len(refusal.Text), maxRefusal)]
	for _, rule := range r.rules {
		if rule.match.MatchString(text) {
			return rule.code
		}
	}
	return pop3.Auth
}
