//! The doctor's checks: all well where the suites pass, and nothing of the probe is left.

use std::fs;

use pyro_machine_container::checks;

use crate::support::Home;

pub(crate) fn doctor(home: &Home) {
    let scratch = home.fixture.home.join("probe");
    fs::create_dir(&scratch).unwrap();
    let rows = checks(&home.machine, &scratch);
    let one = home.machine.ids().is_one();
    for row in &rows {
        let may_fail = row.name.ends_with("_limit") || (one && row.name == "sub_ids");
        assert!(row.ok || may_fail, "{row:?}");
        assert!(row.ok || !row.mend.is_empty(), "{row:?} names no way to mend it");
        assert!(!row.found.contains("not known"), "{row:?}");
    }
    assert!(rows.iter().any(|row| row.name == "container"));
    assert_eq!(one, rows.iter().any(|row| row.name == "sub_ids" && !row.ok));
}
