//! The server as a whole.

use super::super::error::OpError;
use super::super::view::{BlocklistView, CheckView, Status, rfc3339};
use super::{Admin, blocking};
use crate::policy::blocklist::Blocklist;
use crate::server::blocklists::State;

impl Admin {
    /// What the server is and has.
    pub fn status(&self) -> Status {
        let directory = self.services.directory.current();
        let uptime = self.services.clock.now().seconds().saturating_sub(self.started.seconds());
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            hostname: self.services.hostname.to_string(),
            started: rfc3339(self.started),
            uptime_seconds: u64::try_from(uptime).unwrap_or_default(),
            directory_version: directory.version(),
            domains: directory.domains().count(),
            accounts: directory.account_count(),
            aliases: directory.aliases().count(),
        }
    }

    /// The DNS block lists and how they stand.
    pub fn blocklists(&self) -> Vec<BlocklistView> {
        let view = |(list, state): (&Blocklist, State)| BlocklistView {
            zone: list.zone.to_string(),
            action: list.action,
            standing: state.standing,
            tested: state.tested.map(|(at, _)| rfc3339(at)),
            test: state.tested.map(|(_, test)| test),
        };
        self.services.blocklists.states().map(view).collect()
    }

    /// Tests them now.
    pub async fn test_blocklists(&self) -> Vec<BlocklistView> {
        let services = &self.services;
        services.blocklists.test(services.email_auth.dns(), services.clock.now()).await;
        self.blocklists()
    }

    /// Proves the store's references against its entries; reads everything once.
    pub async fn check(&self) -> Result<CheckView, OpError> {
        let store = self.services.store.clone();
        blocking(move || Ok(store.check()?.into())).await
    }
}
