//! Runs `cargo dev` and `cargo hookkeeper events` as processes: the first steps of a new user.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};
use testkit::{
    dev::{Dev, hookkeeper, send_signal},
    request::basic,
};

/// Sends the request of a printed `curl` line, and returns the status line of the response.
fn paste(curl: &str) -> String {
    let (options, body) = curl.split_once(" -d '").unwrap();
    let body = body.strip_suffix('\'').unwrap();
    let url = options
        .split(' ')
        .find_map(|word| word.strip_prefix("http://"))
        .unwrap();
    let (address, path) = url.split_once('/').unwrap();
    let (_, after_user) = options.split_once("-u ").unwrap();
    let authorization = basic(after_user.split(' ').next().unwrap());
    let content_type = match options.split_once("-H 'content-type: ") {
        Some((_, value)) => value.strip_suffix('\'').unwrap(),
        None => "application/x-www-form-urlencoded",
    };
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST /{path} HTTP/1.1\r\nhost: {address}\r\nauthorization: {authorization}\r\n\
         content-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn printed_commands_work_and_events_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("dev").to_string_lossy().into_owned();
    let dev = Dev::start(&data);
    let lines = dev.curl_lines();
    assert_eq!(lines.len(), providers::ALL.len());
    for line in &lines {
        assert!(line.contains("-u local:local "), "{line}");
        assert_eq!(paste(line), "HTTP/1.1 200 OK", "{line}");
    }
    assert!(dev.paste("send").starts_with("200 in "));
    let kept = dev.paste("events");
    for subject in [
        "pipedrive/7 deal/42",
        "amocrm/1001 lead/42",
        "closer customer/c-1",
    ] {
        let is_of = |line: &str| {
            line.split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
                .ends_with(subject)
        };
        assert!(kept.lines().any(is_of), "{kept}");
    }
    let (status, logged) = dev.interrupt();
    assert_eq!((status.code(), logged), (Some(0), lines_of(&kept)));

    let again = Dev::start(&data);
    assert_eq!(again.paste("events"), kept);
}

fn lines_of(listing: &str) -> usize {
    listing.lines().skip(1).count()
}

