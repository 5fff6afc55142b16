// Package admin is the way in for those who run a gateway: what it is doing, in JSON and
// in metrics, and the few things that may be changed while it runs.
//
// There are three doors. The Unix socket is for whoever may open it, as operator. TCP wants a
// token, which has a name and a [Role]. The probes door wants nothing, and tells nothing personal.
// What may be asked at which, and by whom, is one table (routes.go).
//
// The package knows no session and no directory: what it tells and does, it takes as functions
// ([Options]). What happens to sessions is counted by an [Observer], which costs
// a session next to nothing. The commands that talk to running gateways read the same types.
package admin
