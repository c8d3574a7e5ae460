//! The examples of RFC 7541, Appendix C, and properties.

use proptest::prelude::*;

use super::decoder::{Bounds, Decoded, Decoder, HpackFault};
use super::encoder::{self, NO_TABLE, Strings};
use super::fields::{Fields, HeaderField};
use super::table::{DynamicTable, OVERHEAD};
use super::{huffman, integer};

const WIDE: Bounds = Bounds { list: 1 << 20, fields: 10_000 };

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn decode(
    decoder: &mut Decoder,
    block: &[u8],
    bounds: Bounds,
) -> Result<(Decoded, Vec<(String, String)>), HpackFault> {
    let mut fields = Fields::default();
    let decoded = decoder.decode(block, bounds, &mut fields)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((decoded, fields.iter().map(|field| (text(field.name), text(field.value))).collect()))
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A block, its fields, and the size of the table behind it.
type Example<'a> = (&'a str, &'a [(&'a str, &'a str)], usize);

/// Plays the blocks of one connection.
fn plays(most: usize, blocks: &[Example<'_>]) {
    let mut decoder = Decoder::new(most);
    for (block, list, size) in blocks {
        assert_eq!(decode(&mut decoder, &hex(block), WIDE), Ok((Decoded::Whole, pairs(list))), "{block}");
        assert_eq!(decoder.table().size(), *size, "{block}");
    }
}

const FIRST: &[(&str, &str)] =
    &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")];
const SECOND: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/"),
    (":authority", "www.example.com"),
    ("cache-control", "no-cache"),
];
const THIRD: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "https"),
    (":path", "/index.html"),
    (":authority", "www.example.com"),
    ("custom-key", "custom-value"),
];

#[test]
fn the_requests_of_appendix_c() {
    plays(
        4096,
        &[
            ("828684410f7777772e6578616d706c652e636f6d", FIRST, 57),
            ("828684be58086e6f2d6361636865", SECOND, 110),
            ("828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565", THIRD, 164),
        ],
    );
    plays(
        4096,
        &[
            ("828684418cf1e3c2e5f23a6ba0ab90f4ff", FIRST, 57),
            ("828684be5886a8eb10649cbf", SECOND, 110),
            ("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", THIRD, 164),
        ],
    );
}

const DATE: &str = "Mon, 21 Oct 2013 20:13:21 GMT";
const LATER: &str = "Mon, 21 Oct 2013 20:13:22 GMT";
const LOCATION: (&str, &str) = ("location", "https://www.example.com");
const COOKIE: &str = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";

/// The table holds 256 bytes, so entries are evicted.
#[test]
fn the_responses_of_appendix_c() {
    let first: &[_] = &[(":status", "302"), ("cache-control", "private"), ("date", DATE), LOCATION];
    let second: &[_] = &[(":status", "307"), ("cache-control", "private"), ("date", DATE), LOCATION];
    let third: &[_] = &[
        (":status", "200"),
        ("cache-control", "private"),
        ("date", LATER),
        LOCATION,
        ("content-encoding", "gzip"),
        ("set-cookie", COOKIE),
    ];
    let plain = "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d";
    let plain_third = "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31";
    plays(256, &[(plain, first, 222), ("4803333037c1c0bf", second, 222), (plain_third, third, 215)]);
    let short = "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3";
    let short_third = "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007";
    plays(256, &[(short, first, 222), ("4883640effc1c0bf", second, 222), (short_third, third, 215)]);
}

#[test]
fn what_breaks_the_format_is_refused() {
    for (block, why) in [
        ("80", "index zero"),
        ("be", "an index behind the table"),
        ("ff8080808080", "an integer that does not end"),
        ("ffffffffff0f", "an integer above the bound"),
        ("7f", "half an integer"),
        ("00", "no name"),
        ("0003616263", "no value"),
        ("000361626305", "a value that is cut short"),
        ("00822564", "a name, and no value behind it"),
        ("008161", "a string of the code that is cut short"),
        ("0084ffffffff00", "the end of the string within it"),
        ("008100 00", "padding of zeros"),
        ("0082ffff00", "padding of more than seven bits"),
        ("3fe21f", "a table above the bound"),
        ("8220", "a size update behind a field"),
    ] {
        let verdict = decode(&mut Decoder::new(4096), &hex(block), WIDE);
        assert_eq!(verdict, Err(HpackFault::Malformed), "{why}: {block}");
    }
}

