package configs

import (
	"reflect"
	"testing"
)

// aPair is the section tls with one certificate.
const aPair = "tls: {certificates: [{cert: c.pem, key: k.pem}]}\n"

func TestLoadTLS(t *testing.T) {
	inFolder(t, map[string]string{"etc/postern.yaml": aSource + `tls:
  certificates: [{cert: a.pem, key: /k/a.key}, {dir: certs.d}]
  min_version: 1.3
  curves: [X25519, P-256, X25519MLKEM768, P-521, P-384]
  ticket_keys: run/tickets
listeners:
  - {address: h:1}
  - {address: h:2, tls: implicit, certificates: [{dir: /own}], min_version: 1.0, client_ca: ca.pem, client_auth: require}
`})
	c, err := Load("etc/postern.yaml")
	if err != nil {
		t.Fatal(err)
	}
	shared := []Certificate{{Cert: "etc/a.pem", Key: "/k/a.key"}, {Dir: "etc/certs.d"}}
	want := TLS{shared, "1.3", []Curve{CurveX25519, CurveP256, CurveX25519MLKEM768, CurveP521, CurveP384}, "etc/run/tickets"}
	if !reflect.DeepEqual(c.TLS, want) {
		t.Errorf("got  %+v\nwant %+v", c.TLS, want)
	}
	first, second := c.Listeners[0], c.Listeners[1]
	if first.TLS != "" || c.MinVersionFor(first) != TLS13 || !reflect.DeepEqual(c.CertificatesFor(first), shared) {
		t.Errorf("a listener that says nothing: %+v", first)
	}
	own := []Certificate{{Dir: "/own"}}
	if second.TLS != ListenerImplicit || c.MinVersionFor(second) != TLS10 || !reflect.DeepEqual(c.CertificatesFor(second), own) ||
		second.ClientCA != "etc/ca.pem" || second.ClientAuth != ClientAuthRequire {
		t.Errorf("a listener with settings of its own: %+v", second)
	}
}

func TestLoadTakesTLS(t *testing.T) {
	for name, text := range map[string]string{
		"empty for none":              minimal + "tls: {certificates: [], curves: [], ticket_keys: ''}\n",
		"a listener's empty keys":     aSource + "listeners: [{address: h:1, tls: '', certificates: [], min_version: '', client_ca: ''}]\n",
		"no certificate, plain":       aSource + "listeners: [{address: h:1, min_version: '1.1'}]\n",
		"implicit with its own":       aSource + "listeners: [{address: h:1, tls: implicit, certificates: [{dir: d}]}]\n",
		"implicit with all others'":   aSource + aPair + "listeners: [{address: h:1, tls: implicit}]\n",
		"client_ca, offered":          aSource + aPair + "listeners: [{address: h:1, client_ca: ca.pem}]\n",
		"an empty half of a pair":     minimal + "tls: {certificates: [{cert: '', dir: d}]}\n",
		"two listeners, one implicit": aSource + aPair + "listeners: [{address: h:1}, {address: h:2, tls: implicit}]\n",
	} {
		t.Run(name, func(t *testing.T) { mustLoad(t, text) })
	}
}

