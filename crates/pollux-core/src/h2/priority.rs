//! The priority of a response (RFC 9218).

use crate::syntax::grammar::trim;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority {
    /// 0 is the most urgent, 7 the least (§4.1).
    pub urgency: u8,
    /// Parts of the response are of use before the whole is there (§4.2).
    pub is_incremental: bool,
}

impl Default for Priority {
    fn default() -> Priority {
        Priority { urgency: 3, is_incremental: false }
    }
}

impl Priority {
    /// The number of urgencies.
    pub const URGENCIES: usize = 8;

    /// Reads a `priority` field: a dictionary of RFC 9651. What is unknown or out of range is ignored (§4).
    #[must_use]
    pub fn read(value: &[u8]) -> Priority {
        let mut priority = Priority::default();
        for member in value.split(|byte| *byte == b',') {
            let member = trim(member);
            let end = member.iter().position(|byte| *byte == b';').unwrap_or(member.len());
            match &member[..end] {
                [b'u', b'=', digit @ b'0'..=b'7'] => priority.urgency = digit - b'0',
                b"i" | b"i=?1" => priority.is_incremental = true,
                b"i=?0" => priority.is_incremental = false,
                _ => {}
            }
        }
        priority
    }
}

/// Priorities of streams that have not opened yet (RFC 9218 §7.1): a PRIORITY_UPDATE may come before the request.
#[derive(Debug, Default)]
pub struct EarlyPriorities {
    /// The newest last.
    entries: Vec<(u32, Priority)>,
}

impl EarlyPriorities {
    /// Remembers the priority of `stream`. False if `most` other streams have one already.
    pub fn note(&mut self, stream: u32, priority: Priority, most: usize) -> bool {
        if let Some((_, known)) = self.entries.iter_mut().find(|(known, _)| *known == stream) {
            *known = priority;
            return true;
        }
        let has_room = self.entries.len() < most;
        if has_room {
            self.entries.push((stream, priority));
        }
        has_room
    }

    /// Drops what belongs to streams up to `stream`: they can open no more.
    pub fn forget_up_to(&mut self, stream: u32) {
        self.entries.retain(|(known, _)| *known > stream);
    }

    /// The priority of a stream that opens.
    #[must_use]
    pub fn of(&self, stream: u32) -> Option<Priority> {
        self.entries.iter().find(|(known, _)| *known == stream).map(|(_, priority)| *priority)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The memory that is held beside the struct, in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.entries.capacity() * size_of::<(u32, Priority)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_as_clients_send_them() {
        for (value, urgency, is_incremental) in [
            ("", 3, false),
            ("u=0", 0, false),
            ("u=1, i", 1, true),
            ("i", 3, true),
            ("i=?1,u=7", 7, true),
            ("u=5;x=1, i=?0", 5, false),
            ("u=8", 3, false),
            ("u=-1", 3, false),
            ("u=10", 3, false),
            ("u=2,u=4", 4, false),
            ("x=y, i;z", 3, true),
            ("U=1", 3, false),
        ] {
            assert_eq!(Priority::read(value.as_bytes()), Priority { urgency, is_incremental }, "{value}");
        }
    }
}
