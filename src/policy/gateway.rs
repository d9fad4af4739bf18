//! For whom a client of port 25 speaks (policy semantics §3.2): for itself, or, if it is listed as `gateway`, for the
//! host that it hands over.
//!
//! What is handed over decides whose address SPF is asked about, and grants nothing: a gateway's mail is never a
//! trusted relay's, and a gateway that names a listed host, itself included, or an address that no host on the network
//! can have, has named nobody.

use std::net::IpAddr;

use crate::directory::{Directory, RelayKind};
use crate::mail::{AddressLiteral, Host};
use crate::proto::message::Received;

/// Who the SMTP client of a transaction is, as far as SPF is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// Whoever is connected.
    Direct(IpAddr),
    /// A gateway speaks for this host.
    HandedOver(IpAddr),
    /// A gateway speaks for the host that its Received field will name at the end of data.
    InReceived,
    /// A gateway speaks for somebody whom it does not name.
    Unnamed,
}

/// What a gateway has said by XCLIENT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handover {
    /// Nothing.
    None,
    /// The address of its client, if it knows it.
    By(Option<IpAddr>),
}

impl Client {
    /// The client of a transaction that starts under `directory`, over a connection from `peer`.
    pub fn of(directory: &Directory, peer: IpAddr, handover: Handover) -> Self {
        match (directory.relay(peer), handover) {
            // Who has handed over somebody speaks for them, even if it has been taken off the list meanwhile.
            (_, Handover::By(address)) => {
                address.filter(|a| is_nameable(directory, *a)).map_or(Self::Unnamed, Self::HandedOver)
            }
            (Some(RelayKind::Gateway), Handover::None) => {
                let writes_received = directory.gateways(peer).any(|gateway| gateway.received_by.is_some());
                if writes_received { Self::InReceived } else { Self::Unnamed }
            }
            (Some(RelayKind::TrustedRelay) | None, Handover::None) => Self::Direct(peer),
        }
    }

    /// What the list of hosts says of the transaction: whoever speaks for others is a gateway, whatever else it is.
    pub fn listed(self, directory: &Directory) -> Option<RelayKind> {
        match self {
            Self::Direct(peer) => directory.relay(peer),
            Self::HandedOver(_) | Self::InReceived | Self::Unnamed => Some(RelayKind::Gateway),
        }
    }

    /// A program of this host, which speaks for itself.
    pub fn is_loopback(self) -> bool {
        matches!(self, Self::Direct(peer) if peer.is_loopback())
    }
}

/// The host that the topmost Received field of a gateway's message names, if the gateway at `peer` has written it: the
/// field says `by` the name that is configured for the gateway, or by its address.
pub fn named_in(directory: &Directory, peer: IpAddr, topmost: &Received) -> Option<IpAddr> {
    let is_own =
        directory.gateways(peer).filter_map(|gateway| gateway.received_by.as_ref()).any(|name| match &topmost.by {
            Host::Name(by) => by == name,
            Host::Literal(AddressLiteral::Ip(by)) => by.to_canonical() == peer,
            Host::Literal(AddressLiteral::General(_)) => false,
        });
    Some(topmost.client).filter(|client| is_own && is_nameable(directory, *client))
}

