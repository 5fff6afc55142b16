// Package configs answers what the operator asked for: it reads the
// configuration file into plain data, or says everything that is wrong with it
// at once, each fault at its FILE:LINE:COLUMN.
//
// It does not open sockets, look up backends or read mailbox maps, and it knows
// none of the packages that do. The command turns a Config into running parts.
//
// To add a key, add a field to its section in config.go, tls.go or admin.go (its
// tags carry the default and the bounds) and a line to reference.yaml. A test
// fails when one of the two is missing.
package configs
