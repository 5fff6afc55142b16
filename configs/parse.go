package configs

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// The parser calls itself for each level of nesting and for each key of a
// mapping, and a stack that overflows ends the process. These bounds hold it far
// below that, and are far above what a configuration of this program needs.
const (
	maxTokens = 200_000
	maxLevels = 100
	maxColumn = 1000 // of a token that opens a level in block style
)

// parse returns the root of the only document in data: nil if that is empty.
// What is wrong with the syntax is noted in the report, and ok is false.
func parse(file string, data []byte, r *report) (root ast.Node, ok bool) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if !utf8.Valid(data) {
		r.faultAt(invalidText(file, data), "want UTF-8 text")
		return nil, false
	}
	text := lineBreaks.Replace(string(data))
	tree, err := parseTree(text)
	if err != nil {
		syntaxFault(file, text, err, r)
		return nil, false
	}
	for i, doc := range tree.Docs {
		if i > 0 {
			r.faultAt(documentMark(file, doc), "want one document in a file: take the line --- out")
		}
	}
	if len(tree.Docs) == 0 {
		return nil, true
	}
	return tree.Docs[0].Body, true
}

// parseTree runs the YAML library, which was not written for hostile input: a
// panic in it is one more syntax error.
func parseTree(text string) (tree *ast.File, err error) {
	defer func() {
		if recover() != nil {
			tree, err = nil, errors.New("the YAML parser gave up")
		}
	}()
	tokens := lexer.Tokenize(text)
	if err := checkNesting(tokens); err != nil {
		return nil, err
	}
	// Duplicate keys are the walk's to report: here the first would hide all else.
	return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
}

// syntaxError is a fault of the bounds above, in the form that the parser's own
// errors have.
type syntaxError struct {
	message string
	at      *token.Token
}

func (e *syntaxError) Error() string          { return e.message }
func (e *syntaxError) GetMessage() string     { return e.message }
func (e *syntaxError) GetToken() *token.Token { return e.at }

func checkNesting(tokens token.Tokens) error {
	if len(tokens) > maxTokens {
		return &syntaxError{fmt.Sprintf("want at most %d words and signs in a file: part it with include", maxTokens), tokens[maxTokens]}
	}
	levels := 0
	for _, t := range tokens {
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			levels++
		case token.SequenceEndType, token.MappingEndType:
			levels--
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType, token.TagType, token.AnchorType:
			if levels <= 0 && t.Position.Column > maxColumn {
				levels = maxLevels + 1
			}
		}
		if levels > maxLevels {
			return &syntaxError{fmt.Sprintf("want at most %d levels of nesting", maxLevels), t}
		}
	}
	return nil
}

// located is an error of the parser that knows its token.
type located interface {
	error
	GetMessage() string
	GetToken() *token.Token
}

// syntaxFault notes err, at the place the parser gives. Inside a quoted text over
// several lines its column may lie beyond the line's end.
func syntaxFault(file, text string, err error, r *report) {
	at, message := mark{file: file, line: 1, column: 1}, "not YAML: "+err.Error()
	lines := strings.Split(text, "\n")
	if e, ok := errors.AsType[located](err); ok {
		at, message = tokenMark(file, e.GetToken()), "not YAML: "+e.GetMessage()
		at.line = min(at.line, len(lines))
		at.column = min(at.column, utf8.RuneCountInString(lines[at.line-1])+1)
	}
	if line := lines[at.line-1]; strings.Contains(line, "${") || strings.Contains(line, "]:") {
		message += "; a value with brackets or braces in it wants quotes"
	}
	r.faultAt(at, message)
}

func tokenMark(file string, t *token.Token) mark {
	if t == nil || t.Position == nil {
		return mark{file: file, line: 1, column: 1}
	}
	return mark{file: file, line: max(t.Position.Line, 1), column: max(t.Position.Column, 1)}
}

func documentMark(file string, doc *ast.DocumentNode) mark {
	if doc.Start == nil && doc.Body != nil {
		return nodeMark(file, doc.Body)
	}
	return tokenMark(file, doc.Start)
}

// invalidText returns where data stops being UTF-8.
func invalidText(file string, data []byte) mark {
	valid := 0
	for valid < len(data) {
		r, size := utf8.DecodeRune(data[valid:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		valid += size
	}
	before := lineBreaks.Replace(string(data[:valid]))
	last := before[strings.LastIndexByte(before, '\n')+1:]
	return mark{file: file, line: strings.Count(before, "\n") + 1, column: utf8.RuneCountInString(last) + 1}
}

// lineBreaks makes all of YAML's line breaks one: behind a comment the library
// takes CR LF for two, and every later position would be wrong.
var lineBreaks = strings.NewReplacer("\r\n", "\n", "\r", "\n")
