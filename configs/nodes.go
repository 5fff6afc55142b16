package configs

import (
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// nodeMark returns where n begins as a reader sees it. The library's own token of
// a block mapping is its first colon.
func nodeMark(file string, n ast.Node) mark {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return nodeMark(file, n.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return nodeMark(file, n.Key)
	}
	return tokenMark(file, n.GetToken())
}

// nullMark returns where the empty entry i of a list stands: at its dash, since
// nothing follows that.
func nullMark(file string, list ast.Node, i int, null ast.Node) mark {
	seq, ok := list.(*ast.SequenceNode)
	if !ok || null.GetToken().Type != token.ImplicitNullType || i >= len(seq.Entries) || seq.Entries[i].Start == nil {
		return nodeMark(file, null)
	}
	return tokenMark(file, seq.Entries[i].Start)
}

// isNull reports whether n is null or nothing at all.
func isNull(n ast.Node) bool {
	return n == nil || n.Type() == ast.NullType
}

// scalarText returns the text of a single value as it was written, without its
// quotes. What type YAML would guess from it does not matter: the key's type does.
func scalarText(n ast.Node) (text string, ok bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// pairs returns the keys and values of a mapping.
func pairs(n ast.Node) (list []*ast.MappingValueNode, ok bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

// keyText returns a mapping's key, if it is one that this program can mean.
func keyText(n ast.MapKeyNode) (key string, ok bool) {
	if n.Type() == ast.NullType {
		return n.GetToken().Value, n.GetToken().Type == token.NullType
	}
	return scalarText(n)
}

// formOf says what n is, for a message.
func formOf(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.AnchorNode:
		return "an anchor (&)"
	case *ast.AliasNode:
		return "an alias (*)"
	case *ast.TagNode:
		return "a tag (!)"
	case *ast.DirectiveNode:
		return "a directive (%)"
	case *ast.MergeKeyNode:
		return "a merge key (<<)"
	case *ast.MappingKeyNode:
		return "a complex key (?)"
	}
	return "a single value"
}
