package main

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/configs"
)

func fileSource(path string) configs.Source {
	return configs.Source{Type: configs.SourceFile, Path: configs.Path(path)}
}

func TestEverySourceHasANameOfItsOwn(t *testing.T) {
	named := fileSource("/c/users.map")
	named.Name = "file:mail.map"
	consul := func(address, prefix, datacenter string) configs.Source {
		return configs.Source{
			Type: configs.SourceConsul, Address: configs.Text(address), Prefix: configs.Text(prefix), Datacenter: configs.Text(datacenter),
		}
	}
	for name, test := range map[string]struct {
		section configs.Directory
		want    []string // sources, then shadows; a name that ends in * begins so
	}{
		"one": {configs.Directory{Sources: []configs.Source{fileSource("/a/x.map")}}, []string{"file:x.map"}},
		"a source and a shadow": {
			configs.Directory{Sources: []configs.Source{fileSource("/a/x.map")}, Shadow: []configs.Source{fileSource("/b/x.map")}},
			[]string{"file:/a/x.map", "file:/b/x.map"},
		},
		"one place twice": {
			configs.Directory{Sources: []configs.Source{fileSource("/a/x.map")}, Shadow: []configs.Source{fileSource("/a/x.map")}},
			[]string{"file:/a/x.map:*", "file:/a/x.map:*"},
		},
		"one that is called so": {
			configs.Directory{Sources: []configs.Source{fileSource("/a/mail.map"), named}}, []string{"file:/a/mail.map", "file:mail.map"},
		},
		"two datacenters": {
			configs.Directory{Sources: []configs.Source{consul("", "p", "one"), consul("", "p", "two"), consul("a:1", "p", "")}},
			[]string{"consul:/p:*", "consul:/p:*", "consul:a:1/p"},
		},
	} {
		sources, shadow := nameSources(test.section)
		got := slices.Concat(sources, shadow)
		unique := slices.Compact(slices.Sorted(slices.Values(got)))
		matches := func(got, want string) bool {
			start, open := strings.CutSuffix(want, "*")
			return got == want || open && strings.HasPrefix(got, start)
		}
		if !slices.EqualFunc(got, test.want, matches) || len(unique) != len(got) || len(sources) != len(test.section.Sources) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

// A name is printed, logged and exported. What a URL holds besides its host is for the server only.
func TestNoNameHoldsASecret(t *testing.T) {
	var list []configs.Source
	for _, u := range []string{"http://anna:hunter2@192.0.2.1:9000/hunter2?key=hunter2", "http://anna:hunter2@%zz/hunter2"} {
		s := configs.Source{Type: configs.SourceAuthHTTP, URLs: []configs.Text{configs.Text(u)}}
		list = append(list, s, s)
		consul := configs.Source{Type: configs.SourceConsul, Address: configs.Text(u), Prefix: "p"}
		list = append(list, consul, consul)
	}
	at := configs.Source{Type: configs.SourceConsul, Address: "anna:hunter2@192.0.2.1:8500", Prefix: "p"}
	list = append(list, at, at)
	for i := range list {
		alone, _ := nameSources(configs.Directory{Sources: list[i : i+1]})
		if strings.Contains(alone[0], "hunter2") {
			t.Errorf("alone: %s", alone[0])
		}
	}
	names, _ := nameSources(configs.Directory{Sources: list})
	if text := strings.Join(names, " "); strings.Contains(text, "hunter2") || !strings.Contains(text, "http://192.0.2.1:9000") {
		t.Errorf("together: %s", text)
	}
}

// othersKeep are the keys by which a source stays the same one: how it is reached, how patiently, and for how long
// answers are kept. The names are the fields'.
var othersKeep = []string{
	"Name", "Token", "DSN", "BindPassword", "Listen", "Headers", "TLS", "StartTLS", "Timeout", "Connections",
	"Interval", "Cache", "TTL", "NegativeTTL", "Stale",
}

func TestFingerprintIsOfThePlaceAndTheQuestion(t *testing.T) {
	s := configs.Source{Type: configs.SourceLDAP, URLs: []configs.Text{"ldap://192.0.2.1"}, Mode: configs.LDAPFollow}
	before := fingerprint(s, "example.com")
	for i := range reflect.TypeFor[configs.Source]().NumField() {
		changed := s
		field := reflect.ValueOf(&changed).Elem().Field(i)
		name := reflect.TypeFor[configs.Source]().Field(i).Name
		if name == "Type" {
			continue
		}
		change(t, field)
		if same := fingerprint(changed, "example.com") == before; same != slices.Contains(othersKeep, name) {
			t.Errorf("with another %s: the same source: %v", name, same)
		}
	}
	if fingerprint(s, "example.org") == before {
		t.Error("with another default domain it is the same source")
	}
}

// change gives a field another value.
func change(t *testing.T, field reflect.Value) {
	t.Helper()
	switch field.Interface().(type) {
	case configs.Secret:
		field.Set(reflect.ValueOf(configs.NewSecret("hunter2")))
	case []configs.Header:
		field.Set(reflect.ValueOf([]configs.Header{{Name: "X"}}))
	case []configs.Text:
		field.Set(reflect.ValueOf([]configs.Text{"ldap://192.0.2.2"}))
	case configs.ClientTLS:
		field.Set(reflect.ValueOf(configs.ClientTLS{InsecureSkipVerify: true}))
	case time.Duration, int:
		field.SetInt(field.Int() + 1)
	case bool:
		field.SetBool(true)
	default:
		if field.Kind() != reflect.String {
			t.Fatalf("a field of type %v", field.Type())
		}
		field.SetString(field.String() + "x")
	}
}

// A database is another one with another host or name, and the same for another user.
func TestFingerprintOfADatabase(t *testing.T) {
	of := func(dsn string) string {
		return fingerprint(configs.Source{
			Type: configs.SourceSQL, Driver: configs.DriverPostgres, Query: "SELECT 1", DSN: configs.NewSecret(dsn),
		}, "")
	}
	same := of("postgres://anna:one@192.0.2.1/mail?sslmode=disable")
	if same != of("postgres://bert:two@192.0.2.1/mail?sslmode=disable") {
		t.Error("another user is another database")
	}
	for _, other := range []string{"postgres://anna:one@192.0.2.2/mail?sslmode=disable", "postgres://anna:one@192.0.2.1/other?sslmode=disable"} {
		if same == of(other) {
			t.Errorf("%s is the same database", other)
		}
	}
}
