//! Tracing: own children may be traced (debuggers), nothing else can be reached that way.

use crate::{Place, probe::python};

pub(super) fn tracing(place: &Place<'_>) {
    place.session(|session| {
        let seen = python(
            session,
            "
child = os.fork()
if child == 0:
    print('self', call(101, 0, 0, 0, 0)); sys.stdout.flush(); os._exit(0)
os.waitpid(child, 0)
print('attach', call(101, 16, 1, 0, 0))
print('seize', call(101, 0x4206, 1, 0, 0))
supervisor = int(open('/proc/self/stat').read().rsplit(')', 1)[1].split()[1])
buffer = ctypes.create_string_buffer(16)
vector = (ctypes.c_long * 2)(ctypes.addressof(buffer), 16)
print('read', call(310, 1, vector, 1, vector, 1, 0))
print('write', call(311, 1, vector, 1, vector, 1, 0))
print('compare', call(312, 1, os.getpid(), 0, 0, 0))
print('above', [name for name in os.listdir('/proc') if name.isdigit() and
      opened('/proc/%s/mem' % name, os.O_RDWR) == 'opened' and
      open('/proc/%s/comm' % name).read().strip() in ('pyro-guest', 'pyro:agent')])
",
        );
        assert_eq!(seen, "self 0\nattach -1\nseize -1\nread -1\nwrite -1\ncompare -1\nabove []\n");
    });
}
