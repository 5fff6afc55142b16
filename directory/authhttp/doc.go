// Package authhttp asks the HTTP service that an nginx mail site already runs (the one its auth_http
// directive names) who owns a mailbox, and whether the password is right.
//
// It answers for: a request as nginx's ngx_mail_auth_http_module writes it, an answer read as
// strictly as a stranger's, several servers in their order, and that a login is asked about at most
// once. It keeps no answer. What a client hears, and which backend the address belongs to, is for others to say.
//
// Where it differs from nginx, and why:
//
//   - HTTP/1.1 with connections that are kept, instead of HTTP/1.0 and one for each login; so Host
//     has the port where it isn't the usual one, as HTTP/1.1 demands.
//   - Of a client's TLS nginx also tells Auth-SSL-Protocol, Auth-SSL-Cipher and what is known of a
//     client's certificate. Here it is only Auth-SSL.
//   - nginx doesn't look at the status. Here only 2xx is an answer: an error page of a web server
//     is no verdict on a password. Services that send Auth-Status with a 401 or 403 have to send 200, as
//     nginx's documentation shows it.
//   - nginx takes an answer without Auth-Status as a yes. Here it is none.
//   - Auth-User of an answer may not hold an opening brace: a directory's login is a template.
//     Without Auth-User the backend gets the form of the name that its own settings say.
//   - nginx takes an address as Auth-Server. Here a host name will do too; the directory
//     finds the backend that is called so.
//   - WAIT (ask again later) is told to the client as something temporary, since a login is
//     asked about once.
//   - Auth-Error-Code, which nginx obeys for SMTP only, tells the temporary (4xx) from the rest where
//     the text has no response code.
package authhttp
