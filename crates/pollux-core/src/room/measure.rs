//! Measures against a lack of buffers that end no session.

/// Of what there was too little.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Half of the bytes were lent: a buffer that was behind had to do with less.
    Ration,
    /// All bytes were lent: a connection was not read from.
    Bound,
    /// The client's address had as many as it may: a connection was not read from.
    Client,
}

impl Measure {
    /// All of them, in their order.
    pub const ALL: [Measure; 3] = [Measure::Ration, Measure::Bound, Measure::Client];

    /// The stable word for metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Measure::Ration => "ration",
            Measure::Bound => "bound",
            Measure::Client => "client",
        }
    }
}
