//! The same journey over RabbitMQ, PostgreSQL, S3 and a real mail server, with every role in a process of its own.

use std::process::Command;

use serde_json::json;

use crate::{
    journey::{delivered, drafted, link, prepare, read_and_sign, study_path},
    server::{Process, Site, curl, free_port, head_ct, named_by},
};

struct Services {
    amqp: String,
    postgres: String,
    s3: (String, String, String, String),
}

fn services() -> Option<Services> {
    Some(Services {
        amqp: named_by("TELERAD_TEST_AMQP_URL")?,
        postgres: named_by("TELERAD_TEST_POSTGRES_URL")?,
        s3: (
            named_by("TELERAD_TEST_S3_ENDPOINT")?,
            named_by("TELERAD_TEST_S3_ACCESS_KEY")?,
            named_by("TELERAD_TEST_S3_SECRET_KEY")?,
            named_by("TELERAD_TEST_S3_REGION")?,
        ),
    })
}

/// A name that no other run has.
pub fn fresh_name() -> String {
    format!("telerad{}", uuid::Uuid::now_v7().simple())
}

/// A site on the real services: a database, a bucket and queues of its own.
pub fn site() -> Option<Site> {
    let services = services()?;
    let name = fresh_name();
    let created = Command::new("psql")
        .args([&services.postgres, "-qc", &format!("CREATE DATABASE {name}")])
        .status()
        .unwrap();
    assert!(created.success());
    let (base, _) = services.postgres.rsplit_once('/').unwrap();
    let (endpoint, access_key, secret_key, region) = &services.s3;
    let signed = format!("aws:amz:{region}:s3");
    let user = format!("{access_key}:{secret_key}");
    curl(&["-X", "PUT", "--aws-sigv4", &signed, "--user", &user, &format!("{endpoint}/{name}")]);
    Some(
        Site::new()
            .with("CATALOG__KIND", "postgres")
            .with("CATALOG__URL", format!("{base}/{name}"))
            .with("BROKER__KIND", "rabbitmq")
            .with("BROKER__URL", &services.amqp)
            .with("BROKER__NAME_PREFIX", &name)
            .with("STORAGE__KIND", "s3")
            .with("STORAGE__BUCKET", &name)
            .with("STORAGE__ENDPOINT", endpoint)
            .with("STORAGE__REGION", region)
            .with("STORAGE__PATH_STYLE", "true")
            .with("STORAGE__ACCESS_KEY", access_key)
            .with("STORAGE__SECRET_KEY", secret_key),
    )
}

/// Starts a role in a process of its own, at a port of its own.
pub fn role(site: &Site, role: &str) -> (Process, String) {
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    (site.start(&["serve", "--roles", role, "--http", &address], port), format!("http://{address}"))
}

