//! `posthouse organisation`, `posthouse department` and `posthouse relay`.

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::client::{Client, Failure, path, with_query};
use super::command::{Format, Switch};
use super::{group, output};
use crate::mail::Language;

/// Owners of domains.
#[derive(Debug, Subcommand)]
pub enum OrganisationCommand {
    /// Add an organisation.
    Add {
        /// Its name.
        name: String,
        #[command(flatten)]
        settings: OrganisationSettings,
    },
    /// List the organisations.
    List(Format),
    /// Show one organisation.
    Show {
        /// Its name.
        name: String,
        #[command(flatten)]
        format: Format,
    },
    /// Set all of an organisation; what is not named goes back to its default.
    Set {
        /// Its name.
        name: String,
        /// Another name.
        #[arg(long, value_name = "NAME")]
        rename: Option<String>,
        #[command(flatten)]
        settings: OrganisationSettings,
    },
    /// Remove organisations that have nothing any more.
    Remove {
        /// Name.
        #[arg(required = true)]
        name: Vec<String>,
    },
}

/// What can be set of an organisation.
#[derive(Args, Debug)]
pub struct OrganisationSettings {
    /// Whether owners of accounts may forward outside; admin-only without it.
    #[arg(long, value_parser = ["allow", "admin-only", "deny"])]
    external_forward: Option<String>,
    /// What held messages may take together, such as 1GiB.
    #[arg(long, value_name = "SIZE")]
    hold_limit: Option<String>,
    /// Whether the audit log has the first look at each monitor's copy; on without it.
    #[arg(long)]
    record_monitor_reads: Option<Switch>,
    /// What becomes of mail that fails DMARC; none without it.
    #[arg(long, value_parser = ["none", "junk", "reject"])]
    dmarc: Option<String>,
    /// In which its people are told what becomes of their mail; en without it.
    #[arg(long, value_parser = Language::ALL.map(Language::tag))]
    language: Option<String>,
    /// A domain whose seal (ARC) on a message says more than DMARC.
    #[arg(long, value_name = "DOMAIN")]
    trusted_sealer: Vec<String>,
}

