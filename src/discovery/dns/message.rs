//! Messages: the query as it is sent, and what an answer says, if it is one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use simple_dns::rdata::{OPT, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, ResourceRecord, TYPE};

use super::Failure;

/// The kinds of records that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    A,
    Aaaa,
    Srv,
}

impl Kind {
    fn qtype(self) -> QTYPE {
        QTYPE::TYPE(match self {
            Kind::A => TYPE::A,
            Kind::Aaaa => TYPE::AAAA,
            Kind::Srv => TYPE::SRV,
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::A => "A",
            Kind::Aaaa => "AAAA",
            Kind::Srv => "SRV",
        })
    }
}

/// A record that matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// The name that it belongs to; see [`plain`].
    pub(super) name: String,
    /// In seconds.
    pub(super) ttl: u32,
    pub(super) data: Data,
}

/// The data of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Data {
    Address(IpAddr),
    /// The name that stands for it (CNAME).
    Alias(String),
    Service(Service),
}

/// An SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) port: u16,
    /// Empty where there is decidedly no service: the root.
    pub(super) target: String,
}

/// A message, read as the answer to a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is no answer to the query: another's, a forged one, or no message at all.
    Foreign,
    /// The answer did not fit.
    Cut,
    /// The records of the answer. Those that the server added may be some of many (RFC 2181 section 9), and
    /// are not read.
    Records { answers: Vec<Record> },
    /// There is no such name.
    NoName,
    /// The server has no answer: the code, as it is called.
    Refused(&'static str),
}

/// A query.
#[derive(Clone, Debug)]
pub(super) struct Query<'a> {
    pub(super) id: u16,
    pub(super) name: &'a str,
    pub(super) kind: Kind,
    /// Whether it says how long a datagram may be (EDNS(0), RFC 6891).
    pub(super) is_extended: bool,
}

/// The longest datagram that servers are asked for, in bytes: it passes where packets of 1280 do, as those of
/// IPv6 do everywhere.
const DATAGRAM_SAID: u16 = 1232;

impl Query<'_> {
    /// The message.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, Failure> {
        let name = Name::new(self.name).map_err(|_| Failure::BadName)?;
        let mut packet = Packet::new_query(self.id);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        packet.questions.push(Question::new(name, self.kind.qtype(), QCLASS::CLASS(CLASS::IN), false));
        if self.is_extended {
            let opt = OPT { opt_codes: Vec::new(), udp_packet_size: DATAGRAM_SAID, version: 0 };
            *packet.opt_mut() = Some(opt);
        }
        packet.build_bytes_vec().map_err(|_| Failure::BadName)
    }

    /// The verdict on `bytes` as an answer to it.
    pub(super) fn judge(&self, bytes: &[u8]) -> Verdict {
        // Where it was cut, a record may have been cut too, and the message cannot be read.
        let Ok(packet) = Packet::parse(bytes) else {
            return if self.is_cut(bytes) { Verdict::Cut } else { Verdict::Foreign };
        };
        if packet.id() != self.id || !packet.has_flags(PacketFlag::RESPONSE) {
            return Verdict::Foreign;
        }
        let refused = match packet.rcode() {
            RCODE::NoError | RCODE::NameError => None,
            RCODE::FormatError => Some("FORMERR"),
            RCODE::ServerFailure => Some("SERVFAIL"),
            RCODE::NotImplemented => Some("NOTIMP"),
            RCODE::Refused => Some("REFUSED"),
            RCODE::BADVERS => Some("BADVERS"),
            RCODE::YXDOMAIN
            | RCODE::YXRRSET
            | RCODE::NXRRSET
            | RCODE::NOTAUTH
            | RCODE::NOTZONE
            | RCODE::Reserved => Some("a code that means nothing here"),
        };
        let is_asked = matches!(packet.questions.as_slice(), [question] if self.is_question(question));
        // A server that could not read the query cannot repeat it.
        match refused {
            Some(code) if is_asked || packet.questions.is_empty() => return Verdict::Refused(code),
            Some(_) | None if !is_asked => return Verdict::Foreign,
            Some(_) | None => {}
        }
        if packet.has_flags(PacketFlag::TRUNCATION) {
            return Verdict::Cut;
        }
        if packet.rcode() == RCODE::NameError {
            return Verdict::NoName;
        }
        let records = |section: &[ResourceRecord<'_>]| section.iter().filter_map(record).collect();
        Verdict::Records { answers: records(&packet.answers) }
    }

    fn is_question(&self, question: &Question<'_>) -> bool {
        plain(&question.qname) == self.name
            && question.qtype == self.kind.qtype()
            && question.qclass == QCLASS::CLASS(CLASS::IN)
    }

    /// Whether the header of `bytes` is that of an answer that did not fit (RFC 1035 section 4.1.1).
    fn is_cut(&self, bytes: &[u8]) -> bool {
        matches!(bytes, [high, low, flags, ..] if u16::from_be_bytes([*high, *low]) == self.id && flags & 0x82 == 0x82)
    }
}

/// A name as names are compared here: in small letters, without the last dot.
fn plain(name: &Name<'_>) -> String {
    name.to_string().to_ascii_lowercase()
}

fn record(record: &ResourceRecord<'_>) -> Option<Record> {
    if record.class != CLASS::IN {
        return None;
    }
    #[expect(clippy::wildcard_enum_match_arm, reason = "the crate knows some eighty kinds of records")]
    let data = match &record.rdata {
        RData::A(a) => Data::Address(IpAddr::V4(Ipv4Addr::from(a.address))),
        RData::AAAA(aaaa) => Data::Address(IpAddr::V6(Ipv6Addr::from(aaaa.address))),
        RData::CNAME(alias) => Data::Alias(plain(&alias.0)),
        RData::SRV(srv) => Data::Service(Service {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: plain(&srv.target),
        }),
        _ => return None,
    };
    // RFC 2181 section 8: one with the highest bit set means 0.
    let ttl = if record.ttl > i32::MAX as u32 { 0 } else { record.ttl };
    Some(Record { name: plain(&record.name), ttl, data })
}
