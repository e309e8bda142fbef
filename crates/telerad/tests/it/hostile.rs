//! Every case of the hostile corpus against the real executable: it lives, stays small, answers others, and goes on working.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use testkit::corpus::{self, Answer, CALLING, Case, Sent, Step, TOKEN, upper};

use crate::{
    journey::{drafted, prepare, send},
    server::{Process, Site},
};

/// Peers at one time, unless `TELERAD_HOSTILE_PEERS` says another number; with 1 the memory of each case is measured alone.
const PEERS: usize = 12;
/// Longest time for one case. The server's own limits are set far below.
const CASE_TIME_MAX: Duration = Duration::from_secs(40);
/// Longest time in which an honest C-ECHO is answered (issue 3).
const ECHO_TIME_MAX: Duration = Duration::from_secs(2);
/// Most memory that the process may ever have held (issue 3).
const MEMORY_BYTES_MAX: u64 = 256 << 20;
/// What no answer may ever hold: the first line of a file that was asked for, a header or page that was smuggled in.
const NEVER_ANSWERED: [&[u8]; 4] =
    [b"root:x:0:0", b"\r\nset-cookie: x=y", b"\r\nSet-Cookie: b=c", b"SQLite format 3"];

/// How many of the cases that cost the most memory are shown.
const LARGEST_SHOWN: usize = 12;

/// What one case came to.
struct Outcome {
    answer: Answer,
    leak: Option<&'static [u8]>,
    hung: bool,
    /// What went wrong when somebody looked at what may have been stored.
    looked: Vec<String>,
    seconds: f64,
    /// Most memory of the process during the case, in bytes; with one peer at a time, what this case cost.
    peak: u64,
}

/// A C-ECHO by dcmtk, and how long it took.
#[derive(Default)]
struct Echoes {
    times: Vec<Duration>,
    failures: usize,
}

fn site() -> Site {
    let site = Site::new()
        .with("INTAKE__REQUEST_SECONDS_MAX", "2")
        .with("INTAKE__IDLE_SECONDS_MAX", "2")
        .with("HTTP__LIMITS__HEAD_SECONDS_MAX", "2")
        .with("HTTP__LIMITS__BODY_IDLE_SECONDS_MAX", "2")
        .with("HTTP__LIMITS__BODY_GRACE_SECONDS", "2")
        // Some of what cannot be read is kept, and soon there is no room for more.
        .with("INTAKE__QUARANTINE__CENTRE_OBJECTS_MAX", "40")
        .with("INTAKE__QUARANTINE__CENTRE_BYTES_MAX", "20000000");
    site.run(&[
        "centre",
        "add",
        "Hostile",
        "--id",
        "hostile",
        "--ae",
        CALLING,
        "--quiet-period",
        "2",
        "--keep-unreadable",
    ]);
    site.run(&["centre", "add", "Prober", "--id", "prober", "--ae", "PROBER"]);
    prepare(&site);
    site
}

#[test]
fn hostile_peers_break_nothing() {
    if Command::new("echoscu").arg("--version").output().is_err() {
        eprintln!("SKIPPED: dcmtk is not installed; run `make test`");
        return;
    }
    let site = site();
    let token = site.token("hostile", "admin");
    let mut serving = site.serve();
    let cases = corpus::cases();
    let begin = Instant::now();
    let (outcomes, echoes) = attack(&site, &serving, &token, &cases);
    let elapsed = begin.elapsed();
    let peak = serving.peak_bytes();
    print_figures(&cases, &outcomes, &echoes, peak, elapsed);

    let mut wrong = disagreements(&cases, &outcomes);
    wrong.extend(panics(&site));
    wrong.extend((echoes.failures > 0).then(|| format!("{} honest C-ECHO went unanswered", echoes.failures)));
    let slowest = echoes.times.iter().max().copied().unwrap_or_default();
    wrong.extend((slowest >= ECHO_TIME_MAX).then(|| format!("an honest C-ECHO took {slowest:?}")));
    wrong.extend((peak >= MEMORY_BYTES_MAX).then(|| format!("it held {} MiB", peak >> 20)));
    assert!(serving.is_alive(), "the process is gone: {}", log_tail(&site));
    assert!(wrong.is_empty(), "{} complaints:\n{}", wrong.len(), wrong.join("\n"));
    assert!(!std::path::Path::new("/tmp/telerad-was-here").exists(), "a command or path got out");

    let reader = site.reader();
    send(&site);
    drafted(&site, &reader);
    let peak = serving.peak_bytes();
    assert!(peak < MEMORY_BYTES_MAX, "it held {} MiB", peak >> 20);
    assert!(serving.stop(), "it does not stop well");
    assert!(site.run(&["verify"]).contains(" 0 are wrong"));
}

