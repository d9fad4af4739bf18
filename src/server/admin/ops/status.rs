//! The server as a whole.

use super::super::error::OpError;
use super::super::view::{CheckView, Status, rfc3339};
use super::{Admin, blocking};

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

    /// Proves the store's references against its entries; reads everything once.
    pub async fn check(&self) -> Result<CheckView, OpError> {
        let store = self.services.store.clone();
        blocking(move || Ok(store.check()?.into())).await
    }
}
