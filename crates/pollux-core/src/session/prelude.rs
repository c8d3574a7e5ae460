//! The prelude of a conversation: a header of the PROXY protocol, where the listener expects one, and the
//! ClientHello of a TLS client that is to be passed on, where routes look at it.

use ::core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::{Dial, Effect, Env, Phase, Session, routing};
use crate::core::outcome::Cause;
use crate::core::time::Time;
use crate::core::tls_info::TlsInfo;
use crate::lane::Source;
use crate::lane::framer::Framer;
use crate::prelude::hello::{self, Hello};
use crate::prelude::proxy::{self, Announced, Behalf, ProxyAttributes, ProxyReading};
use crate::snapshot::{Announcing, Hsts, Listener, Mode};

/// The prelude that is awaited before the conversation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaits {
    /// A header of the PROXY protocol.
    Header,
    /// A ClientHello.
    Hello,
}

/// The client of a proxy, as the proxy has announced it.
#[derive(Clone, Debug)]
pub(super) struct Introduced {
    /// The proxy.
    pub(super) by: SocketAddr,
    /// Its announcement.
    pub(super) said: Announced,
}

/// Whether the first bytes of a client who has connected to `listener` are to be, or may be, a header.
#[must_use]
pub fn awaits_header(listener: &Listener, client: SocketAddr) -> bool {
    match listener.announcing {
        Announcing::Never => false,
        Announcing::Optional => listener.trusts(client.ip().to_canonical()),
        Announcing::Required => true,
    }
}

/// The first bytes of a client that has to send a PROXY header.
#[derive(Debug)]
pub enum Heard {
    /// They are too few to tell.
    More,
    /// So many of them are a header that says that. What follows is the client's.
    Header(usize, Announced),
    /// They are no header, and need not be.
    Absent,
    /// The connection ends for that cause.
    Refused(Cause),
}

/// Listens to the first bytes of a client who has connected to `listener`, from whom a header is awaited.
#[must_use]
pub fn hear(listener: &Listener, client: SocketAddr, bytes: &[u8]) -> Heard {
    if !listener.trusts(client.ip().to_canonical()) {
        return Heard::Refused(Cause::ProxyHeaderRefused);
    }
    match proxy::read(bytes) {
        ProxyReading::Header(length, said) => Heard::Header(length, said),
        ProxyReading::Absent if listener.announcing == Announcing::Optional => Heard::Absent,
        ProxyReading::Absent => Heard::Refused(Cause::ProxyHeaderMissing),
        ProxyReading::Malformed => Heard::Refused(Cause::ProxyHeaderMalformed),
        ProxyReading::Incomplete => Heard::More,
    }
}

impl Session {
    /// The phase of a client that was just accepted. Behind TLS there is no header: it has come before.
    pub(super) fn first_phase(client: SocketAddr, listener: &Listener, now: Time) -> Phase {
        if listener.tls.is_none() && awaits_header(listener, client) {
            return Phase::Prelude { since: now, awaits: Awaits::Header };
        }
        match listener.mode {
            Mode::Http => Phase::Head { since: now, is_pause: false },
            Mode::Tcp if listener.routes.is_about_hello() => {
                Phase::Prelude { since: now, awaits: Awaits::Hello }
            }
            Mode::Tcp => Phase::Opening { since: now, dial: Dial::Wanted { again: None } },
        }
    }

    pub(super) fn step_prelude(
        &mut self,
        since: Time,
        awaits: Awaits,
        env: &Env<'_>,
        effects: &mut Vec<Effect>,
    ) -> bool {
        self.phase = Phase::Prelude { since, awaits };
        match awaits {
            Awaits::Header => self.step_header(env, effects),
            Awaits::Hello => self.step_hello(env, effects),
        }
    }

    /// Goes on behind a TLS handshake, by which the ClientHello has been read: routes in TCP mode may ask what it said.
    pub fn handle_tls_info(&mut self, tls_info: TlsInfo, env: &Env<'_>) {
        if let Phase::Prelude { .. } = self.phase {
            let server_name = Some(tls_info.name.as_bytes().into()).filter(|_| !tls_info.name.is_empty());
            let mut alpn = Vec::new();
            if let Ok(length @ 1..) = u8::try_from(tls_info.protocol.len()) {
                alpn.push(length);
                alpn.extend_from_slice(tls_info.protocol.as_bytes());
            }
            self.begin_connection(&Hello { server_name, alpn: alpn.into() }, None, env);
        }
        self.set_tls_info(tls_info);
    }

