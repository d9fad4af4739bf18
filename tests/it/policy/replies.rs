//! The reply catalogue (policy semantics §20), word for word.

pub const MAIL_OK: &str = "250 2.1.0 OK";
pub const OK: &str = "250 2.1.5 OK";
pub const AUTH_REQUIRED: &str = "530 5.7.0 Authentication required";
pub const BAD_SYNTAX: &str = "501 5.1.3 Bad recipient address";
pub const NEED_UTF8: &str = "553 5.6.7 SMTPUTF8 required";
pub const RELAY_DENIED: &str = "550 5.7.1 Relaying denied";
pub const USER_UNKNOWN: &str = "550 5.1.1 No such user";
pub const SENDER_NOT_OWNED: &str = "553 5.7.1 Sender address not owned by the authenticated user";
pub const FROM_NOT_OWNED: &str = "550 5.7.1 From address not owned by the authenticated user";
pub const SEND_BLOCKED: &str = "550 5.7.1 Sending is disabled for this account";
pub const GROUP_DENIED: &str = "550 5.7.2 Not permitted to send to this group";
pub const GROUP_UNVERIFIED: &str = "550 5.7.26 Sender could not be verified";
pub const GROUP_RETRY: &str = "451 4.7.24 Sender verification temporarily impossible";
pub const GROUP_EMPTY: &str = "550 5.2.4 Group cannot be expanded";
pub const SPLIT: &str = "452 4.5.3 Send this recipient in a separate transaction";
pub const SIZE_MAILBOX: &str = "552 5.2.3 Message too big for this recipient";
pub const HOLD_FULL: &str = "452 4.3.1 Hold queue full";
pub const USER_DISABLED: &str = "550 5.2.1 Mailbox disabled";
pub const RECV_SCOPE: &str = "550 5.7.1 This recipient does not accept mail from outside the organisation";
pub const SEND_SCOPE: &str = "550 5.7.1 This account may not send outside the organisation";
pub const LOOP: &str = "554 5.4.6 Routing loop";
pub const AUTH_BAD: &str = "535 5.7.8 Authentication failed";
pub const AUTH_LOCKED: &str = "454 4.7.0 Too many failed logins, try again later";
pub const AUTH_DISABLED: &str = "525 5.7.13 Account disabled";
pub const RULE_REJECT: &str = "550 5.7.1 Message refused by policy";
