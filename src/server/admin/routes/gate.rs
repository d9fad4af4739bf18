//! Asks before a handler whether whoever asks may: the one place where the API refuses for lack of permission what path
//! and query name. What a body names is looked at when the change is drawn up.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{Query, RawPathParams, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;

use super::Route;
use crate::server::admin::error::ApiError;
use crate::server::admin::ops::{Admin, Asked};
use crate::server::admin::permission::Named;
use crate::server::admin::{Actor, Touches};

#[derive(Clone)]
struct Gate {
    admin: Arc<Admin>,
    route: Arc<str>,
    touches: Touches,
}

/// The handler of a route behind its gate.
pub(super) fn guarded(route: Route, admin: &Arc<Admin>) -> MethodRouter<Arc<Admin>> {
    let name = format!("{} {}", route.method, route.path).into();
    let gate = Gate { admin: admin.clone(), route: name, touches: route.touches };
    route.handler.route_layer(middleware::from_fn_with_state(gate, pass))
}

async fn pass(
    State(gate): State<Gate>,
    Extension(actor): Extension<Actor>,
    params: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
    next: Next,
) -> Response {
    // What is not UTF-8 names nothing; the handler says so to whoever may.
    let object = params.ok().and_then(|params| params.iter().next().map(|(_, value)| value.to_owned()));
    let asked = Asked {
        route: gate.route.to_string(),
        named: Named { object, organisation: organisation(&request), hold: None },
    };
    match gate.admin.permit(actor, gate.touches, asked).await {
        Ok(()) => next.run(request).await,
        Err(error) => ApiError::from(error).into_response(),
    }
}

/// The organisation that the query names. A query that cannot be read, or that names several, no handler takes.
fn organisation(request: &Request) -> Option<String> {
    let Query(fields) = Query::<Vec<(String, String)>>::try_from_uri(request.uri()).ok()?;
    fields.into_iter().find(|(name, _)| name == "organisation").map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::super::routes;
    use super::*;
    use crate::policy::administration::{Operation, Relation};

    /// What stands in a path is what is looked at: a route that names an object and touches another would be open.
    #[test]
    fn every_route_declares_what_its_path_names() {
        for route in routes() {
            let (root, rest) = route.path[1..].split_once('/').unwrap_or((&route.path[1..], ""));
            let is_declared = match (root, rest.starts_with('{')) {
                ("accounts", true) => matches!(route.touches, Touches::Account(_)),
                ("groups", true) => matches!(route.touches, Touches::Group(_)),
                ("aliases", true) => route.touches == Touches::Alias,
                ("holds", true) => route.touches == Touches::Hold,
                ("domains", true) => matches!(route.touches, Touches::Domain | Touches::Server),
                ("organisations", true) => matches!(route.touches, Touches::ORGANISATION | Touches::Server),
                ("departments" | "rules", true) | ("audit", _) => route.touches == Touches::NAMED,
                // What is shown is narrowed to whoever asks.
                ("trace", _) | ("holds" | "groups", false) if route.method == "GET" => route.touches == Touches::Browse,
                ("departments" | "rules", false) if route.method == "GET" => route.touches == Touches::NAMED,
                ("status" | "check" | "metrics" | "apply" | "queue" | "relays" | "blocklists", _)
                | ("webhooks" | "hooks", _) => route.touches == Touches::Server,
                (_, false) => matches!(route.touches, Touches::OURS | Touches::Server),
                (_, true) => false,
            };
            assert!(is_declared, "{route:?}: {:?}", route.touches);
            let takes_organisation =
                route.query.as_ref().is_some_and(|query| query["properties"]["organisation"].is_object());
            let looks_at_it = matches!(route.touches, Touches::NAMED | Touches::Browse);
            assert!(!takes_organisation || looks_at_it, "{route:?} takes an organisation that nobody looks at");
        }
    }

    #[test]
    fn people_change_their_own_affairs_alone() {
        let by = |relation: Relation| -> Vec<String> {
            let mine = routes().into_iter().filter(|route| route.touches.permitted().any(|r| r == relation));
            mine.filter(|route| route.method != "GET").map(|route| format!("{route:?}")).collect()
        };
        assert_eq!(by(Relation::Colleague), Vec::<String>::new());
        assert_eq!(by(Relation::Reader), Vec::<String>::new());
        assert_eq!(by(Relation::Approver), ["POST /holds/{id}/accept", "POST /holds/{id}/refuse"]);
        let owner = by(Relation::Owner);
        let own = ["password", "forward", "forward/ask", "vacation", "blocked", "allowed"];
        assert!(owner.iter().all(|route| own.iter().any(|part| route.ends_with(&format!("/{{address}}/{part}")))));
        assert_eq!(owner.len(), 8, "{owner:?}");
        let manager = by(Relation::Manager);
        assert!(manager.iter().all(|route| route.contains(" /groups/{address}")), "{manager:?}");
        assert!(!manager.contains(&"DELETE /groups/{address}".to_owned()));
        assert!(routes().iter().all(|route| route.touches.operation() == Operation::Server
            || route.touches.permitted().any(|r| r == Relation::DomainAdmin)));
    }
}
