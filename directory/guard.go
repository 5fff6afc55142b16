package directory

import "fmt"

// ShrinkGuard says which loss of entries is too large to be believed.
//
// A map file that was cut short by a full disk, a query that lost its rows, a key that
// somebody emptied: each of them reads like an order to lock most users out. It is not obeyed.
// The state that serves goes on serving until the source has its entries back, or the
// gateway is started anew; a reload does not release it, since reloading is the first
// thing that people and their scripts try.
//
// A loss is counted from the most entries that served in the last five minutes: a server that is being emptied
// tells of it piece by piece, and no piece may be above the bounds. What is lost more slowly
// than that passes. A confirmed loss is where counting begins anew; one that is held stays so, however long it takes.
//
// A loss is held where it is above both bounds. The zero value holds every loss.
type ShrinkGuard struct {
	Ratio float64 // of the entries that serve; 1 and above: nothing is held
	Rows  int
}

// Check is an error if a source may not go from one number of entries to the other within minutes.
func (g ShrinkGuard) Check(source string, most, now int) error {
	if !g.holds(most, now) {
		return nil
	}
	return &HeldError{Source: source, Most: most, Now: now}
}

func (g ShrinkGuard) holds(most, now int) bool {
	lost := most - now
	return lost > g.Rows && float64(lost) > g.Ratio*float64(most)
}

// HeldError says that a source's new state is held back by the shrink guard.
type HeldError struct {
	Source    string
	Most, Now int // entries: that served in the last minutes, and that would
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("%s: held: it would shrink from %d entries to %d within minutes; what serves stays",
		e.Source, e.Most, e.Now)
}
