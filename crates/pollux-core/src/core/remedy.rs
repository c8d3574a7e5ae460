//! Advice about each cause, for `pollux why` and docs/causes.md.

use super::outcome::Cause;

impl Cause {
    /// The place to look at, and the change to make, in a sentence or two.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Cause::ProxyHeaderRefused => {
                "If the peer in the access line is a proxy of yours, add its network to `trusted_proxies`; if clients come without a proxy \
                 too, give them a listener of their own."
            }
            Cause::ProxyHeaderMissing => {
                "Have the proxy before Pollux send the header (`send-proxy-v2`, `proxy_protocol on`), or write `proxy_protocol = \"optional\"` \
                 if it sometimes does not."
            }
            Cause::ProxyHeaderMalformed => {
                "Look at what connects: a proxy that has the PROXY protocol wrong has to be fixed or updated. A health check that says half \
                 a header and leaves is told the same way."
            }
            Cause::ProxyHeaderTimeout => {
                "Look whether the proxy before Pollux sends the header at all, and at once. Over a slow network a longer \
                 `timeouts.prelude` helps."
            }
            Cause::ClientHelloMissing => {
                "Look at what connects: something else than TLS. If it is meant to be served here, give the listener a `pool`, or a route \
                 without `sni`, for all that is no TLS."
            }
            Cause::ClientHelloMalformed => {
                "Look at what connects: often a scanner, or a client that broke off. A route without `sni` would pass it on as it is."
            }
            Cause::ClientHelloTooLong => {
                "Nothing that is meant well is so long. If `limits.buffer` is below 16 KiB, raise it."
            }
            Cause::ClientHelloTimeout => {
                "If the protocol is one in which the server speaks first, it cannot be routed by SNI: give it a listener of its own. Over \
                 a slow network a longer `timeouts.prelude` helps."
            }
            Cause::BadRequestLine => {
                "Look at what connects: often it is TLS sent to a port without TLS, another protocol, or a scanner. The access line has \
                 the client's address."
            }
            Cause::BadField => {
                "Have the client fixed. Nothing makes Pollux accept such a field, because the backend might read it as two."
            }
            Cause::BadFraming => {
                "Have the client fixed: one Content-Length, or `Transfer-Encoding: chunked`, never both. If no client of yours sends \
                 this, an attacker may be trying request smuggling."
            }
            Cause::BadHost => "Have the client send exactly one Host with a host and perhaps a port.",
            Cause::BadTarget => {
                "Have the client percent-encode what may not stand in a URL, such as blanks, and send a path or a whole URL."
            }
            Cause::BadChunk => {
                "Have the client fixed: sizes are hexadecimal, each chunk ends with CR LF, and a chunk of size 0 ends the body."
            }
            Cause::NoRequest => {
                "Nothing, if these are TCP health checks of a balancer in front, or connections that browsers open ahead; \
                 `except = [\"no-request\"]` under `[access_log]` leaves their lines out. Many at once from everywhere can be an attack."
            }
            Cause::ClientTruncated => {
                "Usually the client gave up or its network failed. If one kind of client always does this, compare its Content-Length \
                 with what it sends."
            }
            Cause::ClientHeadTimeout => {
                "Slow networks and slow-loris attacks look like this. Raise `timeouts.client_head` if honest clients need longer."
            }
            Cause::MadeRoom => {
                "Raise `limits.sessions` if there are so many honest clients. Slow-loris attacks look like this; the log and \
                 `pollux_room_made_total` tell how many clients made room, and why."
            }
            Cause::ClientBodyTimeout => {
                "The upload stopped on the client's side. Raise `timeouts.idle`, also for one route, if honest clients pause for longer."
            }
            Cause::BodyTooLong => {
                "Raise `limits.body`, for all or for the route, if such a body is meant to pass."
            }
            Cause::TargetTooLong => "Raise `limits.request_line`, or have the client put less into the URL.",
            Cause::HeadTooLong => {
                "Mostly these are cookies that have grown. Have them shortened, or raise `limits.head`, `limits.field` or \
                 `limits.fields`; backends must accept such heads too."
            }
            Cause::UnknownExpectation => "Have the client leave Expect out, or say `100-continue`.",
            Cause::MethodRefused => {
                "Pollux is no forward proxy: CONNECT belongs to one, and TRACE shows secrets. Have the client use another method."
            }
            Cause::BadVersion => "Have the client speak HTTP/1.1, or HTTP/2 from its first byte.",
            Cause::AmbiguousPath => {
                "Have the client send the normal form of the path. `ambiguous_paths = \"pass\"` of the listener lets such paths through, \
                 if no rule of yours protects paths."
            }
            Cause::Misdirected => {
                "Nothing, if these are browsers: they ask again by a connection of its own. A proxy in front that sends many hosts by one \
                 connection belongs into `trusted_proxies`, or the certificate has to name those hosts."
            }
            Cause::NoRoute => {
                "`pollux explain` lists each route and why it missed. Add a route, or a `pool` to the listener for everything else."
            }
            Cause::ClientAborted => {
                "Clients do this when a user closes a page or a timeout of theirs is over. If many do, look at `response_ms`: \
                 the backend may be too slow for them."
            }
            Cause::ClientStalled => {
                "The client, or its network, takes no more bytes. Raise `timeouts.idle` if honest clients pause for longer."
            }
            Cause::TlsHandshakeTimeout => {
                "Slow networks and slow-loris attacks look like this. Raise `timeouts.handshake` if honest clients need longer, \
                 and `limits.handshakes` if there are so many of them that those within it end after a second."
            }
            Cause::TlsHandshakeFailed => {
                "Look at what connects: often it is HTTP without TLS sent to a port with TLS, a health check of a balancer in front, or a \
                 scanner."
            }
            Cause::TlsIncompatible => {
                "The client is old, or speaks HTTP/2 alone. `openssl s_client -connect HOST:PORT` shows what is offered; look at `min_version` \
                 and `alpn` of the listener."
            }
            Cause::TlsUnknownName => {
                "Add a certificate for the name to the listener, or let such clients have the first one with `unknown_names = \"default\"`."
            }
            Cause::TlsRefusedByClient => {
                "Usually the client does not know the issuer: put the whole chain into the `cert` file, and look at its dates and names with \
                 `pollux check`."
            }
            Cause::TlsCertificateRequired => {
                "Have the client send its certificate, or write `client_auth = \"request\"` and let routes decide."
            }
            Cause::TlsCertificateRefused => {
                "Look at the dates and the issuer of the client's certificate; its issuer has to be in the file of `client_ca`. \
                 With `client_crl` there has to be a list of each issuer that is not out of date."
            }
            Cause::BackendRefused => {
                "Start the backend, or correct its address: nothing listens there. `pollux status POOL/BACKEND` shows what was last \
                 observed."
            }
            Cause::BackendUnreachable => {
                "Look at routes and firewalls between here and the backend, and at its address."
            }
            Cause::BackendConnectTimeout => {
                "The host is down, a firewall drops the packets, or the backend's backlog is full. Raise `timeouts.connect` only if \
                 the way there is that long."
            }
            Cause::BackendTlsExpired => {
                "Renew the backend's certificate, and look at the clocks of both machines."
            }
            Cause::BackendTlsWrongName => {
                "Write the name of the certificate as `name` in the pool's `tls`, or have a certificate issued for the name in `backends`."
            }
            Cause::BackendTlsUnknownIssuer => {
                "Name the file with the issuer's certificate as `ca` in the pool's `tls`, or by `--backend-ca FILE`, and have the backend send its whole chain."
            }
            Cause::BackendTlsBadCertificate => {
                "`openssl s_client -connect HOST:PORT -showcerts` shows the certificate; it has to be one of version 3 for servers."
            }
            Cause::BackendTlsRefused => {
                "Look into the backend's log: it may want a client certificate (`cert` and `key` in the pool's `tls`), another name or version."
            }
            Cause::BackendTlsFailed => {
                "Look whether the port of the backend speaks TLS at all: `openssl s_client -connect HOST:PORT`."
            }
            Cause::BackendTlsTimeout => {
                "The backend accepts connections and does not answer: it may be overloaded, or its port does not speak TLS. Raise \
                 `timeouts.connect` if it needs longer."
            }
            Cause::BackendReset => {
                "Look at the backend's log: a crash, a kill, or a timeout of its own. If it closes idle connections, let it keep them \
                 longer than `timeouts.backend_idle`."
            }
            Cause::BackendClosed => {
                "Look at the backend's log: it took the request and closed without an answer. Often it ran out of workers, or restarted."
            }
            Cause::BackendBadResponse => {
                "See what it sends: `curl -v` at the backend's address. Often two lengths that differ, control bytes in a field, or \
                 another protocol, such as TLS, on that port."
            }
            Cause::BackendHeadTooLong => {
                "Raise `limits.head` or `limits.fields`, or have the backend send less."
            }
            Cause::BackendNoWebsocket => {
                "Have the backend announce SETTINGS_ENABLE_CONNECT_PROTOCOL, or set `protocol` of its pool to `auto` or `h1`: WebSocket goes by HTTP/1.1 then."
            }
            Cause::HeadTooLongForBackend => {
                "Mostly these are cookies that have grown. Have them shortened, or let the backend take larger heads (nginx: \
                 `large_client_header_buffers`, Envoy: `max_request_headers_kb`)."
            }
            Cause::BackendResponseTimeout => {
                "Find out what the backend does for so long. Raise `timeouts.backend_response`, for all or for the route, if it is \
                 meant to; `retry_on = [\"timeout\"]` of the pool asks another one."
            }
            Cause::BackendTruncated => {
                "Look at the backend's log: it died, or was killed, in the middle of a response, or its Content-Length is wrong."
            }
            Cause::BackendStalled => {
                "The backend stopped in the middle. If streams pause for long on purpose, raise `timeouts.idle` for their route."
            }
            Cause::TunnelIdle => {
                "Nothing, if these were forgotten connections. Else let one side send keep-alives, or raise `timeouts.tunnel`."
            }
            Cause::QueueTimeout => {
                "The backends are too slow or too few for what comes: compare `queued_ms` with `response_ms`. Add backends, raise \
                 `max_requests`, or let requests wait longer (`queue` of the pool, `timeouts.queue`)."
            }
            Cause::QueueFull => {
                "More comes than the backends can do. Add backends, raise `max_requests` or `max_connections`; a longer queue \
                 (`max_pending`) helps only against short peaks."
            }
            Cause::NoBackend => {
                "`pollux status` says of each backend why it is out. If checks are wrong about them, correct `[pool.NAME.check]`; \
                 `panic` in `[pool.NAME.health]` says when those that are down are used all the same."
            }
            Cause::OutOfDescriptors => {
                "Raise the limit of open files (`LimitNOFILE=` of the unit, `ulimit -n`), lower `limits.sessions`, or widen \
                 `net.ipv4.ip_local_port_range` if it is local ports that are missing."
            }
            Cause::OutOfBuffers => {
                "Raise `limits.buffers` if there is memory for it: each takes `limits.buffer` bytes while it is used."
            }
            Cause::DrainTimeout => {
                "Pollux was stopped while this was under way. Raise `timeouts.drain`, or let clients end long exchanges earlier; \
                 `pollux status` shows during a drain who holds it."
            }
            Cause::OperatorKilled => {
                "Nothing: an operator ended it, by `pollux session kill` or at the admin address."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_told_in_sentences() {
        for cause in Cause::ALL {
            for text in [cause.meaning(), cause.remedy()] {
                assert!(text.len() > 20 && text.ends_with('.') && !text.contains("  "), "{cause}: {text}");
            }
        }
    }
}