func TestFaultsOfTLS(t *testing.T) {
	const (
		curves  = "want X25519MLKEM768, X25519, P-256, P-384 or P-521"
		modern  = "want 1.2 or 1.3"
		version = "want 1.0, 1.1, 1.2 or 1.3"
	)
	listener := func(keys string) string { return aSource + "listeners:\n  - {address: h:1, " + keys + "}\n" }
	runFaults(t, []faultCase{
		value("tls", "min_version", `"1.1"`, `@: min_version: "1.1": `+modern+`; older ones only on a listener of its own, by the key min_version there`),
		value("tls", "min_version", "1.0", `@: min_version: "1.0": `+modern+`; older ones only on a listener`),
		value("tls", "min_version", "1.4", `@: min_version: "1.4": `+modern),
		value("tls", "min_version", "TLS1.2", `@: min_version: "TLS1.2": `+modern),
		value("tls", "min_version", `""`, `@: min_version: "": `+modern),
		value("tls", "curves", "X25519", "@: curves: a single value: want a list"),
		value("tls", "curves", "[P256]", `4:12: curves: "P256": `+curves+"; did you mean P-256?"),
		value("tls", "curves", "[P-256, x25519]", `4:19: curves: "x25519": `+curves+"; did you mean X25519?"),
		value("tls", "curves", "[P-256, X25519, P-256]", `4:27: curves: "P-256" stands here twice, first in postern.yaml:4: want it once`),
		value("tls", "ticket_keys", "[a]", "@: ticket_keys: a list: want a single value"),
		value("tls", "cert", "c.pem", `4:3: unknown key "cert" in tls`),
		{"listener's version", listener("min_version: '0.9'"), []string{`3:33: min_version: "0.9": ` + version}},
		{"listener's mode", listener("tls: stls"), []string{`3:25: tls: "stls": want implicit`}},
		{"listener's mode, none", listener("tls: none"), []string{`3:25: tls: "none": want implicit`}},
		{"implicit without certificates", listener("tls: implicit"), []string{`3:25: tls: "implicit": want certificates too, in this listener or in the section tls`}},
		{"the second implicit", aSource + "listeners:\n  - {address: h:1, tls: implicit, certificates: [{dir: d}]}\n  - {address: h:2, tls: implicit}\n", []string{`4:25: tls: "implicit": want certificates too`}},
		{"client_auth", listener("client_auth: always"), []string{`3:33: client_auth: "always": want offer or require`}},
		{"require without an authority", aPair + listener("client_auth: require"), []string{`4:33: client_auth: "require": want client_ca too`}},
		{"authority without certificates", listener("client_ca: ca.pem"), []string{`3:31: client_ca: "ca.pem": want certificates too`}},
		{"authority refused", aPair + listener("client_auth: require, client_ca: [x]"), []string{"4:53: client_ca: a list: want a single value"}},
		{"no follow-up of refused certificates", "tls:\n  certificates: c.pem\n" + listener("tls: implicit"), []string{"2:17: certificates: a single value: want a list"}},
		{"no follow-up of a refused section", "tls: c.pem\n" + listener("tls: implicit"), []string{"1:6: tls: a single value: want a mapping with the keys certificates, min_version, curves, ticket_keys"}},
		{"no follow-up of a listener's own", listener("tls: implicit, certificates: c.pem"), []string{"3:49: certificates: a single value: want a list"}},
	})
}

// TestFaultsOfCertificates: the same entries in each of the three places.
func TestFaultsOfCertificates(t *testing.T) {
	const form = "certificates: want cert and key, or dir alone, in each entry"
	for entry, want := range map[string]string{
		"{}":                           "6:9: " + form,
		"{cert: c}":                    "6:9: " + form,
		"{key: k}":                     "6:9: " + form,
		"{cert: c, dir: d}":            "6:9: " + form,
		"{key: k, dir: d}":             "6:9: " + form,
		"{cert: c, key: k, dir: d}":    "6:9: " + form,
		"{cert: c, key: ''}":           "6:9: " + form,
		"{dir: ''}":                    "6:9: " + form,
		"{cert: c, key: [k]}":          "6:24: key: a list: want a single value",
		`{dir: "d\0"}`:                 `6:15: dir: "d\x00": want the path of a file`,
		"{cert: ${T_NONE}, key: k}":    "6:17: not YAML: ",
		"{cert: '${T_NONE}', key: k}":  `6:16: cert: "${T_NONE}": the environment variable T_NONE is not set`,
		"{cert: c, key: k, chain: ch}": `6:27: unknown key "chain" in certificates (allowed: cert, key, dir)`,
		"c.pem":                        "6:9: certificates: a single value: want a mapping with the keys cert, key, dir",
		"":                             "6:7: certificates: want no empty entry in this list",
	} {
		entries := "    certificates:\n      - " + entry + "\n"
		runFaults(t, []faultCase{
			{"tls " + entry, minimal + "# three\ntls:\n" + entries, []string{want}},
			{"listener " + entry, aSource + "# two\nlisteners:\n  - address: h:1\n" + entries, []string{want}},
			{"admin " + entry, minimal + "admin:\n  tls:\n" + entries, []string{want}},
		})
	}
}
