//! What of an output fits into a reply: its head and its tail, cut at lines where that is near.

use super::escaped_length;

/// A text with a gap, and where the gap is in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clipped {
    /// Head, a line that says what is left out, and tail; or the whole.
    pub(crate) text: String,
    /// Offset and length of what was left out.
    pub(crate) omitted: Option<(u64, u64)>,
}

/// Fits a stream of `total` bytes into `budget` characters as JSON writes them, and into so many
/// lines. `read` gives bytes from an offset, at most so many, and where they really begin.
pub(crate) fn clip<E>(
    total: u64,
    budget: usize,
    lines: usize,
    how_to_get_it: &str,
    mut read: impl FnMut(u64, u64) -> Result<(u64, Vec<u8>), E>,
) -> Result<Clipped, E> {
    if total == 0 {
        return Ok(Clipped { text: String::new(), omitted: None });
    }
    if total <= budget as u64 {
        let (from, bytes) = read(0, total)?;
        let text = String::from_utf8_lossy(&bytes);
        let fits = escaped_length(&text) <= budget && text.lines().count() <= lines;
        if from == 0 && bytes.len() as u64 == total && fits {
            return Ok(Clipped { text: text.into_owned(), omitted: None });
        }
    }
    let half = budget.saturating_sub(how_to_get_it.len() + 80) / 2;
    let (_, bytes) = read(0, (half as u64).min(total))?;
    let head = front(&bytes, half, lines / 2);
    let head_end = head.len() as u64;
    let wanted = (half as u64).min(total - head_end);
    let (tail_from, bytes) = read(total - wanted, wanted)?;
    let tail = back(&bytes, half, lines / 2);
    let tail_start = (tail_from + (bytes.len() - tail.len()) as u64).max(head_end);
    let missing = tail_start - head_end;
    let (head, tail) = (String::from_utf8_lossy(head), String::from_utf8_lossy(tail));
    if missing == 0 {
        return Ok(Clipped { text: format!("{head}{tail}"), omitted: None });
    }
    let newline = if head.is_empty() || head.ends_with('\n') { "" } else { "\n" };
    let text =
        format!("{head}{newline}[... {missing} bytes left out; {how_to_get_it} ...]\n{tail}");
    Ok(Clipped { text, omitted: Some((head_end, missing)) })
}

/// The longest front of `bytes` within the budget, at the end of a line where one is near.
fn front(bytes: &[u8], budget: usize, lines: usize) -> &[u8] {
    let (mut cost, mut ended) = (0, 0);
    let mut end = 0;
    while end < bytes.len() && ended < lines {
        cost += byte_cost(bytes[end]);
        if cost > budget {
            break;
        }
        ended += usize::from(bytes[end] == b'\n');
        end += 1;
    }
    // Not in the middle of a character: its first byte is at most three back.
    for _ in 0..3 {
        if end > 0 && end < bytes.len() && bytes[end] & 0xc0 == 0x80 {
            end -= 1;
        }
    }
    if end < bytes.len()
        && let Some(line) = bytes[..end].iter().rposition(|b| *b == b'\n')
        && end - line < 400
    {
        end = line + 1;
    }
    &bytes[..end]
}

/// The longest back of `bytes` within the budget, from the start of a line where one is near.
fn back(bytes: &[u8], budget: usize, lines: usize) -> &[u8] {
    let (mut cost, mut ended) = (0, 0);
    let mut start = bytes.len();
    while start > 0 {
        cost += byte_cost(bytes[start - 1]);
        ended += usize::from(bytes[start - 1] == b'\n');
        if cost > budget || ended > lines {
            break;
        }
        start -= 1;
    }
    for _ in 0..3 {
        if start < bytes.len() && bytes[start] & 0xc0 == 0x80 {
            start += 1;
        }
    }
    if start > 0
        && bytes[start - 1] != b'\n'
        && let Some(line) = bytes[start..].iter().take(400).position(|b| *b == b'\n')
        && start + line + 1 < bytes.len()
    {
        start += line + 1;
    }
    &bytes[start..]
}

/// At most what JSON makes of one byte: a control code is `\u0000`, a broken one three bytes.
fn byte_cost(byte: u8) -> usize {
    match byte {
        b'\n' | b'\t' | b'\r' | b'"' | b'\\' => 2,
        0..=0x1f | 0x7f => 6,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8], budget: usize) -> Clipped {
        within(bytes, budget, usize::MAX)
    }

    fn within(bytes: &[u8], budget: usize, lines: usize) -> Clipped {
        clip(bytes.len() as u64, budget, lines, "see logs", |from, limit| {
            let from = usize::try_from(from).unwrap();
            let end = (from + usize::try_from(limit).unwrap()).min(bytes.len());
            Ok::<_, ()>((from as u64, bytes[from..end].to_vec()))
        })
        .unwrap()
    }

    #[test]
    fn what_fits_is_whole() {
        assert_eq!(of(b"abc\n", 100), Clipped { text: "abc\n".to_owned(), omitted: None });
        assert_eq!(of(b"", 100).text, "");
    }

    #[test]
    fn what_does_not_fit_has_head_and_tail() {
        let bytes: Vec<u8> = (0..5_000).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        let clipped = of(&bytes, 2_000);
        assert!(clipped.text.starts_with("line 0\nline 1\n"));
        assert!(clipped.text.ends_with("line 4998\nline 4999\n"));
        assert!(escaped_length(&clipped.text) <= 2_000);
        let (offset, missing) = clipped.omitted.unwrap();
        let shown = clipped.text.len() - clipped.text.find("[...").unwrap();
        assert!(clipped.text.contains(&format!("{missing} bytes left out")), "{shown}");
        assert_eq!(bytes[usize::try_from(offset).unwrap() - 1], b'\n');
    }

    #[test]
    fn many_short_lines_are_clipped_by_their_number() {
        let clipped = within(&[b'\n'; 1_500], 20_000, 1_000);
        assert_eq!(clipped.text.lines().count(), 1_001, "and the line that says what is left out");
        assert_eq!(clipped.omitted, Some((500, 500)));
        let text: String = (0..5_000).map(|n| format!("{n}\n")).collect();
        let clipped = within(text.as_bytes(), 40_000, 1_000);
        assert!((990..=1_001).contains(&clipped.text.lines().count()), "{}", clipped.text);
        assert!(clipped.text.starts_with("0\n1\n") && clipped.text.ends_with("4998\n4999\n"));
        let (offset, missing) = clipped.omitted.unwrap();
        let end = usize::try_from(offset + missing).unwrap();
        assert!(clipped.text.ends_with(&text[end..]), "{end}");
        let few = within(&[b'\n'; 1_000], 20_000, 1_000);
        assert_eq!((few.text.len(), few.omitted), (1_000, None));
    }

    #[test]
    fn control_codes_count_as_json_writes_them() {
        let clipped = of(&[1; 3_000], 2_000);
        assert!(escaped_length(&clipped.text) <= 2_000);
        assert!(clipped.omitted.is_some());
    }
}
