//! A broker of one's own survives being killed, with its queues.

use testkit::services::rabbitmq::PrivateBroker;

#[test]
fn a_killed_broker_comes_back_with_its_users_and_addresses() {
    let Some(mut broker) = PrivateBroker::launch().expect("an installed broker starts") else {
        let services = std::env::var("TELERAD_TEST_SERVICES").unwrap_or_default();
        assert!(!services.contains("rabbitmq"), "RabbitMQ is promised and not installed");
        eprintln!("SKIPPED: RabbitMQ is not installed");
        return;
    };
    let url = broker.url();
    broker.control(&["add_user", "witness", "word"]).expect("a running broker takes a user");

    broker.kill();
    broker.control(&["list_users"]).expect_err("a killed broker answers nothing");
    broker.start().expect("a killed broker starts again");

    assert_eq!(broker.url(), url);
    let users = broker.control(&["list_users"]).expect("a broker that is back answers");
    assert!(users.contains("witness"), "{users}");
}
