//! Makes each line of input one that can be answered. A line that is JSON to the client's parser
//! and not to this one would be dropped without a word, and its caller would wait for ever.
//!
//! Two things are like that, and a model can write both: half of a surrogate pair, which becomes
//! the sign for a broken character, and values nested deeper than anything here takes, which become
//! a number for the request's own check to refuse. A line longer than the protocol's layer takes
//! becomes a short one (`oversized`). Everything else passes as it is.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

use crate::oversized::{LONGEST, Oversized};

/// Nesting that is let through; the parser's own limit is 128.
const DEEPEST: usize = 100;
/// `\uXXXX`.
const ESCAPE: usize = 6;
const READ: usize = 64 << 10;

/// A reader of lines that can be answered.
pub(crate) struct Legible<R> {
    reader: R,
    scratch: Vec<u8>,
    /// Bytes read: whole lines up to `ready`, of which `given` are handed out.
    bytes: Vec<u8>,
    ready: usize,
    given: usize,
    /// Where the unfinished line begins.
    begun: usize,
    /// The unfinished line, where it is too long to be kept.
    oversized: Option<Oversized>,
}

impl<R> Legible<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self {
            reader,
            scratch: vec![0; READ],
            bytes: Vec::new(),
            ready: 0,
            given: 0,
            begun: 0,
            oversized: None,
        }
    }

    /// Takes what was read, and makes the lines that it ends legible.
    fn take(&mut self, read: usize) {
        self.bytes.drain(..self.given);
        self.begun -= self.given;
        if self.bytes.is_empty() {
            // One long line does not cost its memory for ever.
            self.bytes.shrink_to(READ);
        }
        (self.ready, self.given) = (0, 0);
        let new = std::mem::take(&mut self.scratch);
        new[..read].split_inclusive(|byte| *byte == b'\n').for_each(|piece| self.add(piece));
        self.scratch = new;
        if read == 0 {
            // The end of input ends a line too.
            self.begun = self.bytes.len();
        }
        let end = self.begun;
        for line in self.bytes[..end].split_mut(|b| *b == b'\n') {
            mend(line);
        }
        self.ready = end;
    }
}

impl<R> Legible<R> {
    /// A line's end, or a part of it.
    fn add(&mut self, piece: &[u8]) {
        let ends = piece.ends_with(b"\n");
        match &mut self.oversized {
            Some(line) => line.pass(piece),
            None => self.bytes.extend_from_slice(piece),
        }
        if self.bytes.len() - self.begun > LONGEST {
            let mut line = Oversized::default();
            line.pass(&self.bytes[self.begun..]);
            self.bytes.truncate(self.begun);
            self.oversized = Some(line);
        }
        if ends {
            if let Some(line) = self.oversized.take() {
                self.bytes.extend(line.instead());
                self.bytes.push(b'\n');
            }
            self.begun = self.bytes.len();
        }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Legible<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.given == this.ready {
            let mut read = ReadBuf::new(&mut this.scratch);
            ready!(Pin::new(&mut this.reader).poll_read(context, &mut read))?;
            let read = read.filled().len();
            this.take(read);
            if read == 0 {
                break;
            }
        }
        let count = buffer.remaining().min(this.ready - this.given);
        buffer.put_slice(&this.bytes[this.given..this.given + count]);
        this.given += count;
        Poll::Ready(Ok(()))
    }
}

