//! Texts with variables, such as `https://{host}{uri}`. Read when the configuration is loaded, filled in for
//! a request.

use std::fmt;
use std::io::Write;

use super::path;
use super::rule::Route;
use super::view::RequestView;
use crate::core::identity::RequestId;
use crate::core::tls_info::{CertError, CertificateInfo, TlsInfo};
use crate::syntax::braces::{self, Part};

/// The most pieces of a template.
const PIECES_MAX: usize = 64;

/// A text with variables. Two of the same text are equal. The default is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Client,
    RequestId,
    TraceId,
    Method,
    Host,
    Path,
    Query,
    Uri,
    TlsInfo(Secret),
    Field(String),
    Cookie(String),
    Parameter(String),
    /// A part of the path that the route's pattern or expression has named.
    Part(String),
}

/// Something that is known of an encrypted connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Secret {
    Version,
    Cipher,
    Name,
    Shown,
    CertError,
    Subject,
    Issuer,
    Serial,
    Fingerprint,
}

impl Secret {
    /// Its text; empty where there is none.
    fn of(self, tls_info: &TlsInfo) -> &str {
        // Of a certificate that was not verified, no value is passed on that an application could take for a
        // name.
        let of_client = |text: fn(&CertificateInfo) -> &str| tls_info.client.verified().map_or("", text);
        match self {
            Secret::Version => tls_info.version,
            Secret::Cipher => &tls_info.cipher,
            Secret::Name => &tls_info.name,
            Secret::Shown => tls_info.client.answer(),
            Secret::CertError => tls_info.client.cert_error().map_or("", CertError::as_str),
            Secret::Subject => of_client(|client| client.subject.text()),
            Secret::Issuer => of_client(|client| &client.issuer),
            Secret::Serial => of_client(|client| &client.serial),
            Secret::Fingerprint => of_client(|client| &client.fingerprint),
        }
    }
}

/// Why a text is not a template, without a full stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError(pub String);

/// The values that fill in a template.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The request.
    pub view: &'a RequestView<'a>,
    /// The route that was taken.
    pub route: &'a Route,
    /// The number of the request.
    pub request_id: RequestId<'a>,
    /// The trace that it is part of; empty if it is part of none.
    pub trace_id: &'a str,
}

impl Template {
    /// Reads `text`. `parts` are the names that the route's path gives; `{{` and `}}` stand for braces.
    ///
    /// # Errors
    /// When a brace is left open or a variable is not known.
    pub fn parse(text: &str, parts: &[&str]) -> Result<Template, TemplateError> {
        let mut pieces = Vec::new();
        for part in braces::parts(text) {
            pieces.push(match part.map_err(TemplateError)? {
                Part::Text(text) => Piece::Text(text),
                Part::Name(name) => variable(name, parts)?,
            });
        }
        if pieces.len() > PIECES_MAX {
            return Err(TemplateError(format!("it has more than {PIECES_MAX} parts")));
        }
        Ok(Template { text: text.to_owned(), pieces })
    }

