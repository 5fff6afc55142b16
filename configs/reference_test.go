package configs

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// samples holds what reference.yaml must name although it has no default: only
// these keys, with the same values. Whatever else the reference says is thus
// compared with what one gets by leaving it out.
const samples = `listeners: [{address: "127.0.0.1:1110", certificates: [{cert: cert.pem, key: key.pem}, {dir: certs.d}]}]
tls: {certificates: [{cert: cert.pem, key: key.pem}, {dir: certs.d}]}
limits: {per_network: [{networks: [192.0.2.0/24], sessions: 500}]}
directory:
  sources:
    - {type: file, name: map, path: mailboxes.map}
    - {type: consul, address: "127.0.0.1:8500", prefix: postern/directory, token: "${POSTERN_ANNA}"}
    - {type: sql, driver: postgres, dsn: "${POSTERN_ANNA}", query: "SELECT backend, login FROM mailbox WHERE address = $1"}
    - {type: ldap, urls: "ldaps://ldap1.example.com", base: "ou=people,dc=example,dc=com", filter: "(mail={address})",
       backend: mailHost, bind_password: "${POSTERN_ANNA}"}
    - {type: auth_http, urls: "http://127.0.0.1:9000/auth", headers: [{name: X-Auth-Key, value: "${POSTERN_ANNA}"}]}
  socketmap: [{address: "127.0.0.1:9112"}]
  auth_http: [{address: "127.0.0.1:9113", key: "${POSTERN_ANNA}"}]
backends:
  defaults: {probe_user: probe, probe_password: "${POSTERN_ANNA}"}
  static: [{name: guest-01, address: "127.0.0.11:110", tls: implicit, ca: guests.pem}]
  consul: {service: pop3, token: "${POSTERN_ANNA}"}
  refusals: [{match: "(?i)mailbox is busy", code: IN-USE}]
admin:
  tls: {certificates: [{cert: cert.pem, key: key.pem}, {dir: certs.d}]}
  tokens: [{name: anna, role: viewer, token: "${POSTERN_ANNA}"}]
`

// setSampleToken sets what the reference takes from the environment: a token that
// stood in it would be copied into a gateway.
func setSampleToken(t *testing.T) { t.Setenv("POSTERN_ANNA", sampleToken) }

const sampleToken = "0123456789abcdef"

func TestReferenceEqualsDefaults(t *testing.T) {
	setSampleToken(t)
	reference := mustLoad(t, string(Reference()))
	left := mustLoad(t, samples)
	reference.marks, left.marks = nil, nil
	if !reflect.DeepEqual(reference, left) {
		t.Errorf("got  %+v\nwant %+v", reference, left)
	}
	// What is no sample is the default itself.
	reference.Listeners, reference.Directory.Sources = nil, nil
	reference.Directory.Socketmap, reference.Directory.AuthHTTP = nil, nil
	reference.Backends.Static, reference.Backends.Refusals = nil, nil
	reference.Backends.Defaults.ProbeUser, reference.Backends.Defaults.ProbePassword = "", Secret{}
	reference.Backends.Consul.Service, reference.Backends.Consul.Token = "", Secret{}
	reference.TLS.Certificates, reference.Limits.PerNetwork = nil, nil
	reference.Admin.TLS.Certificates, reference.Admin.Tokens = nil, nil
	if want := Default(); !reflect.DeepEqual(*reference, want) {
		t.Errorf("got  %+v\nwant %+v", *reference, want)
	}
}

// schema lists every key of a section, without indexes.
func schema(section reflect.Type, path string) []string {
	var list []string
	for _, f := range fieldsOf(section) {
		key, t := join(path, f.key), section.FieldByIndex(f.index).Type
		list = append(list, key)
		if !isScalar(t) && t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if !isScalar(t) && key != "directory.shadow" { // whose keys are those of sources
			list = append(list, schema(t, key)...)
		}
	}
	return list
}

func TestReferenceNamesEveryKey(t *testing.T) {
	setSampleToken(t)
	c := mustLoad(t, string(Reference())) // a key that Config lacks fails here
	named := map[string]bool{}
	for path := range c.marks {
		named[withoutIndexes(path)] = true
	}
	for _, key := range schema(reflect.TypeFor[Config](), "") {
		if !named[key] {
			t.Errorf("reference.yaml lacks %s", key)
		}
		delete(named, key)
	}
	delete(named, "")
	for key := range named {
		t.Errorf("reference.yaml has %s, which Config lacks", key)
	}
}

func withoutIndexes(path string) string {
	var out strings.Builder
	for part := range strings.SplitSeq(path, "]") {
		before, _, _ := strings.Cut(part, "[")
		out.WriteString(before)
	}
	return out.String()
}

// TestReferenceRefusesUnknownKey shows that the test above can fail.
func TestReferenceRefusesUnknownKey(t *testing.T) {
	setSampleToken(t)
	_, err := loadText(t, string(Reference())+"  colour: true\n")
	if err == nil || !strings.Contains(err.Error(), `unknown key "colour" in log`) {
		t.Errorf("got %v", err)
	}
	if !slices.Contains(schema(reflect.TypeFor[Config](), ""), "backends.static.login") {
		t.Error("the schema leaves out embedded keys")
	}
}

func TestReferenceSaysWhy(t *testing.T) {
	for i, line := range strings.Split(strings.TrimSpace(string(Reference())), "\n") {
		section := strings.HasSuffix(line, ":") // its keys say why
		if line != "" && !section && !strings.Contains(line, "# ") && line != "#" {
			t.Errorf("line %d has no comment: %s", i+1, line)
		}
	}
}

func TestReferenceIsACopy(t *testing.T) {
	first := Reference()
	first[0] = 'x'
	file, err := os.ReadFile("reference.yaml")
	if err != nil || !slices.Equal(Reference(), file) {
		t.Errorf("a caller changed the reference, or it is not the file: %v", err)
	}
}

// TestTagsAreSound: a tag's text can be read as its key's type, whatever default
// or bound a load happens to meet.
func TestTagsAreSound(t *testing.T) {
	checkTags(t, reflect.TypeFor[Config]())
}

func checkTags(t *testing.T, section reflect.Type) {
	for _, f := range fieldsOf(section) {
		typ := section.FieldByIndex(f.index).Type
		if !isScalar(typ) && typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if !isScalar(typ) {
			checkTags(t, typ)
			continue
		}
		for _, tag := range []string{"default", "min", "above", "max"} {
			for word := range strings.FieldsSeq(f.tag.Get(tag)) {
				v := reflect.New(typ).Elem()
				if err := convert(word, v); err != nil {
					t.Errorf("%s.%s: tag %s:%q: %v", section, f.key, tag, word, err)
				} else if err := checkBounds(v, f); tag == "default" && err != nil {
					t.Errorf("%s.%s: default %q: %v", section, f.key, word, err)
				}
			}
		}
		if err := convert("1", reflect.New(typ).Elem()); err != nil && strings.Contains(err.Error(), "can read") {
			t.Errorf("%s.%s: no value has type %s", section, f.key, typ)
		}
	}
}
