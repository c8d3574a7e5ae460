//! Tables as a file says them, where the checked configuration has another shape: an action names its pools,
//! and the `pool` or `split` of a listener is a route of its own in the snapshot.

use crate::route::{Action, Conditions, Options, Redirect, Respond, Route, Split, SplitShare, Template};
use crate::snapshot::{Backend, Like, Listener, Mode, PoolId, Snapshot};

/// The keys of a `[[listener.route]]`.
pub(super) struct RouteForm {
    /// The mode of its listener, which decides what its conditions are called.
    pub(super) mode: Mode,
    pub(super) name: String,
    pub(super) when: Conditions,
    pub(super) action: ActionForm,
    pub(super) options: Options,
}

/// The keys of a `[[listener]]`.
pub(super) struct ListenerForm {
    /// Everything but its own action.
    pub(super) listener: Listener,
    pub(super) action: ActionForm,
}

/// The keys of an action. A checked route has exactly one of them, besides `sticky`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ActionForm {
    pub(super) pool: Option<String>,
    pub(super) split: Option<Vec<ShareForm>>,
    pub(super) sticky: Option<Template>,
    pub(super) redirect: Option<Redirect>,
    pub(super) respond: Option<Respond>,
}

/// One of `split`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ShareForm {
    pub(super) pool: String,
    pub(super) weight: u32,
}

/// One of `backends`, as a table.
pub(super) struct BackendForm {
    /// An address or a question, as it is written.
    pub(super) address: String,
    pub(super) like: Like,
}

impl RouteForm {
    /// A route of which nothing has been read.
    pub(super) fn new() -> RouteForm {
        RouteForm {
            mode: Mode::Http,
            name: String::new(),
            when: Conditions::default(),
            action: ActionForm::default(),
            options: Options::default(),
        }
    }

    pub(super) fn of(route: &Route, mode: Mode, snapshot: &Snapshot) -> RouteForm {
        RouteForm {
            mode,
            name: route.name.clone(),
            when: route.when.clone(),
            action: ActionForm::of(&route.action, snapshot),
            options: route.options.as_deref().cloned().unwrap_or_default(),
        }
    }
}

impl ListenerForm {
    pub(super) fn of(listener: &Listener, snapshot: &Snapshot) -> ListenerForm {
        let own = own_route(listener).map(|route| ActionForm::of(&route.action, snapshot));
        ListenerForm { listener: listener.clone(), action: own.unwrap_or_default() }
    }
}

/// The route that the listener's own `pool` or `split` makes. It is the last one.
pub(super) fn own_route(listener: &Listener) -> Option<&Route> {
    listener.routes.routes().last().filter(|route| {
        route.name == Route::DEFAULT
            && route.when.is_empty()
            && route.options.is_none()
            && route.action.pools().next().is_some()
    })
}

impl ActionForm {
    fn of(action: &Action, snapshot: &Snapshot) -> ActionForm {
        let name = |pool: PoolId| snapshot.pool(pool).name.clone();
        let mut form = ActionForm::default();
        match action {
            Action::Pool(pool) => form.pool = Some(name(*pool)),
            Action::Split(Split { shares, sticky }) => {
                let share = |share: &SplitShare| ShareForm { pool: name(share.pool), weight: share.weight };
                form.split = Some(shares.iter().map(share).collect());
                form.sticky.clone_from(sticky);
            }
            Action::Redirect(redirect) => form.redirect = Some(redirect.clone()),
            Action::Respond(respond) => form.respond = Some(respond.clone()),
        }
        form
    }

    /// The action, if the form has one and `pools` knows its pools.
    pub(super) fn action(self, pools: &[String]) -> Option<Action> {
        let find = |name: &String| pools.iter().position(|pool| pool == name).map(PoolId);
        let ActionForm { pool, split, sticky, redirect, respond } = self;
        let split = split.and_then(|shares| {
            let share =
                |share: &ShareForm| Some(SplitShare { pool: find(&share.pool)?, weight: share.weight });
            let shares = shares.iter().map(share).collect::<Option<Vec<_>>>()?;
            Some(Action::Split(Split { shares, sticky }))
        });
        let pool = pool.as_ref().and_then(find).map(Action::Pool);
        pool.or(split).or(redirect.map(Action::Redirect)).or(respond.map(Action::Respond))
    }
}

impl BackendForm {
    pub(super) fn of(backend: &Backend) -> BackendForm {
        let Backend { name, address, weight, tier, max_requests, max_connections, admin_state, tls_name } =
            backend.clone();
        let like =
            Like { name: Some(name), weight, tier, max_requests, max_connections, tls_name, admin_state };
        BackendForm { address: address.to_string(), like }
    }
}
