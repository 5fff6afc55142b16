package main

import (
	"os"
	"strings"
	"testing"
)

// TestDocumentedCommandsExist takes the commands of the directory's manual by what the program takes: a flag that is called
// otherwise by now, or a command that the manual leaves out, is found here.
func TestDocumentedCommandsExist(t *testing.T) {
	text, err := os.ReadFile("../../docs/directory.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## Commands\n")
	section, _, ended := strings.Cut(section, "\n## ")
	if !found || !ended {
		t.Fatal("the manual has no section Commands")
	}
	documented := make(map[string]bool)
	for line := range strings.Lines(section) {
		args, isCommand := strings.CutPrefix(strings.TrimSpace(line), "postern ")
		if !isCommand {
			continue
		}
		cmd, rest, err := command().Find(strings.Fields(args))
		if err == nil {
			err = cmd.ParseFlags(rest)
		}
		if err == nil {
			err = cmd.ValidateArgs(cmd.Flags().Args())
		}
		if err == nil && cmd.PreRunE != nil {
			err = cmd.PreRunE(cmd, cmd.Flags().Args())
		}
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
		documented[cmd.Name()] = true
	}
	for _, cmd := range directoryCommand().Commands() {
		if !documented[cmd.Name()] {
			t.Errorf("the manual has no example of %s", cmd.CommandPath())
		}
	}
}
