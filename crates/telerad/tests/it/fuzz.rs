//! A bounded slice of the fuzz targets: corpus cases, mutated from a fixed seed. `TELERAD_FUZZ_SECONDS` runs each target that long.

use std::time::{Duration, Instant};

use testkit::{
    archives,
    corpus::{self, Case, Sent, Step},
};

#[path = "../../../fuzz/src/targets.rs"]
mod targets;

/// Runs of each target in `make test`.
const RUNS: u64 = 300;
/// Longest seed and longest input, in bytes: most readers decide within the first kilobytes.
const INPUT_BYTES_MAX: usize = 16 << 10;
/// Longest time for one input, in an unoptimised build on a busy machine: beyond it something grows with more than its input.
const INPUT_TIME_MAX: Duration = Duration::from_secs(20);

/// Numbers from a seed (xorshift64*).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// What a target is seeded with: the bytes of the cases that go its way, behind the byte that chooses.
fn seeds(target: &str, cases: &[Case]) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for case in cases {
        let bytes = match (target, &case.sent) {
            ("association" | "command", Sent::Dicom(steps)) => sent(steps),
            ("guard" | "header" | "json", Sent::Store(object)) => object.data_set.clone(),
            ("archive", Sent::Store(object)) => {
                let part = &object.data_set[..object.data_set.len().min(INPUT_BYTES_MAX / 4)];
                seeds.push(archives::zip(&[("DICOM/IM1", part), ("a/b.txt", b"text")], seeds.len() % 2 == 0));
                continue;
            }
            ("json_in", Sent::Http(steps)) => match part(&sent(steps), "dicom+json") {
                Some(text) => {
                    seeds.push(text);
                    continue;
                }
                None => continue,
            },
            ("xml_in", Sent::Http(steps)) => match part(&sent(steps), "dicom+xml") {
                Some(text) => {
                    seeds.push(text);
                    continue;
                }
                None => continue,
            },
            ("multipart", Sent::Http(steps)) => {
                let bytes = sent(steps);
                match bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                    Some(at) => bytes[at + 4..].to_vec(),
                    None => continue,
                }
            }
            _ => continue,
        };
        let choice = seeds.len() as u8;
        seeds.push([&[choice], &bytes[..bytes.len().min(INPUT_BYTES_MAX)]].concat());
    }
    assert!(seeds.len() > 20, "{target} has {} seeds", seeds.len());
    seeds
}

/// The first part of a request, if it is of a type.
fn part(request: &[u8], media_type: &str) -> Option<Vec<u8>> {
    let head = format!("--b0\r\nContent-Type: application/{media_type}\r\n\r\n");
    let start = request.windows(head.len()).position(|window| window == head.as_bytes())? + head.len();
    let text = &request[start..];
    let end = text.windows(6).position(|window| window == b"\r\n--b0").unwrap_or(text.len());
    Some(text[..end.min(INPUT_BYTES_MAX)].to_vec())
}

fn sent(steps: &[Step]) -> Vec<u8> {
    let bytes = steps.iter().map(|step| match step {
        Step::Send(bytes) | Step::Repeat(bytes, _) | Step::Drip(bytes, _) => bytes.as_slice(),
        Step::Pause(_) | Step::HalfClose | Step::Leave => &[],
    });
    bytes.collect::<Vec<_>>().concat()
}

fn mutate(seeds: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = seeds[chance.below(seeds.len())].clone();
    for _ in 0..=chance.below(6) {
        let at = chance.below(bytes.len());
        let length = chance.below(64).min(bytes.len() - at);
        match chance.below(8) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << chance.below(8),
            1 if !bytes.is_empty() => bytes[at] = chance.next() as u8,
            2 if bytes.len() >= at + 4 => {
                let odd = [0, 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFE, u32::MAX, bytes.len() as u32];
                bytes[at..at + 4].copy_from_slice(&odd[chance.below(odd.len())].to_le_bytes());
            }
            3 => drop(bytes.drain(at..at + length)),
            4 => {
                let copy = bytes[at..at + length].to_vec();
                let to = chance.below(bytes.len());
                bytes.splice(to..to, copy);
            }
            5 => bytes.truncate(at.max(1)),
            6 => {
                let other = &seeds[chance.below(seeds.len())];
                let from = chance.below(other.len());
                bytes.splice(at.., other[from..].iter().copied());
            }
            _ => bytes.extend((0..length).map(|_| chance.next() as u8)),
        }
    }
    bytes.truncate(INPUT_BYTES_MAX);
    bytes
}

#[test]
fn mutated_cases_keep_the_promises() {
    let seconds = std::env::var("TELERAD_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let cases = corpus::cases();
    for (name, target) in targets::ALL {
        let seeds = seeds(name, &cases);
        let mut chance = Chance(0x7E1E_2AD0 ^ name.len() as u64);
        let begin = Instant::now();
        seeds.iter().for_each(|seed| target(seed));
        let mut runs = 0;
        loop {
            let is_over = match seconds {
                Some(seconds) => begin.elapsed() >= Duration::from_secs(seconds),
                None => runs >= RUNS,
            };
            if is_over {
                break;
            }
            let input = mutate(&seeds, &mut chance);
            let one = Instant::now();
            target(&input);
            assert!(one.elapsed() < INPUT_TIME_MAX, "{name}: {} bytes took {:?}", input.len(), one.elapsed());
            runs += 1;
        }
        eprintln!(
            "{name}: {} seeds, {runs} mutations in {:.0} s",
            seeds.len(),
            begin.elapsed().as_secs_f64()
        );
    }
}
