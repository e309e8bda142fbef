//! What somebody with a link sees, and what somebody without one does not.

use std::net::IpAddr;

use axum::{
    body::Body,
    http::{Method, Request, Response, StatusCode, header},
};
use domain::{
    Duration,
    audit::Action,
    delivery::Acknowledgement,
    person::Physician,
    port::{
        Storage as _,
        catalog::{Directory as _, Reports as _, Trail as _},
    },
    text::PersonName,
};
use gate::ClientAddress;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use crate::world::World;

const OWN: &[(&str, &str)] = &[("sec-fetch-site", "same-origin")];

struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }
}

async fn answer(response: Response<Body>) -> Answer {
    let (parts, body) = response.into_parts();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes().to_vec(),
    }
}

async fn ask(world: &World, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, "127.0.0.1:8080");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if !body.is_empty() {
        request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    }
    answer(world.notifier.pages().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap())
        .await
}

async fn get(world: &World, path: &str) -> Answer {
    ask(world, Method::GET, path, &[], "").await
}

/// A world in which version 1 was signed and mailed, and the secret of its link.
async fn delivered(world: &World) -> String {
    let images = vec![world.key_image(40).await, world.key_image(90).await];
    world.sign("Suspicious nodule <b>& more</b>.", images).await;
    world.pump().await;
    World::secret(&world.mails()[0])
}

#[tokio::test]
async fn a_link_shows_the_report_and_acknowledges_nothing() {
    let world = World::new().await;
    let secret = delivered(&world).await;
    let page = get(&world, &format!("/r/{secret}")).await;
    assert_eq!(page.status, StatusCode::OK);
    for part in [
        "Northgate Imaging",
        "Zebedee Quillfeather",
        "PID-77123",
        "9 March 1957",
        "CT thorax",
        "1 March 2026, 07:42",
        "1 image read",
        "Final report",
        "ACC-9981",
        "Dr Jane Doe",
        "Suspicious nodule &lt;b&gt;&amp; more&lt;/b&gt;.",
        "A nodule of 9 mm.",
        "Electronically signed by <strong>Dr Ada Moreau</strong>, Consultant Radiologist",
        "2 March 2026, 08:00 UTC",
        "Lung window, slice 40 of 255",
        "/report.pdf\"",
        "I have read this report",
        "value=\"Dr Jane Doe\"",
    ] {
        assert!(page.text().contains(part), "{part} in {}", page.text());
    }
    let impression = page.text().find("<h2>Impression").unwrap();
    assert!(impression < page.text().find("<h2>Findings").unwrap(), "the impression stands first");
    assert!(
        !page.text().contains("<script") && !page.text().contains(" style="),
        "no scripts, no inline styles"
    );
    for path in ["/acknowledge", "/report.pdf", "/key-images/1", ""] {
        for method in [Method::GET, Method::HEAD] {
            ask(&world, method, &format!("/r/{secret}{path}"), &[], "").await;
        }
    }
    assert_eq!(world.pair().await.0.acknowledgement, None, "looking acknowledges nothing");
}

#[tokio::test]
async fn answers_are_careful() {
    let world = World::new().await;
    let secret = delivered(&world).await;
    for path in [format!("/r/{secret}"), "/r/unknown".to_owned(), format!("/r/{secret}/key-images/1")] {
        let answer = get(&world, &path).await;
        let header = |name: &str| answer.headers[name].to_str().unwrap();
        assert!(header("content-security-policy").starts_with("default-src 'none'; style-src 'self'"));
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("x-robots-tag"), "noindex, nofollow");
        assert_eq!(header("referrer-policy"), "same-origin");
        assert_eq!(header("x-content-type-options"), "nosniff");
    }
    let style = get(&world, "/r/style.css").await;
    assert_eq!(
        (style.status, &style.headers["content-type"]),
        (StatusCode::OK, &"text/css; charset=utf-8".parse().unwrap())
    );
}

