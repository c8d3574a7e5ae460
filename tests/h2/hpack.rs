//! Field blocks between Pollux and two other implementations, PyPI's hpack and nghttp2: what one writes the
//! others read, over blocks of whole connections, and what is broken is refused by all.

use fastrand::Rng;
use pollux::h2::decoder::{Bounds, Decoded, Decoder, HpackFault};
use pollux::h2::encoder::{self, NO_TABLE, Strings};
use pollux::h2::fields::{Fields, HeaderField};

use crate::oracle::{Oracle, hex, unhex};

const SCRIPT: &str = "hpack_oracle.py";
const PEERS: [&str; 2] = ["hpack", "nghttp2"];
const WIDE: Bounds = Bounds { list: 1 << 20, fields: 10_000 };
/// Connections in a run; `HPACK_CONNECTIONS` asks for another number.
const CONNECTIONS: u64 = 60;

type List = Vec<(Vec<u8>, Vec<u8>, bool)>;

impl Oracle {
    fn encode(&mut self, peer: &str, list: &List) -> Vec<u8> {
        let words: Vec<String> = list
            .iter()
            .map(|(name, value, secret)| format!(" {}:{}:{}", hex(name), hex(value), u8::from(*secret)))
            .collect();
        unhex(&self.ask(&format!("encode {peer}{}", words.concat())))
    }

    fn decode(&mut self, peer: &str, block: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        let answer = self.ask(&format!("decode {peer} {}", hex(block)));
        (answer != "refused").then(|| {
            let halves = answer.split_whitespace().map(|word| word.split_once(':').unwrap());
            halves.map(|(name, value)| (unhex(name), unhex(value))).collect()
        })
    }
}

/// Names and values that repeat, so that tables have something to do.
fn list(rng: &mut Rng) -> List {
    const NAMES: [&str; 10] = [
        ":method",
        ":path",
        ":status",
        "cookie",
        "date",
        "x-request-id",
        "accept",
        "authorization",
        "x",
        "via",
    ];
    let text = |rng: &mut Rng, most: usize| -> Vec<u8> {
        let length = rng.usize(..most);
        let printable = rng.u8(..4) > 0;
        (0..length).map(|_| if printable { rng.u8(32..127) } else { rng.u8(..) }).collect()
    };
    (0..rng.usize(1..10))
        .map(|_| {
            let known = rng.choice(NAMES).unwrap().as_bytes().to_vec();
            let name = if rng.u8(..5) > 0 { known } else { [b"n".to_vec(), text(rng, 40)].concat() };
            let value = match rng.u8(..4) {
                0 => b"GET".to_vec(),
                1 => format!("value-{}", rng.u8(..4)).into_bytes(),
                2 => text(rng, 12),
                _ => text(rng, 200),
            };
            (name, value, rng.u8(..10) == 0)
        })
        .collect()
}

fn ours(decoder: &mut Decoder, block: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut fields = Fields::default();
    match decoder.decode(block, WIDE, &mut fields) {
        Ok(Decoded::Whole) => {
            Some(fields.iter().map(|field| (field.name.to_vec(), field.value.to_vec())).collect())
        }
        Err(HpackFault::Malformed) => None,
        other => panic!("the bounds are wide: {other:?}"),
    }
}

fn bare(list: &List) -> Vec<(Vec<u8>, Vec<u8>)> {
    list.iter().map(|(name, value, _)| (name.clone(), value.clone())).collect()
}

fn connections() -> u64 {
    std::env::var("HPACK_CONNECTIONS").map_or(CONNECTIONS, |text| text.parse().expect("a number"))
}

#[test]
fn we_read_what_others_write() {
    let mut oracle = Oracle::start(SCRIPT);
    for seed in 0..connections() {
        let mut rng = Rng::with_seed(seed);
        let size = *rng.choice([&0, &100, &256, &4096]).unwrap();
        oracle.ask(&format!("new {size}"));
        let mut decoders = PEERS.map(|_| Decoder::new(size));
        for number in 0..rng.usize(1..12) {
            if rng.u8(..8) == 0 {
                oracle.ask(&format!("size {}", rng.usize(..=size)));
            }
            let list = list(&mut rng);
            for (peer, decoder) in PEERS.iter().zip(&mut decoders) {
                let block = oracle.encode(peer, &list);
                assert_eq!(ours(decoder, &block), Some(bare(&list)), "seed {seed}, block {number} of {peer}");
            }
        }
    }
}

#[test]
fn others_read_what_we_write() {
    let mut oracle = Oracle::start(SCRIPT);
    for seed in 0..connections() {
        let mut rng = Rng::with_seed(seed);
        oracle.ask(&format!("new {}", rng.choice([0, 4096]).unwrap()));
        for number in 0..rng.usize(1..12) {
            let list = list(&mut rng);
            let mut block = if number == 0 { vec![NO_TABLE] } else { Vec::new() };
            let strings = if rng.bool() { Strings::Plain } else { Strings::Short };
            for (name, value, is_secret) in &list {
                encoder::encode(HeaderField { name, value, is_secret: *is_secret }, strings, &mut block);
            }
            for peer in PEERS {
                assert_eq!(
                    oracle.decode(peer, &block),
                    Some(bare(&list)),
                    "seed {seed}, block {number} for {peer}"
                );
            }
        }
    }
}

/// Each decoder reads the same fields in a block, or refuses it. A few bytes of good blocks are changed.
#[test]
fn what_we_take_others_take() {
    let mut oracle = Oracle::start(SCRIPT);
    let (mut taken, mut refused) = (0, 0);
    for seed in 0..connections() * 10 {
        let mut rng = Rng::with_seed(seed);
        oracle.ask("new 4096");
        let mut block = oracle.encode(PEERS[0], &list(&mut rng));
        for _ in 0..rng.usize(..3) {
            let place = rng.usize(..block.len());
            match rng.u8(..3) {
                0 => block[place] = rng.u8(..),
                1 => block.truncate(place.max(1)),
                _ => block.insert(place, rng.u8(..)),
            }
        }
        let verdict = ours(&mut Decoder::new(4096), &block);
        for peer in PEERS {
            assert_eq!(
                oracle.decode(peer, &block),
                verdict,
                "seed {seed}, {peer} reads {} otherwise",
                hex(&block)
            );
        }
        taken += u32::from(verdict.is_some());
        refused += u32::from(verdict.is_none());
    }
    assert!(taken > 50 && refused > 50, "{taken} taken, {refused} refused: the blocks say nothing");
}
