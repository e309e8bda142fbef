//! Every other web door: heads, addresses, methods, queries, JSON.

use std::time::Duration;

use super::{
    Answer::{self, Closed, Http},
    Cases,
    Class::{self, Desync, Field, Flood, Injection, LengthLie, Memory, Nesting, Slow, State},
    Sent, Step, TOKEN,
};

pub(super) fn add(cases: &mut Cases) {
    heads(cases);
    requests(cases);
    addresses(cases);
    queries(cases);
    json(cases);
    slow(cases);
}

fn add_bytes(cases: &mut Cases, class: Class, name: &str, bytes: &[u8], answers: &[Answer]) {
    let steps = vec![Step::Send(bytes.to_vec())];
    cases.add(class, format!("HTTP: {name}"), Sent::Http(steps), answers);
}

fn with_head(more: &str) -> Vec<u8> {
    format!("GET /healthz HTTP/1.1\r\nHost: telerad\r\n{more}Connection: close\r\n\r\n").into_bytes()
}

fn heads(cases: &mut Cases) {
    let bad = [Http(400), Closed];
    for (class, name, bytes, answers) in [
        (
            State,
            "a TLS hello",
            [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3][..], &[0x5A; 500]].concat(),
            &bad[..],
        ),
        (State, "an association request", super::upper::associate(&[("1.2.3", "1.2")]), &bad),
        (State, "the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), &bad),
        (State, "HTTP/0.9", b"GET /healthz\r\n".to_vec(), &bad),
        (State, "HTTP/9.9", b"GET /healthz HTTP/9.9\r\n\r\n".to_vec(), &bad),
        (Field, "zeros", vec![0; 5_000], &bad),
        (
            Field,
            "no host",
            b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n".to_vec(),
            &[Http(200), Http(400)],
        ),
        (Field, "two hosts", with_head("Host: other\r\n"), &[Http(200), Http(400)]),
        (
            Injection,
            "a host that is a page",
            b"GET /healthz HTTP/1.1\r\nHost: <script>\r\nConnection: close\r\n\r\n".to_vec(),
            &[Http(200), Http(400)],
        ),
        (Flood, "101 header lines", with_head(&"X: y\r\n".repeat(101)), &[Http(431)]),
        (Flood, "10 000 header lines", with_head(&"X: y\r\n".repeat(10_000)), &[Http(431), Closed]),
        (
            Memory,
            "a header of 1 MB",
            with_head(&format!("X: {}\r\n", "h".repeat(1 << 20))),
            &[Http(431), Closed],
        ),
        (
            Memory,
            "a header name of 1 MB",
            with_head(&format!("{}: y\r\n", "N".repeat(1 << 20))),
            &[Http(400), Http(431), Closed],
        ),
        (
            Injection,
            "a header with a bare line feed",
            with_head("X: a\nSet-Cookie: b=c\r\n"),
            &[Http(200), Http(400)],
        ),
        (Injection, "a header with a zero byte", with_head("X: a\0b\r\n"), &[Http(400)]),
        (Injection, "a folded header", with_head("X: a\r\n b\r\n"), &[Http(400)]),
        (Injection, "a request id with a script", with_head("X-Request-Id: <script>\r\n"), &[Http(200)]),
        (
            Injection,
            "a forwarded address that is none",
            with_head("X-Forwarded-For: ' OR 1=1, ::1\r\n"),
            &[Http(200)],
        ),
    ] {
        add_bytes(cases, class, name, &bytes, answers);
    }
}

fn requests(cases: &mut Cases) {
    for (class, name, bytes, answers) in [
        (
            Desync,
            "a body on GET, longer than said",
            [with_head("Content-Length: 5\r\n"), b"hello GET / HTTP/1.1\r\n\r\n".to_vec()].concat(),
            &[Http(200)][..],
        ),
        (Desync, "an upgrade to nothing", with_head("Upgrade: h2c, websocket\r\n"), &[Http(200)]),
        (
            State,
            "an unknown method",
            b"BREW /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(),
            &[Http(405)],
        ),
        (
            State,
            "TRACE",
            b"TRACE /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(),
            &[Http(405)],
        ),
        (
            State,
            "CONNECT",
            b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(),
            &[Http(400), Http(404), Http(405)],
        ),
        (
            State,
            "a proxy's request",
            b"GET http://169.254.169.254/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(),
            &[Http(200), Http(404), Http(400)],
        ),
        (Field, "an empty token", with_token("/dicomweb/studies", ""), &[Http(401)]),
        (
            Field,
            "a token of 50 000 characters",
            with_token("/dicomweb/studies", &"t".repeat(50_000)),
            &[Http(401), Http(431)],
        ),
        (Injection, "a token that is SQL", with_token("/dicomweb/studies", "' OR '1'='1"), &[Http(401)]),
        (
            Field,
            "a session of garbage",
            with_head("Cookie: telerad_session=\x01\x02; telerad_session=x\r\n"),
            &[Http(200), Http(400)],
        ),
    ] {
        add_bytes(cases, class, name, &bytes, answers);
    }
    let many = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2_000);
    let steps = vec![Step::Send(many), Step::HalfClose];
    cases.add(Flood, "HTTP: 2 000 requests in one breath", Sent::Http(steps), &[Http(200), Closed]);
}

