//! SIGKILL under load, with a receiver that fails at random: each event of what was answered 250 is told at least once,
//! and in order for each message.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::receiver::Receiver;
use super::{eventually, list, table, with_alice};
use crate::crash::kill;
use crate::smtp::{Smtp, dot_stuffed};

const CLIENTS: u64 = 3;
const KILLS: u64 = 6;

#[test]
fn events_are_never_lost_by_sigkill() {
    let receiver = Receiver::start();
    receiver.be_moody(2026);
    let mut server = with_alice(&table("crm", &receiver.url(), &["accepted", "delivered"], "timeout = \"2 s\""));
    let number = AtomicU64::new(0);
    let mut answered: BTreeSet<u64> = BTreeSet::new();
    for round in 0..KILLS {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let sessions: Vec<Smtp> = (0..CLIENTS).map(|_| server.smtp()).collect();
            let (stop_ref, number_ref) = (&stop, &number);
            let load = |smtp| scope.spawn(move || load(smtp, stop_ref, number_ref));
            let clients: Vec<_> = sessions.into_iter().map(load).collect();
            // The point of the kill is the time itself, so a sleep is what is meant here.
            std::thread::sleep(Duration::from_millis(150 + 40 * round));
            kill(server.pid());
            stop.store(true, Ordering::Relaxed);
            answered.extend(clients.into_iter().flat_map(|client| client.join().expect("a client")));
        });
        server.kill();
        server.run();
    }
    assert!(answered.len() as u64 > 2 * KILLS, "only {} messages: no load", answered.len());
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

/// Sends until the server is gone; gives the numbers of the messages that were answered 250.
fn load(mut smtp: Smtp, stop: &AtomicBool, number: &AtomicU64) -> Vec<u64> {
    let mut answered = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let number = number.fetch_add(1, Ordering::Relaxed);
        let text = format!("From: pam@partner.test\r\nMessage-ID: <{number}@partner.test>\r\n\r\nbody\r\n");
        let lines = b"MAIL FROM:<pam@partner.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n";
        let replies = smtp.wire.try_send(lines).is_ok() && (0..3).all(|_| smtp.try_reply().is_ok());
        if !replies || smtp.wire.try_send(&dot_stuffed(text.as_bytes())).is_err() {
            break;
        }
        match smtp.try_reply() {
            Ok(reply) if reply.code == 250 => answered.push(number),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    answered
}