/// Sends every case, some at a time, while dcmtk asks for echoes.
fn attack(site: &Site, serving: &Process, token: &str, cases: &[Case]) -> (Vec<Outcome>, Echoes) {
    let peers =
        std::env::var("TELERAD_HOSTILE_PEERS").ok().and_then(|peers| peers.parse().ok()).unwrap_or(PEERS);
    let next = Mutex::new(cases.iter().enumerate());
    let outcomes = Mutex::new(BTreeMap::new());
    let over = AtomicBool::new(false);
    let echoes = std::thread::scope(|scope| {
        let prober = scope.spawn(|| echo_until(site, &over));
        let attackers: Vec<_> = (0..peers)
            .map(|_| {
                scope.spawn(|| {
                    while let Some((index, case)) = { next.lock().unwrap().next() } {
                        if peers == 1 {
                            serving.forget_peak();
                        }
                        let mut outcome = run(site, token, case);
                        outcome.peak = serving.peak_bytes();
                        outcomes.lock().unwrap().insert(index, outcome);
                    }
                })
            })
            .collect();
        let attacked: Vec<_> = attackers.into_iter().map(|attacker| attacker.join()).collect();
        over.store(true, Relaxed);
        let echoes = prober.join().unwrap();
        attacked.into_iter().for_each(|ended| ended.unwrap());
        echoes
    });
    (outcomes.into_inner().unwrap().into_values().collect(), echoes)
}

