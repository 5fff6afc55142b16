"""Fetches all messages of a mailbox into files: HOST PORT USER FOLDER, password on stdin."""

import pathlib
import poplib
import sys

# poplib refuses lines above 2,048 octets. The messages have longer ones, which
# is their point: RFC 5322 forbids such lines, and users have them.
poplib._MAXLINE = 1 << 20

host, port, user, folder = sys.argv[1:]
mailbox = poplib.POP3(host, int(port), timeout=60)
mailbox.user(user)
mailbox.pass_(sys.stdin.read())
count, _ = mailbox.stat()
for number in range(1, count + 1):
    _, lines, _ = mailbox.retr(number)
    text = b"".join(line + b"\n" for line in lines)
    (pathlib.Path(folder) / str(number)).write_bytes(text)
mailbox.quit()