/// A block above the bounds changes the table like any other: the next one is read right.
#[test]
fn a_block_above_the_bounds_keeps_the_table_right() {
    for bounds in [Bounds { list: 60, fields: 10 }, Bounds { list: 1000, fields: 1 }] {
        let mut decoder = Decoder::new(4096);
        let (decoded, list) =
            decode(&mut decoder, &hex("828684410f7777772e6578616d706c652e636f6d"), bounds).unwrap();
        assert_eq!((decoded, list), (Decoded::TooLarge, pairs(&[(":method", "GET")])));
        assert_eq!(decode(&mut decoder, &hex("be"), WIDE).unwrap().1, pairs(&FIRST[3..]));
    }
}

/// One byte can stand for kilobytes: neither memory nor work follows.
#[test]
fn references_do_not_grow_beyond_the_bound() {
    let mut decoder = Decoder::new(4096);
    let mut block = vec![0x40, 1, b'n'];
    integer::write(0, 7, 4000, &mut block);
    block.resize(block.len() + 4000, b'v');
    decode(&mut decoder, &block, WIDE).unwrap();
    let bounds = Bounds { list: 16_384, fields: 100 };
    let mut fields = Fields::default();
    assert_eq!(decoder.decode(&[0xbe; 10], bounds, &mut fields), Ok(Decoded::TooLarge));
    assert_eq!(fields.len(), 4);
    fields.clear();
    assert_eq!(decoder.decode(&[0xbe; 16_000], bounds, &mut fields), Err(HpackFault::Excessive));
    assert!(fields.capacity() < 64 * 1024, "{} bytes", fields.capacity());
}

#[test]
fn a_field_that_must_not_be_indexed_stays_so() {
    let mut block = Vec::new();
    let field = HeaderField { name: b"authorization", value: b"Basic x", is_secret: true };
    encoder::encode(field, Strings::Plain, &mut block);
    assert_eq!(block[0], 0x1f, "never indexed, with the name of the static table");
    let mut fields = Fields::default();
    let mut decoder = Decoder::new(4096);
    assert_eq!(decoder.decode(&block, WIDE, &mut fields), Ok(Decoded::Whole));
    assert_eq!(fields.iter().next(), Some(field));
    assert!(decoder.table().is_empty());
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[ -~]{0,80}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..80),
        prop::sample::select(vec![
            ":method",
            "GET",
            ":path",
            "/",
            "cookie",
            "gzip, deflate",
            "content-length"
        ])
        .prop_map(|known| known.as_bytes().to_vec()),
    ]
}

/// The form in which a model of an encoder writes a field.
fn write(
    table: &DynamicTable,
    (name, value): (&[u8], &[u8]),
    kind: u8,
    strings: Strings,
    out: &mut Vec<u8>,
) -> bool {
    let index = |wanted: &dyn Fn(&[u8], &[u8]) -> bool| {
        (1..=61 + table.len())
            .find(|index| table.get(*index).is_some_and(|(name, value)| wanted(name, value)))
    };
    if kind == 0
        && let Some(index) = index(&|n, v| n == name && v == value)
    {
        integer::write(0x80, 7, index, out);
        return false;
    }
    let (first, prefix) = [(0x40, 6), (0, 4), (0x10, 4)][usize::from(kind % 3)];
    let known = index(&|n, _| n == name).unwrap_or(0);
    integer::write(first, prefix, known, out);
    for text in [(known == 0).then_some(name), Some(value)].into_iter().flatten() {
        if strings == Strings::Short {
            integer::write(0x80, 7, huffman::encoded_len(text), out);
            huffman::encode(text, out);
        } else {
            integer::write(0, 7, text.len(), out);
            out.extend_from_slice(text);
        }
    }
    first == 0x40
}

