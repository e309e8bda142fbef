//! The child: reads work from standard input, does it, writes what came of it to standard output, until its input ends.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::fd::{AsFd as _, AsRawFd as _},
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
};

use imaging::work::{Done, Failure, FailureKind, Hello, Job, Lengths, Message, PREFIX_BYTES, VERSION};

use crate::Confinement;

/// Works until standard input ends.
#[must_use]
pub fn run(confinement: Confinement) -> ExitCode {
    run_as(confinement, Job::perform)
}

/// Works, doing each job as a test wants it done.
#[must_use]
pub fn run_as(confinement: Confinement, perform: impl Fn(Job) -> Done) -> ExitCode {
    // A parent that is gone, or says what no parent says, is nobody to tell anything.
    match serve(confinement, perform) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve(confinement: Confinement, perform: impl Fn(Job) -> Done) -> io::Result<()> {
    // Copies of their own, without the buffers and locks of the standard library.
    let mut from = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut to = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    // What a panic says goes nowhere: it may quote what was decoded.
    std::panic::set_hook(Box::new(|_| {}));
    let unconfined = confinement.confine(from.as_raw_fd(), to.as_raw_fd());
    let hello = Hello { version: VERSION, unconfined };
    send(&mut to, &hello.message().map_err(io::Error::other)?)?;
    while let Some(job) = receive(&mut from)? {
        let done = catch_unwind(AssertUnwindSafe(|| perform(job)));
        let done = done.unwrap_or_else(|_| {
            Done::Failed(Failure { kind: FailureKind::BrokeDown, why: "it lost its way".to_owned() })
        });
        send(&mut to, &done.message().map_err(io::Error::other)?)?;
    }
    Ok(())
}

fn receive(from: &mut File) -> io::Result<Option<Job>> {
    let mut prefix = [0; PREFIX_BYTES];
    match from.read(&mut prefix)? {
        0 => return Ok(None),
        bytes => from.read_exact(&mut prefix[bytes..])?,
    }
    let lengths = Lengths::read(&prefix).map_err(io::Error::other)?;
    let mut head = vec![0; lengths.head];
    from.read_exact(&mut head)?;
    let mut body = vec![0; lengths.body];
    from.read_exact(&mut body)?;
    Job::read(&head, body).map(Some).map_err(io::Error::other)
}

fn send(to: &mut File, message: &Message) -> io::Result<()> {
    to.write_all(&message.head)?;
    message.body.iter().try_for_each(|part| to.write_all(part))
}
