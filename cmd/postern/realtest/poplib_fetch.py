"""Fetches all messages of a mailbox into files: HOST PORT USER FOLDER, password on stdin.

Two more arguments ask for TLS: implicit or stls, and the file of the authority.
"""

import pathlib
import poplib
import ssl
import sys

# poplib refuses lines above 2,048 octets. The messages have longer ones, which
# is their point: RFC 5322 forbids such lines, and users have them.
poplib._MAXLINE = 1 << 20

host, port, user, folder, *security = sys.argv[1:]
mode, authority = security or ("plain", None)
if mode == "implicit":
    context = ssl.create_default_context(cafile=authority)
    mailbox = poplib.POP3_SSL(host, int(port), context=context, timeout=60)
else:
    mailbox = poplib.POP3(host, int(port), timeout=60)
if mode == "stls":
    mailbox.stls(context=ssl.create_default_context(cafile=authority))
mailbox.user(user)
mailbox.pass_(sys.stdin.read())
count, _ = mailbox.stat()
for number in range(1, count + 1):
    _, lines, _ = mailbox.retr(number)
    text = b"".join(line + b"\n" for line in lines)
    (pathlib.Path(folder) / str(number)).write_bytes(text)
mailbox.quit()