    fn step_header(&mut self, env: &Env<'_>, effects: &mut Vec<Effect>) -> bool {
        let listener = &env.snapshot.listeners[self.listener];
        let is_optional = listener.announcing == Announcing::Optional;
        match hear(listener, self.client, self.up.buffer.unscanned()) {
            Heard::Header(length, said) => {
                self.up.buffer.skip(length);
                self.introduce(said);
                self.begin_conversation(env)
            }
            Heard::Absent => self.begin_conversation(env),
            Heard::Refused(cause) => self.fail(cause, env, effects),
            Heard::More if !self.up.buffer.has_room() => self.fail(Cause::ProxyHeaderMalformed, env, effects),
            Heard::More => match self.up.source {
                Source::Ended | Source::Lost if !self.has_spoken() => self.end_unasked(effects),
                Source::Ended if is_optional => self.begin_conversation(env),
                Source::Ended => self.fail(Cause::ProxyHeaderMalformed, env, effects),
                Source::Lost => self.fail(Cause::ClientAborted, env, effects),
                Source::Absent | Source::Open | Source::Leaving if self.client_hung => {
                    self.fail(Cause::ClientAborted, env, effects)
                }
                Source::Absent | Source::Open | Source::Leaving => false,
            },
        }
    }

    /// Reads a ClientHello, which stays where it lies. What is none leads to the routes that ask for nothing of it.
    fn step_hello(&mut self, env: &Env<'_>, effects: &mut Vec<Effect>) -> bool {
        let is_full = !self.up.buffer.has_room();
        let (hello, fault) = match hello::read(self.up.buffer.unscanned()) {
            hello::HelloReading::Hello(hello) => (hello, None),
            hello::HelloReading::Absent => (Hello::default(), Some(Cause::ClientHelloMissing)),
            hello::HelloReading::Malformed => (Hello::default(), Some(Cause::ClientHelloMalformed)),
            hello::HelloReading::TooLong => (Hello::default(), Some(Cause::ClientHelloTooLong)),
            hello::HelloReading::Incomplete if is_full => (Hello::default(), Some(Cause::ClientHelloTooLong)),
            hello::HelloReading::Incomplete => match self.up.source {
                Source::Ended | Source::Lost if !self.has_spoken() => return self.end_unasked(effects),
                Source::Ended => (Hello::default(), Some(Cause::ClientHelloMalformed)),
                Source::Lost => return self.fail(Cause::ClientAborted, env, effects),
                Source::Absent | Source::Open | Source::Leaving if self.client_hung => {
                    return self.fail(Cause::ClientAborted, env, effects);
                }
                Source::Absent | Source::Open | Source::Leaving => return false,
            },
        };
        self.begin_connection(&hello, fault, env);
        true
    }

    /// Takes note of what is late. A proxy that may be silent is taken for a client that waits to be spoken to.
    pub(super) fn prelude_late(&mut self, awaits: Awaits, env: &Env<'_>, effects: &mut Vec<Effect>) {
        let listener = &env.snapshot.listeners[self.listener];
        match awaits {
            Awaits::Header if self.has_spoken() => {
                self.fail(Cause::ProxyHeaderTimeout, env, effects);
            }
            Awaits::Header if env.is_draining() => {
                self.end_unasked(effects);
            }
            Awaits::Hello if !self.has_spoken() && env.is_draining() => {
                self.end_unasked(effects);
            }
            // It may be a protocol in which the server speaks first.
            Awaits::Hello => {
                self.begin_connection(&Hello::default(), Some(Cause::ClientHelloTimeout), env);
            }
            Awaits::Header => match listener.announcing {
                Announcing::Required => {
                    self.fail(Cause::ProxyHeaderTimeout, env, effects);
                }
                Announcing::Optional | Announcing::Never => {
                    self.begin_conversation(env);
                }
            },
        }
    }

    /// Ends the session of a client that has connected and sent no byte.
    fn end_unasked(&mut self, effects: &mut Vec<Effect>) -> bool {
        self.exchange.cause = Some(Cause::NoRequest);
        effects.push(Effect::Record);
        self.end(Effect::CloseClient, effects)
    }

    /// Whether anything has come. A header of version 2 begins with empty lines.
    fn has_spoken(&self) -> bool {
        !self.up.buffer.unscanned().is_empty()
    }

    /// Takes the client for the one who was announced, if one was. The proxy may also speak for itself.
    fn introduce(&mut self, said: Announced) {
        let by = self.client;
        self.client = said.client().unwrap_or(by);
        self.introduced = Some(Arc::new(Introduced { by, said }));
    }

    /// Goes on as if the client had just come.
    fn begin_conversation(&mut self, env: &Env<'_>) -> bool {
        match self.mode {
            Mode::Http => self.phase = Phase::Head { since: env.now, is_pause: false },
            Mode::Tcp if env.snapshot.listeners[self.listener].routes.is_about_hello() => {
                self.phase = Phase::Prelude { since: env.now, awaits: Awaits::Hello };
            }
            Mode::Tcp => self.begin_connection(&Hello::default(), None, env),
        }
        true
    }

