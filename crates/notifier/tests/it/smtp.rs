//! Conversations with mail servers: one of our own that speaks from a script, and the real one of the test services.

use std::{path::PathBuf, time::Duration};

use domain::{
    delivery::AttemptOutcome,
    id::{CentreId, DeliveryId},
    text::EmailAddress,
};
use notifier::{Mailer as _, Secret, SetupError, SmtpConfig, SmtpMailer, TlsMode, mail::OutgoingMail};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    task::JoinHandle,
};

fn mail(to: &str) -> OutgoingMail {
    let delivery = DeliveryId::fresh();
    OutgoingMail {
        delivery,
        centre: CentreId::parse("north").unwrap(),
        sender: "reports@north.example".parse().unwrap(),
        recipient: to.parse().unwrap(),
        to: EmailAddress::parse(to).unwrap(),
        at: "2026-03-02T08:00:00Z".parse().unwrap(),
        message: format!(
            "From: reports@north.example\r\nTo: {to}\r\nSubject: A radiology report is ready\r\n\
             Message-ID: <{delivery}@north.example>\r\n\r\nfirst\r\n.\r\n..second\r\n"
        )
        .into_bytes(),
    }
}

fn config(port: u16, tls: TlsMode) -> SmtpConfig {
    SmtpConfig {
        host: "localhost".into(),
        port: Some(port),
        tls,
        user: None,
        password: None,
        ca_file: None,
        step_seconds_max: 20,
    }
}

/// A mail server on loopback that answers each command that begins like a line of the script as the line says, and everything else
/// with 250. `silence` answers nothing. Gives its port, and what it heard.
async fn scripted(script: &'static [(&'static str, &'static str)]) -> (u16, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        let mut heard = Vec::new();
        let answer = |command: &str| {
            let found =
                script.iter().find(|(start, _)| command.starts_with(start)).map(|(_, answer)| *answer);
            found.unwrap_or(match command {
                "greeting" => "220 ready",
                "DATA" => "354 go on",
                "QUIT" => "221 bye",
                _ => "250 ok",
            })
        };
        let mut command = "greeting".to_owned();
        let mut in_data = false;
        loop {
            let answer = if in_data { "" } else { answer(&command) };
            in_data |= command == "DATA" && answer.starts_with('3');
            if !answer.is_empty() && answer != "silence" {
                stream.write_all(format!("{answer}\r\n").as_bytes()).await.unwrap();
            }
            let mut line = String::new();
            match stream.read_line(&mut line).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return heard,
            }
            command = line.trim_end().to_owned();
            if in_data && command == "." {
                in_data = false;
                command = "end of data".to_owned();
            }
            heard.push(command.clone());
        }
    });
    (port, heard)
}

async fn send_plain(
    script: &'static [(&'static str, &'static str)],
    seconds: u64,
) -> (AttemptOutcome, Vec<String>) {
    let (port, heard) = scripted(script).await;
    let config = SmtpConfig {
        step_seconds_max: seconds,
        host: "127.0.0.1".into(),
        ..config(port, TlsMode::PlainForLoopbackOnly)
    };
    let outcome = SmtpMailer::new(&config).unwrap().send(&mail("jane@practice.example")).await;
    (outcome, heard.await.unwrap())
}

#[tokio::test]
async fn a_mail_is_handed_over() {
    let (outcome, heard) = send_plain(&[("end of data", "250 2.0.0 queued as 7")], 20).await;
    assert!(
        matches!(&outcome, AttemptOutcome::Accepted { by } if by == "250 2.0.0 queued as 7"),
        "{outcome:?}"
    );
    let commands: Vec<_> =
        heard.iter().filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase())).collect();
    assert!(commands[1].starts_with("MAIL FROM:<reports@north.example>"), "{heard:?}");
    assert_eq!(commands[2], "RCPT TO:<jane@practice.example>");
    assert!(
        heard.contains(&"..".to_owned()) && heard.contains(&"...second".to_owned()),
        "dots are doubled: {heard:?}"
    );
}

#[tokio::test]
async fn answers_mean_what_they_mean_where_they_are_heard() {
    for (script, refused, words) in [
        (&[("RCPT", "550 5.1.1 no such mailbox")][..], true, "550 5.1.1 no such mailbox"),
        (&[("end of data", "554 5.6.0 not wanted")], true, "for the message: 554"),
        (&[("RCPT", "450 4.2.0 greylisted")], false, "450 4.2.0 greylisted"),
        (&[("RCPT", "452 4.3.1 full")], false, "452"),
        (&[("end of data", "451 4.3.0 later")], false, "451"),
        (&[("greeting", "421 4.3.2 closing")], false, "while connecting: 421"),
        (&[("greeting", "554 go away")], false, "while connecting: 554"),
        (&[("MAIL", "550 5.7.1 you may not send")], false, "for our sender address: 550"),
        (&[("MAIL", "530 5.7.0 sign in first")], false, "530"),
    ] {
        let (outcome, _) = send_plain(script, 20).await;
        let (is_refused, reason) = match outcome {
            AttemptOutcome::Refused { reason } => (true, reason),
            AttemptOutcome::Deferred { reason } => (false, reason),
            AttemptOutcome::Accepted { by } => panic!("accepted by {by}"),
        };
        assert_eq!(is_refused, refused, "{script:?}: {reason}");
        assert!(reason.contains(words), "{reason}");
    }
}

