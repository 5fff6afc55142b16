package directory

import "time"

// guardWindow is how far back the shrink guard looks. A loss that comes in pieces, as from a server that is
// just being emptied, has to be as visible as one that comes at once; what a site loses in a day is its business.
const guardWindow = 5 * time.Minute

// The window is cut in pieces, since a source may change a thousand times in a second. There is one more of them,
// since the oldest and the newest are not whole.
const (
	peakPiece = 30 * time.Second
	peakSlots = int64(guardWindow/peakPiece) + 1
)

// peak knows how many entries of a source served at most in the last few minutes.
type peak struct {
	slots [peakSlots]struct {
		number int64 // of the piece of time, counted from long ago
		most   int
	}
	// held is what a loss was compared with that is held. It stays until the loss is none any more, or is
	// confirmed: no loss becomes right by waiting.
	held int
}

func slotNumber(at time.Time) int64 { return at.UnixNano() / int64(peakPiece) }

// note says that so many entries served until now.
func (p *peak) note(now time.Time, entries int) {
	number := slotNumber(now)
	slot := &p.slots[number%peakSlots]
	if slot.number != number {
		slot.number, slot.most = number, 0
	}
	slot.most = max(slot.most, entries)
}

// most is what a loss is compared with, where so many entries serve now.
func (p *peak) most(now time.Time, serving int) int {
	number := slotNumber(now)
	most := max(serving, p.held)
	for _, slot := range p.slots {
		if number-slot.number < peakSlots {
			most = max(most, slot.most)
		}
	}
	return most
}

// reset forgets all of it: what serves now is right.
func (p *peak) reset() { *p = peak{} }
