// Package consul follows the backends that Consul's catalogue names: the instances of
// one service, what their meta keys say of them, and what their checks say.
//
// It answers for hearing of changes soon, for believing only what may be believed, and for
// keeping the last list through every outage. What a check says is passed on as
// hearsay and removes nobody: a mailbox has one owner, and its user is better served by a
// try than by a rumour. What is to be done with hearsay is package backend's business.
//
// Files by question: watch.go, how is Consul asked? instance.go, what does an instance
// say? settings.go, which meta keys are there? group.go, which instances are one
// backend? book.go, what is believed? declare.go, who may own what nobody assigned?
package consul
