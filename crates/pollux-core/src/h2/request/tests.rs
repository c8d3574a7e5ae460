//! A request by HTTP/2 and the same one by HTTP/1.1 are one value, and one head goes out.

use proptest::prelude::*;

use super::*;
use crate::core::identity::RequestId;
use crate::h2::head;
use crate::http::forward::ForwardContext;
use crate::http::request;
use crate::message::{Method, field_table};
use crate::route::path::Path;
use crate::route::{
    Action, AmbiguousPaths, Conditions, Context, FieldEdits, Host, RequestView, Route, RouteTable, Template,
    Want,
};

const SOCKET: &str = "dGhlIHNhbXBsZSBub25jZQ==";

fn fields(list: &[(Vec<u8>, Vec<u8>)]) -> Fields {
    let mut fields = Fields::default();
    for (name, value) in list {
        let start = fields.arena().len();
        fields.arena().extend_from_slice(name);
        fields.arena().extend_from_slice(value);
        fields.keep(start, name.len(), false);
    }
    fields
}

fn pairs(list: &[(&str, &str)]) -> Vec<(Vec<u8>, Vec<u8>)> {
    list.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

/// Shows `look` the head of a request with these fields.
fn with_head<R>(
    list: &[(Vec<u8>, Vec<u8>)],
    ends_stream: bool,
    look: impl FnOnce(Result<Head<'_>, Cause>) -> R,
) -> R {
    let fields = fields(list);
    let judged = head::request(&fields).expect("a head");
    let mut cookies = Vec::new();
    let mut table = field_table();
    look(super::read(&judged, &fields, ends_stream, &mut cookies, &mut table, SOCKET, &Limits::default()))
}

fn written(head: &Head<'_>) -> String {
    let mut out = Vec::new();
    head.write(&mut out, [192, 0, 2, 1].into(), "app");
    String::from_utf8(out).expect("text")
}

/// The head that goes to an HTTP/1.1 backend, without the lines that every one has.
fn text(list: &[(&str, &str)], ends_stream: bool) -> String {
    let text = with_head(&pairs(list), ends_stream, |head| written(&head.expect("a good head")));
    text.split_once("X-Forwarded-For").expect("the field of every head").0.to_owned()
}

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":path", "/a?b"), (":authority", "h.example")];

#[test]
fn what_passes_and_what_is_rewritten() {
    let begin = "GET /a?b HTTP/1.1\r\nHost: h.example\r\n";
    for (more, behind) in [
        (&[][..], ""),
        (&[("accept", "*/*"), ("accept", "x")], "accept: */*\r\naccept: x\r\n"),
        (&[("host", "H.example")], ""),
        (&[("te", "trailers")], ""),
        (&[("content-length", "0")], "Content-Length: 0\r\n"),
        (&[("http2-settings", "AAMAAABk")], ""),
        (&[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")], "cookie: a=1; b=2\r\nx: y\r\n"),
        (&[("x", "")], "x: \r\n"),
        (&[("x", "a: b, c")], "x: a: b, c\r\n"),
        (&[("x-forwarded-for", "6.6.6.6"), ("transfer_encoding", "chunked")], ""),
    ] {
        assert_eq!(text(&[&GET[..], more].concat(), true), format!("{begin}{behind}"));
    }
    let all = [(":method", "OPTIONS"), (":scheme", "http"), (":path", "*"), ("host", "h")];
    assert_eq!(text(&all, true), "OPTIONS * HTTP/1.1\r\nHost: h\r\n");
}

#[test]
fn a_body_has_the_framing_of_the_other_version() {
    let post = [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "h")];
    let begin = "POST / HTTP/1.1\r\nHost: h\r\n";
    assert_eq!(text(&post, true), begin);
    assert_eq!(text(&post, false), format!("{begin}Transfer-Encoding: chunked\r\n"));
    let known = [&post[..], &[("content-length", "5")]].concat();
    assert_eq!(text(&known, false), format!("{begin}Content-Length: 5\r\n"));
}

#[test]
fn an_extended_connect_is_the_upgrade_that_it_stands_for() {
    let list = [
        (":method", "CONNECT"),
        (":scheme", "https"),
        (":path", "/chat"),
        (":authority", "h"),
        (":protocol", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "of the client, which has none"),
    ];
    with_head(&pairs(&list), false, |head| {
        let head = head.expect("a good head");
        assert_eq!((head.method, head.body, head.wants_upgrade), (Method::Get, BodyLength::Empty, true));
        assert_eq!(head.protocols(), b"websocket");
    });
    let expected = "GET /chat HTTP/1.1\r\nHost: h\r\nupgrade: websocket\r\nsec-websocket-key: \
                    dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\nConnection: Upgrade\r\n";
    assert_eq!(text(&list, false), expected);
    let other =
        [list[0], list[1], list[2], list[3], (":protocol", "connect-udp"), ("capsule-protocol", "?1")];
    let expected = "GET /chat HTTP/1.1\r\nHost: h\r\nupgrade: connect-udp\r\ncapsule-protocol: ?1\r\n\
                    Connection: Upgrade\r\n";
    assert_eq!(text(&other, false), expected);
}

#[test]
fn what_http_1_1_refuses_is_refused_here_for_the_same_cause() {
    let with =
        |more: &[(&str, &str)]| with_head(&pairs(&[&GET[..], more].concat()), true, |head| head.map(|_| ()));
    assert_eq!(with(&[("x", &"y".repeat(Limits::default().field))]), Err(Cause::HeadTooLong));
    assert_eq!(with(&[("expect", "more")]), Err(Cause::UnknownExpectation));
    assert_eq!(with(&vec![("x", "y"); Limits::default().fields]), Err(Cause::HeadTooLong));
    assert_eq!(with(&vec![("x", "y"); Limits::default().fields - 1]), Ok(()));
    let tunnel = pairs(&[(":method", "CONNECT"), (":authority", "h:443")]);
    assert_eq!(with_head(&tunnel, false, |head| head.map(|_| ())), Err(Cause::MethodRefused));
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[ -~]{0,12}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..8),
        prop::sample::select(vec![
            "/",
            "/a",
            "*",
            "h",
            "h:80",
            "a\r\nb: c",
            "GET",
            "http",
            "trailers",
            "5",
            "x y",
            "\n",
            "\0",
            "/ HTTP/1.1",
        ])
        .prop_map(|known| known.as_bytes().to_vec()),
    ]
}