fn with_token(path: &str, token: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n")
        .into_bytes()
}

fn addresses(cases: &mut Cases) {
    for (name, path) in [
        ("dots", "/../../../../etc/passwd"),
        ("dots in the viewer", "/viewer/../../../../etc/passwd"),
        ("encoded dots", "/viewer/%2e%2e/%2e%2e/%2e%2e/etc/passwd"),
        ("dots encoded twice", "/viewer/%252e%252e%252fetc%252fpasswd"),
        ("backslashes", "/viewer/..%5C..%5C..%5Cwindows%5Cwin.ini"),
        ("a zero byte", "/viewer/index.html%00.png"),
        ("overlong dots", "/viewer/%c0%ae%c0%ae/%c0%ae%c0%ae/etc/passwd"),
        ("an absolute path", "//etc/passwd"),
        ("settings", "/telerad.toml"),
        ("the catalog", "/data/catalog.sqlite"),
        ("a personal link that is a path", "/r/..%2F..%2Fetc%2Fpasswd"),
        (
            "a personal link of 20 000 characters",
            Box::leak(format!("/r/{}", "s".repeat(20_000)).into_boxed_str()),
        ),
        ("an object's key", "/objects/north/1.2.3"),
    ] {
        // The reading room answers unknown addresses with its page; what must not come back is the file, which the caller looks for.
        let bytes = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        add_bytes(
            cases,
            Injection,
            &format!("an address with {name}"),
            bytes.as_bytes(),
            &[Http(200), Http(400), Http(404), Http(414)],
        );
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(1 << 20));
    add_bytes(cases, Memory, "an address of 1 MB", long.as_bytes(), &[Http(414), Http(431), Closed]);
    for (name, path) in [
        ("another centre", "/dicomweb/centres/north-clinic/studies"),
        ("a centre that is a path", "/dicomweb/centres/..%2F..%2Fetc/studies"),
        ("a study of garbage", "/dicomweb/studies/%FF%FE/metadata"),
        ("a study that is a path", "/dicomweb/studies/..%2F..%2F/metadata"),
        (
            "frames without end",
            "/dicomweb/studies/1.2/series/1.2/instances/1.2/frames/1,2,3,4294967295,99999999999",
        ),
        (
            "bulk data outside",
            "/dicomweb/studies/1.2/series/1.2/instances/1.2/bulkdata/../../../../etc/passwd",
        ),
    ] {
        add_bytes(
            cases,
            Injection,
            &format!("DICOMweb of {name}"),
            &with_token(path, TOKEN),
            &[Http(404), Http(400)],
        );
    }
}

fn queries(cases: &mut Cases) {
    let found = [Http(200), Http(204)];
    let refused = [Http(400), Http(200), Http(204)];
    let many = |one: &str, times: usize| one.repeat(times);
    for (class, name, query, answers) in [
        (Injection, "SQL", "PatientName=%27%20OR%20%271%27%3D%271%27%20--".to_owned(), &found[..]),
        (Injection, "a union", "PatientID=x%27%20UNION%20SELECT%20*%20FROM%20tokens--".to_owned(), &found),
        (
            Injection,
            "SQL for a date",
            "StudyDate=20200101%27;DROP%20TABLE%20instances;--".to_owned(),
            &refused,
        ),
        (Injection, "LIKE characters", "PatientName=%25_%5C%25".to_owned(), &found),
        (Injection, "a regular expression", "PatientName=(a%2B)%2B%24".to_owned(), &found),
        (Flood, "10 000 wildcards", format!("PatientName={}", many("*a", 5_000)), &refused),
        (Flood, "10 000 question marks", format!("PatientName={}", many("?", 10_000)), &refused),
        (Flood, "1 000 parameters", many("PatientName=a&", 1_000), &refused),
        (Flood, "20 000 UIDs", format!("StudyInstanceUID={}", many("1.2,", 15_000)), &refused),
        (Field, "a limit of letters", "limit=many".to_owned(), &refused),
        (Field, "a limit below zero", "limit=-1".to_owned(), &refused),
        (Field, "a limit beyond 64 bits", "limit=99999999999999999999".to_owned(), &refused),
        (Field, "an offset beyond 64 bits", "offset=99999999999999999999".to_owned(), &refused),
        (Field, "an offset of 4 billion", "offset=4294967295".to_owned(), &refused),
        (
            Field,
            "an attribute that does not exist",
            "99999999=x&Nonsense=y&includefield=zzz".to_owned(),
            &refused,
        ),
        (Nesting, "5 000 sequences inside each other", format!("{}=x", many("00081115.", 1_700)), &refused),
        (Field, "bytes that are no UTF-8", "PatientName=%FF%FE%00".to_owned(), &refused),
        (Field, "half an escape", "PatientName=%F&%=%".to_owned(), &refused),
        (Field, "a date the wrong way round", "StudyDate=20300101-20200101".to_owned(), &refused),
        (Field, "a time that is none", "StudyTime=99:99".to_owned(), &refused),
        (Field, "a query of ampersands", many("&", 10_000), &refused),
    ] {
        let bytes = with_token(&format!("/dicomweb/studies?{query}"), TOKEN);
        add_bytes(cases, class, &format!("a query with {name}"), &bytes, answers);
    }
    for (name, accept) in [
        ("10 000 types", "application/dicom+json,".repeat(2_000)),
        ("a weight that is none", "application/dicom+json;q=NaN".to_owned()),
        ("a quote without end", "multipart/related; type=\"application/dicom".to_owned()),
    ] {
        let bytes = format!(
            "GET /dicomweb/studies HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nAccept: {accept}\r\n\
             Connection: close\r\n\r\n"
        );
        add_bytes(
            cases,
            Field,
            &format!("an Accept of {name}"),
            bytes.as_bytes(),
            &[Http(200), Http(204), Http(400), Http(406)],
        );
    }
}

