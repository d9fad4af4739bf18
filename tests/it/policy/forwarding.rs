//! T8: forwards.

use super::acme::{Acme, CLIENT};
use super::replies::{LOOP, OK, USER_UNKNOWN};
use super::row::{Row, auth, play, row, run, say};

/// An account as the fixture has it (departments do not matter here), with this forward.
fn forward(user: &str, targets: &str, keep: bool) -> String {
    format!("[[account]]\naddress = \"{user}@corp.test\"\nforward = {{ targets = [{targets}], keep = {keep} }}\n")
}

fn to(name: &str) -> String {
    format!("\"{name}@corp.test\"")
}

/// stranger to alice.
fn to_alice(id: &'static str) -> Row {
    row(id).rcpt("alice", OK)
}

/// An admin's forward of alice's mail to pam.
const TO_PAM: &str =
    "[[account]]\naddress = \"alice@corp.test\"\nadmin_forward = { targets = [\"pam@partner.test\"] }\n";

/// How the reverse-path of stranger looks behind alice's forward.
const REWRITTEN: &str = "SRS0=";

#[test]
fn forwards_go_where_they_may_and_lose_nothing() {
    let hank = forward("alice", &to("hank"), false);
    let junk = "[[rule]]\nname = \"junk\"\nscope = [\"alice@corp.test\"]\nactions = [\"junk\"]\n";
    let denied = format!(
        "[[organisation]]\nname = \"acme\"\nexternal_forward = \"deny\"\n{}",
        forward("alice", "{ to = \"pam@partner.test\", confirmed = true }", false)
    );
    let unconfirmed = format!(
        "[[organisation]]\nname = \"acme\"\nexternal_forward = \"allow\"\n{}",
        forward("alice", "\"pam@partner.test\"", false)
    );
    let confirmed = unconfirmed.replace("\"pam@partner.test\"", "{ to = \"pam@partner.test\", confirmed = true }");
    let concealed = "[[account]]\naddress = \"alice@corp.test\"\nforward = { targets = [\"bob@corp.test\"] }\nadmin_forward = \
                     { targets = [\"erin@corp.test\"], concealed = true }\n";
    let people = ["alice", "bob", "carol", "dave", "erin", "gina@branch.test", "admin"];
    let chain: String = people
        .windows(2)
        .map(|pair| {
            let full = super::acme::full;
            format!(
                "[[account]]\naddress = \"{}\"\n{}forward = {{ targets = [\"{}\"], keep = false }}\n",
                full(pair[0]),
                if pair[0] == "admin" { "admin = true\n" } else { "" },
                full(pair[1])
            )
        })
        .collect();
    let received = "Received: from a.test by b.test; Sun, 22 Nov 2026 08:00:00 +0000\r\n".repeat(51);
    let mut acme = Acme::start();
    let rows = vec![
        to_alice("F01").setup(&forward("alice", &to("dave"), true)).got(&["alice", "dave"]),
        to_alice("F02").setup(&forward("alice", &to("dave"), false)).got(&["dave"]),
        to_alice("F03").setup(TO_PAM).got(&["alice"]).out("pam@partner.test", REWRITTEN),
        to_alice("F04").setup(TO_PAM).mail("").got(&["alice"]).out("pam@partner.test", ""),
        to_alice("F06").setup(&denied).got(&["alice"]),
        to_alice("F07").setup(&unconfirmed).got(&["alice"]),
        to_alice("F07, confirmed").setup(&confirmed).out("pam@partner.test", REWRITTEN),
        to_alice("F08")
            .setup(&forward("alice", &to("bob"), false))
            .setup(&forward("bob", &to("alice"), false))
            .got(&["bob"]),
        to_alice("F09")
            .setup(&forward("alice", &to("dave"), false))
            .header("Delivered-To: alice@corp.test\r\n")
            .got(&["alice"]),
        to_alice("F10").header(&received).end(LOOP),
        row("F11").setup(&forward("bob", &to("g-mem"), false)).rcpt("bob", OK).got(&["bob"]),
        to_alice("F12").setup(&forward("alice", &to("g-mem"), false)).got(&["alice", "carol"]),
        to_alice("F13").setup(&forward("alice", &to("dave"), false)).setup(junk).got(&["alice:Junk"]),
        row("F16").mail("").rcpt("SRS0=AAAAAAAA=AB=ext.test=stranger@corp.test", USER_UNKNOWN),
        to_alice("F19").setup(concealed).got(&["alice", "bob", "erin"]),
        to_alice("F20").setup(&chain).got(&["gina@branch.test"]),
        to_alice("F23").setup(&forward("alice", &to("frank"), false)).got(&["alice"]),
        to_alice("F24").setup(&hank).got(&["alice"]),
        // What an insider writes reaches hank through the same forward.
        auth("F24, from inside", "bob").setup(&hank).rcpt("alice", OK).got(&["hank"]),
    ];
    run(&mut acme, rows);

    let settings = acme.get("/accounts/alice@corp.test");
    assert!(settings.get("forward").is_none(), "the fixture is back: {settings}");
}

#[test]
fn rewritten_addresses_take_bounces_alone() {
    let mut acme = Acme::start();
    acme.apply(TO_PAM);
    let long = "stranger-with-a-very-long-name-of-his-own-and-more@ext.test";
    for (id, mail) in [("F03", "stranger@ext.test"), ("F22", long)] {
        let row = super::row::keep(&mut acme, &to_alice(id).mail(mail).got(&["alice"]).out("pam@partner.test", "SRS"));
        assert_eq!(row.faults, Vec::<String>::new(), "{id}");
        let rewritten = super::row::queued(&acme, &row.message.expect("accepted"))[0].1.clone();
        let (local, domain) = rewritten.rsplit_once('@').expect("an address");
        assert!(local.len() <= 64 && domain == "corp.test", "{id}: {rewritten}");

        let mut nobody = acme.host(CLIENT);
        nobody.command("MAIL FROM:<>", 250);
        assert_eq!(say(&mut nobody, &format!("RCPT TO:<{rewritten}>")), OK, "{id}: a bounce resolves");
        let other = rewritten.replacen("SRS0=", "SRS0=X", 1);
        assert_eq!(say(&mut nobody, &format!("RCPT TO:<{other}>")), USER_UNKNOWN, "F16: {other}");
        let mut stranger = acme.host(CLIENT);
        stranger.command("MAIL FROM:<stranger@ext.test>", 250);
        assert_eq!(say(&mut stranger, &format!("RCPT TO:<{rewritten}>")), USER_UNKNOWN, "F17");
    }
    acme.reset();
    assert!(play(&mut acme, &to_alice("F03, undone").got(&["alice"])).faults.is_empty());
}
