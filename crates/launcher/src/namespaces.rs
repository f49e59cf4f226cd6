//! User namespaces that the host refuses: by which setting, and what mends it.

use std::fs;

/// The doctor's name of the check.
pub const USER_NAMESPACES: &str = "user_namespaces";

/// What mends a start inside somebody else's sandbox.
pub const NOT_HERE: &str = "run pyro outside the sandbox, or start that with --privileged or --security-opt \
     seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined";

/// The setting that keeps this user from having user namespaces, and the command that changes it.
#[must_use]
pub fn refused() -> Option<(String, String)> {
    let setting = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let root = rustix::process::geteuid().is_root();
    let is = |path: &str, value: &str| setting(path).as_deref() == Some(value);
    if is("/proc/sys/user/max_user_namespaces", "0") {
        return Some((
            "user.max_user_namespaces is 0".to_owned(),
            "sudo sysctl -w user.max_user_namespaces=15000".to_owned(),
        ));
    }
    if !root && is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        return Some((
            "kernel.unprivileged_userns_clone is 0".to_owned(),
            "sudo sysctl -w kernel.unprivileged_userns_clone=1".to_owned(),
        ));
    }
    if !root && is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        return Some((
            "AppArmor restricts user namespaces (kernel.apparmor_restrict_unprivileged_userns is 1)"
                .to_owned(),
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0".to_owned(),
        ));
    }
    None
}
