//! What an edit changed in a text: kept beside the record, so that the same bytes come back.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// One stretch of a text that was replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Splice {
    at: usize,
    removed: String,
    inserted: String,
}

impl Splice {
    /// Between two texts: what is left without their common beginning and end.
    pub(crate) fn between(before: &str, after: &str) -> Self {
        let same = |pair: &(u8, u8)| pair.0 == pair.1;
        let mut head = before.bytes().zip(after.bytes()).take_while(same).count();
        while !(before.is_char_boundary(head) && after.is_char_boundary(head)) {
            head -= 1;
        }
        let (rest_before, rest_after) = (&before[head..], &after[head..]);
        let mut tail =
            rest_before.bytes().rev().zip(rest_after.bytes().rev()).take_while(same).count();
        while !(rest_before.is_char_boundary(rest_before.len() - tail)
            && rest_after.is_char_boundary(rest_after.len() - tail))
        {
            tail -= 1;
        }
        Self {
            at: head,
            removed: rest_before[..rest_before.len() - tail].to_owned(),
            inserted: rest_after[..rest_after.len() - tail].to_owned(),
        }
    }

    /// The text as it was before; None when this is not the text that was made.
    pub(crate) fn undone(&self, text: &str) -> Option<String> {
        let end = self.at.checked_add(self.inserted.len())?;
        if text.get(self.at..end)? != self.inserted {
            return None;
        }
        Some(format!("{}{}{}", &text[..self.at], self.removed, &text[end..]))
    }
}

/// The digest of a text.
pub(crate) fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_splice_brings_the_text_back() {
        for (before, after) in [
            ("", "a"),
            ("a", ""),
            ("abc", "abXc"),
            ("aa", "aaa"),
            ("same", "same"),
            ("x\u{e9}y", "x\u{e8}y"),
            ("\u{1f600}", "\u{1f601}\u{1f600}"),
        ] {
            let splice = Splice::between(before, after);
            assert_eq!(splice.undone(after).as_deref(), Some(before), "{before:?} {after:?}");
        }
        let splice = Splice::between("ab", "aXb");
        assert_eq!(splice.undone("aYb"), None);
        assert_eq!(splice.undone(""), None);
    }
}
