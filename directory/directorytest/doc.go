// Package directorytest is the conformance suite of directory's sources. A source
// passes when it keeps the contract that is written at directory.Source, whatever it reads.
//
// A test of a source gives Run a function that makes a fresh source and the Site where
// it gets its data:
//
//	func TestConformance(t *testing.T) {
//		directorytest.Run(t, func(t *testing.T) (directory.Source, directorytest.Site) {
//			...
//		})
//	}
//
// The source should notice changes within a second or so; the suite waits for what
// has to come, ten seconds at most, and a little for what must not. Its tests count
// goroutines, so none of them may run in parallel with others.
//
// A place that is asked for one mailbox at a time has a suite of its own, [RunResolver], for the
// contract that is written at directory.Resolver, with an [AskedSite] and a secret to look for.
package directorytest
