//! The frames of the hostile peer. Each is booked before the machine reads it.

use super::{Siege, byte_of, raw};

impl Siege {
    fn some_stream(&mut self) -> Option<u32> {
        if self.dice.one_in(300) {
            return Some(self.dice.below(1000) as u32);
        }
        // Half of those that are reset, and seldom one that has ended in order, which is an error of the connection.
        let is_wild = self.dice.one_in(100);
        let known = self.ledger.streams.iter().rev().take(12);
        let known = known
            .filter(|(_, it)| is_wild || it.is_reset || it.peer_reset || !(it.has_ended && it.peer_ended));
        let known: Vec<u32> = known.map(|(stream, _)| *stream).collect();
        (!known.is_empty()).then(|| known[self.dice.below(known.len())])
    }

    fn block(&mut self, list: &[(&[u8], &[u8])]) -> Vec<u8> {
        let number = self.dice.below(12).to_string();
        let long = vec![b'l'; self.dice.below(200)];
        let names: [&[u8]; 4] = [b"x-a", b"x-b", b"cookie", b"x-long-name-of-a-field"];
        let mut list = list.to_vec();
        for _ in 0..self.dice.below(6) {
            let value = if self.dice.one_in(3) { &long[..] } else { number.as_bytes() };
            list.push((names[self.dice.below(4)], value));
        }
        self.coder.encode(&list, &mut self.dice)
    }

    /// A field block of the peer, in one frame or more. Both tables are equal behind it.
    pub(super) fn send_block(&mut self, stream: u32, ends: bool, block: &[u8]) {
        let mut bytes = Vec::new();
        let cut = if self.dice.one_in(3) { self.dice.below(block.len() + 1) } else { block.len() };
        let end = u8::from(ends) + if cut == block.len() { 4 } else { 0 };
        bytes.extend(raw(1, end, stream, &block[..cut]));
        if cut < block.len() {
            bytes.extend(raw(9, 4, stream, &block[cut..]));
        }
        self.note_end(stream, ends);
        self.feed(&bytes);
        if self.connection.error().is_none() {
            self.coder.compare(self.connection.decoder());
        }
    }

    fn note_end(&mut self, stream: u32, ends: bool) {
        if let Some(account) = self.ledger.streams.get_mut(&stream) {
            account.peer_ended |= ends;
        }
    }

