package main

import (
	"cmp"
	"maps"
	"slices"
	"sync"
)

// atOnce runs work for 0 to n-1, so many at once, and returns the first error by their order.
func atOnce(most, n int, work func(i int) error) error {
	faults := make([]error, n)
	tokens := make(chan struct{}, most)
	var working sync.WaitGroup
	for i := range n {
		tokens <- struct{}{}
		working.Go(func() {
			faults[i] = work(i)
			<-tokens
		})
	}
	working.Wait()
	for _, err := range faults {
		if err != nil {
			return err
		}
	}
	return nil
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
