//! Where a patch's hunks stand in a text, and the text after them.
//!
//! A hunk is looked for exactly first, then without regard to carriage returns, then to spaces at
//! the ends of lines, and, where it has no line number, to those at their beginnings; nearest to
//! its number where it has one. Context keeps the file's own bytes.

use pyro_protocol::patch::{Hunk, LineKind};

/// What finding the places of one patch may cost, in comparisons of lines: beyond it, the patch is
/// made to take long.
pub(super) const WORK: usize = 50_000_000;
/// Bytes that compare as fast as a line begins to.
const AT_ONCE: usize = 64;
/// Lines of a conflict that are shown.
const SHOWN: usize = 20;

/// Why a hunk does not fit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    /// From 1.
    pub(super) hunk: usize,
    /// From 1.
    pub(super) line: usize,
    pub(super) expected: String,
    pub(super) found: String,
    pub(super) message: String,
}

/// How exactly lines must agree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Care {
    Exactly,
    ButForReturns,
    ButForEnds,
    ButForMargins,
}

struct Text<'a> {
    lines: Vec<&'a [u8]>,
    /// The last line has no newline.
    bare: bool,
}

impl<'a> Text<'a> {
    fn of(content: &'a [u8]) -> Self {
        let mut lines: Vec<&[u8]> = content.split(|byte| *byte == b'\n').collect();
        let bare = !content.is_empty() && !content.ends_with(b"\n");
        if !bare {
            lines.pop();
        }
        Self { lines, bare }
    }

    fn has_returns(&self) -> bool {
        let with = self.lines.iter().filter(|line| line.ends_with(b"\r")).count();
        with * 2 > self.lines.len()
    }
}

/// The text after the hunks.
pub(super) fn apply(content: &[u8], hunks: &[Hunk], work: &mut usize) -> Result<Vec<u8>, Misfit> {
    let text = Text::of(content);
    let returns = text.has_returns();
    let mut after = Vec::with_capacity(content.len());
    let mut put = |line: &[u8]| {
        after.extend_from_slice(line);
        after.push(b'\n');
    };
    let (mut done, mut moved) = (0_usize, 0_isize);
    let mut bare = text.bare;
    for (number, hunk) in hunks.iter().enumerate() {
        let search = Search { text: &text, hunk, number: number + 1, from: done, moved };
        let (at, care) = search.place(work)?;
        if hunk.line > 0 {
            // The number of a hunk without old lines is that of the line before it.
            let inserts = hunk.lines.iter().all(|line| line.kind == LineKind::Added);
            moved = signed(at) - signed(hunk.line as usize - usize::from(!inserts));
        }
        text.lines[done..at].iter().for_each(|line| put(line));
        done = at;
        for line in &hunk.lines {
            match line.kind {
                LineKind::Context => {
                    put(text.lines[done]);
                    done += 1;
                }
                LineKind::Removed => done += 1,
                LineKind::Added => put(&added(&line.text, care, returns)),
            }
        }
        if done == text.lines.len() {
            bare = ends_bare(hunk, &text);
        }
    }
    text.lines[done..].iter().for_each(|line| put(line));
    if bare {
        after.pop();
    }
    Ok(after)
}

/// Whether the text ends without a newline after a hunk that reaches its end.
fn ends_bare(hunk: &Hunk, text: &Text<'_>) -> bool {
    match hunk.lines.iter().rev().find(|line| line.kind != LineKind::Removed) {
        Some(line) if line.kind == LineKind::Context => text.bare || hunk.new_ends_bare,
        _ => hunk.new_ends_bare,
    }
}

/// An added line, with the file's kind of end where the hunk's own was not looked at.
fn added(text: &str, care: Care, returns: bool) -> Vec<u8> {
    let mut line = text.as_bytes().to_vec();
    if care != Care::Exactly {
        if line.ends_with(b"\r") {
            line.pop();
        }
        if returns {
            line.push(b'\r');
        }
    }
    line
}

fn signed(at: usize) -> isize {
    isize::try_from(at).unwrap_or(isize::MAX)
}

/// The search for one hunk.
struct Search<'a> {
    text: &'a Text<'a>,
    hunk: &'a Hunk,
    number: usize,
    /// What the hunks before have taken.
    from: usize,
    /// How far they were from where they said.
    moved: isize,
}

