"""smtplib and imaplib of the standard library: a message in over each way, and out again.

Arguments: certificate, SMTP port, submission port, submissions port, IMAP port, IMAPS port, user, password.
"""

import imaplib
import smtplib
import ssl
import sys
from email.message import EmailMessage

certificate, smtp, submission, submissions, imap, imaps, user, password = sys.argv[1:]
context = ssl.create_default_context(cafile=certificate)
context.check_hostname = False


def message(subject):
    m = EmailMessage()
    m["From"] = user
    m["To"] = user
    m["Subject"] = subject
    m.set_content("Grüße, Welt\n.\n..\nend\n")
    return m


with smtplib.SMTP("127.0.0.1", int(smtp)) as s:
    s.send_message(message("plain"))
    s.starttls(context=context)
    s.send_message(message("starttls"))
    try:
        s.sendmail("a@client.example", ["b@elsewhere.example"], b"Subject: relay\r\n\r\nx\r\n")
        raise SystemExit("relayed")
    except smtplib.SMTPRecipientsRefused as refused:
        assert refused.recipients["b@elsewhere.example"][0] == 550, refused

with smtplib.SMTP("127.0.0.1", int(submission)) as s:
    s.starttls(context=context)
    s.login(user, password)
    s.send_message(message("submission"))

with smtplib.SMTP_SSL("127.0.0.1", int(submissions), context=context) as s:
    s.login(user, password)
    s.send_message(message("submissions"))
    refused = False
    try:
        smtplib.SMTP_SSL("127.0.0.1", int(submissions), context=context).login(user, "wrong")
    except smtplib.SMTPAuthenticationError:
        refused = True
    assert refused


def ok(answer):
    assert answer[0] == "OK", answer
    return answer[1]


with imaplib.IMAP4("127.0.0.1", int(imap)) as i:
    i.starttls(ssl_context=context)
    ok(i.login(user, password))
    ok(i.select("INBOX"))
    numbers = ok(i.search(None, "ALL"))[0].split()
    assert len(numbers) == 4, numbers
    subjects = []
    for n in numbers:
        data = ok(i.fetch(n, "(BODY.PEEK[])"))
        import email
        import email.policy

        m = email.message_from_bytes(data[0][1], policy=email.policy.default)
        subjects.append(m["Subject"])
        assert m.get_content().splitlines() == ["Grüße, Welt", ".", "..", "end"], m.get_content()
        assert m["Return-Path"] == f"<{user}>", m["Return-Path"]
    assert subjects == ["plain", "starttls", "submission", "submissions"], subjects
    ok(i.store("1", "+FLAGS", r"(\Deleted)"))
    assert ok(i.expunge()) == [b"1"]

with imaplib.IMAP4_SSL("127.0.0.1", int(imaps), ssl_context=context) as i:
    ok(i.authenticate("PLAIN", lambda _: b"\0" + user.encode() + b"\0" + password.encode()))
    ok(i.create("Prüfung".encode("utf-7").decode().replace("+", "&")))
    ok(i.append("INBOX", r"(\Seen)", imaplib.Time2Internaldate(1700000000), b"Subject: appended\r\n\r\nx\r\n"))
    ok(i.select("INBOX"))
    assert ok(i.uid("SEARCH", "SUBJECT", "appended"))[0] == b"5"
    assert b"\\Seen" in ok(i.uid("FETCH", "5", "(FLAGS)"))[0]
    ok(i.uid("COPY", "5", "Archive"))
    ok(i.status("Archive", "(MESSAGES)"))
    ok(i.namespace())
    ok(i.list())
    ok(i.lsub())
    ok(i.unselect())
print("fine")
