package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"
)

// table is rows for people. Where nothing is known a cell has a dash.
type table struct{ rows [][]string }

func newTable(title ...string) *table { return &table{rows: [][]string{title}} }

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// write writes the rows below their title; without rows it writes nothing. On a terminal a
// line is cut where it ends: wrapped, a table can't be read.
func (t *table) write(out io.Writer) error {
	if len(t.rows) == 1 {
		return nil
	}
	var text bytes.Buffer
	columns := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, row := range t.rows {
		for i, cell := range row {
			if row[i] = clean(cell); row[i] == "" {
				row[i] = "-"
			}
		}
		_, _ = fmt.Fprintln(columns, strings.Join(row, "\t"))
	}
	_ = columns.Flush()
	width := widthOf(out)
	for line := range strings.Lines(text.String()) {
		if _, err := io.WriteString(out, cut(line, width)); err != nil {
			return err
		}
	}
	return nil
}

// screen gathers a picture for a terminal, so that it doesn't flicker.
type screen struct {
	bytes.Buffer
	width int
}

func widthOf(out io.Writer) int {
	if s, ok := out.(*screen); ok {
		return s.width
	}
	return terminalWidth(out)
}

// cut shortens a line with its end to a width in characters; 0 is no limit.
func cut(line string, width int) string {
	if width <= 0 || utf8.RuneCountInString(line) <= width+1 {
		return line
	}
	return string([]rune(line)[:width-1]) + "…\n"
}

// maxCell bounds a cell and a message in octets.
const maxCell = 400

// clean makes a text from elsewhere harmless for a terminal and for a table: what steers either, or
// turns the direction of writing, is a question mark.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co) || r == utf8.RuneError {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) <= maxCell {
		return text
	}
	return strings.ToValidUTF8(text[:maxCell], "") + "…"
}

// encode writes one JSON object as a line.
func encode(out io.Writer, v any) error { return json.NewEncoder(out).Encode(v) }

// span writes a duration with its two largest units: 3d4h, 12m5s.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	d = max(0, d).Truncate(time.Second)
	units := []struct {
		size time.Duration
		name string
	}{{day, "d"}, {time.Hour, "h"}, {time.Minute, "m"}}
	for i, u := range units {
		if d < u.size {
			continue
		}
		below, name := time.Second, "s"
		if i+1 < len(units) {
			below, name = units[i+1].size, units[i+1].name
		}
		return fmt.Sprintf("%d%s%d%s", d/u.size, u.name, d%u.size/below, name)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

// octets writes a number of octets as people read it.
func octets(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d", n)
	}
	value, unit := float64(n)/1024, 0
	for ; value >= 1024; unit++ {
		value /= 1024
	}
	return fmt.Sprintf("%.1f%ciB", value, units[unit])
}

// yesNo writes a truth.
func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
