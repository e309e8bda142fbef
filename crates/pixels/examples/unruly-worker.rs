//! A worker that does as it should, unless the first bytes of a frame say otherwise: for tests of what stands around workers. Never
//! shipped.

use std::process::ExitCode;

use domain::pixel::PixelSource;
use imaging::work::{Done, Job};
use pixels::{Confinement, worker};

fn main() -> ExitCode {
    let number = |name: &str| {
        let value = std::env::args().find_map(|argument| argument.strip_prefix(name).map(str::to_owned));
        value.and_then(|value| value.parse().ok()).unwrap_or(u64::MAX)
    };
    let confinement =
        Confinement { memory_bytes: number("--memory-bytes="), cpu_seconds: number("--cpu-seconds=") };
    worker::run_as(confinement, perform)
}

fn perform(job: Job) -> Done {
    let (Job::Show(source, _) | Job::Recode(source, _)) = &job;
    let bytes = match source {
        PixelSource::Frame { parts, .. } => parts.first().cloned().unwrap_or_default(),
        PixelSource::Object { file, .. } => file.clone(),
    };
    match bytes.get(..8) {
        Some(b"\0UNRULY1") => std::process::abort(),
        Some(b"\0UNRULY2") => loop {
            std::hint::spin_loop();
        },
        Some(b"\0UNRULY3") => eat(),
        Some(b"\0UNRULY4") => panic!("as asked for"),
        Some(b"\0UNRULY5") => drop(std::fs::File::open("/etc/passwd")),
        Some(b"\0UNRULY6") => drop(std::net::UdpSocket::bind("127.0.0.1:0")),
        Some(b"\0UNRULY7") => drop(std::thread::Builder::new().spawn(|| {})),
        Some(b"\0UNRULY8") => drop(std::process::Command::new("/bin/true").spawn()),
        Some(b"\0UNRULY9") => recurse(0),
        _ => {}
    }
    job.perform()
}

/// Takes memory and uses it, as long as there is some.
fn eat() {
    let mut taken: Vec<Vec<u8>> = Vec::new();
    loop {
        taken.push(std::hint::black_box(vec![1; 16 << 20]));
    }
}

/// Uses all of its stack.
#[expect(unconditional_recursion, reason = "that is what it is for")]
fn recurse(depth: u64) {
    let place = std::hint::black_box([depth; 1024]);
    recurse(place[0] + 1);
    std::hint::black_box(place);
}
