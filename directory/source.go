package directory

import "context"

// Source is a place where an operator keeps the directory's data, and from which
// all of it is replicated: a file, a folder of Consul, a subtree of LDAP.
//
// Run delivers the source's state on up until ctx is done, and then returns
// promptly, with any error or none. It may be started again after that. The contract, which
// package directorytest checks:
//
//   - The first update without Err holds everything: a group that is not in it does not exist.
//     Later ones may hold only what changed. That is so for each Run anew.
//   - A group is replaced as a whole. There are no deltas, so whatever went wrong is healed
//     by the next update. A group that vanished is sent once more, empty.
//   - A source need not know whether anything really changed.
//   - What can't be read, in part or as a whole, changes nothing: the group is not sent, and
//     what was sent before stays. Err says so for as long as that lasts; the first update
//     without it says that all is well again, and may have no groups.
//   - look asks the source to look now. It takes the request, looks, and sends an
//     update, an empty one where it found nothing new. A source that is told of every change
//     anyway may send the empty one at once.
//   - Every send is a select with ctx.Done(). Nothing is sent after Run returned, up is
//     never closed, and nothing that Run started is left behind.
//   - A source logs nothing of its state and does not retry in a loop of its own: who
//     follows it logs each change once, and starts it again, later and later, where Run
//     returns before its time.
//   - It says what it saw. Which source wins, what a name means, whether so large a loss may
//     be true: none of that is its business.
type Source interface {
	Run(ctx context.Context, look <-chan struct{}, up chan<- Update) error
}

// Update is one message of a source.
type Update struct {
	Groups []Group
	Err    error // why some or all of the source can't be read now
}

// Group is a piece of a source that changes as a whole: a file, a key.
type Group struct {
	Name  string // unique within the source, not empty
	Table *Table // nil or without entries: the group is gone
}
