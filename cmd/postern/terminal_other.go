//go:build !unix

package main

import "io"

// terminalWidth can't tell here.
func terminalWidth(io.Writer) int { return 0 }
