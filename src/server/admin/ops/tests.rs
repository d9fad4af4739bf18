//! Operations over the memory engine: what is stored, what is visible, and what a failure leaves.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::emailauth::EmailAuth;
use crate::login::{Attempt, Authenticator, LoginFailure};
use crate::mail::{Address, Clock, Domain};
use crate::net::dns::Dns;
use crate::server::admin::spec::{AccountSpec, DomainSpec, GroupSpec, MemberSpec, RuleSpec};
use crate::server::{LiveDirectory, SessionLimits};
use crate::store::engine::Engine;
use crate::store::engine::faulty::Faulty;
use crate::store::engine::memory::Memory;
use crate::store::{AuditOrder, Store};

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
        hostname: Domain::parse("mail.corp.test").unwrap(),
        store,
        directory: LiveDirectory::new(Directory::from_records(version, records).unwrap()),
        authenticator: Authenticator::new().unwrap(),
        // Nobody listens there: no test asks the network.
        email_auth: EmailAuth::new(Dns::new(&[([127, 0, 0, 1], 9).into()], Duration::from_millis(100)).unwrap()),
        srs: crate::mail::srs::SrsKey::new([7; 32]),
        clock,
        tls: None,
        limits: SessionLimits::default(),
        rates: crate::server::Rates::new(crate::server::RateLimits::default()),
        blocklists: Arc::default(),
        turns: crate::accept::Turns::default(),
        // Making keys takes its time.
        publish: crate::server::Publish { automatic_keys: false, ..Default::default() },
        hooks: Arc::default(),
        metrics: crate::metrics::Metrics::default(),
        webhooks: Vec::new(),
    }))
}

async fn with_alice(engine: Arc<dyn Engine>) -> Arc<Admin> {
    let admin = admin_over(engine).await;
    admin.add_domain(ROOT, domain("corp.test")).await.unwrap();
    admin.add_accounts(ROOT, vec![new("alice@corp.test")]).await.unwrap();
    admin.add_alias(ROOT, address("a.liu@corp.test"), address("alice@corp.test"), true).await.unwrap();
    admin
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn new(text: &str) -> NewAccount {
    NewAccount::new(address(text), "secret".to_owned())
}

fn domain(name: &str) -> DomainSpec {
    DomainSpec::new(name.to_owned())
}

fn page(after: u32, limit: usize) -> Listed {
    Listed { after, limit }
}

async fn logs_in(admin: &Admin, name: &str, password: &str) -> bool {
    let directory = admin.services.directory.current();
    let attempt = Attempt { directory: &directory, name, client: [192, 0, 2, 1].into(), now: Fixed.now() };
    match admin.services.authenticator.password(&attempt, password).await {
        Ok(_) => true,
        Err(LoginFailure::BadCredentials) => false,
        Err(failure) => panic!("{failure:?}"),
    }
}

#[tokio::test]
async fn changes_are_stored_and_found_after_a_restart() {
    let engine: Arc<dyn Engine> = Arc::new(Memory::default());
    let admin = with_alice(engine.clone()).await;
    admin.set_password(ROOT, address("alice@corp.test"), "other".to_owned()).await.unwrap();
    let id = admin.account(ROOT, &address("alice@corp.test")).unwrap().id;
    let folders = admin.services.store.read(move |r| r.folders(id)).await.unwrap();
    assert!(folders.folders.len() > 1, "default folders");

    let again = admin_over(engine).await;
    assert_eq!(again.services.directory.current().version(), 4);
    assert_eq!(again.account(ROOT, &address("Alice@corp.test")).unwrap().aliases, [address("a.liu@corp.test")]);
    assert!(logs_in(&again, "a.liu@corp.test", "other").await);
    assert!(!logs_in(&again, "a.liu@corp.test", "secret").await);
    assert_eq!(again.status().accounts, 1);
}

#[tokio::test]
async fn removed_account_is_gone_with_its_mail_and_its_id() {
    let admin = with_alice(Arc::new(Memory::default())).await;
    let id = admin.account(ROOT, &address("alice@corp.test")).unwrap().id;
    admin.remove_account(ROOT, address("alice@corp.test")).await.unwrap();
    assert_eq!(admin.services.store.read(move |r| r.folders(id)).await, Err(store::Error::NotFound));
    assert!(matches!(admin.account(ROOT, &address("alice@corp.test")), Err(OpError::Refused(Refusal::NotFound(_)))));
    assert_eq!(admin.aliases(ROOT, None, page(0, 10)).unwrap().items, []);
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
    assert!(admin.account(ROOT, &address("bob@corp.test")).is_err());

    let names: Vec<_> = (0..5).map(|n| new(&format!("u{n}@corp.test"))).collect();
    assert_eq!(admin.add_accounts(ROOT, names).await.unwrap().len(), 5);
    let (mut after, mut seen) = (0, Vec::new());
    loop {
        let page = admin.accounts(ROOT, &AccountFilter::default(), page(after, 4)).unwrap();
        seen.extend(page.items.iter().map(|a| a.address.to_string()));
        let Some(next) = page.next else { break };
        after = next;
    }
    assert_eq!(seen.len(), 6, "{seen:?}");
    let elsewhere = AccountFilter { domain: Some(Domain::parse("else.test").unwrap()), ..AccountFilter::default() };
    assert_eq!(admin.accounts(ROOT, &elsewhere, page(0, 4)).unwrap().items, []);
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
    assert_eq!(taken.unwrap_err(), Refusal::AddressReserved(address("alice@corp.test")).into());
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
        assert!(admin.account(ROOT, &address("bob@corp.test")).is_err());
        faulty.heal();
        assert!(admin_over(faulty.clone()).await.account(ROOT, &address("bob@corp.test")).is_err());
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
    let taken = one.add_alias(ROOT, address("bob@corp.test"), address("alice@corp.test"), true).await;
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
        changing.spawn(async move { admin.add_domain(ROOT, domain(&format!("d{n}.test"))).await });
    }
    while let Some(done) = changing.join_next().await {
        done.unwrap().unwrap();
    }
    assert_eq!(admin.domains(ROOT).len(), 9);
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

const EXAMPLE: &str = include_str!("../../../../conf/example-org.toml");

#[tokio::test]
async fn the_example_company_is_applied_once() {
    let admin = admin_over(Arc::new(Memory::default())).await;
    let shown = admin.dry_run(EXAMPLE.to_owned(), true).await.unwrap();
    assert_eq!(admin.status().accounts, 0, "a dry run changes nothing");
    let first = admin.apply(ROOT, EXAMPLE.to_owned(), true).await.unwrap();
    assert_eq!((first.applied, &first.differences), (true, &shown.differences));
    let version = admin.services.directory.current().version();
    let second = admin.apply(ROOT, EXAMPLE.to_owned(), true).await.unwrap();
    assert_eq!(second, Applied { applied: false, differences: Vec::new() });
    assert_eq!(admin.services.directory.current().version(), version);
    let ines = admin.account(ROOT, &address("ceo@northwind.example"));
    assert!(ines.is_err(), "an alias is no account");
    let id = admin.account(ROOT, &address("ines.berg@northwind.example")).unwrap().id;
    assert!(admin.services.store.read(move |r| r.folders(id)).await.unwrap().folders.len() > 1, "default folders");
    let records = log(&admin).await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].entries, first.differences);
}