fn names() -> impl Strategy<Value = Vec<u8>> {
    let known = vec![
        ":method",
        ":scheme",
        ":path",
        ":authority",
        ":protocol",
        "host",
        "te",
        "cookie",
        "content-length",
        "transfer-encoding",
        "connection",
        "x",
        "a-b",
    ];
    prop_oneof![prop::sample::select(known).prop_map(|known| known.as_bytes().to_vec()), bytes()]
}

/// A request, as both versions can have it.
#[derive(Clone, Debug)]
struct Both {
    method: &'static str,
    path: String,
    host: &'static str,
    length: Option<u64>,
    fields: Vec<(&'static str, String)>,
    crumbs: Vec<String>,
}

impl Both {
    fn as_text(&self) -> String {
        let mut text = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.path, self.host);
        let length = self.length.map(|length| ("Content-Length", length.to_string()));
        let cookies = (!self.crumbs.is_empty()).then(|| ("Cookie", self.crumbs.join("; ")));
        for (name, value) in length.into_iter().chain(cookies).chain(self.fields.iter().cloned()) {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text + "\r\n"
    }

    fn as_fields(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let pseudo = [
            (":method", self.method.to_owned()),
            (":scheme", "https".to_owned()),
            (":path", self.path.clone()),
            (":authority", self.host.to_owned()),
        ];
        let length = self.length.map(|length| ("content-length", length.to_string()));
        let crumbs = self.crumbs.iter().map(|crumb| ("cookie", crumb.clone()));
        let all = pseudo.into_iter().chain(length).chain(crumbs).chain(self.fields.iter().cloned());
        all.map(|(name, value)| (name.to_ascii_lowercase().into_bytes(), value.into_bytes())).collect()
    }
}

fn both() -> impl Strategy<Value = Both> {
    let names = vec!["X-Tenant", "Accept", "X-Request-ID", "traceparent", "X-Forwarded-For", "Authorization"];
    let values = prop_oneof!["[!-~]{1,8}", Just("NTLM x".to_owned()), Just("a b".to_owned())];
    (
        prop::sample::select(vec!["GET", "POST", "HEAD", "PUT", "OPTIONS"]),
        "/[a-c]{0,2}(/[a-c]{0,2})?(\\?[a-c=&]{0,4})?",
        prop::sample::select(vec!["a.example", "b.example:81", "[::1]"]),
        prop::option::of(1..9_u64),
        prop::collection::vec((prop::sample::select(names), values), 0..5),
        prop::collection::vec("[a-c]=[a-c]{0,2}", 0..3),
    )
        .prop_map(|(method, path, host, length, fields, crumbs)| Both {
            method,
            path,
            host,
            length,
            fields,
            crumbs,
        })
}

fn routes() -> RouteTable {
    let route = |name: &str, when| Route {
        name: name.to_owned(),
        when,
        action: Action::Pool(crate::core::ids::PoolId(0)),
        options: None,
    };
    let any = Conditions::default;
    let is = |text: &str| Want::Is(vec![text.to_owned()]);
    let routes = vec![
        route("host", Conditions { hosts: vec![Host::parse("b.example").expect("a host")], ..any() }),
        route("path", Conditions { paths: vec![Path::parse("/a/*").expect("a path")], ..any() }),
        route("cookie", Conditions { cookies: vec![("a".to_owned(), is("b"))], ..any() }),
        route("header", Conditions { headers: vec![("x-tenant".to_owned(), Want::Present)], ..any() }),
        route("method", Conditions { methods: vec!["POST".to_owned()], ..any() }),
    ];
    RouteTable::new(routes, AmbiguousPaths::default())
}

/// The head for the backend, with edits by a route.
fn edited(head: &Head<'_>, route: &Route) -> Vec<u8> {
    let template = |text: &str| Template::parse(text, &[]).expect("a template");
    let edits = FieldEdits {
        remove: vec!["accept".to_owned()],
        set: vec![("x-tenant".to_owned(), template("{host}{uri} {cookie.a} {header.cookie}"))],
        add: vec![("x-more".to_owned(), template("{method} {query.a}"))],
    };
    let view = RequestView::of(head, [192, 0, 2, 1].into());
    let context = Context { view: &view, route, request_id: RequestId::Own(1), trace_id: "" };
    let plain = ForwardContext::plain([192, 0, 2, 1].into(), "app");
    let forward = ForwardContext { edits: Some((&edits, context)), hidden_cookie: Some("b"), ..plain };
    let mut out = Vec::new();
    head.write_forwarded(&mut out, &forward);
    out
}

proptest! {
    /// The same request by both versions is one value. It takes the same route, and the same head goes out.
    #[test]
    fn the_version_makes_no_difference(asked in both()) {
        let text = asked.as_text();
        let mut table = field_table();
        let by_1 = request::read(text.as_bytes(), &mut table, &Limits::default());
        let routes = routes();
        with_head(&asked.as_fields(), asked.length.is_none(), |by_2| -> Result<(), TestCaseError> {
            let (Ok(by_1), Ok(by_2)) = (&by_1, &by_2) else {
                prop_assert_eq!(by_1.as_ref().err(), by_2.as_ref().err());
                return Ok(());
            };
            prop_assert_eq!(by_2.version, Version::Http2);
            let by_2 = Head { version: Version::Http11, ..*by_2 };
            prop_assert_eq!(by_1, &by_2);
            let decide = |head: &Head<'_>| routes.decide(&RequestView::of(head, [192, 0, 2, 1].into()));
            prop_assert_eq!(decide(by_1), decide(&by_2));
            for route in routes.routes() {
                let (one, other) = (edited(by_1, route), edited(&by_2, route));
                prop_assert!(one.eq_ignore_ascii_case(&other), "{:?}", String::from_utf8_lossy(&other));
            }
            Ok(())
        })?;
    }

    /// Every list of fields that passes the judge is one head of HTTP/1.1, as another parser reads it.
    #[test]
    fn one_head_becomes_one_head(
        pseudo in (bytes(), bytes(), bytes(), bytes()),
        is_plain in any::<[bool; 4]>(),
        more in prop::collection::vec((names(), bytes()), 0..6),
    ) {
        let (method, scheme, path, authority) = pseudo;
        let mut list = pairs(&GET);
        for (at, value) in [method, scheme, path, authority].into_iter().enumerate() {
            if !is_plain[at] {
                list[at].1 = value;
            }
        }
        list.extend(more);
        let fields = fields(&list);
        let Ok(judged) = head::request(&fields) else { return Ok(()) };
        let (mut cookies, mut table) = (Vec::new(), field_table());
        let Ok(head) = super::read(&judged, &fields, true, &mut cookies, &mut table, SOCKET, &Limits::default()) else {
            return Ok(());
        };
        let mut out = Vec::new();
        head.write(&mut out, [192, 0, 2, 1].into(), "app");
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut parsed = httparse::Request::new(&mut headers);
        prop_assert_eq!(parsed.parse(&out), Ok(httparse::Status::Complete(out.len())));
        prop_assert_eq!(parsed.method, Some(head.method_text));
        prop_assert_eq!(parsed.path, Some(judged.path));
        prop_assert_eq!(parsed.headers[0].value, judged.authority.as_bytes());
        let came = |name: &str| fields.iter().filter(|field| field.name == name.as_bytes()).count();
        let went = |name: &str| parsed.headers.iter().filter(|header| header.name == name).count();
        prop_assert_eq!(went("x"), came("x"));
        prop_assert_eq!(went("cookie"), came("cookie").min(1));
        prop_assert_eq!((went("te"), went("connection"), went("Host")), (0, 0, 1));
    }
}
