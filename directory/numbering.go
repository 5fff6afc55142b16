package directory

// number gives the source's groups their numbers and makes its index, from those
// of the snapshot before. The caller holds d.mu, which is what a view's number is guarded by.
func (s *sourceView) number(last *sourceView) error {
	if len(s.groups) > maxGroups {
		return errTooManyGroups
	}
	if len(s.groups) <= fewGroups {
		return nil
	}
	if last.index == nil {
		last = &sourceView{}
	}
	s.numbered = make([]*groupView, max(len(s.groups), len(last.numbered)))
	changes := s.keep(last)
	s.fill(last, &changes)
	if s.index = last.index; s.index == nil || len(changes) > 0 {
		s.index = last.index.with(changes)
	}
	return nil
}

// keep gives the groups of names that were there their old numbers, and returns which of them changed.
func (s *sourceView) keep(last *sourceView) (changes []groupChange) {
	for _, view := range s.groups {
		at, ok := last.group(view.name)
		if !ok {
			continue
		}
		old := last.groups[at]
		view.number, s.numbered[old.number] = old.number, view
		if old.table != view.table {
			changes = append(changes, groupChange{number: view.number, old: old.table, new: view.table})
		}
	}
	return changes
}

// fill gives the numbers that are free to the groups that came, and notes both. A group that
// came where another went may hold much the same: a key that was renamed, say.
func (s *sourceView) fill(last *sourceView, changes *[]groupChange) {
	free := 0
	next := func() *Table {
		for ; s.numbered[free] != nil; free++ {
		}
		if free < len(last.numbered) && last.numbered[free] != nil {
			return last.numbered[free].table
		}
		return nil
	}
	for _, view := range s.groups {
		if _, ok := last.group(view.name); ok {
			continue
		}
		old := next()
		view.number, s.numbered[free] = free, view
		*changes = append(*changes, groupChange{number: free, old: old, new: view.table})
	}
	for number, old := range last.numbered {
		if old != nil && s.numbered[number] == nil {
			*changes = append(*changes, groupChange{number: number, old: old.table})
		}
	}
}
