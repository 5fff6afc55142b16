// Package mapfile is the syntax of mailbox map files: one mailbox a line, its
// backend, and attributes; and the lines of Perdition's popmaps.
//
//	# address            backend    attributes
//	alice@example.com    guest-01
//	bob@example.com      guest-02   login=bob state=suspended
//	@example.org         guest-03                      # the rest of a domain
//	carol: carol2@guest-01:110
//
// It turns text into a directory.Table, or into faults with their places. Every source
// that holds pieces of map file reads them through this package. Where the text
// comes from, and when it is read again, is theirs.
package mapfile