/// Makes one line legible, in place.
fn mend(line: &mut [u8]) {
    let (mut at, mut depth, mut in_text) = (0, 0_usize, false);
    // The depth of the value that is being left out.
    let mut out: Option<usize> = None;
    while at < line.len() {
        let mut length = 1;
        let mut kept = out.is_none();
        match line[at] {
            b'"' => in_text = !in_text,
            b'\\' if in_text => length = escape(&mut line[at..]),
            b'[' | b'{' if !in_text => {
                depth += 1;
                if depth > DEEPEST && out.is_none() {
                    line[at] = b'0';
                    out = Some(depth);
                }
            }
            b']' | b'}' if !in_text => {
                if out == Some(depth) {
                    out = None;
                    kept = false;
                }
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
        let end = line.len().min(at + length);
        if !kept {
            line[at..end].fill(b' ');
        }
        at = end;
    }
}

/// The length of an escape; half of a pair is replaced.
fn escape(text: &mut [u8]) -> usize {
    let unit = |at: usize| {
        let digits = text.get(at..at + ESCAPE)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    match (unit(0), unit(ESCAPE)) {
        (None, _) => 2,
        (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 2 * ESCAPE,
        (Some(0xd800..=0xdfff), _) => {
            text[..ESCAPE].copy_from_slice(b"\\ufffd");
            ESCAPE
        }
        _ => ESCAPE,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tokio::io::AsyncReadExt;

    use super::*;

    fn mended(line: &str) -> String {
        let mut line = line.as_bytes().to_vec();
        mend(&mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn half_a_pair_is_a_broken_character_and_a_whole_one_stays() {
        for (line, expected) in [
            (r#"{"a":"\ud83d"}"#, "\u{fffd}"),
            (r#"{"a":"\ude00x"}"#, "\u{fffd}x"),
            (r#"{"a":"\ud83d\ud83d\ude00"}"#, "\u{fffd}\u{1f600}"),
            (r#"{"a":"\uD83D\n"}"#, "\u{fffd}\n"),
            (r#"{"a":"\\ud83d \" [{"}"#, "\\ud83d \" [{"),
            (r#"{"a":"\u00e9"}"#, "é"),
        ] {
            let value: Value = serde_json::from_str(&mended(line)).unwrap();
            assert_eq!(value["a"], expected, "{line}");
        }
    }

    #[test]
    fn what_is_nested_too_deep_is_a_number() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let line = format!(r#"{{"id":1,"a":{},"b":{{"c":"]}}"}}}}"#, deep(200_000));
        let mut value: Value = serde_json::from_str(&mended(&line)).unwrap();
        assert_eq!((&value["id"], &value["b"]["c"]), (&json!(1), &json!("]}")));
        let mut inner = value["a"].take();
        while inner.is_array() {
            inner = inner[0].take();
        }
        assert_eq!(inner, 0);
        assert_eq!(mended(&deep(DEEPEST)), deep(DEEPEST));
    }

    #[test]
    fn what_is_legible_and_what_is_no_json_pass_as_they_are() {
        for line in ["", "{}", "]]]]", "\"", "\\", "\"\\", "\"\\u", "\"\\ud83", "{\"a\":[1,{}]}"] {
            assert_eq!(mended(line), line);
        }
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_becomes_a_short_one_with_its_id() {
        let long = format!(r#"{{"a":"{}","id":8}}"#, "x".repeat(LONGEST));
        let input = format!("{{\"id\":7}}\n{long}\n{{\"id\":9}}\n");
        let mut all = String::new();
        Legible::new(input.as_bytes()).read_to_string(&mut all).await.unwrap();
        let lines: Vec<Value> = all.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let ids: Vec<_> = lines.iter().map(|line| line["id"].clone()).collect();
        assert_eq!(ids, [json!(7), json!(8), json!(9)]);
        assert!(lines[1]["method"].as_str().unwrap().contains("16 MiB"));
        // Without its end it is no line.
        let mut all = String::new();
        Legible::new(long.as_bytes()).read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "");
    }

    #[tokio::test]
    async fn lines_are_mended_however_they_arrive() {
        let input = b"{\"a\":\"\\ud83d\"}\n{\"b\":\"\\ud83d\\ude00\"}\nrest \"\\ud83d\"";
        let expected = b"{\"a\":\"\\ufffd\"}\n{\"b\":\"\\ud83d\\ude00\"}\nrest \"\\ufffd\"";
        for cut in 0..input.len() {
            let (first, second) = input.split_at(cut);
            let mut all = Vec::new();
            Legible::new(first.chain(second)).read_to_end(&mut all).await.unwrap();
            assert_eq!(all, expected, "cut at {cut}");
        }
    }
}
