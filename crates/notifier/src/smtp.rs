//! A mail server as the next hop (RFC 5321): one connection for each mail, and a time limit on every step of it.
//!
//! The steps are taken here one by one, because what a refusal means depends on where it is heard: a refused sign-in is ours to mend
//! and is tried again, a refused recipient is final. There is no fallback to an unprotected connection.

use std::{fs, path::Path, time::Duration};

use async_trait::async_trait;
use domain::delivery::AttemptOutcome;
use lettre::transport::smtp::{
    Error,
    authentication::{Credentials, Mechanism},
    client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters},
    commands::{Data, Mail, Rcpt},
    extension::{ClientId, Extension, MailBodyParameter, MailParameter},
};

use crate::{
    config::{Secret, SetupError, SmtpConfig, TlsMode, is_loopback},
    mail::OutgoingMail,
    mailer::Mailer,
};

/// Most characters of a server's answer that are kept: enough for a person to act on.
const ANSWER_CHARS_MAX: usize = 300;
/// Longest wait for the goodbye, which changes nothing any more.
const GOODBYE_MAX: Duration = Duration::from_secs(2);

/// Sends over SMTP.
pub struct SmtpMailer {
    host: String,
    port: u16,
    protection: Protection,
    credentials: Option<Credentials>,
    step_max: Duration,
}

enum Protection {
    Starttls(TlsParameters),
    Tls(TlsParameters),
    None,
}

/// Where in the conversation something went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Connection,
    Encryption,
    SignIn,
    Sender,
    Recipient,
    Content,
}

struct Failure {
    step: Step,
    cause: Cause,
}

enum Cause {
    Silence,
    Unsupported(&'static str),
    Error(Error),
}

impl SmtpMailer {
    /// Sends by a mail server. Nothing is connected yet.
    ///
    /// # Errors
    /// When the settings contradict each other or the certificates cannot be read.
    pub fn new(config: &SmtpConfig) -> Result<Self, SetupError> {
        let credentials = match (&config.user, &config.password) {
            (Some(user), Some(password)) => {
                Some(Credentials::new(user.clone(), Secret::reveal(password).to_owned()))
            }
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(SetupError::HalfSignIn),
        };
        if config.step_seconds_max == 0 {
            return Err(SetupError::NoTime("smtp.step_seconds_max"));
        }
        let tls = || tls_parameters(&config.host, config.ca_file.as_deref());
        let (protection, port) = match config.tls {
            TlsMode::Starttls => (Protection::Starttls(tls()?), 587),
            TlsMode::Tls => (Protection::Tls(tls()?), 465),
            TlsMode::PlainForLoopbackOnly if is_loopback(&config.host) => (Protection::None, 25),
            TlsMode::PlainForLoopbackOnly => {
                return Err(SetupError::PlainBeyondLoopback { host: config.host.clone() });
            }
        };
        Ok(Self {
            host: config.host.clone(),
            port: config.port.unwrap_or(port),
            protection,
            credentials,
            step_max: Duration::from_secs(config.step_seconds_max),
        })
    }

    async fn hand_over(&self, mail: &OutgoingMail) -> Result<String, Failure> {
        let hello = ClientId::default();
        let (direct, upgrade) = match &self.protection {
            Protection::Starttls(tls) => (None, Some(tls)),
            Protection::Tls(tls) => (Some(tls.clone()), None),
            Protection::None => (None, None),
        };
        let address = (self.host.as_str(), self.port);
        let connect = AsyncSmtpConnection::connect_tokio1(address, Some(self.step_max), &hello, direct, None);
        let mut connection = self.step(Step::Connection, connect).await?;
        if let Some(tls) = upgrade {
            self.step(Step::Encryption, connection.starttls(tls.clone(), &hello)).await?;
        }
        if let Some(credentials) = &self.credentials {
            let mechanisms = [Mechanism::Plain, Mechanism::Login];
            self.step(Step::SignIn, connection.auth(&mechanisms, credentials)).await?;
        }
        let options = options(mail, &connection)?;
        self.step(Step::Sender, connection.command(Mail::new(Some(mail.sender.clone()), options))).await?;
        self.step(Step::Recipient, connection.command(Rcpt::new(mail.recipient.clone(), Vec::new()))).await?;
        self.step(Step::Content, connection.command(Data)).await?;
        let answer = self.step(Step::Content, connection.message(&mail.message)).await?;
        // The server is responsible from here on; whether it hears our goodbye does not matter.
        drop(tokio::time::timeout(GOODBYE_MAX, connection.quit()).await);
        let words = answer.message().collect::<Vec<_>>().join(" ");
        Ok(short(&format!("{} {words}", answer.code())))
    }

