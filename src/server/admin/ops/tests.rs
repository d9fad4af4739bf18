//! Operations over the memory engine: what is stored, what is visible, and what a failure leaves.

use super::*;
use crate::login::{Authenticator, LoginFailure};
use crate::mail::{Address, Clock, Domain};
use crate::server::{LiveDirectory, SessionLimits};
use crate::store::Store;
use crate::store::engine::Engine;
use crate::store::engine::faulty::Faulty;
use crate::store::engine::memory::Memory;

const ROOT: Actor = Actor::Unix { uid: 0 };

#[derive(Debug)]
struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_700_000_000)
    }
}

async fn admin_over(engine: Arc<dyn Engine>) -> Arc<Admin> {
    let clock: Arc<dyn Clock> = Arc::new(Fixed);
    let store = Store::open(engine, clock.clone(), [1, 2, 3]).await.unwrap();
    let (version, records) = store.load_directory().unwrap();
    Admin::new(Arc::new(Services {
        hostname: "mail.corp.test".to_owned(),
        store,
        directory: LiveDirectory::new(Directory::from_records(version, records).unwrap()),
        authenticator: Authenticator::new().unwrap(),
        clock,
        tls: None,
        limits: SessionLimits::default(),
    }))
}

async fn with_alice(engine: Arc<dyn Engine>) -> Arc<Admin> {
    let admin = admin_over(engine).await;
    admin.add_domain(ROOT, Domain::parse("corp.test").unwrap()).await.unwrap();
    admin.add_accounts(ROOT, vec![new("alice@corp.test")]).await.unwrap();
    admin.add_alias(ROOT, address("a.liu@corp.test"), address("alice@corp.test")).await.unwrap();
    admin
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn new(text: &str) -> NewAccount {
    NewAccount { address: address(text), password: "secret".to_owned() }
}

async fn logs_in(admin: &Admin, name: &str, password: &str) -> bool {
    let directory = admin.services.directory.current();
    match admin.services.authenticator.password(&directory, name, password).await {
        Ok(_) => true,
        Err(LoginFailure::BadCredentials) => false,
        Err(LoginFailure::Unavailable) => panic!("unavailable"),
    }
}

#[tokio::test]
async fn changes_are_stored_and_found_after_a_restart() {
    let engine: Arc<dyn Engine> = Arc::new(Memory::default());
    let admin = with_alice(engine.clone()).await;
    admin.set_password(ROOT, address("alice@corp.test"), "other".to_owned()).await.unwrap();
    let id = admin.account(&address("alice@corp.test")).unwrap().account.id;
    let folders = admin.services.store.read(move |r| r.folders(id)).await.unwrap();
    assert!(folders.folders.len() > 1, "default folders");

    let again = admin_over(engine).await;
    assert_eq!(again.services.directory.current().version(), 4);
    assert_eq!(again.account(&address("Alice@corp.test")).unwrap().aliases, [address("a.liu@corp.test")]);
    assert!(logs_in(&again, "a.liu@corp.test", "other").await);
    assert!(!logs_in(&again, "a.liu@corp.test", "secret").await);
    assert_eq!(again.status().accounts, 1);
}

#[tokio::test]
async fn removed_account_is_gone_with_its_mail_and_its_id() {
    let admin = with_alice(Arc::new(Memory::default())).await;
    let id = admin.account(&address("alice@corp.test")).unwrap().account.id;
    admin.remove_account(ROOT, address("alice@corp.test")).await.unwrap();
    assert_eq!(admin.services.store.read(move |r| r.folders(id)).await, Err(store::Error::NotFound));
    assert!(matches!(admin.account(&address("alice@corp.test")), Err(OpError::Refused(Refusal::NotFound(_)))));
    assert_eq!(admin.aliases(None, 0, 10).unwrap().items, []);
    assert!(!logs_in(&admin, "alice@corp.test", "secret").await);
    let again = admin.add_accounts(ROOT, vec![new("alice@corp.test")]).await.unwrap();
    assert_ne!(again[0].id, id);
    let twice = admin.remove_account(ROOT, address("bob@corp.test")).await;
    assert!(matches!(twice, Err(OpError::Refused(Refusal::NotFound(_)))));
}

#[tokio::test]
async fn several_accounts_are_all_or_none_and_paged() {
    let admin = with_alice(Arc::new(Memory::default())).await;
    let refused = admin.add_accounts(ROOT, vec![new("bob@corp.test"), new("A.Liu@corp.test")]).await;
    assert_eq!(refused.unwrap_err(), Refusal::AddressInUse(address("a.liu@corp.test")).into());
    assert!(admin.account(&address("bob@corp.test")).is_err());

    let names: Vec<_> = (0..5).map(|n| new(&format!("u{n}@corp.test"))).collect();
    assert_eq!(admin.add_accounts(ROOT, names).await.unwrap().len(), 5);
    let (mut after, mut seen) = (0, Vec::new());
    loop {
        let page = admin.accounts(None, after, 4);
        seen.extend(page.items.iter().map(|a| a.address.to_string()));
        let Some(next) = page.next else { break };
        after = next;
    }
    assert_eq!(seen.len(), 6, "{seen:?}");
    assert_eq!(admin.accounts(Some(&Domain::parse("else.test").unwrap()), 0, 4).items, []);
}

#[tokio::test]
async fn removal_goes_on_after_a_failure() {
    let faulty = Arc::new(Faulty::new(Arc::new(Memory::default())));
    let admin = with_alice(faulty.clone()).await;
    faulty.fail_after(1);
    let failed = admin.remove_account(ROOT, address("alice@corp.test")).await;
    assert_eq!(failed, Err(store::Error::Unavailable.into()));
    assert!(!logs_in(&admin, "alice@corp.test", "secret").await, "stopped at once");
    faulty.heal();
    let again = admin_over(faulty.clone()).await;
    let taken = again.add_accounts(ROOT, vec![new("alice@corp.test")]).await;
    assert_eq!(taken.unwrap_err(), Refusal::AddressInUse(address("alice@corp.test")).into());
    again.finish_removals().await;
    assert_eq!(again.status().accounts, 0);
    again.add_accounts(ROOT, vec![new("alice@corp.test")]).await.unwrap();
}

#[tokio::test]
async fn failed_write_leaves_no_half_account() {
    let faulty = Arc::new(Faulty::new(Arc::new(Memory::default())));
    let admin = with_alice(faulty.clone()).await;
    for commits in 0..2 {
        faulty.fail_after(commits);
        let failed = admin.add_accounts(ROOT, vec![new("bob@corp.test")]).await;
        assert_eq!(failed.unwrap_err(), store::Error::Unavailable.into(), "after {commits} commits");
        assert!(admin.account(&address("bob@corp.test")).is_err());
        faulty.heal();
        assert!(admin_over(faulty.clone()).await.account(&address("bob@corp.test")).is_err());
    }
    admin.add_accounts(ROOT, vec![new("bob@corp.test")]).await.unwrap();
    assert!(logs_in(&admin, "bob@corp.test", "secret").await);
}

#[tokio::test]
async fn change_by_another_process_is_taken_in_first() {
    let engine: Arc<dyn Engine> = Arc::new(Memory::default());
    let one = with_alice(engine.clone()).await;
    let other = admin_over(engine).await;
    other.add_accounts(ROOT, vec![new("bob@corp.test")]).await.unwrap();
    let taken = one.add_alias(ROOT, address("bob@corp.test"), address("alice@corp.test")).await;
    assert_eq!(taken.unwrap_err(), Refusal::AddressInUse(address("bob@corp.test")).into());
    one.add_accounts(ROOT, vec![new("carol@corp.test")]).await.unwrap();
    assert_eq!(one.status().accounts, 3);
}

#[tokio::test]
async fn changes_at_once_all_happen() {
    let admin = with_alice(Arc::new(Memory::default())).await;
    let mut changing = tokio::task::JoinSet::new();
    for n in 0..8 {
        let admin = admin.clone();
        changing.spawn(async move { admin.add_domain(ROOT, Domain::parse(&format!("d{n}.test")).unwrap()).await });
    }
    while let Some(done) = changing.join_next().await {
        done.unwrap().unwrap();
    }
    assert_eq!(admin.domains().len(), 9);
}

#[tokio::test]
async fn passwords_that_no_protocol_can_carry_are_refused() {
    let admin = with_alice(Arc::new(Memory::default())).await;
    let long = "x".repeat(1025);
    for password in ["", "a\0b", "a\nb", "a\rb", &long] {
        let refused = admin.set_password(ROOT, address("alice@corp.test"), password.to_owned()).await;
        assert!(matches!(refused, Err(OpError::Invalid { field: "password", .. })), "{password:?}");
    }
    assert!(logs_in(&admin, "alice@corp.test", "secret").await);
}

#[tokio::test]
async fn audit_record_has_who_what_and_no_secret() {
    let record = |action, entries: &[audit::Entry]| {
        let octets = audit::record(Timestamp::from_millis(7), Actor::Unix { uid: 42 }, action, entries);
        String::from_utf8(octets[1..].to_vec()).unwrap()
    };
    let password = audit::Entry::password(&address("alice@corp.test"));
    assert_eq!(
        record("account.password", &[password]),
        "{\"at\":7,\"actor\":{\"kind\":\"unix\",\"uid\":42},\"action\":\"account.password\",\
         \"entries\":[{\"object\":\"alice@corp.test\",\"before\":null,\"after\":\"changed\"}]}"
    );
}
