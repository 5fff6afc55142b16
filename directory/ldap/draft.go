package ldap

import "github.com/go-ldap/ldap/v3"

// draft is what a refresh said so far. It becomes content when the refresh is complete: one that
// ends early changes nothing.
type draft struct {
	of     *content
	rows   map[key]row
	faults map[key]fault
	gone   map[key]struct{}
	seen   map[key]struct{}
	prune  bool // what was not seen is gone
}

func (c *content) draft() *draft {
	return &draft{
		of: c, rows: make(map[key]row), faults: make(map[key]fault),
		gone: make(map[key]struct{}), seen: make(map[key]struct{}),
	}
}

// put takes an entry that was added, changed, or is just there. Of those that did not
// change, which are nearly all, nothing is kept but that they were seen.
func (d *draft) put(k key, e *ldap.Entry) {
	d.remove(k)
	delete(d.gone, k)
	d.seen[k] = struct{}{}
	r, err := d.of.read(e)
	if err != nil {
		d.faults[k] = fault{in: r.in, text: err.Error()}
		return
	}
	_, faulty := d.of.faults[k]
	if old, known := d.of.rows[k]; !known || faulty || old != r {
		d.rows[k] = r
	}
}

func (d *draft) remove(k key) {
	delete(d.rows, k)
	delete(d.faults, k)
	delete(d.seen, k)
	d.gone[k] = struct{}{}
}

// present takes word that an entry is as it was, and tells whether that is known.
func (d *draft) present(k key) bool {
	d.seen[k] = struct{}{}
	_, put := d.rows[k]
	_, blamed := d.faults[k]
	return put || blamed || d.of.knows(k)
}

// commit brings the draft into the content. It is spent.
func (d *draft) commit() {
	for k := range d.gone {
		d.of.remove(k)
	}
	if d.prune {
		for k := range d.of.rows {
			d.pruned(k)
		}
		for k := range d.of.faults {
			d.pruned(k)
		}
	}
	for k, r := range d.rows {
		d.of.set(k, r)
	}
	for k, f := range d.faults {
		d.of.blame(k, f)
	}
}

func (d *draft) pruned(k key) {
	if _, seen := d.seen[k]; !seen {
		d.of.remove(k)
	}
}
