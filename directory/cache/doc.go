// Package cache stands in front of a place that is asked for one mailbox at a time, and keeps
// its answers for a while.
//
// A mail client polls, so the same few thousand mailboxes are asked for again and again: most
// sessions are served from memory, many that wait for one mailbox share one question, a mailbox in use is
// asked again before its answer expires, and while the place can't answer the last good answer serves on.
//
// It answers for how old an answer may be and how many questions a place gets. What an answer
// means, which source is asked first, and what a client hears are none of its business; so it
// knows nothing of mailboxes or routes, and package directory gives it the question.
package cache