/// Nodes of an organisation's tree.
#[derive(Debug, Subcommand)]
pub enum DepartmentCommand {
    /// Add a department; the one above it must exist.
    Add {
        #[command(flatten)]
        place: Place,
        /// The account that approves for it.
        #[arg(long, value_name = "ACCOUNT")]
        manager: Option<String>,
    },
    /// List the departments: path, manager.
    List {
        /// Only those of this organisation.
        #[arg(long)]
        organisation: Option<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Show one department.
    Show {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        format: Format,
    },
    /// Set all of a department; without a manager it has none.
    Set {
        #[command(flatten)]
        place: Place,
        /// Another path: it goes there with everything below it.
        #[arg(long, value_name = "PATH")]
        to: Option<String>,
        /// The account that approves for it.
        #[arg(long, value_name = "ACCOUNT")]
        manager: Option<String>,
    },
    /// Remove a department.
    Remove {
        #[command(flatten)]
        place: Place,
        /// Where its accounts go; without it there must be none.
        #[arg(long, value_name = "PATH")]
        target: Option<String>,
    },
}

/// One department.
#[derive(Args, Debug)]
pub struct Place {
    /// Such as /Sales/East.
    path: String,
    /// Whose, if there are several organisations.
    #[arg(long)]
    organisation: Option<String>,
}

/// Trusted relays and gateways.
#[derive(Debug, Subcommand)]
pub enum RelayCommand {
    /// List a host or network.
    Add {
        /// An IP address or network.
        network: String,
        /// Whether its word on the sender counts, or it speaks for others.
        #[arg(value_parser = ["trusted-relay", "gateway"])]
        kind: String,
        /// Of a gateway that puts a Received field before every message: its name in the `by` clause.
        #[arg(long, value_name = "NAME")]
        received_by: Option<String>,
        /// Even if the DNS does not tell whether a trusted relay is an MX of a domain here.
        #[arg(long)]
        force: bool,
    },
    /// List the networks: network, kind, name in Received.
    List(Format),
    /// Show one network.
    Show {
        /// As it is listed.
        network: String,
        #[command(flatten)]
        format: Format,
    },
    /// Take networks off the list.
    Remove {
        /// As they are listed.
        #[arg(required = true)]
        network: Vec<String>,
    },
}

/// Carries out a command on organisations.
pub fn organisation(client: &Client, command: OrganisationCommand) -> Result<(), Failure> {
    match command {
        OrganisationCommand::Add { name, settings } => client.add("/organisations", &settings.body(&name)).map(drop),
        OrganisationCommand::List(format) => list(client, "/organisations", &[], &["name"], format),
        OrganisationCommand::Show { name, format } => group::show(client, &path(&["organisations", &name]), format),
        OrganisationCommand::Set { name, rename, settings } => {
            let body = settings.body(rename.as_ref().unwrap_or(&name));
            client.put(&path(&["organisations", &name]), &body)
        }
        OrganisationCommand::Remove { name } => {
            name.iter().try_for_each(|n| client.remove(&path(&["organisations", n])))
        }
    }
}

/// Carries out a command on departments.
pub fn department(client: &Client, command: DepartmentCommand) -> Result<(), Failure> {
    match command {
        DepartmentCommand::Add { place, manager } => {
            client.add("/departments", &place.body(&place.path, manager)).map(drop)
        }
        DepartmentCommand::List { organisation, format } => {
            let parameters = [("organisation", organisation.as_deref())];
            list(client, "/departments", &parameters, &["path", "manager"], format)
        }
        DepartmentCommand::Show { place, format } => group::show(client, &place.at(None), format),
        DepartmentCommand::Set { place, to, manager } => {
            client.put(&place.at(None), &place.body(to.as_ref().unwrap_or(&place.path), manager))
        }
        DepartmentCommand::Remove { place, target } => client.remove(&place.at(target.as_deref())),
    }
}

/// Carries out a command on relays.
pub fn relay(client: &Client, command: RelayCommand) -> Result<(), Failure> {
    match command {
        RelayCommand::Add { network, kind, received_by, force } => {
            let at = with_query("/relays", &[("force", force.then_some("true"))]);
            let fields = [("network", Some(network)), ("kind", Some(kind)), ("received_by", received_by)];
            client.add(&at, &object(fields.iter().map(|(field, value)| (*field, value.as_deref())))).map(drop)
        }
        RelayCommand::List(format) => list(client, "/relays", &[], &["network", "kind", "received_by"], format),
        RelayCommand::Show { network, format } => group::show(client, &path(&["relays", &network]), format),
        RelayCommand::Remove { network } => network.iter().try_for_each(|n| client.remove(&path(&["relays", n]))),
    }
}

fn list(
    client: &Client,
    path: &str,
    parameters: &[(&str, Option<&str>)],
    fields: &[&str],
    format: Format,
) -> Result<(), Failure> {
    let objects: Vec<Value> = client.list(path, parameters)?;
    if format.json {
        return output::json(&objects);
    }
    output::rows(&objects, fields);
    Ok(())
}

impl OrganisationSettings {
    fn body(&self, name: &str) -> Value {
        let fields = [
            ("external_forward", &self.external_forward),
            ("hold_limit", &self.hold_limit),
            ("dmarc", &self.dmarc),
            ("language", &self.language),
        ];
        let mut body =
            object([("name", Some(name))].into_iter().chain(fields.map(|(field, value)| (field, value.as_deref()))));
        if let (Some(switch), Some(fields)) = (self.record_monitor_reads, body.as_object_mut()) {
            fields.insert("record_monitor_reads".to_owned(), Value::Bool(switch.is_on()));
        }
        if let (false, Some(fields)) = (self.trusted_sealer.is_empty(), body.as_object_mut()) {
            fields.insert("trusted_sealers".to_owned(), self.trusted_sealer.clone().into());
        }
        body
    }
}

impl Place {
    fn at(&self, target: Option<&str>) -> String {
        let parameters = [("organisation", self.organisation.as_deref()), ("target", target)];
        with_query(&path(&["departments", &self.path]), &parameters)
    }

    fn body(&self, path: &str, manager: Option<String>) -> Value {
        let fields = [("path", Some(path)), ("organisation", self.organisation.as_deref())];
        object(fields.into_iter().chain([("manager", manager.as_deref())]))
    }
}

/// Of the fields that have a value.
fn object<'a>(fields: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> Value {
    let given = fields.filter_map(|(field, value)| Some((field.to_owned(), Value::from(value?))));
    Value::Object(Map::from_iter(given))
}
