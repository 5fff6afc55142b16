package main

import (
	"fmt"
	"strings"

	"postern/pop3/maildrop"
)

// demoMail is what each user of the demo finds: a welcome, a message with what
// gateways get wrong (8-bit octets, lines that begin with a dot), and a large one.
func demoMail(address, guest string) []maildrop.Message {
	return []maildrop.Message{
		{UID: "welcome", Body: []byte(mail(address, guest, "Welcome to postern", welcome(guest)))},
		{UID: "dots", Body: []byte(mail(address, guest, "Dots and accents", dots))},
		{UID: "large", Body: []byte(mail(address, guest, "Two megabytes", large()))},
	}
}

func mail(address, guest, subject, body string) string {
	return fmt.Sprintf("From: Postmaster <postmaster@%s.example.com>\r\nTo: %s\r\nSubject: %s\r\n"+
		"Date: Thu, 01 Jan 2026 12:00:00 +0000\r\nMessage-ID: <%s.%s@example.com>\r\n"+
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n%s",
		guest, address, subject, strings.ReplaceAll(strings.ToLower(subject), " ", "-"), guest, body)
}

func welcome(guest string) string {
	return "This mailbox lives on " + guest + ".\r\n\r\n" +
		"You asked one address for it, and postern knew which guest to ask.\r\n" +
		"Edit the map file, and your next login goes elsewhere.\r\n"
}

const dots = "Grüße aus dem achten Bit: äöü ß € 漢字\r\n" +
	".\r\n" +
	"..\r\n" +
	".a line that begins with a dot\r\n" +
	"\r\n" +
	"The line before the last had a dot of its own:\r\n" +
	".\r\n" +
	"and the message goes on behind it.\r\n"

const largeSize = 2 << 20

func large() string {
	var b strings.Builder
	b.Grow(largeSize + 80)
	for n := 1; b.Len() < largeSize; n++ {
		fmt.Fprintf(&b, "%08d The quick brown fox jumps over the lazy dog.\r\n", n)
	}
	return b.String()
}