#[tokio::test]
async fn pressing_the_button_acknowledges_once_by_name() {
    let world = World::new().await;
    let secret = delivered(&world).await;
    world.clock.turn(Duration::from_mins(5));
    let path = format!("/r/{secret}/acknowledge");
    let pressed = ask(&world, Method::POST, &path, OWN, "name=+Dr+J%C3%BCrgen+%3Ci%3EDoe+").await;
    assert_eq!(pressed.status, StatusCode::SEE_OTHER);
    assert_eq!(pressed.headers["location"], format!("/r/{secret}#acknowledgement"));
    let expected = Some(Acknowledgement { by: "Dr Jürgen <i>Doe".into(), at: world.now() });
    assert_eq!(world.pair().await.0.acknowledgement, expected);
    let page = get(&world, &format!("/r/{secret}")).await;
    let said = "<strong>Dr Jürgen &lt;i&gt;Doe</strong> confirmed on 2 March 2026, 08:05 UTC";
    assert!(page.text().contains(said) && !page.text().contains("<form"), "{}", page.text());
    world.clock.turn(Duration::from_mins(5));
    ask(&world, Method::POST, &path, OWN, "name=Somebody+else").await;
    assert_eq!(world.pair().await.0.acknowledgement, expected, "the first one counts");
}

