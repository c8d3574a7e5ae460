//! The kinds of findings. Each has a stable code, by which it can be looked up, filtered and talked about.

use std::fmt;
use std::str::FromStr;

use crate::core::word::UnknownWord;

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file cannot be run.
    Error,
    /// The file can be run, but hardly does what was meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}

/// The scope in which a finding is certain when parts of the file could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// It is about the text that it points at, and holds whatever else the file says.
    Local,
    /// It is about what the file says as a whole, and may come from a line that could not be read.
    Whole,
}

macro_rules! codes {
    ($($name:ident $code:literal $severity:ident $reach:ident $title:literal $text:literal,)*) => {
        /// The kind of a finding. A code never changes its meaning; one that is given up is not used
        /// again.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $title] $name,)*
        }

        impl Code {
            /// Every code there is.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// As it is written, such as `P0012`.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Code::$name => $code,)* }
            }

            /// A few words for it.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Code::$name => $title,)* }
            }

            /// A paragraph for it: what is wrong, why it matters, how it is mended.
            #[must_use]
            pub const fn paragraph(self) -> &'static str {
                match self { $(Code::$name => $text,)* }
            }

            /// Its severity.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Code::$name => Severity::$severity,)* }
            }

            const fn reach(self) -> Reach {
                match self { $(Code::$name => Reach::$reach,)* }
            }
        }
    };
}

