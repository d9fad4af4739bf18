//! SIGKILL under load, with a receiver that fails at random: each event of what was answered 250 is told at least once,
//! and in order for each message.

use std::collections::BTreeMap;

use super::receiver::Receiver;
use super::{eventually, list, table, with_alice};
use crate::crash::{Load, killed_under_load};
use crate::server::Server;

const KILLS: u64 = 6;

const LOAD: Load = Load {
    from: "pam@partner.test",
    to: "alice@example.test",
    text: |number| format!("From: pam@partner.test\r\nMessage-ID: <{number}@partner.test>\r\n\r\nbody\r\n"),
};

#[test]
fn events_are_never_lost_by_sigkill() {
    let receiver = Receiver::start();
    receiver.be_moody(2026);
    let mut server = with_alice(&table("crm", &receiver.url(), &["accepted", "delivered"], "timeout = \"2 s\""));
    let answered = killed_under_load(&mut server, KILLS, Server::smtp, &LOAD);
    receiver.always(None);
    eventually("nothing waits", || list(&server)[0]["waiting"] == 0);
    let taken = receiver.taken();
    let mut events: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for told in &taken {
        let number = told.body["message"]["message_id"].as_str().and_then(|id| id.split('@').next()?.parse().ok());
        events.entry(number.expect("a number")).or_default().push(told.event.clone());
    }
    for number in &answered {
        assert_eq!(events.get(number).map(Vec::as_slice), Some(&["accepted".to_owned(), "delivered".to_owned()][..]));
    }
    for (number, events) in &events {
        assert_eq!(events, &["accepted", "delivered"], "message {number}");
    }
    let again = receiver.told().iter().filter(|told| told.is_taken).count() - taken.len();
    println!("{} messages answered, {} events taken, {again} again", answered.len(), taken.len());
    receiver.assert_no_fault();
    assert!(server.try_cli(&["check"], "").status.success());
    server.assert_no_panic();
}
