// Package serve lets the rest of the mail system ask the directory: where mail has to be delivered so that
// POP3 will find it, and where an IMAP or submission session has to go.
//
// It answers for two protocols. Postfix and Sendmail ask by socketmap (socketmap.go), nginx's mail
// module by the HTTP requests of its auth_http directive (authhttp.go). Both get an answer from the
// directory alone: no backend is asked whether it is up, no password is looked at. Export writes the same
// answers into files, for sites that want them.
//
// Who asks is a server of the same site, and is believed: it hears who exists, at once. It is
// let in by a Unix socket's mode or by its address, and keeps to itself what strangers shall not learn.
// What the directory is made of, and when it is new, is not this package's business.
package serve
