package sql

import (
	"strings"
	"testing"

	"postern/pop3"
)

func TestPlaceIsWithoutWhoAsks(t *testing.T) {
	for _, test := range []struct{ driver, dsn, want string }{
		{"postgres", "postgres://anna:hunter2@192.0.2.1:5433/mail?sslmode=disable", "postgres at 192.0.2.1:5433, database mail"},
		{"postgres", "host=192.0.2.1 port=5433 user=bert password=hunter3 dbname=mail sslmode=disable", "postgres at 192.0.2.1:5433, database mail"},
		{"postgres", "postgres://anna:hunter2@192.0.2.1:5433,192.0.2.2:5433/mail?sslmode=disable", "postgres at 192.0.2.1:5433, 192.0.2.2:5433, database mail"},
		{"mysql", "anna:hunter2@tcp(192.0.2.1:3306)/mail?tls=true", "mysql at 192.0.2.1:3306, database mail"},
		{"mysql", "bert@tcp(192.0.2.1)/mail", "mysql at 192.0.2.1:3306, database mail"},
		{"mysql", "anna:hunter2@tcp(192.0.2.1:3306", ""},
		{"postgres", "postgres://anna:hunter2@[", ""},
		{"other", "anna:hunter2", ""},
	} {
		got := Options{Driver: test.driver, DSN: pop3.NewSecret([]byte(test.dsn))}.Place()
		if got != test.want || strings.Contains(got, "hunter") {
			t.Errorf("%s: %q, want %q", test.dsn, got, test.want)
		}
	}
}