proptest! {
    #[test]
    fn integers_come_back(value in 0_usize..1 << 28, prefix in 4_u32..8, behind in any::<u8>()) {
        let mut bytes = Vec::new();
        integer::write(0, prefix, value, &mut bytes);
        let length = bytes.len();
        prop_assert_eq!(integer::read(&bytes[..length - 1], prefix), None);
        bytes.push(behind);
        prop_assert_eq!(integer::read(&bytes, prefix), Some((value, length)));
    }

    #[test]
    fn strings_come_back(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let (mut code, mut back) = (Vec::new(), Vec::new());
        huffman::encode(&text, &mut code);
        prop_assert_eq!(code.len(), huffman::encoded_len(&text));
        prop_assert!(huffman::decode(&code, &mut back));
        prop_assert_eq!(back, text);
    }

    /// For any bytes: no panic, and a string of the code has one spelling.
    #[test]
    fn codes_have_one_spelling(code in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut text = Vec::new();
        if huffman::decode(&code, &mut text) {
            let mut again = Vec::new();
            huffman::encode(&text, &mut again);
            prop_assert_eq!(again, code);
        }
    }

    #[test]
    fn our_blocks_come_back(
        list in prop::collection::vec((text(), text(), any::<bool>()), 0..20),
        is_short in any::<bool>(),
    ) {
        let mut block = vec![NO_TABLE];
        let strings = if is_short { Strings::Short } else { Strings::Plain };
        let fields: Vec<HeaderField<'_>> =
            list.iter().map(|(name, value, is_secret)| HeaderField { name, value, is_secret: *is_secret }).collect();
        for field in &fields {
            encoder::encode(*field, strings, &mut block);
        }
        let (mut decoder, mut got) = (Decoder::new(0), Fields::default());
        prop_assert_eq!(decoder.decode(&block, WIDE, &mut got), Ok(Decoded::Whole));
        prop_assert_eq!(got.iter().collect::<Vec<_>>(), fields);
    }

    /// A model of an encoder that indexes and a decoder have the same table after every block.
    #[test]
    fn both_tables_stay_equal(
        blocks in prop::collection::vec(
            (prop::collection::vec((text(), text(), 0_u8..4, any::<bool>()), 0..8), prop::option::of(0_usize..300)),
            1..12,
        ),
    ) {
        let (mut decoder, mut model) = (Decoder::new(300), DynamicTable::new(300));
        for (list, size) in &blocks {
            let mut block = Vec::new();
            if let Some(size) = size {
                integer::write(0x20, 5, *size, &mut block);
                model.resize(*size);
            }
            for (name, value, kind, is_short) in list {
                let strings = if *is_short { Strings::Short } else { Strings::Plain };
                if write(&model, (name, value), *kind, strings, &mut block) {
                    model.insert(name, value);
                }
            }
            let mut got = Fields::default();
            prop_assert_eq!(decoder.decode(&block, WIDE, &mut got), Ok(Decoded::Whole));
            let expected: Vec<_> = list.iter().map(|(name, value, ..)| (&name[..], &value[..])).collect();
            prop_assert_eq!(got.iter().map(|field| (field.name, field.value)).collect::<Vec<_>>(), expected);
            prop_assert_eq!(decoder.table().len(), model.len());
            for index in 1..=61 + model.len() {
                prop_assert_eq!(decoder.table().get(index), model.get(index));
            }
        }
    }

    /// The ring of bytes against a list that is moved as a whole.
    #[test]
    fn the_table_is_a_queue(
        steps in prop::collection::vec((0_usize..60, 0_usize..60, prop::option::weighted(0.1, 0_usize..400)), 0..300),
    ) {
        let (mut table, mut naive, mut most) = (DynamicTable::new(400), Vec::<(Vec<u8>, Vec<u8>)>::new(), 400);
        let size = |list: &[(Vec<u8>, Vec<u8>)]| -> usize {
            list.iter().map(|(name, value)| name.len() + value.len() + OVERHEAD).sum()
        };
        for (number, (name, value, resize)) in steps.into_iter().enumerate() {
            if let Some(size) = resize {
                most = size;
                table.resize(size);
            }
            let entry = (vec![number as u8; name], vec![!(number as u8); value]);
            table.insert(&entry.0, &entry.1);
            naive.insert(0, entry);
            while size(&naive) > most {
                naive.pop();
            }
            prop_assert_eq!((table.len(), table.size()), (naive.len(), size(&naive)));
            for (place, (name, value)) in naive.iter().enumerate() {
                prop_assert_eq!(table.get(62 + place), Some((&name[..], &value[..])));
            }
        }
    }

    /// For any bytes: no panic.
    #[test]
    fn any_bytes_are_decoded_or_refused(block in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut fields = Fields::default();
        let _ = Decoder::new(4096).decode(&block, Bounds { list: 200, fields: 4 }, &mut fields);
        prop_assert!(fields.len() <= 4);
    }
}
