"""A session of IMAPClient: folders, flags, IDLE woken by mail over SMTP, MOVE, and a body with an attachment.

Arguments: SMTP port, IMAP port, user, password.
"""

import smtplib
import sys
from email.message import EmailMessage

from imapclient import DELETED, FLAGGED, SEEN, IMAPClient

smtp, imap, user, password = sys.argv[1:]

with IMAPClient("127.0.0.1", port=int(imap), ssl=False) as client:
    client.login(user, password)
    for capability in (b"IDLE", b"UIDPLUS", b"MOVE", b"NAMESPACE", b"SPECIAL-USE"):
        assert client.has_capability(capability), capability
    assert client.id_({"name": "IMAPClient"})
    for flag, name in ((b"\\Sent", "Sent"), (b"\\Trash", "Trash"), (b"\\Junk", "Junk")):
        assert client.find_special_folder(flag) == name
    client.create_folder("Entwürfe 日本語/unter")
    assert client.folder_exists("Entwürfe 日本語/unter")
    client.subscribe_folder("Entwürfe 日本語/unter")
    assert "Entwürfe 日本語/unter" in [f[2] for f in client.list_sub_folders()]

    chosen = client.select_folder("INBOX")
    assert chosen[b"EXISTS"] == 0
    client.idle()
    message = EmailMessage()
    message["From"] = "sender@client.example"
    message["To"] = user
    message["Subject"] = "Größe"
    message.set_content("text")
    message.add_attachment(bytes(range(256)) * 100, maintype="application", subtype="octet-stream", filename="ä.bin")
    with smtplib.SMTP("127.0.0.1", int(smtp)) as s:
        s.send_message(message)
    seen = []
    while (1, b"EXISTS") not in seen:
        answer = client.idle_check(timeout=20)
        assert answer, "IDLE did not wake"
        seen += answer
    client.idle_done()

    (uid,) = client.search(["UNSEEN", "SUBJECT", "Größe"], charset="UTF-8")
    data = client.fetch([uid], ["ENVELOPE", "BODYSTRUCTURE", "FLAGS", "INTERNALDATE", "RFC822.SIZE", "BODY.PEEK[2]"])[uid]
    assert data[b"ENVELOPE"].from_[0].mailbox == b"sender"
    assert data[b"BODYSTRUCTURE"].is_multipart
    import base64

    assert base64.b64decode(data[b"BODY[2]"]) == bytes(range(256)) * 100
    client.add_flags([uid], [FLAGGED, "$Work"])
    assert set(client.get_flags([uid])[uid]) >= {FLAGGED, b"$Work"}
    client.fetch([uid], ["BODY[1]"])
    assert SEEN in client.get_flags([uid])[uid]
    client.copy([uid], "Entwürfe 日本語/unter")
    client.move([uid], "Archive")
    assert client.search() == []
    assert client.folder_status("Archive", ["MESSAGES", "UNSEEN"]) == {b"MESSAGES": 1, b"UNSEEN": 0}
    client.unselect_folder()
    client.select_folder("Archive")
    (uid,) = client.search()
    client.set_flags([uid], [DELETED])
    client.uid_expunge([uid])
    assert client.search() == []
    client.rename_folder("Entwürfe 日本語", "Neu")
    assert client.folder_exists("Neu/unter")
    client.delete_folder("Neu/unter")
print("fine")
