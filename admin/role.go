package admin

import "fmt"

// Role is what somebody may do. Each includes those before it.
type Role uint8

// The roles that a token may have. The zero value is none of them and may do nothing.
const (
	Viewer   Role = iota + 1 // how the gateway is, nothing of a person
	Helpdesk                 // also who is connected and where a mailbox goes; ends sessions
	Operator                 // everything
)

var roles = [...]string{Viewer: "viewer", Helpdesk: "helpdesk", Operator: "operator"}

// String returns the role's name as the configuration spells it.
func (r Role) String() string { return roles[r] }

// ParseRole reads a role's name as the configuration spells it.
func ParseRole(text string) (Role, error) {
	for role, name := range roles {
		if text == name && name != "" {
			return Role(role), nil
		}
	}
	return 0, fmt.Errorf("role %.40q: want viewer, helpdesk or operator", text)
}