    /// The whole text, if the template has no variable; else `None`.
    #[must_use]
    pub fn constant(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text that does not depend on the request.
    pub fn fixed(&self) -> impl Iterator<Item = &str> {
        self.pieces
            .iter()
            .filter_map(|piece| if let Piece::Text(text) = piece { Some(text.as_str()) } else { None })
    }

    /// Appends the text with its variables filled in to `out`; one that the request does not have is empty.
    /// What comes out can stand in a header field: nothing in a request that was let in can break a line, and
    /// whatever could is left out.
    pub fn render(&self, context: &Context<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        for piece in &self.pieces {
            piece.render(context, out);
        }
        let is_good = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
        if !out[start..].iter().all(is_good) {
            let kept: Vec<u8> = out.drain(start..).filter(is_good).collect();
            out.extend(kept);
        }
    }

    /// Appends it as a URI reference: what no URI may have is percent-encoded, and a path does not become an
    /// authority.
    pub fn render_uri(&self, context: &Context<'_>, out: &mut Vec<u8>) {
        let mut text = Vec::new();
        self.render(context, &mut text);
        let is_path = text.starts_with(b"//") && !self.text.starts_with("//");
        let from =
            if is_path { text.iter().position(|&byte| byte != b'/').unwrap_or(text.len()) - 1 } else { 0 };
        for &byte in &text[from..] {
            if byte.is_ascii_graphic()
                && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
            {
                out.push(byte);
            } else {
                // Writing to a Vec cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }

    /// The variable by which a client can make it lead to a host of its own choice, if it is a URI reference,
    /// and how.
    #[must_use]
    pub fn leads_away(&self) -> Option<(String, LeadsAway)> {
        let mut before = String::new();
        for piece in &self.pieces {
            let is_authority = match reach(&before) {
                Reach::Start => false,
                Reach::Authority => true,
                Reach::Path => return None,
            };
            let name = match piece {
                Piece::Text(text) => {
                    before.push_str(text);
                    continue;
                }
                // Both begin with a slash.
                Piece::Path | Piece::Uri => return None,
                Piece::Part(name) if is_authority => name.clone(),
                Piece::Field(name) => format!("header.{name}"),
                Piece::Cookie(name) => format!("cookie.{name}"),
                Piece::Parameter(name) => format!("query.{name}"),
                Piece::Query => String::from("query"),
                Piece::Client
                | Piece::RequestId
                | Piece::TraceId
                | Piece::Method
                | Piece::Host
                | Piece::TlsInfo(_)
                | Piece::Part(_) => {
                    before.push('x');
                    continue;
                }
            };
            return Some((name, if is_authority { LeadsAway::Authority } else { LeadsAway::First }));
        }
        None
    }

    /// Whether it has `{request_id}`.
    #[must_use]
    pub fn has_request_id(&self) -> bool {
        self.pieces.contains(&Piece::RequestId)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The way in which a client can choose the target of a URI reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeadsAway {
    /// The variable stands first, where a scheme and a host may stand.
    First,
    /// The variable stands where the host has not ended: `https://a.example` and `.evil.example`.
    Authority,
}

/// The part that may come next in a URI reference that has begun.
enum Reach {
    /// A scheme, an authority or a path.
    Start,
    /// More of an authority.
    Authority,
    /// More of a path, a query or a fragment.
    Path,
}

fn reach(before: &str) -> Reach {
    let is_end = |byte: char| matches!(byte, '/' | '?' | '#');
    let behind_scheme = match before.find(':') {
        Some(colon) if !before[..colon].contains(is_end) => &before[colon + 1..],
        Some(_) | None => before,
    };
    match behind_scheme.strip_prefix("//") {
        Some(authority) if authority.contains(is_end) => Reach::Path,
        Some(_) => Reach::Authority,
        None if behind_scheme.is_empty() => Reach::Start,
        None => Reach::Path,
    }
}

/// The names of the variables that every route has, for messages.
const VARIABLES: [(&str, Piece); 17] = [
    ("client", Piece::Client),
    ("request_id", Piece::RequestId),
    ("trace_id", Piece::TraceId),
    ("method", Piece::Method),
    ("host", Piece::Host),
    ("path", Piece::Path),
    ("query", Piece::Query),
    ("uri", Piece::Uri),
    ("tls_version", Piece::TlsInfo(Secret::Version)),
    ("tls_cipher", Piece::TlsInfo(Secret::Cipher)),
    ("tls_name", Piece::TlsInfo(Secret::Name)),
    ("client_cert", Piece::TlsInfo(Secret::Shown)),
    ("client_cert_error", Piece::TlsInfo(Secret::CertError)),
    ("client_cert_subject", Piece::TlsInfo(Secret::Subject)),
    ("client_cert_issuer", Piece::TlsInfo(Secret::Issuer)),
    ("client_cert_serial", Piece::TlsInfo(Secret::Serial)),
    ("client_cert_fingerprint", Piece::TlsInfo(Secret::Fingerprint)),
];

fn variable(name: &str, parts: &[&str]) -> Result<Piece, TemplateError> {
    if parts.contains(&name) {
        return Ok(Piece::Part(name.to_owned()));
    }
    if let Some((_, piece)) = VARIABLES.iter().find(|(known, _)| *known == name) {
        return Ok(piece.clone());
    }
    let of = |prefix: &str| name.strip_prefix(prefix).filter(|rest| !rest.is_empty()).map(str::to_owned);
    let token = |rest: &String| crate::syntax::grammar::is_token(rest.as_bytes());
    if let Some(rest) = of("header.").filter(token) {
        return Ok(Piece::Field(rest));
    }
    if let Some(rest) = of("cookie.").filter(token) {
        return Ok(Piece::Cookie(rest));
    }
    if let Some(rest) = of("query.") {
        return Ok(Piece::Parameter(rest));
    }
    let known = VARIABLES.iter().map(|(known, _)| *known).chain(parts.iter().copied());
    let known: Vec<String> = known.map(|name| format!("{{{name}}}")).collect();
    let list = known.join(", ");
    let shown: String = name.chars().take(40).flat_map(char::escape_debug).collect();
    Err(TemplateError(format!(
        "`{{{shown}}}` is no variable here; there are {list}, {{header.NAME}}, {{cookie.NAME}} and {{query.NAME}}"
    )))
}

impl Piece {
    fn render(&self, context: &Context<'_>, out: &mut Vec<u8>) {
        let view = context.view;
        match self {
            Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
            // Writing to a Vec cannot fail.
            // A client over a network never has this address.
            Piece::Client if view.client.is_unspecified() => out.extend_from_slice(b"unix"),
            Piece::Client => drop(write!(out, "{}", view.client)),
            Piece::RequestId => context.request_id.push(out),
            Piece::TraceId => out.extend_from_slice(context.trace_id.as_bytes()),
            Piece::Method => out.extend_from_slice(view.method.as_bytes()),
            Piece::Host => out.extend_from_slice(view.host()),
            Piece::Path => out.extend_from_slice(view.path.as_bytes()),
            Piece::Query => out.extend_from_slice(view.query.unwrap_or_default().as_bytes()),
            Piece::Uri => {
                out.extend_from_slice(view.path.as_bytes());
                if let Some(query) = view.query {
                    out.push(b'?');
                    out.extend_from_slice(query.as_bytes());
                }
            }
            Piece::TlsInfo(secret) => {
                let text = view.tls_info.map_or("", |tls_info| secret.of(tls_info));
                out.extend_from_slice(text.as_bytes());
            }
            Piece::Field(name) => out.extend_from_slice(view.field(name).next().unwrap_or_default()),
            Piece::Cookie(name) => out.extend_from_slice(view.cookie(name).next().unwrap_or_default()),
            Piece::Parameter(name) => {
                out.extend_from_slice(view.parameter(name).next().unwrap_or_default().as_bytes());
            }
            Piece::Part(name) => push_part(name, context, out),
        }
    }
}

/// Appends the part of the path that is called `name`.
fn push_part(name: &str, context: &Context<'_>, out: &mut Vec<u8>) {
    let (when, path) = (&context.route.when, context.view.path);
    let normal = path::normal(path);
    let rule = when.paths.iter().find(|rule| rule.matches(&normal));
    if let Some(part) = rule.and_then(|rule| rule.capture(name, path)) {
        out.extend_from_slice(part.as_bytes());
    } else if let Some(part) =
        when.path_regex.as_ref().and_then(|regex| regex.capture(name, normal.as_bytes()))
    {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::FieldLine;
    use crate::route::rule::tests::route;

    fn rendered(text: &str, path: &str, query: Option<&str>) -> String {
        let mut route = route();
        route.when.paths = vec![path::Path::parse("/users/{id}/*").unwrap()];
        let fields = [FieldLine::new("X", b"a b")];
        let view = RequestView {
            path,
            query,
            authority: b"h.example:80",
            fields: &fields,
            method: "GET",
            ..RequestView::connection([10, 1, 2, 3].into())
        };
        let (mut out, context) = (
            Vec::new(),
            Context {
                view: &view,
                route: &route,
                request_id: RequestId::Own(255),
                trace_id: "4bf92f3577b34da6a3ce929d0e0e4736",
            },
        );
        Template::parse(text, &["id"]).unwrap().render_uri(&context, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_leads_away_is_found() {
        use LeadsAway::{Authority, First};
        for (text, verdict) in [
            ("https://a.example{rest}", Some(("rest", Authority))),
            ("https://a.example:8443{rest}", Some(("rest", Authority))),
            ("https://{host}{rest}", Some(("rest", Authority))),
            ("//a.example{rest}", Some(("rest", Authority))),
            ("https://{query.h}/", Some(("query.h", Authority))),
            ("https://a.example{header.X-To}", Some(("header.X-To", Authority))),
            ("{query.to}", Some(("query.to", First))),
            ("{header.X-To}/x", Some(("header.X-To", First))),
            ("{cookie.to}", Some(("cookie.to", First))),
            ("{query}", Some(("query", First))),
            ("https:{query.to}", Some(("query.to", First))),
            ("https://a.example/{rest}", None),
            ("https://a.example?to={query.to}", None),
            ("https://a.example{uri}", None),
            ("https://{host}{path}", None),
            ("https://{host}/{rest}", None),
            ("/{query.to}", None),
            ("/x{query.to}", None),
            ("{rest}", None),
            ("{uri}?x={query.x}", None),
            ("x{query.to}", None),
            ("/a:b//c{query.to}", None),
        ] {
            let template = Template::parse(text, &["rest"]).unwrap();
            let verdict = verdict.map(|(name, how): (&str, _)| (name.to_owned(), how));
            assert_eq!(template.leads_away(), verdict, "{text}");
        }
    }

    #[test]
    fn variables_are_filled_in() {
        for (text, expected) in [
            ("https://{host}{uri}", "https://h.example/users/7;v/x?a=b"),
            ("/{id}-{client}-{method}", "/7;v-10.1.2.3-GET"),
            ("{header.x}|{query.a}|{cookie.c}|{{}}", "a%20b%7Cb%7C%7C%7B%7D"),
            ("{trace_id}", "4bf92f3577b34da6a3ce929d0e0e4736"),
            ("{request_id}", "000000000000000000000000000000ff"),
            ("{path}?{query}", "/users/7;v/x?a=b"),
        ] {
            assert_eq!(rendered(text, "/users/7;v/x", Some("a=b")), expected, "{text}");
        }
    }

    #[test]
    fn a_path_does_not_become_an_authority() {
        assert_eq!(rendered("{path}", "//evil.example/", None), "/evil.example/");
        assert_eq!(rendered("//{host}{path}", "/x", None), "//h.example/x");
        assert_eq!(rendered("{path}", "//", None), "/");
    }

    #[test]
    fn mistakes_are_told() {
        for bad in ["{", "}", "{x", "{nope}", "{header.}", "{header.a b}", "{}", "{id", "a}b"] {
            assert!(Template::parse(bad, &["id"]).is_err(), "{bad}");
        }
        assert_eq!(Template::parse("a{{b", &[]).unwrap().constant(), Some("a{b"));
    }
}