codes! {
    Syntax "P0001" Error Local "not valid TOML"
        "The file is not TOML at this place. What follows is read all the same, as far as it can be, so that other mistakes \
         are told in the same run; findings about the file as a whole wait until it can be read whole.",
    UnknownKey "P0002" Error Local "unknown key"
        "No key of this name exists here. A key that is ignored would be a setting that silently does not hold, so it is an \
         error. The help names the keys of this table, and the nearest one if it looks like a slip.",
    WrongType "P0003" Error Local "value of the wrong type"
        "The key takes another type of value: text stands in double quotes, numbers and booleans without, lists in brackets, \
         tables in braces or under a header of their own.",
    Unreadable "P0004" Error Whole "file that cannot be read"
        "The file does not exist, may not be read by this user, is longer than allowed or is not UTF-8 text. The same goes for \
         files that the configuration names, such as `body_file`.",
    MissingKey "P0005" Error Whole "missing key"
        "The table lacks a key without which it means nothing.",
    BadValue "P0006" Error Local "value that cannot be understood"
        "The text is of the right type but not of the right form: not an address, a time, a size, a network or a request.",
    OutOfRange "P0007" Error Local "value out of range"
        "The number or size is outside of the bounds that the message names.",
    UnknownWord "P0008" Error Local "unknown word"
        "The key takes one of a few words, and this is none of them.",
    NoListener "P0009" Error Whole "nothing listens"
        "A configuration needs at least one `[[listener]]`, or no client could connect.",
    NoPool "P0010" Error Whole "nothing serves"
        "A configuration needs a `[pool.NAME]`, unless every route of every listener answers by itself.",
    EmptyPool "P0011" Error Whole "pool without a backend"
        "A pool lists the backends that serve its requests; without one, every request would fail.",
    UnknownPool "P0012" Error Whole "unknown pool"
        "A listener, a route or a part of a split names a pool for which there is no `[pool.NAME]`. Names are case-sensitive. \
         Either the name is mistyped, or the pool was removed or renamed and this place was forgotten.",
    DuplicateName "P0013" Error Whole "name given twice"
        "Names of listeners, of the routes of a listener, of the backends of a pool and of tests tell them apart in logs and on \
         the command line, so none may stand for two.",
    DuplicateBackend "P0014" Error Whole "backend listed twice"
        "The same address stands twice in a pool. It would get twice its share and count its limits twice; a share of its own is \
         what `weight` is for.",
    OverlappingBinds "P0015" Error Whole "overlapping addresses"
        "Two listeners would take the same connections: the same address and port, or a wildcard (`0.0.0.0`, `[::]`) that \
         contains the other's address on the same port. `[::]` is every IPv6 address, and no IPv4 one.",
    Contradiction "P0016" Error Whole "contradicting limits"
        "Two limits cannot both hold, such as a request line that may be longer than the head that it is part of.",
    BadName "P0017" Error Local "name that cannot be one"
        "Names appear in logs, in headers and on the command line, so they are short and of plain characters.",
    ZeroWeight "P0018" Error Whole "no weight at all"
        "The weights of a pool or of a split add up to zero, so nothing would ever be picked. A weight of 0 switches one part off; \
         at least one other must have more.",
    UnreachableRoute "P0019" Warning Whole "unreachable route"
        "The first route that matches wins, and a route before this one matches every request that this one would. Move the \
         narrower route in front of the wider one, or remove it.",
    NeverFires "P0020" Warning Whole "timeout that can never fire"
        "Another timeout always passes first, or nothing that the timeout is about can happen. `queue` bounds all attempts to get a \
         backend connection together, so a `connect` that is not shorter never decides anything.",
    UnusedPool "P0021" Warning Whole "unused pool"
        "No listener and no route sends anything to this pool. It may be a leftover, or a route may have been forgotten.",
    BadRegex "P0022" Error Local "regular expression that cannot be read"
        "The expression is not one of the regex crate's syntax (no look-around and no back-references, which is what makes its \
         matching time linear), or it would be too large when compiled.",
    BadPath "P0023" Error Local "path that cannot match"
        "A path begins with `/`. `/users` matches that path alone, `/api/*` matches `/api` and everything below it, \
         `/users/{id}` any one segment. Requests are matched in normal form, so a path that is not in it would match nothing.",
    BadHost "P0024" Error Local "host that cannot match"
        "A host is a name or an address without a port, such as `api.example.com`, or `*.example.com` for every name below \
         `example.com`. Case and a trailing dot do not matter.",
    BadTemplate "P0025" Error Local "template that cannot be filled in"
        "In `{…}` stands the name of a variable: `client`, `request_id`, `trace_id`, `method`, `host`, `path`, `query`, `uri`, `tls_version`, `tls_cipher`, `tls_name`, `client_cert` (`yes`, `failed` or `no`), `client_cert_error` and `client_cert_subject`, `_issuer`, \
         `_serial` and `_fingerprint`, a name from the \
         path pattern or the regular expression of the route, or `header.NAME`, `cookie.NAME`, `query.NAME`. `{{` and `}}` stand for \
         braces.",
    ForbiddenField "P0026" Error Local "header field that no route may touch"
        "Fields that say where a message ends, whom it is for or how long the connection lasts are written by Pollux alone: a \
         route that could change them could make two readers disagree about a message. A value has no line breaks or other \
         control characters.",
    NotOneAction "P0027" Error Whole "route without exactly one action"
        "A route does one thing: `pool`, `split`, `redirect` or `respond`.",
    NoEffect "P0028" Error Whole "key without effect"
        "The key changes nothing here, for example `sticky` without `split`, or `strip_prefix` where no backend is asked.",
    HttpOnly "P0029" Error Whole "HTTP key on a TCP listener"
        "A TCP listener passes bytes without looking at them, but for the ClientHello that TLS begins with. It has a `pool`, a `split` or routes \
         to them by `sni`, `alpn` and `client`, and nothing else to decide by.",
    NoVariable "P0030" Error Local "environment variable that is not set"
        "`${NAME}` in a value stands for the environment variable of that name. It has to be set when the file is read; \
         `${NAME:-text}` stands for `text` where it is not, and `$${` for the characters `${`.",
    BadInclude "P0031" Error Local "include that cannot be followed"
        "`include` lists files, or patterns with `*`, relative to the file that says so. A file that is named without a pattern has to \
         exist, and an included file includes no others.",
    SetTwice "P0032" Error Whole "setting made twice"
        "Over all files a setting is made once: two values would leave open which one holds.",
    UnknownName "P0033" Error Whole "unknown name"
        "A `[[test]]` names a listener, route, pool or backend that the configuration does not have.",
    TooMany "P0034" Error Local "too many of something"
        "A list is longer than any configuration needs. The bound keeps a mistake, such as a generator run wild, from using up the \
         memory.",
    Unresolved "P0035" Warning Whole "backends that cannot be found now"
        "The DNS does not know the addresses of a host name or the targets of a service, or it does not answer. Pollux starts all the same and goes on asking, \
         because a name may come later than its proxy; until then the pool is without these backends. With `resolve = false` it is an \
         error.",
    NeverFull "P0036" Warning Whole "backend that is never full"
        "`balance = \"first\"` goes on to the next backend when one is full, and this one has no bound, so those behind it get nothing as \
         long as it is up. For a spare that only steps in, `backup = true` says what is meant.",
    BadCertificate "P0037" Error Local "certificate or key that cannot be used"
        "The file holds no certificate, or no key, that can be read: PEM is expected, a key without a passphrase, and no more of it than \
         belongs there. Without it no client could come in by the listener, or no backend would be trusted.",
    KeyMismatch "P0038" Error Local "key of another certificate"
        "The key is not that of the first certificate of the file. Either one of the two files is of another pair, or the \
         certificates stand in the wrong order: the server's own has to be the first.",
    CertificateDates "P0039" Warning Local "certificate that is not valid, or not for long"
        "The certificate has expired, is not valid yet, or expires within 14 days. Clients refuse it outside of its dates. It is a \
         warning, because Pollux runs all the same: a reload for another reason is not to fail for it.",
    ChainOrder "P0040" Warning Local "chain out of order"
        "Each certificate of a file has to be issued by the one behind it (RFC 5246 §7.4.2). Some clients put them in order themselves, and \
         others fail.",
    UncoveredName "P0041" Warning Whole "name without certificate, or certificate without route"
        "A route is for a host that no certificate of its listener is for, so that its clients get a certificate for another name and stop; or \
         no route is for any name of a certificate.",
    Unverified "P0042" Warning Local "backends that are not verified"
        "With `verify = \"off\"` any server at the backend's address is taken for the backend: the traffic is encrypted, but perhaps for \
         another one.",
    AbsurdTime "P0043" Warning Local "time that is absurd for its key"
        "The time is far longer than the key has a use for: a `client_idle` of days, a `connect` of hours. Mostly another unit was meant: \
         `m` is minutes, `ms` is milliseconds.",
    OpenRedirect "P0044" Warning Local "redirect to a host of the client's choice"
        "What a client says stands where the host of the target stands, or goes on: `https://example.com{rest}` with `.evil.example` is another \
         host, and `{query.to}` is any URI. Such a link begins with a name that people trust and leads elsewhere.",
    Exposed "P0045" Warning Local "secret that others may read"
        "Every user of this machine may read, or write, a file with a private key, a token or the secret of a cookie. A reader of it can \
         take the place of the server, use the admin address or choose a backend, so only the user of Pollux, and a group if need be, is to read it.",
    NoChoice "P0046" Warning Whole "version that is not agreed on"
        "`protocol = \"auto\"` leaves the version of HTTP to ALPN, a part of TLS. Without TLS, and on connections with a PROXY header, there is \
         nothing to agree on: HTTP/1.1 is spoken.",
}

impl Code {
    /// Whether it can be trusted although parts of the file could not be read.
    pub(super) fn is_local(self) -> bool {
        match self.reach() {
            Reach::Local => true,
            Reach::Whole => false,
        }
    }
}

/// In any case.
impl FromStr for Code {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Code, UnknownWord> {
        Code::ALL.iter().copied().find(|code| code.text().eq_ignore_ascii_case(word)).ok_or(UnknownWord)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_numbered_in_order_and_found_by_their_text() {
        for (index, code) in Code::ALL.iter().enumerate() {
            assert_eq!(code.text(), format!("P{:04}", index + 1));
            assert_eq!(code.text().to_lowercase().parse(), Ok(*code));
            assert!(code.paragraph().ends_with('.') && !code.paragraph().contains("  "), "{code}");
        }
        assert_eq!("P9999".parse::<Code>(), Err(UnknownWord));
    }
}