fn json(cases: &mut Cases) {
    let post = |path: &str, body: &[u8]| {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    let refused = [Http(400), Http(401), Http(403), Http(404), Http(413), Http(415), Http(422)];
    for path in ["/api/v1/session", "/api/v1/orders"] {
        for (class, name, body) in [
            (Nesting, "100 000 lists inside each other", b"[".repeat(100_000)),
            (Nesting, "20 000 objects inside each other", br#"{"a":"#.repeat(20_000)),
            (
                Memory,
                "a text of 2 MB",
                [br#"{"login":""#.to_vec(), vec![b'x'; 2 << 20], br#""}"#.to_vec()].concat(),
            ),
            (Field, "nothing", vec![]),
            (Field, "bytes that are no UTF-8", b"{\"login\":\"\xFF\xFE\"}".to_vec()),
            (Field, "half a surrogate", br#"{"login":"\ud800","password":"x"}"#.to_vec()),
            (Field, "keys that stand twice", br#"{"login":"a","login":"b","password":"c"}"#.to_vec()),
            (Field, "numbers beyond measure", br#"{"login":1e999999,"password":-0}"#.to_vec()),
            (Field, "a zero byte", br#"{"login":"a\u0000b","password":"c"}"#.to_vec()),
            (LengthLie, "cut off", br#"{"login":"adm"#.to_vec()),
        ] {
            add_bytes(cases, class, &format!("JSON to {path}: {name}"), &post(path, &body), &refused);
        }
    }
    for (name, origin) in [("a foreign page", "https://evil.example"), ("no page", "null")] {
        let bytes = format!(
            "POST /api/v1/session HTTP/1.1\r\nHost: x\r\nOrigin: {origin}\r\nContent-Type: application/json\r\n\
             Content-Length: 2\r\nConnection: close\r\n\r\n{{}}"
        );
        add_bytes(
            cases,
            Injection,
            &format!("a sign-in from {name}"),
            bytes.as_bytes(),
            &[Http(403), Http(422), Http(400)],
        );
    }
}

fn slow(cases: &mut Cases) {
    let every = Duration::from_millis(60);
    let head = b"GET /healthz HTTP/1.1\r\nHost: telerad\r\nX-Slow: ".to_vec();
    let post = b"POST /api/v1/session HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60\r\n\r\n{";
    let timed_out = [Closed, Http(408)];
    for (name, steps, answers) in [
        ("a peer that never speaks", vec![], &timed_out[..]),
        ("half a head", vec![Step::Send(head.clone())], &timed_out),
        ("a head byte by byte", vec![Step::Drip(head.repeat(3), every)], &timed_out),
        (
            "header lines without end",
            vec![Step::Send(head), Step::Drip(b"y\r\nX-Next: ".repeat(20), every)],
            &timed_out,
        ),
        ("half closed at once", vec![Step::HalfClose], &[Closed]),
        (
            "a body of JSON that does not come",
            vec![Step::Send(post.to_vec())],
            &[Http(400), Http(401), Http(408), Http(503), Closed],
        ),
        (
            "gone before the answer",
            vec![Step::Send(b"GET /dicomweb/studies HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()), Step::Leave],
            &[Closed],
        ),
    ] {
        cases.add(Slow, format!("HTTP: {name}"), Sent::Http(steps), answers);
    }
}
