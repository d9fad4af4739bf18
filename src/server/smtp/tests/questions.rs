//! One-time addresses while time passes and several answer at once (policy semantics §9, §11.1). What needs neither is
//! in `tests/it/policy/answers.rs`.

use super::*;
use crate::directory::{AccountSettings, Change, ExternalForward, Forward, ForwardTarget, Target};
use crate::mail::{Address, Domain, one_time};
use crate::store::{HoldKind, HoldState};

/// corp.test of policy semantics §2, in which alice forwards to pam, who has not confirmed.
fn acme() -> Directory {
    let pam = ForwardTarget { to: Target::External(address("pam@partner.test")), confirmed: false };
    let forward = Some(Forward { targets: vec![pam], keep: true });
    let alice = fixture::account(1, "alice@corp.test");
    let alice = alice.with_settings(AccountSettings { forward, ..AccountSettings::default() });
    let organisation =
        crate::directory::Organisation { external_forward: ExternalForward::Allow, ..fixture::organisation() };
    fixture::acme(&[Change::PutOrganisation(organisation), Change::PutAccount(alice)])
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

/// A message to g-mod that waits, and the address by which dave decides.
async fn waiting(world: &World) -> String {
    let mut client = world.greeted().await;
    client.say("MAIL FROM:<a@ext.test>", "250").await;
    client.say("RCPT TO:<g-mod@corp.test>", "250").await;
    client.say("DATA", "354").await;
    client.send(b"Subject: x\r\n\r\nx\r\n.\r\n").await;
    client.expect("250").await;
    let inbox = world.inbox(4).await;
    let notice = inbox.last().expect("a notice");
    let line = notice.lines().find_map(|line| line.strip_prefix("Reply-To: <")).expect("an address");
    line.trim_end_matches('>').to_owned()
}

async fn answer(world: &World, to: &str, body: &str) -> String {
    let mut client = world.greeted().await;
    client.say("MAIL FROM:<dave.private@ext.test>", "250").await;
    client.send(format!("RCPT TO:<{to}>\r\n").as_bytes()).await;
    let reply = client.reply().await.unwrap();
    if reply.code() != 250 {
        return reply.code().to_string();
    }
    client.say("DATA", "354").await;
    client.send(format!("Subject: Re: x\r\n\r\n{body}\r\n.\r\n").as_bytes()).await;
    client.reply().await.unwrap().code().to_string()
}

async fn decisions(world: &World) -> Vec<HoldState> {
    let organisation = fixture::organisation().id;
    let held = world.services.store.held(organisation, HoldKind::Moderation, None, 10).await.unwrap();
    held.into_iter().map(|held| held.state).collect()
}

#[tokio::test]
async fn nobody_decides_when_it_is_too_late() {
    let world = World::of(RELAY, acme()).await;
    let to = waiting(&world).await;
    let hours = 3600;
    world.clock.forward(72 * hours - 1);
    let mut late = world.greeted().await;
    late.say("MAIL FROM:<dave.private@ext.test>", "250").await;
    late.say(&format!("RCPT TO:<{to}>"), "250 2.1.5").await;
    late.say("DATA", "354").await;
    world.clock.forward(1);
    late.send(b"Subject: x\r\n\r\naccept\r\n.\r\n").await;
    late.expect("550 5.7.1 Nothing changed").await;
    assert_eq!(answer(&world, &to, "accept").await, "550");
    assert_eq!(decisions(&world).await, [HoldState::Pending]);
}

#[tokio::test]
async fn of_many_answers_one_decides() {
    let world = World::of(RELAY, acme()).await;
    let to = waiting(&world).await;
    let (a, b, c, d) = tokio::join!(
        answer(&world, &to, "accept"),
        answer(&world, &to, "refuse"),
        answer(&world, &to, "accept"),
        answer(&world, &to, "refuse: no"),
    );
    let replies = [a, b, c, d];
    assert_eq!(replies.iter().filter(|reply| *reply == "250").count(), 1, "{replies:?}");
    assert!(replies.iter().all(|reply| reply == "250" || reply == "550"), "{replies:?}");
    let decided = decisions(&world).await;
    assert!(matches!(decided.as_slice(), [HoldState::Decided(_)]), "{decided:?}");
}

#[tokio::test]
async fn a_store_that_fails_defers_the_answer() {
    let world = World::of(RELAY, acme()).await;
    let to = waiting(&world).await;
    let mut client = world.greeted().await;
    client.say("MAIL FROM:<dave.private@ext.test>", "250").await;
    client.say(&format!("RCPT TO:<{to}>"), "250 2.1.5").await;
    client.say("DATA", "354").await;
    world.engine.fail_after(0);
    client.send(b"Subject: x\r\n\r\naccept\r\n.\r\n").await;
    client.expect("451 4.3.0").await;
    assert_eq!(decisions(&world).await, [HoldState::Pending]);
}

#[tokio::test]
async fn f07_a_confirmation_counts_for_a_week_and_for_its_target() {
    let world = World::of(RELAY, acme()).await;
    let (alice, domain) = (AccountId::new(1).unwrap(), Domain::parse("corp.test").unwrap());
    let made = |target: &str| {
        let (srs, now) = (&world.services.srs, world.clock.now());
        one_time::confirm_address(alice, &address(target), &domain, srs, now).unwrap().to_string()
    };
    let (to, others) = (made("pam@partner.test"), made("bob@partner.test"));
    assert_eq!(answer(&world, &others, "confirm").await, "550", "alice does not forward there");
    let mut client = world.greeted().await;
    client.say("MAIL FROM:<pam@partner.test>", "250").await;
    world.clock.forward(6 * 24 * 3600);
    client.say(&format!("RCPT TO:<{to}>"), "250 2.1.5 OK").await;
    world.clock.forward(2 * 24 * 3600);
    client.say("DATA", "354").await;
    client.send(b"Subject: x\r\n\r\nconfirm\r\n.\r\n").await;
    client.expect("550 5.7.1 Nothing changed").await;
    assert_eq!(answer(&world, &to, "confirm").await, "550", "expired");
}
