//! T11, W21 to W31: conditions on what a message says, counted in the monitor's folder.

use super::super::smtp::dot_stuffed;
use super::acme::{Acme, CLIENT};
use super::replies::{MAIL_OK, OK};
use super::row::{Row, deliveries, row, run, say};

/// Everybody's mail is copied to erin's folder `m` if all of these hold.
fn when(conditions: &str) -> String {
    rule(&format!("conditions = [{conditions}]\n"))
}

fn rule(more: &str) -> String {
    format!(
        "[[rule]]\nname = \"rule\"\nscope = \"everyone\"\n{more}actions = [{{ copy = {{ monitor = \
         \"erin@corp.test\", folder = \"m\" }} }}]\n"
    )
}

fn keyword(place: &str, values: &str) -> String {
    format!("{{ keyword = {{ places = [\"{place}\"], values = [{values}] }} }}")
}

const FROM_EXT: &str = "{ sender = [\"*@ext.test\"] }";
const FROM_PAM: &str = "{ sender = [\"pam@partner.test\"] }";
const LARGE: &str = "{ size = { min = \"1 MiB\", max = \"5 MiB\" } }";
const ATTACHED: &str = "\"has-attachment\"";

/// HTML in UTF-16: `<p>pl&#97;n</p>`.
const UTF16: (&str, &str) = (
    "MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-16\r\nContent-Transfer-Encoding: base64\r\n",
    "PABwAD4AcABsACYAIwA5ADcAOwBuADwALwBwAD4A\r\n",
);
/// A name in three parts, two of them encoded.
const NAMED: (&str, &str) = (
    "MIME-Version: 1.0\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment;\r\n \
     filename*0*=utf-8''%E6%9C%BA;\r\n filename*1*=%E5%AF%86%20;\r\n filename*2=\"plan.pdf\"\r\n",
    "x\r\n",
);
const INLINE: (&str, &str) = (
    "MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=b\r\n",
    "--b\r\nContent-Type: text/html\r\n\r\n<img src=\"cid:logo@x\">\r\n--b\r\nContent-Type: image/png; \
     name=logo.png\r\nContent-Disposition: inline\r\nContent-ID: <logo@x>\r\n\r\nx\r\n--b--\r\n",
);
const SMIME: (&str, &str) =
    ("MIME-Version: 1.0\r\nContent-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n", "secret\r\n");

/// stranger to bob, with this rule and these fields and text.
fn to_bob(id: &'static str, rule: &str, (fields, body): (&str, &str)) -> Row {
    row(id).setup(rule).header(fields).body(body).rcpt("bob", OK)
}

#[test]
fn conditions_look_into_messages() {
    let plain = |text: &'static str| ("", text);
    let matched = |row: Row| row.got(&["bob", "erin:m"]);
    let not = |row: Row| row.got(&["bob"]);
    let (secret, full_width) = (keyword("body", "\"secret\""), keyword("body", "\"ＡＢＣ\""));
    let two = keyword("body", "\"x\", \"y\"");
    let subject = keyword("subject", "\"机密\"");
    let name = keyword("attachment-name", "\"机密 plan\"");
    let plan = keyword("body", "\"PLAN\"");
    let either = |exceptions: &str| rule(&format!("conditions = [{FROM_EXT}]\nexceptions = [{exceptions}]\n"));
    let mut acme = Acme::start();
    let rows = vec![
        matched(to_bob("W23", &when(&subject), plain("Hello.\r\n")).subject("=?GB18030?B?u/rD3A==?=")),
        not(to_bob("W23, another subject", &when(&subject), plain("Hello.\r\n")).subject("=?GB18030?B?xOO6ww==?=")),
        matched(to_bob("W24", &when(&plan), UTF16)),
        not(to_bob("W24, markup is no text", &when(&keyword("body", "\"<p>\"")), UTF16)),
        matched(to_bob("W25", &when(&name), NAMED)),
        matched(to_bob("W26", &when(&full_width), plain("the abc text\r\n"))),
        not(to_bob("W27", &when(ATTACHED), INLINE)),
        matched(to_bob("W27, attached", &when(ATTACHED), NAMED)),
        not(to_bob("W28", &when(&secret), SMIME)),
        matched(to_bob("W28, by its sender", &when(FROM_EXT), SMIME)),
        matched(to_bob("W28, not encrypted", &when(&secret), plain("secret\r\n"))),
        not(to_bob("W29", &when(&format!("{FROM_EXT}, {LARGE}")), plain("Hello.\r\n"))),
        matched(to_bob("W29, both true", &when(&format!("{FROM_EXT}, {secret}")), plain("secret\r\n"))),
        matched(to_bob("W30", &when(&two), plain("why\r\n"))),
        not(to_bob("W30, neither", &when(&two), plain("no\r\n"))),
        not(to_bob("W31", &either(&format!("{FROM_PAM}, {FROM_EXT}")), plain("Hello.\r\n"))),
        matched(to_bob("W31, neither", &either(FROM_PAM), plain("Hello.\r\n"))),
    ];
    run(&mut acme, rows);
    sizes(&acme);
}

/// W21 and W22: to the octet.
fn sizes(acme: &Acme) {
    acme.apply(&when(LARGE));
    for (id, size, wanted) in [
        ("W21", 1 << 20, &["bob"][..]),
        ("W22", (1 << 20) + 1, &["bob", "erin:m"]),
        ("W22, less than the bound", (5 << 20) - 1, &["bob", "erin:m"]),
        ("W22, the bound", 5 << 20, &["bob"]),
    ] {
        let mut smtp = acme.host(CLIENT);
        assert_eq!(say(&mut smtp, "MAIL FROM:<stranger@ext.test>"), MAIL_OK, "{id}");
        assert_eq!(say(&mut smtp, "RCPT TO:<bob@corp.test>"), OK, "{id}");
        smtp.command("DATA", 354);
        smtp.wire.send(&dot_stuffed(&of_size(size)));
        let reply = smtp.expect(250);
        let message = reply.lines[0].trim_start_matches("2.0.0 Accepted ").to_owned();
        let mut got = deliveries(acme, &message);
        got.sort();
        assert_eq!(got, wanted, "{id}");
    }
    acme.reset();
}

/// A message of exactly so many octets.
fn of_size(octets: usize) -> Vec<u8> {
    let mut message = b"From: stranger@ext.test\r\nTo: bob@corp.test\r\nSubject: size\r\n\r\n".to_vec();
    while octets - message.len() > 80 {
        message.extend_from_slice(&[b'x'; 62]);
        message.extend_from_slice(b"\r\n");
    }
    let rest = octets - message.len() - 2;
    message.extend(std::iter::repeat_n(b'y', rest));
    message.extend_from_slice(b"\r\n");
    assert_eq!(message.len(), octets);
    message
}
