//! What a message asks of the connections that carry it (RFC 8689).

/// What a message asks of the connections that carry it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsWish {
    /// What the hosts on its way publish.
    #[default]
    AsPublished,
    /// REQUIRETLS: verified TLS all the way (RFC 8689 §2).
    Required,
    /// That it gets there whatever becomes of TLS, as with `TLS-Required: No` (RFC 8689 §3).
    Optional,
}