#[tokio::test]
async fn a_bad_file_changes_nothing() {
    let admin = with_alice(Arc::new(Memory::default())).await;
    let version = admin.services.directory.current().version();
    let text = "[[account]]\naddress = \"new@corp.test\"\n[[account]]\naddress = \"new@else.test\"\n";
    let Err(OpError::File(problems)) = admin.apply(ROOT, text.to_owned(), false).await else { panic!("applied") };
    assert_eq!(problems.iter().map(|p| (p.line, p.key.as_str())).collect::<Vec<_>>(), [(Some(3), "foreign_domain")]);
    assert_eq!(admin.services.directory.current().version(), version);
}

#[tokio::test]
async fn passwords_of_a_file_are_for_new_accounts() {
    let admin = with_alice(Arc::new(Memory::default())).await;
    let text = "[[account]]\naddress = \"alice@corp.test\"\npassword = \"other\"\n\
                [[account]]\naddress = \"bob@corp.test\"\npassword = \"918273\"\n";
    let applied = admin.apply(ROOT, text.to_owned(), false).await.unwrap();
    assert_eq!(applied.differences.len(), 1, "{applied:?}");
    assert!(logs_in(&admin, "alice@corp.test", "secret").await);
    assert!(logs_in(&admin, "bob@corp.test", "918273").await);
    assert!(log(&admin).await.iter().all(|r| !String::from_utf8_lossy(&r.encode()).contains("918273")));
}

#[tokio::test]
async fn u01_changes_of_a_rule_are_recorded_with_before_and_after() {
    let admin = with_alice(Arc::new(Memory::default())).await;
    let spec = |priority: u32| -> RuleSpec {
        serde_json::from_value(json!({ "name": "r", "priority": priority, "actions": ["junk"] })).unwrap()
    };
    let name = || RuleName { name: "r".to_owned(), organisation: None };
    admin.add_rule(ROOT, spec(1)).await.unwrap();
    admin.put_rule(ROOT, name(), spec(2)).await.unwrap();
    admin.set_rule_enabled(ROOT, name(), false).await.unwrap();
    admin.remove_rule(ROOT, name()).await.unwrap();
    let records = log(&admin).await;
    let seen: Vec<_> = records
        .iter()
        .filter(|r| r.action.starts_with("rule."))
        .map(|r| (r.action.as_str(), &r.entries[0].before["priority"], &r.entries[0].after["priority"]))
        .collect();
    let (one, two, null) = (&json!(1), &json!(2), &json!(null));
    assert_eq!(
        seen,
        [("rule.add", null, one), ("rule.put", one, two), ("rule.disable", two, two), ("rule.remove", two, null)]
    );
}

