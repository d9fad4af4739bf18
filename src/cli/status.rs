//! `posthouse status` and `posthouse check`.

use super::client::{Client, Failure};
use super::command::Format;
use super::output;
use crate::server::admin::view::{CheckView, Status};

/// Says what the server is and has.
pub fn status(client: &Client, format: Format) -> Result<(), Failure> {
    let status: Status = client.read("/status")?;
    if format.json {
        return output::json(&status);
    }
    output::pairs(&[
        ("version", status.version),
        ("hostname", status.hostname),
        ("started", status.started),
        ("uptime", format!("{} s", status.uptime_seconds)),
        ("domains", status.domains.to_string()),
        ("accounts", status.accounts.to_string()),
        ("aliases", status.aliases.to_string()),
    ]);
    Ok(())
}

/// Proves the store's references.
pub fn check(client: &Client, format: Format) -> Result<(), Failure> {
    let report: CheckView = client.read("/check")?;
    if format.json {
        output::json(&report)?;
    } else {
        for finding in &report.findings {
            output::line(format_args!("{}: {}", finding.place, finding.problem));
        }
        output::line(format_args!(
            "{} accounts, {} mailboxes, {} entries, {} messages",
            report.accounts, report.mailboxes, report.entries, report.messages
        ));
    }
    match report.findings.len() {
        0 => Ok(()),
        found => Err(Failure::Findings(found)),
    }
}
