//! Clients of others, over a real connection: `dicomweb-client` and `pydicom` for Python, when
//! `TELERAD_TEST_PYTHON` names an interpreter that has them.

use archive::Config;

use crate::support::{Bench, Who};

const SCRIPT: &str = include_str!("clients.py");

#[tokio::test(flavor = "multi_thread")]
async fn a_python_client_finds_and_reads_what_pydicom_reads() {
    let Some(python) = std::env::var_os("TELERAD_TEST_PYTHON") else {
        eprintln!("SKIPPED: set TELERAD_TEST_PYTHON to a Python with pydicom, numpy and dicomweb-client");
        return;
    };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    // This client leaves the port out of its Host, so addresses in answers cannot be made of it.
    let config = Config { public_url: Some(format!("http://{address}")), ..Config::default() };
    let bench = Bench::with(config).await;
    bench.store_head(&bench.north).await;
    for fixture in
        ["formats/CT1_UNC.fragmented_bot_jpeg_ls.80.dcm", "formats/chrH31.dcm", "formats/test-SR.dcm"]
    {
        bench.store(&bench.north, fixture).await;
    }
    let Who::Token(token) = bench.program(&bench.north).await else { panic!("no token") };
    let server = tokio::spawn(axum::serve(listener, bench.router.clone()).into_future());
    let mut command = tokio::process::Command::new(python);
    command
        .arg("-c")
        .arg(SCRIPT)
        .arg(format!("http://{address}/dicomweb"))
        .arg(token)
        .arg(testkit::samples::fixtures());
    let output = command.output().await.unwrap();
    server.abort();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{}\n{}", said[0], said[1]);
    eprintln!("{}", said[0]);
}