#[tokio::test]
async fn u07_whitelist_beyond_its_limit_is_refused_whole_and_recorded() {
    let admin = with_alice(Arc::new(Memory::default())).await;
    admin.add_group(ROOT, GroupSpec::new("g@corp.test".to_owned())).await.unwrap();
    let entries = (0..1001).map(|n| format!("u{n}@partner.test")).collect();
    let before = log(&admin).await.len();
    let refused = admin.add_to_whitelist(ROOT, address("g@corp.test"), entries).await;
    assert!(matches!(refused, Err(OpError::Refused(Refusal::ListLimit(_)))), "{refused:?}");
    assert_eq!(admin.group(&address("g@corp.test")).unwrap().shape.whitelist, Vec::<String>::new());
    let records = log(&admin).await;
    assert_eq!(records.len(), before + 1);
    assert_eq!(records.last().unwrap().refused.as_deref(), Some("list_limit"));
}

#[tokio::test]
async fn a_renamed_account_is_still_who_it_was() {
    let admin = with_alice(Arc::new(Memory::default())).await;
    let mut group = GroupSpec::new("g@corp.test".to_owned());
    group.members = vec![MemberSpec::Entry("alice@corp.test".to_owned())];
    admin.add_group(ROOT, group).await.unwrap();
    let id = admin.account(ROOT, &address("alice@corp.test")).unwrap().id;
    let rename = |shape: &mut AccountSpec| shape.address = "alice2@corp.test".to_owned();
    let renamed = admin.edit_account(ROOT, "account.rename", address("alice@corp.test"), rename).await.unwrap();
    assert_eq!((renamed.id, renamed.aliases.len()), (id, 1));
    let members = admin.group(&address("g@corp.test")).unwrap().shape.members;
    assert_eq!(members, [MemberSpec::Entry("alice2@corp.test".to_owned())]);
    assert!(logs_in(&admin, "alice2@corp.test", "secret").await);
    let last = log(&admin).await.pop().unwrap();
    assert_eq!(
        (last.entries[0].name.as_str(), &last.entries[0].after["address"]),
        ("alice@corp.test", &json!("alice2@corp.test"))
    );
}

/// The records of the first organisation's log, oldest first.
async fn log(admin: &Admin) -> Vec<audit::Record> {
    let organisation = OrganisationId::new(1).unwrap();
    let rows = admin.services.store.audit(organisation, AuditOrder::OldestFirst(0), 1000).await.unwrap();
    rows.iter().map(|row| audit::Record::decode(&row.record).unwrap()).collect()
}

#[tokio::test]
async fn u04_password_change_is_recorded_without_the_password() {
    let admin = with_alice(Arc::new(Memory::default())).await;
    admin.set_password(Actor::Unix { uid: 42 }, address("alice@corp.test"), "918273".to_owned()).await.unwrap();
    let last = log(&admin).await.pop().unwrap();
    assert_eq!((last.actor, last.action.as_str()), (Actor::Unix { uid: 42 }, "account.password"));
    assert_eq!(last.entries.len(), 1);
    assert_eq!((last.entries[0].name.as_str(), &last.entries[0].after), ("alice@corp.test", &json!("changed")));
    let text = String::from_utf8_lossy(&last.encode()).into_owned();
    assert!(!text.contains("918273") && !text.contains("argon2"), "{text}");
}

#[tokio::test]
async fn refusals_are_recorded_up_to_a_bound() {
    let admin = with_alice(Arc::new(Memory::default())).await;
    let directory = admin.services.directory.current();
    let (account, organisation) = {
        let alice = directory.account_at(&address("alice@corp.test")).unwrap();
        (alice.id, directory.account_organisation(alice.id).unwrap())
    };
    let actor = Actor::Account { account, client: ([127, 0, 0, 1], 4000).into() };
    let count =
        || async { admin.services.store.audit(organisation, AuditOrder::OldestFirst(0), 1000).await.unwrap().len() };
    let before = count().await;
    for n in 0..210 {
        let refused = admin.remove_account(actor, address("alice@corp.test")).await.unwrap_err();
        assert_eq!(matches!(refused, OpError::Forbidden), n < 200, "{n}: {refused:?}");
        assert_eq!(matches!(refused, OpError::TooMany(_)), n >= 200, "{n}: {refused:?}");
    }
    assert_eq!(count().await, before + 200);
    admin.set_password(actor, address("alice@corp.test"), "her own".to_owned()).await.unwrap();
}