/// Sends a request with these headers and its length, and returns the whole response.
fn request(port: u16, method: &str, path: &str, headers: &[&str], body: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let headers: String = headers
        .iter()
        .flat_map(|header| [*header, "\r\n"])
        .collect();
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.1\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn assert_is_refused(answer: &str) {
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(
        !answer.to_lowercase().contains("access-control-"),
        "{answer}"
    );
}

const AUTHORIZATION: &str = "authorization: AWS4-HMAC-SHA256 Credential=a/20261124/us-east-1/dynamodb/aws4_request, \
                             SignedHeaders=host, Signature=b";

#[test]
fn a_web_page_can_neither_read_nor_delete_the_table() {
    let dev = Dev::start("memory");
    assert!(dev.paste("send").starts_with("200 in "));
    let port = dev.dynamodb_port();
    let host = format!("host: 127.0.0.1:{port}");
    let foreign_host = format!("host: evil.example:{port}");
    let table = r#"{"TableName":"hookkeeper"}"#;
    for operation in ["Scan", "DeleteTable"] {
        let target = format!("x-amz-target: DynamoDB_20120810.{operation}");
        let common = [
            &*target,
            AUTHORIZATION,
            "x-amz-date: 20261124T000000Z",
            "content-type: application/x-amz-json-1.0",
        ];
        for page in [
            [&*host, "origin: https://evil.example"].as_slice(),
            &[&host, "origin: null"],
            &[&host, &*format!("origin: http://127.0.0.1:{port}")],
            &[&foreign_host],
            &["host: 127.0.0.1.evil.example"],
            &["host: localhost@evil.example"],
        ] {
            assert_is_refused(&request(
                port,
                "POST",
                "/",
                &[page, &common].concat(),
                table,
            ));
        }
        for host in [
            &host,
            &format!("host: localhost:{port}"),
            &format!("host: [::1]:{port}"),
            "host: 127.0.0.1",
        ] {
            let answer = request(
                port,
                "POST",
                "/",
                &[host, &*target.replace("Delete", "Describe")],
                table,
            );
            assert!(!answer.starts_with("HTTP/1.1 403 "), "{answer}");
        }
    }
    let preflight = [
        &*host,
        "origin: https://evil.example",
        "access-control-request-method: POST",
        "access-control-request-headers: x-amz-target",
        "access-control-request-private-network: true",
    ];
    assert_is_refused(&request(port, "OPTIONS", "/", &preflight, ""));
    assert_eq!(lines_of(&dev.paste("events")), 1);
}

#[test]
fn a_delivery_from_a_web_page_is_refused_and_one_from_a_tunnel_accepted() {
    let dev = Dev::start("memory");
    let port = dev.port();
    let host = format!("host: 127.0.0.1:{port}");
    let authorization = "authorization: Basic bG9jYWw6bG9jYWw=";
    let content_type = "content-type: application/x-www-form-urlencoded";
    let body = "leads[add][0][id]=42&account[id]=1001";
    for origin in ["origin: https://evil.example", "origin: null"] {
        let headers = [&*host, authorization, content_type, origin];
        assert_is_refused(&request(port, "POST", "/amocrm", &headers, body));
    }
    let preflight = [
        &*host,
        "origin: https://evil.example",
        "access-control-request-method: POST",
    ];
    assert_is_refused(&request(port, "OPTIONS", "/amocrm", &preflight, ""));
    assert_eq!(lines_of(&dev.paste("events")), 0);
    let tunnel = ["host: a-b-c.trycloudflare.com", authorization, content_type];
    assert!(request(port, "POST", "/amocrm", &tunnel, body).starts_with("HTTP/1.1 200 "));
    assert_eq!(lines_of(&dev.paste("events")), 1);
}

#[test]
fn the_page_is_beside_the_receivers_and_no_tunnel_publishes_it() {
    let dev = Dev::start("memory");
    let port = dev.port();
    let host = format!("host: 127.0.0.1:{port}");
    let page = request(port, "GET", "/", &[&host], "");
    assert!(page.contains("No events since"), "{page}");
    assert!(page.contains("pipedrive/v2_change_deal"), "{page}");
    assert!(request(port, "GET", "/closers", &[&host], "").starts_with("HTTP/1.1 404 "));
    for path in ["/closer", "/closer/", "/closer/hook/1"] {
        let answer = request(port, "GET", path, &["host: a-b-c.trycloudflare.com"], "");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
    }
    let rewritten = [&*host, "x-forwarded-for: 203.0.113.7"];
    for headers in [&["host: a-b-c.trycloudflare.com"][..], &rewritten] {
        for path in ["/", "/api/events", "/overview"] {
            assert_is_refused(&request(port, "GET", path, headers, ""));
        }
    }
}

#[test]
fn a_custom_credential_replaces_the_default_one() {
    let dev = Dev::start_with("memory", &["--user", "ada:love-lace"]);
    let lines = dev.curl_lines();
    assert_eq!(lines.len(), providers::ALL.len());
    for line in lines {
        assert_eq!(paste(line), "HTTP/1.1 200 OK", "{line}");
        assert_eq!(
            paste(&line.replace("ada:love-lace", "local:local")),
            "HTTP/1.1 401 Unauthorized"
        );
    }
    assert!(dev.paste("send").starts_with("200 in "));
    let local = format!("--local={}", dev.port());
    let send = ["send", "pipedrive", "deal.updated", &local];
    let without = hookkeeper(&send)
        .env_remove("HOOKKEEPER_DEV_USER")
        .output()
        .unwrap();
    assert_eq!(without.status.code(), Some(1));
    let by_environment = hookkeeper(&send)
        .env("HOOKKEEPER_DEV_USER", "ada:love-lace")
        .output()
        .unwrap();
    assert_eq!(by_environment.status.code(), Some(0));
}

#[test]
fn a_custom_credential_is_read_from_the_environment_too() {
    let output = |user: &str| refused(dev("memory").env("HOOKKEEPER_DEV_USER", user), 1);
    for user in ["ada", ":password", "ada:"] {
        let said = output(user);
        assert!(
            said.contains("HOOKKEEPER_DEV_USER") && said.contains("USER:PASSWORD"),
            "{said}"
        );
        assert!(!said.contains(user), "a secret is printed: {said}");
    }
    let by_option = hookkeeper(&["dev", "--user", "ada"]).output().unwrap();
    assert_eq!(by_option.status.code(), Some(2), "{by_option:?}");
}

#[test]
fn a_credential_of_the_environment_is_not_printed() {
    let mut command = dev("memory");
    command
        .env("HOOKKEEPER_DEV_USER", "ada:own-secret")
        .stdout(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let stdout = BufReader::new(process.stdout.as_mut().unwrap());
    let lines = stdout.lines().map(Result::unwrap);
    let greeting: Vec<_> = lines
        .take_while(|line| !line.contains("Press Ctrl-C"))
        .collect();
    let greeting = greeting.join("\n");
    send_signal(&process, "-INT");
    wait_for_end(&mut process);
    assert!(!greeting.contains("own-secret"), "{greeting}");
    assert!(
        greeting.contains("curl -i -u \"$HOOKKEEPER_DEV_USER\" http"),
        "{greeting}"
    );
}

/// `hookkeeper dev` on free ports, with its data in a folder or in memory.
fn dev(data: &str) -> Command {
    hookkeeper(&["dev", "--port", "0", "--dynamodb-port", "0", "--data", data])
}

/// Waits for a process that must end by itself.
fn wait_for_end(process: &mut Child) {
    let end = Instant::now() + Duration::from_mins(1);
    while process.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            process.kill().unwrap();
            process.wait().unwrap();
            panic!("it does not end");
        }
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_log_that_nobody_reads_delays_no_response() {
    for format in ["text", "json"] {
        let mut command = dev("memory");
        command.args(["--log", format]).stdout(Stdio::piped());
        let mut process = command.env_remove("HOOKKEEPER_DEV_USER").spawn().unwrap();
        let stdout = BufReader::new(process.stdout.as_mut().unwrap());
        let greeting = stdout.lines().map(Result::unwrap);
        let mut greeting = greeting.take_while(|line| !line.contains("Press Ctrl-C"));
        let url = "closer     http://127.0.0.1:";
        let port = greeting.find_map(|line| Some(line.split_once(url)?.1.to_owned()));
        assert!(greeting.last().is_some());
        let local = format!("--local={}", port.unwrap().trim_end_matches("/closer"));
        // The lines do not fit into the 64 KB of a pipe.
        let subject = format!("customer.id={}", "x".repeat(500));
        let send = ["send", "closer", "created", "--set", &subject];
        let many = ["--count", "400", &local];
        let output = hookkeeper(&[&send[..], &many].concat()).output().unwrap();
        assert!(output.status.success(), "{format}: {output:?}");
        send_signal(&process, "-INT");
        wait_for_end(&mut process);
    }
}

/// The standard error of a command that must end by itself.
fn refused(command: &mut Command, code: i32) -> String {
    let mut process = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_end(&mut process);
    let output = process.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

#[test]
fn both_ports_are_named_when_both_are_taken() {
    let taken = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [port, dynamodb_port] = taken
        .each_ref()
        .map(|it| it.local_addr().unwrap().port().to_string());
    let arguments = [
        "dev",
        "--port",
        &port,
        "--dynamodb-port",
        &dynamodb_port,
        "--data",
        "memory",
    ];
    let said = refused(&mut hookkeeper(&arguments), 1);
    for part in [
        &*format!("127.0.0.1:{port} "),
        &*format!("127.0.0.1:{dynamodb_port} "),
        "--port",
        "--dynamodb-port",
    ] {
        assert!(said.contains(part), "no {part}: {said}");
    }
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_data_folder_is_used_by_one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("dev").to_string_lossy().into_owned();
    let first = Dev::start(&data);
    let said = refused(&mut dev(&data), 1);
    assert_eq!(
        said,
        format!(
            "error: another `cargo dev` uses the data in {data}: stop that one, or choose another folder with --data\n"
        )
    );
    drop(first);
    drop(Dev::start(&data));
}

#[test]
fn damaged_data_is_reported_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("dev").to_string_lossy().into_owned();
    let (status, _) = Dev::start(&data).interrupt();
    assert_eq!(status.code(), Some(0));
    let file = folder.path().join("dev/dynamodb.sqlite");
    let whole = fs::read(&file).unwrap();
    let mut pages_overwritten = whole.clone();
    pages_overwritten[100..].fill(0xAA);
    for damaged in [
        b"no database, but a text of more than a hundred bytes. ".repeat(99),
        pages_overwritten,
    ] {
        fs::write(&file, damaged).unwrap();
        let said = refused(&mut dev(&data), 1);
        let file = file.display();
        let advice = "delete that file, or choose another folder with --data";
        assert_eq!(
            said,
            format!("error: the data in {file} is damaged: {advice}\n")
        );
    }
    fs::remove_file(&file).unwrap();
    assert!(Dev::start(&data).paste("send").starts_with("200 in "));
}

#[test]
fn errors_are_one_sentence_with_advice() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_string_lossy().into_owned()
    };
    let no_table = file("no_table.yaml", "Resources: {}");
    let in_a_file = Path::new(&no_table)
        .join("data")
        .to_string_lossy()
        .into_owned();
    let other = file(
        "other.yaml",
        &hookkeeper::template::TEMPLATE.replace("sk", "other"),
    );
    let data = folder.path().join("data").to_string_lossy().into_owned();
    drop(Dev::start(&data));
    let memory = ["--port", "0", "--dynamodb-port", "0", "--data", "memory"];
    for (arguments, said) in [
        (
            vec!["--port", &port, "--dynamodb-port", "0", "--data", "memory"],
            "choose another one with --port",
        ),
        (
            vec!["--port", "0", "--dynamodb-port", &port, "--data", "memory"],
            "choose another one with --dynamodb-port",
        ),
        (
            vec!["--port", "0", "--dynamodb-port", "0", "--data", &in_a_file],
            "choose another folder with --data",
        ),
        (
            [&memory[..], &["--template", &no_table]].concat(),
            "needs exactly one",
        ),
        (
            [&memory[..], &["--template", "/nowhere.yaml"]].concat(),
            "cannot read /nowhere.yaml",
        ),
        (
            vec![
                "--port",
                "0",
                "--dynamodb-port",
                "0",
                "--data",
                &data,
                "--template",
                &other,
            ],
            "a table with another schema",
        ),
    ] {
        let Output { status, stderr, .. } = hookkeeper(&["dev"]).args(&arguments).output().unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!(
            (status.code(), stderr.lines().count()),
            (Some(1), 1),
            "{arguments:?}: {stderr}"
        );
        assert!(
            stderr.starts_with("error: ") && stderr.contains(said),
            "{arguments:?}: {stderr}"
        );
    }
    drop(taken);
    let nobody = hookkeeper(&["events", &format!("--local={port}")])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("is `cargo dev` running?"));
}