fn echo_until(site: &Site, over: &AtomicBool) -> Echoes {
    let mut echoes = Echoes::default();
    let port = site.dicom.to_string();
    while !over.load(Relaxed) {
        let begin = Instant::now();
        Command::new("echoscu").arg("--version").output().unwrap();
        let start = begin.elapsed();
        let output = Command::new("echoscu")
            .args([
                "-to",
                "5",
                "-ta",
                "5",
                "-td",
                "5",
                "-aet",
                "PROBER",
                "-aec",
                "TELERAD",
                "127.0.0.1",
                &port,
            ])
            .output()
            .unwrap();
        // What the machine takes to start a program twice is not ours.
        echoes.times.push(begin.elapsed().saturating_sub(start * 2));
        if !output.status.success() {
            eprintln!("echoscu: {}", String::from_utf8_lossy(&output.stderr));
            echoes.failures += 1;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    echoes
}

fn run(site: &Site, token: &str, case: &Case) -> Outcome {
    let begin = Instant::now();
    let mut looked = Vec::new();
    let (received, hung) = match &case.sent {
        Sent::Dicom(steps) => talk(site.dicom, steps, token),
        Sent::Http(steps) => talk(site.http, steps, token),
        Sent::Store(object) => {
            let bytes = [upper::storing(object), upper::release()].concat();
            let talked = talk(site.dicom, &[Step::Send(bytes)], token);
            looked = look_at(site, token, &object.sop_instance);
            talked
        }
    };
    let answer = match &case.sent {
        _ if received.is_empty() => Answer::Closed,
        Sent::Dicom(_) => last(&dicom_answers(&received)),
        Sent::Store(_) => {
            let answers = dicom_answers(&received);
            let status = answers.iter().rev().find(|answer| matches!(answer, Answer::Status(_))).copied();
            status.unwrap_or_else(|| last(&answers))
        }
        Sent::Http(_) => http_answer(&received),
    };
    let leak = NEVER_ANSWERED.into_iter().find(|never| contains(&received, never));
    Outcome { answer, leak, hung, looked, seconds: begin.elapsed().as_secs_f64(), peak: 0 }
}

/// Looks at what may have been stored, as a viewer would: whoever decodes it must not break either.
fn look_at(site: &Site, token: &str, sop_instance: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let Some(series) = sop_instance.strip_suffix(".1") else { return wrong };
    let Some(study) = series.strip_suffix(".1") else { return wrong };
    let instance = format!("/dicomweb/studies/{study}/series/{series}/instances/{sop_instance}");
    for (path, accept) in [
        ("/metadata", "application/dicom+json"),
        ("/rendered", "image/jpeg"),
        ("/frames/1", "multipart/related; type=\"application/octet-stream\"; transfer-syntax=*"),
    ] {
        let head = format!(
            "GET {instance}{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nAccept: {accept}\r\n\
             Connection: close\r\n\r\n"
        );
        let (received, hung) = talk(site.http, &[Step::Send(head.into_bytes())], token);
        let answer = http_answer(&received);
        if hung || !matches!(answer, Answer::Http(200..=499 | 503)) {
            wrong.push(format!("{path} of {sop_instance}: {answer:?}"));
        }
    }
    wrong
}

/// Plays the steps; what came back, and whether the other side never ended it.
fn talk(port: u16, steps: &[Step], token: &str) -> (Vec<u8>, bool) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_write_timeout(Some(CASE_TIME_MAX)).unwrap();
    stream.set_read_timeout(Some(CASE_TIME_MAX)).unwrap();
    let mut incoming = stream.try_clone().unwrap();
    std::thread::scope(|scope| {
        let leaves = matches!(steps.last(), Some(Step::Leave));
        // Reads beside the writing, so that neither waits for the other; whoever leaves reads nothing.
        let reader = (!leaves).then(|| {
            scope.spawn(move || {
                let mut received = Vec::new();
                let ended = incoming.read_to_end(&mut received);
                let hung = ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
                (received, hung)
            })
        });
        for step in steps {
            // A server that has had enough closes; what is then left of the steps is of no use.
            if play(&mut stream, step, token).is_err() {
                break;
            }
        }
        match reader {
            Some(reader) => reader.join().unwrap(),
            None => (Vec::new(), false),
        }
    })
}

fn play(stream: &mut TcpStream, step: &Step, token: &str) -> std::io::Result<()> {
    match step {
        Step::Send(bytes) => stream.write_all(&with_token(bytes, token)),
        Step::Repeat(bytes, times) => (0..*times).try_for_each(|_| stream.write_all(bytes)),
        Step::Drip(bytes, every) => bytes.iter().try_for_each(|byte| {
            std::thread::sleep(*every);
            stream.write_all(&[*byte])
        }),
        Step::Pause(time) => {
            std::thread::sleep(*time);
            Ok(())
        }
        Step::HalfClose => stream.shutdown(Shutdown::Write),
        Step::Leave => Ok(()),
    }
}

fn with_token(bytes: &[u8], token: &str) -> Vec<u8> {
    let head = bytes.len().min(64 << 10);
    let place = bytes[..head].windows(TOKEN.len()).position(|window| window == TOKEN.as_bytes());
    match place {
        Some(at) => [&bytes[..at], token.as_bytes(), &bytes[at + TOKEN.len()..]].concat(),
        None => bytes.to_vec(),
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// The last thing that was said before the server's own patience ended (an abort by the service user).
fn last(answers: &[Answer]) -> Answer {
    answers.last().copied().unwrap_or(Answer::Abort)
}

fn dicom_answers(mut bytes: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while let Some(head) = bytes.first_chunk::<6>() {
        let length = u32::from_be_bytes([head[2], head[3], head[4], head[5]]) as usize;
        let Some(body) = bytes.get(6..6 + length) else { break };
        match head[0] {
            2 => answers.push(Answer::Associated),
            3 => answers.push(Answer::Reject),
            4 => answers.extend(status(body)),
            6 => answers.push(Answer::Released),
            7 if body[2] != 0 => answers.push(Answer::Abort),
            _ => {}
        }
        bytes = &bytes[6 + length..];
    }
    answers
}

/// Status (0000,0900) of the command set in a PDU of one value.
fn status(pdu: &[u8]) -> Option<Answer> {
    let mut set = pdu.get(6..)?;
    while let Some(head) = set.first_chunk::<8>() {
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        if head[2..4] == [0, 9] {
            return Some(Answer::Status(u16::from_le_bytes([set[8], set[9]])));
        }
        set = set.get(8 + length..)?;
    }
    None
}

fn http_answer(bytes: &[u8]) -> Answer {
    let marks =
        bytes.windows(9).enumerate().filter(|(_, window)| *window == b"HTTP/1.1 " || *window == b"HTTP/1.0 ");
    let mut codes =
        marks.filter_map(|(at, _)| std::str::from_utf8(bytes.get(at + 9..at + 12)?).ok()?.parse().ok());
    codes.rfind(|code| *code != 100).map_or(Answer::Closed, Answer::Http)
}

fn disagreements(cases: &[Case], outcomes: &[Outcome]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (case, outcome) in cases.iter().zip(outcomes) {
        if outcome.hung {
            wrong.push(format!("{}: never ended", case.name));
        } else if !case.answers.contains(&outcome.answer) {
            wrong.push(format!("{}: {:X?}, not {:X?}", case.name, outcome.answer, case.answers));
        }
        wrong.extend(outcome.looked.iter().map(|looked| format!("{}: {looked}", case.name)));
        if let Some(leak) = outcome.leak {
            wrong.push(format!("{}: the answer holds {:?}", case.name, String::from_utf8_lossy(leak)));
        }
    }
    wrong
}

fn panics(site: &Site) -> Vec<String> {
    let log = String::from_utf8_lossy(&crate::server::read(&site.log())).into_owned();
    log.lines().filter(|line| line.contains("panicked at")).map(str::to_owned).collect()
}

fn log_tail(site: &Site) -> String {
    let log = String::from_utf8_lossy(&crate::server::read(&site.log())).into_owned();
    let lines: Vec<&str> = log.lines().rev().take(20).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

fn print_figures(cases: &[Case], outcomes: &[Outcome], echoes: &Echoes, peak: u64, elapsed: Duration) {
    let mut classes: BTreeMap<_, (usize, f64)> = BTreeMap::new();
    for (case, outcome) in cases.iter().zip(outcomes) {
        let line = classes.entry(case.class).or_default();
        line.0 += 1;
        line.1 = line.1.max(outcome.seconds);
    }
    eprintln!("| class | cases | longest, s |\n|---|---|---|");
    for (class, (count, longest)) in classes {
        eprintln!("| {} | {count} | {longest:.1} |", class.stands_for());
    }
    let before = std::iter::once(0).chain(outcomes.iter().map(|outcome| outcome.peak));
    let growth = outcomes.iter().zip(before).map(|(outcome, before)| outcome.peak.saturating_sub(before));
    let mut largest: Vec<_> = growth.zip(cases.iter().map(|case| &case.name)).collect();
    largest.sort();
    for (growth, name) in largest.iter().rev().take(LARGEST_SHOWN) {
        eprintln!("{} MiB more during: {name}", growth >> 20);
    }
    let mut times = echoes.times.clone();
    times.sort();
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default().as_millis();
    eprintln!(
        "{} cases in {:.0} s; most memory {} MiB; {} C-ECHO by dcmtk, median {} ms, 95 % {} ms, slowest {} ms",
        cases.len(),
        elapsed.as_secs_f64(),
        peak >> 20,
        times.len(),
        at(50),
        at(95),
        times.last().copied().unwrap_or_default().as_millis()
    );
}

impl Process {
    /// Begins to measure the most memory anew.
    fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.id()), "5").unwrap();
    }

    /// The most memory that the process ever held, in bytes.
    pub fn peak_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) << 10
    }
}
