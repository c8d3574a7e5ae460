//! The error of reading a word of a closed list, such as a cause or a state.

use ::core::error::Error;
use ::core::fmt;

/// A text is none of the words of its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownWord;

impl fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an unknown word")
    }
}

impl Error for UnknownWord {}