/// A host from outside can have this address. SPF of our own domains passes for our own relays and gateways, so that
/// a gateway that hands over one of them, as after a filter that gives the message back to it, would make everybody an
/// insider.
fn is_nameable(directory: &Directory, address: IpAddr) -> bool {
    let address = address.to_canonical();
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    let is_nowhere = address.is_loopback() || address.is_unspecified() || address.is_multicast() || is_broadcast;
    !is_nowhere && directory.relay(address).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::{Change, Relay, change};
    use crate::mail::{Domain, RelayId};

    const GATEWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// 192.0.2.1 is a gateway that writes Received fields, 192.0.2.2 one that does not, 192.0.2.3 a trusted relay.
    fn listed() -> Directory {
        let relay = |id, network: &str, kind, name: Option<&str>| {
            let received_by = name.map(|name| Domain::parse(name).unwrap());
            Change::PutRelay(Relay {
                id: RelayId::new(id).unwrap(),
                network: network.parse().unwrap(),
                kind,
                received_by,
            })
        };
        let changes = [
            relay(1, "192.0.2.1", RelayKind::Gateway, Some("gw.corp.test")),
            relay(2, "192.0.2.2", RelayKind::Gateway, None),
            relay(3, "192.0.2.3", RelayKind::TrustedRelay, None),
        ];
        change::apply_all(&Directory::default(), &changes).unwrap().0
    }

    #[test]
    fn gateways_speak_for_others_and_everybody_else_for_themselves() {
        let directory = listed();
        let by = |text: &str| Handover::By(Some(ip(text)));
        for (case, peer, handover, want, kind) in [
            ("stranger", ip("203.0.113.9"), Handover::None, Client::Direct(ip("203.0.113.9")), None),
            ("relay", ip("192.0.2.3"), Handover::None, Client::Direct(ip("192.0.2.3")), Some(RelayKind::TrustedRelay)),
            ("gateway", GATEWAY, Handover::None, Client::InReceived, Some(RelayKind::Gateway)),
            ("gateway without fields", OTHER, Handover::None, Client::Unnamed, Some(RelayKind::Gateway)),
            ("XCLIENT", GATEWAY, by("203.0.113.9"), Client::HandedOver(ip("203.0.113.9")), Some(RelayKind::Gateway)),
            ("XCLIENT of nobody", GATEWAY, Handover::By(None), Client::Unnamed, Some(RelayKind::Gateway)),
            ("XCLIENT of a relay", GATEWAY, by("192.0.2.3"), Client::Unnamed, Some(RelayKind::Gateway)),
            ("XCLIENT of itself", GATEWAY, by("192.0.2.1"), Client::Unnamed, Some(RelayKind::Gateway)),
            ("XCLIENT of loopback", GATEWAY, by("127.0.0.1"), Client::Unnamed, Some(RelayKind::Gateway)),
            ("mapped loopback", GATEWAY, by("::ffff:127.0.0.1"), Client::Unnamed, Some(RelayKind::Gateway)),
            ("XCLIENT of nowhere", GATEWAY, by("0.0.0.0"), Client::Unnamed, Some(RelayKind::Gateway)),
            ("XCLIENT, not listed now", ip("192.0.2.9"), Handover::By(None), Client::Unnamed, Some(RelayKind::Gateway)),
            ("XCLIENT, trusted now", ip("192.0.2.3"), Handover::By(None), Client::Unnamed, Some(RelayKind::Gateway)),
        ] {
            let client = Client::of(&directory, peer, handover);
            assert_eq!((client, client.listed(&directory)), (want, kind), "{case}");
            assert!(!client.is_loopback(), "{case}");
        }
        assert!(Client::of(&directory, ip("127.0.0.1"), Handover::None).is_loopback());
    }

    #[test]
    fn only_its_own_field_speaks_for_a_gateway() {
        let directory = listed();
        let received = |by: &str, client: &str| Received {
            client: ip(client),
            helo: "a.test".to_owned(),
            by: Host::parse(by).unwrap(),
        };
        for (case, peer, by, client, is_named) in [
            ("by its name", GATEWAY, "gw.corp.test", "203.0.113.9", true),
            ("by its name in capitals", GATEWAY, "GW.Corp.Test", "203.0.113.9", true),
            ("by its address", GATEWAY, "[192.0.2.1]", "203.0.113.9", true),
            ("by another name", GATEWAY, "mx.evil.test", "203.0.113.9", false),
            ("by a name below", GATEWAY, "x.gw.corp.test", "203.0.113.9", false),
            ("by another address", GATEWAY, "[192.0.2.9]", "203.0.113.9", false),
            ("at a gateway that writes none", OTHER, "gw.corp.test", "203.0.113.9", false),
            ("by the address of a gateway that writes none", OTHER, "[192.0.2.2]", "203.0.113.9", false),
            ("from a program of its own", GATEWAY, "gw.corp.test", "127.0.0.1", false),
            ("from itself", GATEWAY, "gw.corp.test", "192.0.2.1", false),
            ("from a trusted relay", GATEWAY, "gw.corp.test", "192.0.2.3", false),
        ] {
            let named = named_in(&directory, peer, &received(by, client));
            assert_eq!(named, is_named.then(|| ip(client)), "{case}");
        }
    }
}
