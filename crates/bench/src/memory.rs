//! Memory that is a process's own.

use std::{fs, path::PathBuf};

use crate::error::{About, BenchError, Result};

/// Private memory of processes together, in MiB: pages that nobody else maps.
pub(crate) fn private_mib(processes: &[u32]) -> Result<f64> {
    let mut kib = 0;
    for process in processes {
        let path = PathBuf::from(format!("/proc/{process}/smaps_rollup"));
        kib += private_kib(&fs::read_to_string(&path).about(&path)?).ok_or(BenchError::Reply {
            what: "the kernel",
            said: "no private memory in smaps_rollup".to_owned(),
        })?;
    }
    Ok(kib as f64 / 1024.0)
}

fn private_kib(rollup: &str) -> Option<u64> {
    let field = |name: &str| -> Option<u64> {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().split(' ').next()?.parse().ok()
    };
    Some(field("Private_Clean:")? + field("Private_Dirty:")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_pages_are_added_up() {
        let text = "Rss:  900 kB\nPrivate_Clean:   12 kB\nPrivate_Dirty:  30 kB\n";
        assert_eq!(private_kib(text), Some(42));
        assert_eq!(private_kib("Rss: 900 kB\n"), None);
        assert!(private_mib(&[std::process::id()]).unwrap() > 0.1);
    }
}