    /// Finds the pool of a client that has begun with `hello`, or with what is none: then `fault` says what was wrong with it, if
    /// no route takes the client as it is.
    pub(super) fn begin_connection(&mut self, hello: &Hello, fault: Option<Cause>, env: &Env<'_>) {
        let rules = &env.snapshot.listeners[self.listener];
        routing::route_connection(&mut self.exchange, rules, self.client, hello, env);
        if self.exchange.request.pool.is_none() {
            self.exchange.cause = fault;
        }
        if let Some(name) = &hello.server_name {
            if env.keeps_request {
                self.exchange.take_name(name);
            }
            self.server_name = Some(name.clone());
        }
        self.up.framer = Framer::Opaque;
        self.phase = Phase::Opening { since: env.now, dial: Dial::Wanted { again: None } };
    }

    /// Whether the client is to be announced to the backend by the first bytes of the exchange, which has not been done yet. Where
    /// there is TLS the header goes before that, and is no part of the exchange.
    #[must_use]
    pub fn is_to_be_announced(&self, env: &Env<'_>) -> bool {
        self.announces(env)
            && env.snapshot.pool(self.pool()).tls.is_none()
            && !self.exchange.request.is_announced
    }

    /// Whether the backends of the exchange's pool are told of their clients.
    pub(super) fn announces(&self, env: &Env<'_>) -> bool {
        env.snapshot.pool(self.pool()).announce.is_some()
    }

    /// Whether the client has come by a Unix socket.
    #[must_use]
    pub fn has_no_address(&self) -> bool {
        self.client.ip().is_unspecified()
    }

    /// Has what goes to the backend begin with a header of the PROXY protocol. The client has connected to `local`, if that is
    /// known; `own` are the addresses of the connection to the backend, for a client that has none.
    pub fn announce(
        &mut self,
        local: Option<SocketAddr>,
        own: Option<(SocketAddr, SocketAddr)>,
        env: &Env<'_>,
    ) {
        if let Some(header) = self.announcement(local, own, env) {
            self.exchange.request.is_announced = true;
            self.up.push_ahead(&header);
        }
    }

    /// The header of the PROXY protocol that connections to the backends of the exchange's pool begin with, if they do.
    #[must_use]
    pub fn announcement(
        &self,
        local: Option<SocketAddr>,
        own: Option<(SocketAddr, SocketAddr)>,
        env: &Env<'_>,
    ) -> Option<Vec<u8>> {
        let announce = env.snapshot.pool(self.pool()).announce?;
        let introduced = self.introduced.as_deref().map(|introduced| &introduced.said);
        let told = introduced.and_then(|said| Some(said.addresses?.1));
        let behalf = match (self.has_no_address(), told.or(local)) {
            (true, _) => Behalf::Own(own),
            (false, Some(local)) => Behalf::Client { client: self.client, local },
            (false, None) => Behalf::Client { client: self.client, local: nowhere(self.client) },
        };
        let mut own_id = Vec::new();
        self.exchange.identity.name().push(&mut own_id);
        let unique_id = introduced.and_then(|said| said.unique_id.as_deref()).unwrap_or(&own_id);
        let agreed =
            |text: fn(&TlsInfo) -> &str| self.tls_info.as_deref().map(text).filter(|text| !text.is_empty());
        let said = ProxyAttributes {
            authority: introduced
                .and_then(|said| said.authority.as_deref())
                .or(self.server_name.as_deref())
                .or(agreed(|tls_info| &tls_info.name).map(str::as_bytes))
                .filter(|_| announce.authority),
            alpn: introduced
                .and_then(|said| said.alpn.as_deref())
                .or(agreed(|tls_info| &tls_info.protocol).map(str::as_bytes))
                .filter(|_| announce.alpn),
            unique_id: announce.unique_id.then_some(unique_id),
            is_tls: announce.ssl.then_some(self.is_secure()),
        };
        let mut header = Vec::new();
        proxy::write(&mut header, announce.version, behalf, &said, announce.length_max);
        Some(header)
    }

    /// Whether the client has come by TLS: to Pollux, or to the proxy that has announced it.
    pub(super) fn is_secure(&self) -> bool {
        let is_told = |introduced: &Introduced| introduced.said.is_tls == Some(true);
        self.tls_info.is_some() || self.introduced.as_deref().is_some_and(is_told)
    }

    /// The Strict-Transport-Security for the client: none unless it has come by TLS itself (RFC 6797 7.2).
    pub(super) fn hsts(&self, env: &Env<'_>) -> Option<Hsts> {
        let own = self.options(env).and_then(|options| options.hsts);
        own.unwrap_or(env.snapshot.listeners[self.listener].disclosure.hsts).filter(|_| self.is_secure())
    }

    /// The peer of the connection: the client, or the proxy that has announced it.
    pub(super) fn peer(&self) -> SocketAddr {
        self.introduced.as_ref().map_or(self.client, |introduced| introduced.by)
    }
}

/// Stands for the address of Pollux where that is not known: in the family of the client's.
fn nowhere(client: SocketAddr) -> SocketAddr {
    let ip = if client.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    SocketAddr::new(ip, 0)
}