#[tokio::test]
async fn a_silent_server_is_left_at_every_step() {
    for script in [
        &[("greeting", "silence")][..],
        &[("EHLO", "silence")],
        &[("MAIL", "silence")],
        &[("RCPT", "silence")],
        &[("DATA", "silence")],
        &[("end of data", "silence")],
    ] {
        let (outcome, _) = send_plain(script, 1).await;
        let AttemptOutcome::Deferred { reason } = &outcome else { panic!("{script:?}: {outcome:?}") };
        assert!(reason.starts_with("the mail server did not answer in time"), "{reason}");
    }
}

#[tokio::test]
async fn nothing_is_told_to_a_server_that_does_not_encrypt() {
    let (port, heard) = scripted(&[]).await;
    let mut config = config(port, TlsMode::Starttls);
    (config.user, config.password) = (Some("user".into()), Some(Secret::new("hush")));
    let outcome = SmtpMailer::new(&config).unwrap().send(&mail("jane@practice.example")).await;
    let AttemptOutcome::Deferred { reason } = outcome else { panic!("not deferred") };
    assert!(reason.contains("STARTTLS") && !reason.contains("hush"), "{reason}");
    let heard = heard.await.unwrap();
    assert!(heard.iter().all(|line| line.starts_with("EHLO") || line == "QUIT"), "{heard:?}");
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let outcome =
        SmtpMailer::new(&config(port, TlsMode::Tls)).unwrap().send(&mail("jane@practice.example")).await;
    assert!(matches!(outcome, AttemptOutcome::Deferred { .. }), "{outcome:?}");
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let plain = |host: &str| SmtpConfig { host: host.into(), ..config(25, TlsMode::PlainForLoopbackOnly) };
    for (host, good) in [
        ("localhost", true),
        ("127.0.0.1", true),
        ("::1", true),
        ("mail.example.org", false),
        ("10.0.0.1", false),
    ] {
        assert_eq!(SmtpMailer::new(&plain(host)).is_ok(), good, "{host}");
    }
    let half = SmtpConfig { user: Some("u".into()), ..config(25, TlsMode::Tls) };
    assert!(matches!(SmtpMailer::new(&half), Err(SetupError::HalfSignIn)));
    let lost = SmtpConfig { ca_file: Some("/nowhere/ca.pem".into()), ..config(25, TlsMode::Tls) };
    assert!(matches!(SmtpMailer::new(&lost), Err(SetupError::ReadCertificates { .. })));
    let never = SmtpConfig { step_seconds_max: 0, ..config(25, TlsMode::Tls) };
    assert!(matches!(SmtpMailer::new(&never), Err(SetupError::NoTime(_))));
}

/// The mail server of the test services.
struct Server {
    config: SmtpConfig,
    tls_port: u16,
    plain_port: u16,
    inbox: PathBuf,
}

impl Server {
    /// `None`, said aloud, when the services are not there.
    fn of_the_services() -> Option<Self> {
        let variable = |name: &str| std::env::var(format!("TELERAD_TEST_SMTP_{name}")).ok();
        let Some(host) = variable("HOST") else {
            eprintln!(
                "SKIPPED: TELERAD_TEST_SMTP_HOST is not set, so nothing was sent to a real mail server"
            );
            return None;
        };
        let port = |name: &str| variable(name).unwrap().parse().unwrap();
        Some(Self {
            config: SmtpConfig {
                host,
                port: Some(port("PORT")),
                tls: TlsMode::Starttls,
                user: variable("USER"),
                password: variable("PASSWORD").map(Secret::new),
                ca_file: variable("CA_FILE").map(PathBuf::from),
                step_seconds_max: 20,
            },
            tls_port: port("TLS_PORT"),
            plain_port: port("PLAIN_PORT"),
            inbox: variable("INBOX_DIR").unwrap().into(),
        })
    }

    async fn send(&self, config: &SmtpConfig, mail: &OutgoingMail) -> AttemptOutcome {
        SmtpMailer::new(config).unwrap().send(mail).await
    }

