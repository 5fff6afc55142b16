package sql

import (
	"errors"
	"strings"
	"testing"

	"postern/directory"
)

// answerOf is what rows mean, the first of which names the columns.
func answerOf(rows ...[]string) (directory.Value, error) {
	a, err := newAnswer(rows[0])
	if err != nil {
		return directory.Value{}, err
	}
	for _, row := range rows[1:] {
		if err := a.add(func(column int) string { return row[column] }); err != nil {
			return directory.Value{}, err
		}
	}
	return a.result()
}

func TestAnswer(t *testing.T) {
	for _, test := range []struct {
		name string
		rows [][]string
		want directory.Value
	}{
		{"backend only", [][]string{{"backend"}, {"guest-01"}}, directory.Value{Backend: "guest-01"}},
		{"any order, any case, others", [][]string{{"x", "STATE", "Backend", "password", "login"}, {"1", "moving", "Guest-01", "p", "A{local}"}},
			directory.Value{Backend: "Guest-01", Login: "A{local}", State: directory.Moving}},
		{"empty and NULL", [][]string{{"login", "backend", "state"}, {"", "g", ""}}, directory.Value{Backend: "g"}},
		{"filled up", [][]string{{"backend", "login", "state"}, {"g   ", "l  ", "suspended "}}, directory.Value{Backend: "g", Login: "l", State: directory.Suspended}},
		{"twice the same", [][]string{{"backend", "other"}, {"g", "1"}, {"g", "2"}, {"g ", "3"}}, directory.Value{Backend: "g"}},
		{"as many as may be", append([][]string{{"backend"}}, repeat([]string{"g"}, maxRows)...), directory.Value{Backend: "g"}},
	} {
		if v, err := answerOf(test.rows...); err != nil || v != test.want {
			t.Errorf("%s: %+v, %v; want %+v", test.name, v, err, test.want)
		}
	}
	if _, err := answerOf([]string{"backend"}); !errors.Is(err, directory.ErrUnknown) {
		t.Errorf("no row: %v", err)
	}
}

func TestAnswerRefuses(t *testing.T) {
	for _, test := range []struct {
		name string
		rows [][]string
		want string
	}{
		{"no columns", [][]string{nil}, "no column named backend"},
		{"no backend", [][]string{{"login", "back_end"}}, "no column named backend"},
		{"two backends", [][]string{{"backend", "BACKEND"}}, "two columns named backend"},
		{"two states", [][]string{{"backend", "state", "State"}}, "two columns named state"},
		{"an empty backend", [][]string{{"backend"}, {""}}, "names no backend"},
		{"a blank backend", [][]string{{"backend", "login"}, {"  ", "l"}}, "names no backend"},
		{"a long backend", [][]string{{"backend"}, {strings.Repeat("b", maxBackend+1)}}, "longer than 512"},
		{"two backends", [][]string{{"backend"}, {"g"}, {"h"}}, "rows that differ"},
		{"one empty", [][]string{{"backend"}, {"g"}, {""}}, "rows that differ"},
		{"two logins", [][]string{{"backend", "login"}, {"g", "l"}, {"g", ""}}, "rows that differ"},
		{"two states", [][]string{{"backend", "state"}, {"g", ""}, {"g", "active"}, {"g", "moving"}}, "rows that differ"},
		{"backends in another case", [][]string{{"backend"}, {"g"}, {"G"}}, "rows that differ"},
		{"the last differs", append(append([][]string{{"backend"}}, repeat([]string{"g"}, maxRows-1)...), []string{"h"}), "rows that differ"},
		{"too many", append([][]string{{"backend"}}, repeat([]string{"g"}, maxRows+1)...), "more than 16 rows"},
		{"a state", [][]string{{"backend", "state"}, {"g", "Active"}}, `state "Active"`},
		{"a number as state", [][]string{{"backend", "state"}, {"g", "1"}}, `state "1"`},
		{"a login with CRLF", [][]string{{"backend", "login"}, {"g", "a\r\nb"}}, "control octets"},
		{"a long login", [][]string{{"backend", "login"}, {"g", strings.Repeat("l", 600)}}, "longer than"},
		{"a login with a place", [][]string{{"backend", "login"}, {"g", "{user}"}}, "only {local}"},
	} {
		if v, err := answerOf(test.rows...); err == nil || !strings.Contains(err.Error(), test.want) || v != (directory.Value{}) {
			t.Errorf("%s: %+v, %v; want %q", test.name, v, err, test.want)
		}
	}
}

func repeat(row []string, n int) [][]string {
	rows := make([][]string, n)
	for i := range rows {
		rows[i] = row
	}
	return rows
}
