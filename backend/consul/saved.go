package consul

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// kept is what is kept of a state on disk. There is no secret in it.
type kept struct {
	// What was asked for: the answer to another question isn't used.
	Service string `json:"service"`
	Tag     string `json:"tag"`
	Key     string `json:"key"`

	At       time.Time              `json:"at"`
	Backends []record               `json:"backends"`
	Declared map[string]declaration `json:"declared"`
}

// Encode returns what Options.Saved takes. A state in which no list is known has nothing
// to keep, which is nil: it must not replace what was kept before.
func (s State) Encode() ([]byte, error) {
	if s.At.IsZero() {
		return nil, nil
	}
	text, err := json.Marshal(s.kept)
	if err != nil {
		return nil, fmt.Errorf("encoding the list of Consul's backends: %w", err)
	}
	return text, nil
}

func (b *book) kept() kept {
	k := kept{Service: b.service, Tag: b.tag, Key: b.key, At: b.at, Declared: maps.Clone(b.declared)}
	for _, name := range slices.Sorted(maps.Keys(b.records)) {
		k.Backends = append(k.Backends, b.records[name])
	}
	return k
}

var errOther = errors.New("it is of another service, tag or key")

// restore takes what was kept. It serves only where Consul doesn't answer, but Consul's first
// answer is compared with it: a restart must not be the way in which a wiped Consul is believed.
func (b *book) restore(text []byte) error {
	var k kept
	if err := json.Unmarshal(text, &k); err != nil {
		return fmt.Errorf("decoding it: %w", err)
	}
	if k.Service != b.service || k.Tag != b.tag || k.Key != b.key || k.At.IsZero() {
		return errOther
	}
	for _, r := range k.Backends {
		if !isName(r.Name) || len(r.Addresses) == 0 || len(r.Addresses) > maxAddresses {
			return fmt.Errorf("backend %q is none", clean(r.Name))
		}
	}
	for _, r := range k.Backends {
		if err := b.check(r); err != nil { // the configuration is another one now
			b.refused[r.Name] = fmt.Errorf("as it was saved: %w", err)
			continue
		}
		b.records[r.Name] = r
	}
	maps.Copy(b.declared, k.Declared)
	b.at = k.At
	b.services.saved, b.declarations.saved = true, true
	return nil
}