#[test]
fn every_role_in_its_own_process_over_real_services() {
    let Some(site) = site() else { return };
    let (Some(host), Some(port), Some(user), Some(password), Some(ca), Some(inbox)) = (
        named_by("TELERAD_TEST_SMTP_HOST"),
        named_by("TELERAD_TEST_SMTP_PORT"),
        named_by("TELERAD_TEST_SMTP_USER"),
        named_by("TELERAD_TEST_SMTP_PASSWORD"),
        named_by("TELERAD_TEST_SMTP_CA_FILE"),
        named_by("TELERAD_TEST_SMTP_INBOX_DIR"),
    ) else {
        return;
    };
    let notifier_port = free_port();
    let base = format!("http://127.0.0.1:{notifier_port}");
    let address = format!("{}@practice.example", fresh_name());
    let site = site
        .with("MAIL__SMTP__HOST", host)
        .with("MAIL__SMTP__PORT", port)
        .with("MAIL__SMTP__USER", user)
        .with("MAIL__SMTP__PASSWORD", password)
        .with("MAIL__SMTP__CA_FILE", ca)
        .with("MAIL__PUBLIC_URL", &base);
    prepare(&site);
    site.run(&["physician", "add", "--centre", "north-clinic", "--name", "Dr Jane Doe", "--email", &address]);
    let (_relay, _) = role(&site, "relay");
    let (_intake, intake) = role(&site, "intake");
    let (_archive, archive) = role(&site, "archive");
    let (_orders, _) = role(&site, "orders");
    let (_reporter, _) = role(&site, "reporter");
    let _notifier =
        site.start(&["serve", "--roles", "notifier", "--http", &base["http://".len()..]], notifier_port);
    let _room = site.start(&["serve", "--roles", "reading-room"], site.http);

    let token = site.token("north-clinic", "centre");
    let text = site.run(&[
        "send",
        "--to",
        &format!("{intake}/dicomweb"),
        "--token",
        &token,
        head_ct().to_str().unwrap(),
    ]);
    assert!(text.contains("28 of 28 images stored"), "{text}");
    let browser = site.reader();
    drafted(&site, &browser);
    let series = browser
        .at(&archive)
        .get(&format!("/dicomweb/centres/north-clinic/studies/{}/series", crate::journey::STUDY));
    assert_eq!(series[0]["00201209"]["Value"], json!([28]));
    read_and_sign(&browser, "No intracranial haemorrhage.");
    let delivery = delivered(&site, &browser);
    assert_eq!(delivery["address"], json!(address));

    let message = site.until("the mail is in the inbox", || {
        let files = std::fs::read_dir(&inbox)
            .ok()?
            .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path()).ok());
        files.into_iter().find(|text| text.contains(&address) && text.contains("/r/"))
    });
    let link = link(&message.replace("=\r\n", "").replace("=\n", "").replace("=3D", "="));
    let page = String::from_utf8(curl(&[&link])).unwrap();
    assert!(page.contains("No intracranial haemorrhage."));
    curl(&["-H", &format!("Origin: {base}"), "-d", "name=Dr Jane Doe", &format!("{link}/acknowledge")]);
    assert_eq!(browser.get(&study_path(""))["deliveries"][0]["acknowledged"]["by"], "Dr Jane Doe");
    assert!(site.run(&["verify"]).contains(" 0 are wrong"));
}

/// Roles die by kill -9 while the study goes through them, and come back; the journey ends once.
#[test]
fn roles_that_die_come_back_and_the_journey_ends_once() {
    let Some(site) = site() else { return };
    let notifier_at = format!("127.0.0.1:{}", free_port());
    let site = site.with("MAIL__PUBLIC_URL", format!("http://{notifier_at}"));
    let notifier = || {
        let port = notifier_at.rsplit(':').next().unwrap().parse().unwrap();
        site.start(&["serve", "--roles", "notifier", "--http", &notifier_at], port)
    };
    prepare(&site);
    let _room = site.start(&["serve", "--roles", "reading-room"], site.http);
    let (relay, _) = role(&site, "relay");
    let (reporter, _) = role(&site, "reporter");
    let (intake, address) = role(&site, "intake");
    let token = site.token("north-clinic", "centre");
    let to = format!("{address}/dicomweb");
    site.run(&["send", "--to", &to, "--token", &token, head_ct().to_str().unwrap()]);
    intake.kill();
    relay.kill();
    reporter.kill();
    let (relay, _) = role(&site, "relay");
    let (reporter, _) = role(&site, "reporter");
    reporter.kill();
    let (_reporter, _) = role(&site, "reporter");
    let browser = site.reader();
    drafted(&site, &browser);

    read_and_sign(&browser, "No intracranial haemorrhage.");
    relay.kill();
    let dying = notifier();
    let (_relay, _) = role(&site, "relay");
    dying.kill();
    let _notifier = notifier();
    delivered(&site, &browser);
    site.until("the PDF is made", || {
        (browser.send("GET", &study_path("/versions/1/report.pdf"), None).0 == 200).then_some(())
    });
    let mails = browser.get("/api/v1/mailbox");
    assert_eq!(mails["mails"].as_array().unwrap().len(), 1, "one mail per version and recipient");
    let trail = browser.get(&study_path("/trail"));
    let drafts =
        trail["events"].as_array().unwrap().iter().filter(|event| event["action"] == "drafted").count();
    assert_eq!(drafts, 1, "one draft per image set");
    assert!(site.run(&["verify"]).contains(" 0 are wrong"));
}
