//! What goes over a session, and what each recipient comes to.

use posthouse::proto::smtp::{Notify, Ret};

use super::remote::{Act, Remote, Script};
use super::*;

const ALL: &[&str] = &["PIPELINING", "SIZE 100000000", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES"];

#[tokio::test]
async fn a_message_goes_to_the_host_of_its_domain() {
    for (case, offers, mail) in [
        ("nothing offered", &[][..], "MAIL FROM:<alice@corp.test>"),
        ("all offered", ALL, "MAIL FROM:<alice@corp.test> SIZE=83"),
    ] {
        let remote = Remote::start(Script::offering(offers)).await;
        let world = World::with(&remote).await;
        let outcomes = world.send(&["bob@far.test", "carol@far.test"], MESSAGE).await;
        for outcome in &outcomes {
            assert_eq!(brief(outcome), (End::Relayed, Scope::Message, "2.0.0".to_owned()), "{case}");
            assert_eq!((outcome.text.as_str(), outcome.is_reply), ("250 2.0.0 taken", true), "{case}");
            let host = outcome.host.as_ref().unwrap();
            assert_eq!((host.name.as_str(), host.address.to_string()), ("mx.far.test", remote.ip()));
            assert_eq!((outcome.tls.as_deref(), outcome.passed_on), (None, offers == ALL), "{case}");
        }
        assert_eq!(outcomes.len(), 2);
        let lines = ["EHLO mail.corp.test", mail, "RCPT TO:<bob@far.test>", "RCPT TO:<carol@far.test>", "DATA", "QUIT"];
        assert_eq!(remote.lines(), lines, "{case}");
        let wire =
            b"Received: from here\r\nFrom: alice@corp.test\r\nSubject: hello\r\n\r\nHello.\r\n..\r\n...\r\nBye.\r\n";
        assert_eq!(remote.contents(), [wire], "{case}");
    }
}