    /// Envelopes of what was accepted for an address, with the messages.
    fn received(&self, address: &str) -> Vec<(serde_json::Value, Vec<u8>)> {
        let files = std::fs::read_dir(&self.inbox).unwrap().map(|file| file.unwrap().path());
        let envelopes = files.filter(|file| file.extension().is_some_and(|end| end == "json"));
        let mut found = Vec::new();
        for file in envelopes {
            let envelope: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
            if envelope["rcpt_tos"] == serde_json::json!([address]) {
                let message = std::fs::read(self.inbox.join(envelope["eml"].as_str().unwrap())).unwrap();
                found.push((envelope, message));
            }
        }
        found
    }
}

/// An address that asks the server for a fault and that no other test uses.
fn address(script: &str) -> String {
    format!("{script}+{}@practice.example", DeliveryId::fresh().as_uuid().simple())
}

#[tokio::test]
async fn a_real_server_takes_mail_over_starttls_and_over_tls() {
    let Some(server) = Server::of_the_services() else { return };
    let direct = SmtpConfig { tls: TlsMode::Tls, port: Some(server.tls_port), ..server.config.clone() };
    for config in [&server.config, &direct] {
        let to = address("jane");
        let mail = mail(&to);
        let outcome = server.send(config, &mail).await;
        assert!(
            matches!(&outcome, AttemptOutcome::Accepted { by } if by.starts_with("250 2.0.0 accepted as")),
            "{outcome:?}"
        );
        let [(envelope, message)] = server.received(&to).try_into().unwrap();
        assert_eq!((&envelope["tls"], &envelope["user"]), (&true.into(), &"telerad".into()));
        assert_eq!(envelope["mail_from"], "reports@north.example");
        let sent = String::from_utf8(mail.message.clone()).unwrap();
        assert_eq!(String::from_utf8(message).unwrap().trim_end(), sent.trim_end());
    }
}

#[tokio::test]
async fn a_real_server_that_defers_gets_the_same_mail_again() {
    let Some(server) = Server::of_the_services() else { return };
    let to = address("defer-once");
    let mail = mail(&to);
    assert!(
        matches!(server.send(&server.config, &mail).await, AttemptOutcome::Deferred { reason } if reason.contains("451"))
    );
    assert!(matches!(server.send(&server.config, &mail).await, AttemptOutcome::Accepted { .. }));
    assert_eq!(server.received(&to).len(), 1);
}

#[tokio::test]
async fn the_faults_of_a_real_server_have_their_outcomes() {
    let Some(server) = Server::of_the_services() else { return };
    for (script, refused) in [
        ("fail-550", true),
        ("fail-data-554", true),
        ("fail-421", false),
        ("fail-452", false),
        ("defer", false),
        ("drop", false),
    ] {
        let outcome = server.send(&server.config, &mail(&address(script))).await;
        match outcome {
            AttemptOutcome::Refused { reason } => assert!(refused, "{script}: {reason}"),
            AttemptOutcome::Deferred { reason } => assert!(!refused, "{script}: {reason}"),
            AttemptOutcome::Accepted { by } => panic!("{script}: accepted by {by}"),
        }
    }
    let impatient = SmtpConfig { step_seconds_max: 2, ..server.config.clone() };
    let outcome = server.send(&impatient, &mail(&address("silent"))).await;
    assert!(matches!(outcome, AttemptOutcome::Deferred { .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_lost_answer_gives_one_more_mail_with_the_same_message_id() {
    let Some(server) = Server::of_the_services() else { return };
    let to = address("drop-data");
    let mail = mail(&to);
    for _ in 0..2 {
        let outcome = tokio::time::timeout(Duration::from_secs(60), server.send(&server.config, &mail)).await;
        assert!(matches!(outcome, Ok(AttemptOutcome::Deferred { .. })));
    }
    let messages: Vec<_> = server.received(&to).into_iter().map(|(_, message)| message).collect();
    assert_eq!((messages.len(), &messages[0]), (2, &messages[1]));
}

#[tokio::test]
async fn a_real_server_that_is_not_trusted_hears_nothing() {
    let Some(server) = Server::of_the_services() else { return };
    let wrong = SmtpConfig { password: Some(Secret::new("wrong")), ..server.config.clone() };
    let untrusted = SmtpConfig { ca_file: None, ..server.config.clone() };
    let plain = SmtpConfig { port: Some(server.plain_port), ..server.config.clone() };
    for (config, words) in
        [(wrong, "at sign-in: 535"), (untrusted, "no safe connection"), (plain, "STARTTLS")]
    {
        let to = address("jane");
        let outcome = server.send(&config, &mail(&to)).await;
        let AttemptOutcome::Deferred { reason } = &outcome else { panic!("{outcome:?}") };
        assert!(reason.contains(words), "{reason}");
        assert_eq!(server.received(&to).len(), 0);
    }
}
