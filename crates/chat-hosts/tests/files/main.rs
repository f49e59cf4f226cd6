//! Connect, doctor, repair and disconnect on the files of a home that the test owns.

#![expect(clippy::unwrap_used, reason = "tests")]

mod hard;
mod home;
mod permissions;
mod stories;