    fn send_head(&mut self, stream: u32) {
        let length = self.dice.below(3000).to_string();
        let ends = self.dice.one_in(3);
        let mut list: Vec<(&[u8], &[u8])> = if self.is_server {
            let method: &[u8] = if self.dice.one_in(6) { b"HEAD" } else { b"POST" };
            vec![(b":method", method), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"h")]
        } else {
            let statuses: [&[u8]; 5] = [b"200", b"200", b"103", b"204", b"304"];
            vec![(b":status", statuses[self.dice.below(5)])]
        };
        if self.dice.one_in(4) {
            list.push((b"content-length", length.as_bytes()));
        }
        if self.dice.one_in(12) {
            list.push(
                [(&b"te"[..], &b"gzip"[..]), (b"X", b"y"), (b":late", b"z"), (b"a", b"b\r\n")]
                    [self.dice.below(4)],
            );
        }
        let block = self.block(&list);
        if self.is_server {
            self.next = self.next.max(stream + 2);
        }
        self.send_block(stream, ends, &block);
        if self.is_server && ends {
            // The stream is in the books only now.
            self.note_end(stream, true);
        }
    }

    /// DATA of the peer, within its window or a little beyond it.
    fn send_data(&mut self, stream: u32) {
        let keeps_rules = self.is_good || !self.dice.one_in(20);
        let ends = self.dice.one_in(6);
        let padding = if self.dice.one_in(4) { self.dice.below(256) } else { 0 };
        let extra = if padding > 0 { padding + 1 } else { 0 };
        let most = if self.dice.one_in(3) { 16_000 } else { 40 };
        let mut length = self.dice.below(most);
        let account = self.ledger.streams.entry(stream);
        let std::collections::btree_map::Entry::Occupied(mut account) = account else {
            let payload = vec![0; length.min(50)];
            self.ledger.promised -= payload.len() as i64;
            self.feed(&raw(0, 0, stream, &payload));
            return;
        };
        let account = account.get_mut();
        let room = account.promised.min(self.ledger.promised).max(0) as usize;
        let is_dead = account.is_refused || account.is_reset || account.peer_reset;
        if keeps_rules || is_dead || self.ledger.promised < (length + extra) as i64 {
            let most = if is_dead { self.ledger.promised.max(0) as usize } else { room };
            if most < extra {
                return;
            }
            length = length.min(most - extra);
        }
        let sent = account.sent;
        let bytes: Vec<u8> = (sent..sent + length).map(|place| byte_of(stream, place)).collect();
        let prefix = if padding > 0 { vec![padding as u8] } else { Vec::new() };
        let payload = [prefix, bytes, vec![0; padding]].concat();
        account.sent += length;
        account.promised -= payload.len() as i64;
        self.ledger.promised -= payload.len() as i64;
        account.peer_ended |= ends;
        self.feed(&raw(0, 8 * u8::from(padding > 0) + u8::from(ends), stream, &payload));
    }

    fn send_window(&mut self, stream: u32) {
        let increment = match self.dice.below(8) {
            0 => 1 + self.dice.below(100_000),
            1 => 30_000,
            2 if stream > 0 || self.dice.one_in(20) => self.dice.below(3),
            3 if self.dice.one_in(10) => (1 << 31) - 1,
            _ => 1 + self.dice.below(50),
        } as i64;
        let most = i64::from(u32::MAX >> 1);
        if stream == 0 {
            if increment > 0 && self.ledger.credit + increment <= most {
                self.ledger.credit += increment;
            }
        } else if let Some(account) = self.ledger.streams.get_mut(&stream)
            && increment > 0
            && account.credit + increment <= most
        {
            account.credit += increment;
        }
        self.feed(&raw(8, 0, stream, &(increment as u32).to_be_bytes()));
    }

    fn send_settings(&mut self) {
        let windows = [0, 0, 1, 100, 16_384, 65_535, 65_536, 1 << 20];
        let window: u32 = windows[self.dice.below(windows.len())];
        let mut payload = [&[0, 4][..], &window.to_be_bytes()].concat();
        if self.dice.one_in(4) {
            payload.extend_from_slice(&[0, 1, 0, 0, self.dice.below(20) as u8, 0]);
        }
        self.ledger.rebase(i64::from(window));
        self.ledger.settings += 1;
        self.feed(&raw(4, 0, 0, &payload));
    }

    fn send_reset(&mut self, stream: u32) {
        if let Some(account) = self.ledger.streams.get_mut(&stream) {
            account.peer_reset = true;
        }
        self.feed(&raw(3, 0, stream, &[0, 0, 0, 8]));
    }

    /// Something of the peer, mostly right.
    pub(super) fn peer(&mut self) {
        let Some(stream) = self.some_stream() else {
            if self.is_server {
                self.send_head(self.next);
            }
            return;
        };
        match self.dice.below(100) {
            0..15 if self.is_server => self.send_head(self.next),
            0..15 => self.send_head(stream),
            15..50 => self.send_data(stream),
            50..58 => self.send_window(stream),
            58..66 => self.send_window(0),
            66..70 => self.send_settings(),
            70..74 => {
                self.ledger.pings += 1;
                self.feed(&raw(6, 0, 0, b"a PING ."));
            }
            74..78 => {
                let block = self.block(&[(b"x-sum", b"1")]);
                let ends = !self.dice.one_in(5);
                self.send_block(stream, ends, &block);
            }
            78..82 => self.send_reset(stream),
            82..84 => self.feed(&raw(2, 0, stream, &[0, 0, 0, 0, 9])),
            84..86 if self.is_server && self.ledger.streams.contains_key(&stream) => {
                let urgency = b'0' + self.dice.below(8) as u8;
                self.feed(&raw(16, 0, 0, &[&stream.to_be_bytes()[..], b"u=", &[urgency], b", i"].concat()));
            }
            86..88 => self.feed(&raw(0x77, 0xff, stream, b"unknown")),
            88 => self.flood(stream),
            90 if !self.is_server && self.dice.one_in(10) => {
                self.feed(&raw(7, 0, 0, &[&stream.to_be_bytes()[..], &[0; 4]].concat()));
            }
            89 if self.dice.one_in(20) => {
                let garbage: Vec<u8> = (0..self.dice.below(60)).map(|_| self.dice.next() as u8).collect();
                // Bytes that the books cannot follow end with the connection, or are the head of a frame that
                // never comes.
                self.feed(&[&raw(9, 4, 1, b"no block")[..], &garbage].concat());
                assert!(self.connection.error().is_some());
            }
            _ => {}
        }
    }

    /// One frame very often, until the budget ends the connection or the flood.
    fn flood(&mut self, stream: u32) {
        let kind = self.dice.below(6);
        for _ in 0..self.dice.below(900) {
            if !self.connection.wants_read() || self.connection.error().is_some() {
                return;
            }
            match kind {
                0 => {
                    self.ledger.pings += 1;
                    self.feed(&raw(6, 0, 0, b"flood of"));
                }
                1 => {
                    self.ledger.settings += 1;
                    self.feed(&raw(4, 0, 0, b""));
                }
                2 => {
                    self.ledger.credit += 1;
                    self.feed(&raw(8, 0, 0, &[0, 0, 0, 1]));
                }
                3 => self.feed(&raw(2, 0, stream, &[0, 0, 0, 0, 9])),
                4 if self.ledger.streams.contains_key(&stream) => self.feed(&raw(0, 0, stream, b"")),
                _ if self.is_server => {
                    let stream = self.next;
                    self.send_head(stream);
                    self.send_reset(stream);
                }
                _ => return,
            }
        }
    }
}
