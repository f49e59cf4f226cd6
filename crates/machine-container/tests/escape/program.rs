//! The agent's own program: a command that runs `/proc/self/exe` as its first act holds it, and
//! must not be able to change anything of the host's file by it.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    time::{Duration, Instant},
};

use pyro_machine::conformance::Session;
use pyro_model::{ExecId, ExecState};
use pyro_protocol::{
    GuestMessage, HostMessage,
    exec::{ExecStart, Follow, Program},
};

use super::support::Home;

/// Catches a process that runs the agent's program, by its path, and tries to change what it runs.
const HUNTER: &str = r#"
import os, time
os.mkdir('/dev/shm/ready')
end = time.time() + 30
while time.time() < end:
    for pid in [n for n in os.listdir('/proc') if n.isdigit() and n != '1']:
        try:
            if 'guest' not in os.readlink('/proc/%s/exe' % pid): continue
            held = os.open('/proc/%s/exe' % pid, os.O_RDONLY)
        except OSError: continue
        path = '/proc/self/fd/%d' % held
        print('caught', os.readlink(path))
        for name, change in (
            ('mode', lambda: os.fchmod(held, 0o777)),
            ('mark', lambda: os.setxattr(held, 'user.mark', b'1')),
            ('owner', lambda: os.fchown(held, 1000, 1000)),
            ('time', lambda: os.utime(held, (1, 1))),
            ('bytes', lambda: os.close(os.open(path, os.O_WRONLY))),
            ('length', lambda: os.truncate(path, 0)),
        ):
            try: change(); print(name, 'changed')
            except OSError as error: print(name, error)
        os.mkdir('/dev/shm/done')
        raise SystemExit
"#;

pub(crate) fn program(home: &Home) {
    let host = fs::metadata(home.machine.agent()).unwrap();
    let bytes = fs::read(home.machine.agent()).unwrap();
    let workspace = home.fixture.workspace(&home.machine).unwrap();
    workspace
        .session(&home.machine, |session| {
            session.must(&format!("cat > /tmp/hunter.py <<'END'\n{HUNTER}\nEND"))?;
            let hunter = session.begin("python3 /tmp/hunter.py")?;
            session.must("until test -d /dev/shm/ready; do sleep 0.01; done")?;
            // Executed by the agent's own child, with no shell between. Many words make it last.
            for _ in 0..500 {
                let ran = run_words(session, "/proc/self/exe", 16_000);
                if matches!(home.machine.ids(), pyro_machine_container::Ids::Root { .. }) {
                    assert_eq!(ran, (ExecState::Exited, Some(126)), "root's file is nobody's");
                    return Ok(());
                }
                assert_eq!(ran, (ExecState::Exited, Some(2)), "the try itself failed");
                if session.run("test -d /dev/shm/done")?.ok() {
                    break;
                }
            }
            let hunted = session.attach(hunter)?.stdout;
            assert!(hunted.contains("caught"), "nobody was caught: {hunted}");
            assert!(!hunted.contains("bytes changed"), "{hunted}");
            assert!(!hunted.contains("length changed"), "{hunted}");
            Ok(())
        })
        .unwrap();
    let now = fs::metadata(home.machine.agent()).unwrap();
    let facts = |of: &fs::Metadata| (of.ino(), of.uid(), of.mode(), of.ctime(), of.ctime_nsec());
    assert_eq!(facts(&now), facts(&host), "the host's file was touched from inside");
    assert_eq!(fs::read(home.machine.agent()).unwrap(), bytes);
}

/// Runs a program without a shell, with that many words; how it ended.
fn run_words(session: &mut Session, program: &str, words: usize) -> (ExecState, Option<i32>) {
    let mut random = [0; 8];
    rustix::rand::getrandom(&mut random[..], rustix::rand::GetRandomFlags::empty()).unwrap();
    let words = std::iter::once(program).chain(std::iter::repeat_n("x", words));
    let start = ExecStart {
        exec: ExecId::from_random(random),
        line: program.to_owned(),
        program: Program::Words(words.map(str::to_owned).collect()),
        cwd: "/".to_owned(),
        environment: Vec::new(),
        stdin: None,
        timeout_ms: 30_000,
        kept_bytes: 1 << 10,
        follow: Follow::End,
        at_ms: 0,
    };
    let call = session.guest.send(HostMessage::Exec(Box::new(start))).unwrap();
    let deadline = Some(Instant::now() + Duration::from_secs(60));
    loop {
        match session.guest.receive(call, deadline, None).unwrap() {
            GuestMessage::Started { .. } => {}
            GuestMessage::Finished(finished) => return (finished.state, finished.exit_code),
            other => panic!("answered by {other:?}"),
        }
    }
}
