//! Names of files in the headers of a patch.

/// What stands for no file.
pub(crate) const NONE: &str = "/dev/null";

/// The name after `--- ` or `+++ `: without a time stamp, unquoted.
pub(crate) fn header(text: &str) -> String {
    let text = text.trim_end_matches('\r');
    if let Some((name, _)) = quoted(text) {
        return name;
    }
    // A tab ends the name; so do spaces before a date, as some programs write it.
    let name = text.split('\t').next().unwrap_or_default();
    name.trim_end().to_owned()
}

/// Both names of a `diff --git` line, where that can be told.
pub(crate) fn pair(text: &str) -> Option<(String, String)> {
    if let Some((one, rest)) = quoted(text) {
        let rest = rest.strip_prefix(' ')?;
        let other = quoted(rest).map_or_else(|| rest.to_owned(), |(name, _)| name);
        return Some((one, other));
    }
    if let Some(at) = text.find(" \"") {
        return Some((text[..at].to_owned(), quoted(&text[at + 1..])?.0));
    }
    // Without quotes a name may have spaces: the two are the same but for their prefixes.
    let middle = text.len() / 2;
    if text.as_bytes().get(middle) == Some(&b' ') {
        let (one, other) = (&text[..middle], &text[middle + 1..]);
        let same = |prefix: (&str, &str)| {
            one.strip_prefix(prefix.0)
                .is_some_and(|name| other.strip_prefix(prefix.1) == Some(name))
        };
        if same(("a/", "b/")) || one == other {
            return Some((one.to_owned(), other.to_owned()));
        }
    }
    let (one, other) = text.split_once(' ')?;
    (!other.contains(' ')).then(|| (one.to_owned(), other.to_owned()))
}

/// The two names without git's prefixes, where both have theirs.
pub(crate) fn stripped(old: &str, new: &str) -> (String, String) {
    let bare = |name: &str, prefix: &str| match name {
        NONE => Some(NONE.to_owned()),
        name => name.strip_prefix(prefix).map(str::to_owned),
    };
    for (one, other) in [("a/", "b/"), ("i/", "w/"), ("c/", "i/"), ("c/", "w/"), ("o/", "w/")] {
        if let (Some(old), Some(new)) = (bare(old, one), bare(new, other)) {
            return (old, new);
        }
    }
    (old.to_owned(), new.to_owned())
}

/// The path inside a quoted name, and what follows it; `None` when it is not quoted.
pub(crate) fn quoted(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let (mut bytes, mut at) = (Vec::new(), 0);
    let raw = inner.as_bytes();
    loop {
        match *raw.get(at)? {
            b'"' => break,
            b'\\' => {
                let escape = *raw.get(at + 1)?;
                at += 2;
                bytes.push(match escape {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'r' => b'\r',
                    b'a' => 7,
                    b'b' => 8,
                    b'v' => 11,
                    b'f' => 12,
                    b'0'..=b'3' => {
                        let digits = raw.get(at - 1..at + 2)?;
                        at += 2;
                        let text = std::str::from_utf8(digits).ok()?;
                        u8::from_str_radix(text, 8).ok()?
                    }
                    other => other,
                });
            }
            byte => {
                bytes.push(byte);
                at += 1;
            }
        }
    }
    // A name that is not UTF-8 cannot be one of this patch's files.
    Some((String::from_utf8(bytes).ok()?, &inner[at + 1..]))
}
