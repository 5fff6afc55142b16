package configs

import _ "embed"

//go:embed reference.yaml
var reference string

// Reference returns a configuration that names every key with its default and one
// line of why. It loads, where the environment has the token that it asks for.
func Reference() []byte { return []byte(reference) }