#[tokio::test]
async fn a_form_without_a_name_or_from_elsewhere_changes_nothing() {
    let world = World::new().await;
    let secret = delivered(&world).await;
    let path = format!("/r/{secret}/acknowledge");
    let long = format!("name={}", "x".repeat(121));
    let huge = format!("name={}", "x".repeat(100_000));
    for body in ["", "name=", "name=+%00+", "other=x", &long, &huge] {
        let refused = ask(&world, Method::POST, &path, OWN, body).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", &body[..body.len().min(20)]);
        assert!(refused.text().contains("Please give your name.") && refused.text().contains("aria-invalid"));
    }
    for headers in [
        &[("sec-fetch-site", "cross-site")][..],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
    ] {
        let refused = ask(&world, Method::POST, &path, headers, "name=Dr+Doe").await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{headers:?}");
    }
    assert_eq!(world.pair().await.0.acknowledgement, None);
    let own = ask(&world, Method::POST, &path, &[("origin", "http://127.0.0.1:8080")], "name=Dr+Doe").await;
    assert_eq!(own.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn every_wrong_link_gets_the_same_answer() {
    let world = World::new().await;
    let secret = delivered(&world).await;
    let unknown = get(&world, &format!("/r/{}", "A".repeat(32))).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let long = format!("/r/{}", "x".repeat(5000));
    let padded = format!("/r/{secret}=");
    for path in [
        "/r/x",
        "/r/%00",
        "/r/..%2f..%2fetc",
        "/r/%F0%9F%92%80",
        "/r/x/report.pdf",
        "/r/x/key-images/1",
        &long,
        &padded,
    ] {
        let answer = get(&world, path).await;
        assert_eq!((answer.status, &answer.body), (unknown.status, &unknown.body), "{path}");
        assert_eq!(answer.headers, unknown.headers, "{path}");
    }
    let posted = ask(&world, Method::POST, "/r/x/acknowledge", OWN, "name=Dr+Doe").await;
    assert_eq!((posted.status, &posted.body), (unknown.status, &unknown.body));
    for rest in ["key-images/0", "key-images/3", "key-images/x", "versions/2/key-images/1", "nothing", "a/b"]
    {
        let answer = get(&world, &format!("/r/{secret}/{rest}")).await;
        assert_eq!((answer.status, &answer.body), (unknown.status, &unknown.body), "{rest}");
    }
}

#[tokio::test]
async fn many_wrong_links_from_one_network_rest() {
    let world = World::new().await;
    let secret = delivered(&world).await;
    let pages = world.notifier.pages();
    let from = |address: &str, path: String| {
        let mut request = Request::get(path).body(Body::empty()).unwrap();
        request.extensions_mut().insert(ClientAddress(Some(address.parse::<IpAddr>().unwrap())));
        let pages = pages.clone();
        async move { pages.oneshot(request).await.unwrap() }
    };
    for n in 0..60 {
        assert_eq!(from("192.0.2.1", format!("/r/guess{n}")).await.status(), StatusCode::NOT_FOUND);
    }
    let resting = from("192.0.2.1", "/r/guess".to_owned()).await;
    assert_eq!(
        (resting.status(), &resting.headers()["retry-after"]),
        (StatusCode::TOO_MANY_REQUESTS, &"60".parse().unwrap())
    );
    assert_eq!(from("192.0.2.2", format!("/r/{secret}")).await.status(), StatusCode::OK);
    world.clock.turn(Duration::from_mins(1));
    assert_eq!(from("192.0.2.1", format!("/r/{secret}")).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn pictures_and_pdf_are_the_stored_bytes() {
    let world = World::new().await;
    let secret = delivered(&world).await;
    let version = world.catalog.versions(&world.study).await.unwrap().remove(0);
    for (n, image) in (1..).zip(&version.key_images) {
        let stored = world
            .storage
            .read(&image.object.clone().into(), None)
            .await
            .unwrap()
            .collect(1 << 20)
            .await
            .unwrap();
        let shown = get(&world, &format!("/r/{secret}/key-images/{n}")).await;
        assert_eq!(
            (shown.status, &shown.headers["content-type"]),
            (StatusCode::OK, &"image/png".parse().unwrap())
        );
        assert!(shown.body == stored);
    }
    let pdf = get(&world, &format!("/r/{secret}/report.pdf")).await;
    assert_eq!(
        (pdf.status, &pdf.headers["content-type"]),
        (StatusCode::OK, &"application/pdf".parse().unwrap())
    );
    assert!(pdf.body.starts_with(b"%PDF-"));
    assert_eq!(pdf.headers["content-disposition"], "inline; filename=\"radiology-report.pdf\"");
    let key = world.catalog.pdf(&world.study, 1).await.unwrap().unwrap();
    let file = world.folder.path().join("objects").join(key.as_str());
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[100] ^= 1;
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, bytes).unwrap();
    let changed = get(&world, &format!("/r/{secret}/report.pdf")).await;
    assert_eq!(changed.status, StatusCode::SERVICE_UNAVAILABLE, "bytes that changed are not shown");
}

#[tokio::test]
async fn each_view_is_in_the_audit() {
    let world = World::new().await;
    let secret = delivered(&world).await;
    for path in ["", "/report.pdf", "/key-images/2"] {
        get(&world, &format!("/r/{secret}{path}")).await;
    }
    get(&world, "/r/unknown").await;
    let actor = format!("link:{}", world.pair().await.0.id);
    let trail = world.catalog.study_trail(&world.study, 100).await.unwrap();
    let views: Vec<_> =
        trail.into_iter().filter(|event| event.action == Action::ReportViewed.as_str()).collect();
    let details: Vec<_> = views.iter().map(|view| view.detail.as_str()).collect();
    assert_eq!(details, ["page of version 1", "pdf of version 1", "key image of version 1"]);
    assert!(views.iter().all(|view| view.actor == actor));
}

#[tokio::test]
async fn an_addendum_shows_on_both_links() {
    let world = World::new().await;
    let secret = delivered(&world).await;
    let before = get(&world, &format!("/r/{secret}")).await;
    assert!(!before.text().contains("newer version"));
    world.sign("The nodule was there before.", Vec::new()).await;
    world.pump().await;
    let first = get(&world, &format!("/r/{secret}")).await;
    assert!(first.text().contains("There is a newer version."));
    let newer = first.text().find("The nodule was there before.").unwrap();
    assert!(newer < first.text().find("Suspicious nodule").unwrap(), "the newest stands first");
    let addendum = World::secret(&world.mails()[1]);
    assert_ne!(addendum, secret);
    let second = get(&world, &format!("/r/{addendum}")).await;
    assert!(!second.text().contains("There is a newer version."));
    let own = second.text().find("The nodule was there before.").unwrap();
    assert!(own < second.text().find("Suspicious nodule").unwrap());
    let picture = get(&world, &format!("/r/{addendum}/versions/1/key-images/1")).await;
    assert_eq!(picture.status, StatusCode::OK);
}

#[tokio::test]
async fn the_contact_is_asked_to_see_to_it() {
    let world = World::new().await;
    delivered(&world).await;
    world.pass(Duration::from_hours(25), Duration::from_hours(1)).await;
    let secret = World::secret(&world.mails()[1]);
    let page = get(&world, &format!("/r/{secret}")).await;
    assert!(page.text().contains("Please make sure that they know the result"));
    assert!(page.text().contains("value=\"\""), "the contact gives their own name");
}

/// Writes pages for a person to look at into the folder named by `TELERAD_TEST_PAGES_DIR`.
#[tokio::test]
async fn pages_can_be_written_out() {
    let Some(folder) = std::env::var_os("TELERAD_TEST_PAGES_DIR").map(std::path::PathBuf::from) else {
        eprintln!("skipped: TELERAD_TEST_PAGES_DIR names no folder to write pages into");
        return;
    };
    let world = World::new().await;
    let long = Physician {
        name: PersonName::new(
            "Wolfeschlegelsteinhausenbergerdorff-Papadimitrakopoulou^Maria-Magdalena^^Prof Dr",
        )
        .unwrap(),
        ..world.physician.clone()
    };
    world.catalog.put_physician(&long, &domain::audit::Actor::Operator, world.now()).await.unwrap();
    world.order(Some(long.id), None).await;
    let secret = delivered(&world).await;
    // Pictures and style stand beside the page there, under plain names.
    let keep = async |name: &str, text: &str| {
        let mut text = text.replace("/r/style.css", "style.css");
        for (n, part) in text.clone().split("src=\"").skip(1).enumerate() {
            let address = part.split('"').next().unwrap();
            let file = format!("{name}-{n}.png");
            std::fs::write(folder.join(&file), get(&world, address).await.body).unwrap();
            text = text.replacen(&format!("src=\"{address}\""), &format!("src=\"{file}\""), 1);
        }
        std::fs::write(folder.join(name), text).unwrap();
    };
    std::fs::write(folder.join("style.css"), get(&world, "/r/style.css").await.body).unwrap();
    keep("open.html", get(&world, &format!("/r/{secret}")).await.text()).await;
    let nameless = ask(&world, Method::POST, &format!("/r/{secret}/acknowledge"), OWN, "name=").await;
    keep("nameless.html", nameless.text()).await;
    ask(&world, Method::POST, &format!("/r/{secret}/acknowledge"), OWN, "name=Dr+Jane+Doe").await;
    world
        .sign("影像显示：右上肺结节，建议三个月后复查。\n未见胸腔积液。", vec![world.key_image(160).await])
        .await;
    world.pump().await;
    keep("newer.html", get(&world, &format!("/r/{secret}")).await.text()).await;
    keep("unknown.html", get(&world, &format!("/r/{secret}/key-images/99")).await.text()).await;
    world.pass(Duration::from_hours(25), Duration::from_hours(1)).await;
    for (n, mail) in world.mails().iter().enumerate() {
        let message = mail_parser::MessageParser::default().parse(&mail.message).unwrap();
        std::fs::write(folder.join(format!("mail{n}.html")), message.body_html(0).unwrap().as_bytes())
            .unwrap();
        std::fs::write(folder.join(format!("mail{n}.txt")), message.body_text(0).unwrap().as_bytes())
            .unwrap();
        keep(&format!("link{n}.html"), get(&world, &format!("/r/{}", World::secret(mail))).await.text())
            .await;
    }
}
