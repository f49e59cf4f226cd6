//! Memory that is a process's own.

use std::{fs, path::PathBuf};

use crate::error::{About, BenchError, Result};

/// Private memory of processes together, in MiB: pages that nobody else maps.
pub(crate) fn private_mib(processes: &[u32]) -> Result<f64> {
    sum(processes, &["Private_Clean:", "Private_Dirty:"])
}

/// Memory of processes together, in MiB, with a fair share of the pages that others map, too.
pub(crate) fn proportional_mib(processes: &[u32]) -> Result<f64> {
    sum(processes, &["Pss:"])
}

fn sum(processes: &[u32], fields: &[&str]) -> Result<f64> {
    let mut kib = 0;
    for process in processes {
        let path = PathBuf::from(format!("/proc/{process}/smaps_rollup"));
        let rollup = fs::read_to_string(&path).about(&path)?;
        kib += kib_of(&rollup, fields).ok_or(BenchError::Reply {
            what: "the kernel",
            said: "no such field in smaps_rollup".to_owned(),
        })?;
    }
    Ok(kib as f64 / 1024.0)
}

fn kib_of(rollup: &str, fields: &[&str]) -> Option<u64> {
    let kib = |name: &&str| -> Option<u64> {
        let line = rollup.lines().find_map(|line| line.strip_prefix(*name))?;
        line.trim().split(' ').next()?.parse().ok()
    };
    fields.iter().map(kib).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_pages_are_added_up() {
        let text = "Rss:  900 kB\nPrivate_Clean:   12 kB\nPrivate_Dirty:  30 kB\n";
        let private = ["Private_Clean:", "Private_Dirty:"];
        assert_eq!(kib_of(text, &private), Some(42));
        assert_eq!(kib_of("Rss: 900 kB\n", &private), None);
        assert!(private_mib(&[std::process::id()]).unwrap() > 0.1);
    }
}