    async fn step<T>(&self, step: Step, doing: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
        match tokio::time::timeout(self.step_max, doing).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(Failure { step, cause: Cause::Error(error) }),
            Err(_) => Err(Failure { step, cause: Cause::Silence }),
        }
    }
}

#[async_trait]
impl Mailer for SmtpMailer {
    async fn send(&self, mail: &OutgoingMail) -> AttemptOutcome {
        match self.hand_over(mail).await {
            Ok(by) => AttemptOutcome::Accepted { by },
            Err(failure) => failure.outcome(),
        }
    }

    fn is_sending(&self) -> bool {
        true
    }
}

impl Step {
    const fn words(self) -> &'static str {
        match self {
            Self::Connection => "while connecting",
            Self::Encryption => "while encrypting the connection",
            Self::SignIn => "at sign-in",
            Self::Sender => "for our sender address",
            Self::Recipient => "for the recipient",
            Self::Content => "for the message",
        }
    }
}

impl Failure {
    /// A refusal of this recipient or this message is final; what is refused before is ours to mend.
    fn outcome(&self) -> AttemptOutcome {
        let words = self.step.words();
        let reason = match &self.cause {
            Cause::Silence => format!("the mail server did not answer in time {words}"),
            Cause::Unsupported(what) => format!("the mail server {what}"),
            Cause::Error(error) => match error.status() {
                Some(code) => short(&format!("the mail server answered {words}: {code} {}", source(error))),
                None if error.is_tls() || self.step == Step::Encryption => {
                    short(&format!("no safe connection to the mail server: {}", source(error)))
                }
                None => short(&format!("no conversation with the mail server {words}: {}", source(error))),
            },
        };
        let permanent = match &self.cause {
            Cause::Silence => false,
            Cause::Unsupported(_) => true,
            Cause::Error(error) => error.is_permanent(),
        };
        match self.step {
            Step::Recipient | Step::Content if permanent => AttemptOutcome::Refused { reason },
            Step::Connection
            | Step::Encryption
            | Step::SignIn
            | Step::Sender
            | Step::Recipient
            | Step::Content => AttemptOutcome::Deferred { reason },
        }
    }
}

fn options(mail: &OutgoingMail, connection: &AsyncSmtpConnection) -> Result<Vec<MailParameter>, Failure> {
    let mut options = Vec::new();
    let mut need = |needed: bool, extension, parameter, lacks| {
        if needed && !connection.server_info().supports_feature(extension) {
            return Err(Failure { step: Step::Recipient, cause: Cause::Unsupported(lacks) });
        }
        options.extend(needed.then_some(parameter));
        Ok(())
    };
    let international =
        [&mail.sender, &mail.recipient].into_iter().any(|address| !address.to_string().is_ascii());
    need(
        international,
        Extension::SmtpUtfEight,
        MailParameter::SmtpUtfEight,
        "takes no address with letters beyond ASCII",
    )?;
    need(
        !mail.message.is_ascii(),
        Extension::EightBitMime,
        MailParameter::Body(MailBodyParameter::EightBitMime),
        "takes no message with bytes beyond ASCII",
    )?;
    Ok(options)
}

fn tls_parameters(host: &str, ca_file: Option<&Path>) -> Result<TlsParameters, SetupError> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(path) = ca_file {
        let pem = fs::read(path)
            .map_err(|source| SetupError::ReadCertificates { path: path.to_owned(), source })?;
        let certificate = Certificate::from_pem(&pem).map_err(SetupError::Certificates)?;
        builder = builder.certificate_store(CertificateStore::None).add_root_certificate(certificate);
    }
    builder.build_rustls().map_err(SetupError::Certificates)
}

/// The innermost words of an error; lettre puts the server's answer there.
fn source(error: &Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn short(text: &str) -> String {
    domain::text::bounded(text).chars().take(ANSWER_CHARS_MAX).collect()
}
