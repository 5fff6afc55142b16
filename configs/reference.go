package configs

import _ "embed"

//go:embed reference.yaml
var reference string

// Reference returns a configuration that names every key with its default and one
// line of why. It loads.
func Reference() []byte { return []byte(reference) }