impl Search<'_> {
    fn place(&self, work: &mut usize) -> Result<(usize, Care), Misfit> {
        let lines = &self.text.lines;
        let from = self.below(work)?;
        let old: Vec<&[u8]> = self
            .hunk
            .lines
            .iter()
            .filter(|line| line.kind != LineKind::Added)
            .map(|line| line.text.as_bytes())
            .collect();
        if old.is_empty() {
            return Ok((self.insertion(from), Care::Exactly));
        }
        let hint = (self.hunk.line > 0).then(|| {
            let said = signed(self.hunk.line as usize - 1).saturating_add(self.moved);
            usize::try_from(said).unwrap_or(0)
        });
        let cares = [Care::Exactly, Care::ButForReturns, Care::ButForEnds, Care::ButForMargins];
        for care in cares {
            if care == Care::ButForMargins && hint.is_some() {
                break;
            }
            if let Some(at) = self.nearest(&old, from, hint, care, work)? {
                return Ok((at, care));
            }
        }
        Err(self.misfit(&old, from, hint, work, lines))
    }

    /// Below the lines that the hunk names, if it names any.
    fn below(&self, work: &mut usize) -> Result<usize, Misfit> {
        let mut from = self.from;
        for named in &self.hunk.below {
            let wanted = named.trim().as_bytes();
            let rest = &self.text.lines[from..];
            spend(work, rest.len()).ok_or_else(|| self.too_much())?;
            let same = rest.iter().position(|line| line.trim_ascii() == wanted);
            let has = match same {
                None => self.containing(rest, wanted, work)?,
                same => same,
            };
            match has {
                Some(at) => from += at + 1,
                None => {
                    return Err(Misfit {
                        hunk: self.number,
                        line: from + 1,
                        expected: named.clone(),
                        found: String::new(),
                        message: format!("no line `{named}` below line {from}"),
                    });
                }
            }
        }
        Ok(from)
    }

    /// The first line that has these words in it.
    fn containing(
        &self,
        lines: &[&[u8]],
        wanted: &[u8],
        work: &mut usize,
    ) -> Result<Option<usize>, Misfit> {
        for (at, line) in lines.iter().enumerate() {
            // At its worst each place in the line is compared with all of the words.
            let cost = line.len().saturating_mul(wanted.len() / AT_ONCE + 1) / 8;
            spend(work, cost).ok_or_else(|| self.too_much())?;
            if contains(line, wanted) {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Where lines go that have nothing around them.
    fn insertion(&self, from: usize) -> usize {
        let end = self.text.lines.len();
        let said = signed(self.hunk.line as usize).saturating_add(self.moved);
        match (self.hunk.line, self.hunk.below.is_empty()) {
            // After the line of that number.
            (1.., _) => usize::try_from(said).unwrap_or(0).clamp(from, end),
            (0, false) => from,
            (0, true) => end,
        }
    }

    fn nearest(
        &self,
        old: &[&[u8]],
        from: usize,
        hint: Option<usize>,
        care: Care,
        work: &mut usize,
    ) -> Result<Option<usize>, Misfit> {
        let Some(last) = self.text.lines.len().checked_sub(old.len()) else { return Ok(None) };
        if last < from {
            return Ok(None);
        }
        let first = if self.hunk.at_end { last } else { from };
        let hint = hint.unwrap_or(first).clamp(first, last);
        // Outwards from the hint, the later of two that are as near last.
        for away in 0..=(last - first) {
            let before = hint.checked_sub(away).filter(|at| *at >= first);
            let after = (away > 0).then_some(hint + away).filter(|at| *at <= last);
            if before.is_none() && after.is_none() {
                break;
            }
            for at in [before, after].into_iter().flatten() {
                let (agree, cost) = self.agreeing(old, at, care);
                spend(work, cost).ok_or_else(|| self.too_much())?;
                if agree == old.len() {
                    return Ok(Some(at));
                }
            }
        }
        Ok(None)
    }

    /// How many lines from `at` on are those of the hunk, and what it cost to see.
    fn agreeing(&self, old: &[&[u8]], at: usize, care: Care) -> (usize, usize) {
        let (mut agree, mut cost) = (0, 0);
        for (wanted, found) in old.iter().zip(&self.text.lines[at..]) {
            cost += 1 + wanted.len().min(found.len()) / AT_ONCE;
            if !same(wanted, found, care) {
                break;
            }
            agree += 1;
        }
        (agree, cost)
    }

    /// The place that is most like the hunk, and what stands there.
    fn misfit(
        &self,
        old: &[&[u8]],
        from: usize,
        hint: Option<usize>,
        work: &mut usize,
        lines: &[&[u8]],
    ) -> Misfit {
        let mut best = (0, hint.unwrap_or(from).min(lines.len()));
        for at in from..lines.len() {
            let (mut agree, mut cost) = (0, 0);
            for (wanted, found) in old.iter().zip(&lines[at..]) {
                cost += 1 + wanted.len().min(found.len()) / AT_ONCE;
                agree += usize::from(same(wanted, found, Care::ButForMargins));
            }
            if agree > best.0 {
                best = (agree, at);
            }
            if spend(work, cost).is_none() {
                break;
            }
        }
        let at = best.1;
        let there = &lines[at.min(lines.len())..lines.len().min(at + old.len())];
        let taken = if self.from > 0 && from == self.from {
            format!(" below line {}, which the hunk before took", self.from)
        } else {
            String::new()
        };
        Misfit {
            hunk: self.number,
            line: at + 1,
            expected: shown(old),
            found: shown(there),
            message: format!("its lines are not in the file{taken}"),
        }
    }

    fn too_much(&self) -> Misfit {
        Misfit {
            hunk: self.number,
            line: self.hunk.line.max(1) as usize,
            expected: String::new(),
            found: String::new(),
            message: "finding its place takes too long: give line numbers, or smaller hunks"
                .to_owned(),
        }
    }
}

fn spend(work: &mut usize, cost: usize) -> Option<()> {
    *work = work.checked_sub(cost)?;
    Some(())
}

fn contains(line: &[u8], wanted: &[u8]) -> bool {
    !wanted.is_empty() && line.windows(wanted.len()).any(|part| part == wanted)
}

fn same(wanted: &[u8], found: &[u8], care: Care) -> bool {
    let without_return = |line: &[u8]| line.strip_suffix(b"\r").map_or(line.len(), <[u8]>::len);
    match care {
        Care::Exactly => wanted == found,
        Care::ButForReturns => wanted[..without_return(wanted)] == found[..without_return(found)],
        Care::ButForEnds => wanted.trim_ascii_end() == found.trim_ascii_end(),
        Care::ButForMargins => wanted.trim_ascii() == found.trim_ascii(),
    }
}

fn shown(lines: &[&[u8]]) -> String {
    let mut text = lines
        .iter()
        .take(SHOWN)
        .map(|line| {
            let line = String::from_utf8_lossy(line);
            line.chars().take(200).collect::<String>()
        })
        .collect::<Vec<_>>()
        .join("\n");
    if lines.len() > SHOWN {
        text.push_str(&format!("\n... {} more lines", lines.len() - SHOWN));
    }
    text
}

#[cfg(test)]
mod tests {
    use pyro_protocol::patch::Line;

    use super::*;

    fn hunk(line: u32, lines: &str) -> Hunk {
        let lines = lines.lines().map(|line| {
            let kind = match line.as_bytes()[0] {
                b'+' => LineKind::Added,
                b'-' => LineKind::Removed,
                _ => LineKind::Context,
            };
            Line { kind, text: line[1..].to_owned() }
        });
        Hunk { line, lines: lines.collect(), ..Hunk::default() }
    }

    fn apply(content: &[u8], hunks: &[Hunk]) -> Result<Vec<u8>, Misfit> {
        super::apply(content, hunks, &mut { WORK })
    }

    fn after(text: &str, hunks: &[Hunk]) -> String {
        String::from_utf8(apply(text.as_bytes(), hunks).unwrap()).unwrap()
    }

    #[test]
    fn the_nearest_place_is_taken() {
        let text = "a\nb\na\nb\na\nb\n";
        assert_eq!(after(text, &[hunk(3, " a\n-b\n+c\n")]), "a\nb\na\nc\na\nb\n");
        assert_eq!(after(text, &[hunk(40, " a\n-b\n+c\n")]), "a\nb\na\nb\na\nc\n");
        assert_eq!(after(text, &[hunk(0, " a\n-b\n+c\n")]), "a\nc\na\nb\na\nb\n");
        // The second hunk is as far away as the first was.
        let shifted = format!("x\nx\n{text}");
        let both = [hunk(1, "-a\n+A\n"), hunk(3, "-a\n+A\n")];
        assert_eq!(after(&shifted, &both), "x\nx\nA\nb\nA\nb\na\nb\n");
    }

    #[test]
    fn ends_of_lines_are_the_files_own() {
        let text = "a\r\nb\r\nc\r\n";
        assert_eq!(after(text, &[hunk(1, " a\n-b\n+B\n+C\n")]), "a\r\nB\r\nC\r\nc\r\n");
        assert_eq!(after("a\nb  \nc\n", &[hunk(1, " a\n b\n-c\n+C\n")]), "a\nb  \nC\n");
        // Margins only where there is no number.
        assert_eq!(after("  a\n  b\n", &[hunk(0, " a\n-b\n+  B\n")]), "  a\n  B\n");
        assert!(apply(b"  a\n  b\n", &[hunk(1, " a\n-b\n+B\n")]).is_err());
    }

    #[test]
    fn the_end_of_the_file() {
        let bare = |hunk: Hunk| Hunk { new_ends_bare: true, ..hunk };
        assert_eq!(after("a\nb", &[hunk(1, "-a\n+A\n b\n")]), "A\nb");
        assert_eq!(after("a\nb", &[hunk(2, "-b\n+B\n")]), "a\nB\n");
        assert_eq!(after("a\nb\n", &[bare(hunk(2, "-b\n+B\n"))]), "a\nB");
        assert_eq!(after("a\nb", &[hunk(1, "-a\n")]), "b");
        assert_eq!(after("a\n", &[hunk(1, "-a\n")]), "");
        assert_eq!(after("", &[hunk(0, "+a\n")]), "a\n");
        assert_eq!(after("a\n", &[hunk(0, "+b\n")]), "a\nb\n");
        assert_eq!(after("a\nb\n", &[hunk(1, "+x\n")]), "a\nx\nb\n");
        let both = [hunk(1, "+x\n"), hunk(2, "+y\n")];
        assert_eq!(after("a\nb\nc\n", &both), "a\nx\nb\ny\nc\n");
        let at_end = Hunk { at_end: true, ..hunk(0, " a\n+b\n") };
        assert_eq!(after("a\nx\na\n", &[at_end]), "a\nx\na\nb\n");
    }

    #[test]
    fn words_name_a_place() {
        let text = "def f():\n    x = 1\ndef g():\n    x = 1\n";
        let below = Hunk { below: vec!["def g():".into()], ..hunk(0, "-    x = 1\n+    x = 2\n") };
        let wanted = "def f():\n    x = 1\ndef g():\n    x = 2\n";
        assert_eq!(after(text, &[below]), wanted);
        let nowhere = Hunk { below: vec!["def h():".into()], ..hunk(0, "-    x = 1\n") };
        let misfit = apply(text.as_bytes(), &[nowhere]).unwrap_err();
        assert_eq!(misfit.expected, "def h():");
    }

    #[test]
    fn a_misfit_says_what_is_there() {
        let text = "one\ntwo\nthree\nfour\n";
        let misfit = apply(text.as_bytes(), &[hunk(2, " two\n-thre\n+3\n four\n")]).unwrap_err();
        assert_eq!((misfit.hunk, misfit.line), (1, 2));
        assert_eq!(
            (misfit.expected.as_str(), misfit.found.as_str()),
            ("two\nthre\nfour", "two\nthree\nfour")
        );
        // Hunks must come in order, and each line is taken once.
        let twice = [hunk(1, "-one\n"), hunk(1, "-one\n")];
        assert_eq!(apply(text.as_bytes(), &twice).unwrap_err().hunk, 2);
    }

    #[test]
    fn a_patch_that_is_made_to_take_long_is_refused() {
        let text = "a\n".repeat(200_000);
        let lines = format!("{}-b\n", " a\n".repeat(100_000));
        let misfit = apply(text.as_bytes(), &[hunk(0, &lines)]).unwrap_err();
        assert!(misfit.message.contains("too long"), "{}", misfit.message);
    }

    #[test]
    fn long_lines_and_long_words_cost_what_they_take() {
        let began = std::time::Instant::now();
        let long = "a".repeat(4 << 20);
        let below = vec![format!("{}b", &long[..2 << 20])];
        let words = Hunk { below, ..hunk(0, "+x\n") };
        let misfit = apply(long.as_bytes(), &[words]).unwrap_err();
        assert!(misfit.message.contains("too long"), "{}", misfit.message);
        let line = "a".repeat(800);
        let text = format!("{line}\n").repeat(10_000);
        let lines = format!("{}-b\n", format!(" {line}\n").repeat(5_000));
        let misfit = apply(text.as_bytes(), &[hunk(0, &lines)]).unwrap_err();
        assert!(misfit.message.contains("too long"), "{}", misfit.message);
        // Words of a usual length in a long file are found.
        let text = format!("{}fn wanted(a: u8) {{\nold\n", "x = y;\n".repeat(500_000));
        let words = Hunk { below: vec!["fn wanted(".to_owned()], ..hunk(0, "-old\n+new\n") };
        assert!(after(&text, &[words]).ends_with("{\nnew\n"));
        assert!(began.elapsed() < std::time::Duration::from_secs(60), "{:?}", began.elapsed());
    }

    #[test]
    fn what_the_files_of_a_patch_cost_adds_up() {
        let text = "a\n".repeat(6_000);
        let lines = format!("{}-b\n", " a\n".repeat(3_000));
        let mut work = WORK;
        let outcomes = (0..5).map(|_| super::apply(text.as_bytes(), &[hunk(0, &lines)], &mut work));
        let messages: Vec<_> = outcomes.map(|outcome| outcome.unwrap_err().message).collect();
        assert!(messages[0].contains("not in the file"), "{messages:?}");
        assert!(messages[4].contains("too long"), "{messages:?}");
    }
}
