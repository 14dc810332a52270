//! HTTP by ureq over our streams.

mod support;

use std::cell::Cell;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::IpAddr;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use corio::net::TcpListener;
use corio::testing::{self, Network, Script};
use corio::{
    Executor, Runner, current, gather, is_cancelled, is_timed_out, millis, scope, secs, sleep, spawn, timeout,
};
use corio_apps::http::{self, io_error};
use corio_apps::tls;
use support::*;
use ureq::config::{Config, ConfigBuilder};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::typestate::AgentScope;
use ureq::{Agent, Error, Timeout};

// ---- a real server -------------------------------------------------------------------------------------------------

/// An nginx: files, uploads, a redirect, and how many requests came before on the same connection.
struct Nginx {
    http: Served,
    https: u16,
    identity: Identity,
    directory: Directory,
}

/// Larger than any buffer on the way.
fn large() -> Vec<u8> {
    (0..3_000_000_u32).map(|n| (n ^ n >> 8) as u8).collect()
}

impl Nginx {
    fn start() -> Option<Nginx> {
        if !is_there("nginx", &["-v"]) {
            return None;
        }
        let (directory, identity, https) = (Directory::new(), Identity::new(), Cell::new(0));
        identity.write(&directory.0);
        for folder in ["files", "tmp"] {
            fs::create_dir(directory.0.join(folder)).unwrap();
        }
        fs::write(directory.0.join("files/large"), large()).unwrap();
        let http = Served::start(|http| {
            https.set(free_port());
            fs::write(directory.0.join("nginx.conf"), configuration(http, https.get())).unwrap();
            let mut command = Command::new("nginx");
            command.arg("-p").arg(&directory.0).args(["-c", "nginx.conf", "-e", "error.log"]);
            command
        });
        Some(Nginx { http, https: https.get(), identity, directory })
    }

    fn pages(&self, path: &str) -> [String; 2] {
        [format!("http://127.0.0.1:{}{path}", self.http.port), format!("https://localhost:{}{path}", self.https)]
    }

    fn agent(&self) -> Agent {
        http::agent(self.trusted())
    }

    fn trusted(&self) -> ConfigBuilder<AgentScope> {
        trusting(&self.identity)
    }
}

fn trusting(identity: &Identity) -> ConfigBuilder<AgentScope> {
    let certificate = Certificate::from_pem(identity.certificate.as_bytes()).unwrap();
    Config::builder().tls_config(TlsConfig::builder().root_certs(RootCerts::from([certificate])).build())
}

fn configuration(http: u16, https: u16) -> String {
    // As whoever starts it, so that it can write into the directory.
    let user = if is_root() { "user root;" } else { "" };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path tmp/{name};\n"))
        .concat();
    format!(
        "daemon off; {user} worker_processes 1; pid nginx.pid; error_log error.log;
        events {{}}
        http {{
            access_log off; client_max_body_size 10m;
            {temporary}
            server {{
                listen 127.0.0.1:{http}; listen 127.0.0.1:{https} ssl;
                ssl_certificate chain.pem; ssl_certificate_key key.pem;
                location /up/ {{ root files; dav_methods PUT; create_full_put_path on; }}
                location /count {{ return 200 $connection_requests; }}
                location /moved {{ return 302 /count; }}
                location / {{ root files; }}
            }}
        }}"
    )
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

fn get(agent: &Agent, page: &str) -> Result<Vec<u8>, Error> {
    agent.get(page).call()?.body_mut().read_to_vec()
}

fn text(agent: &Agent, page: &str) -> io::Result<String> {
    get(agent, page).map(|body| String::from_utf8(body).unwrap()).map_err(io_error)
}

#[test]
fn nginx_is_understood() {
    let _alone = alone();
    let Some(nginx) = Nginx::start() else { return };
    let agent = nginx.agent();
    run(|| {
        for (n, page) in nginx.pages("/large").iter().enumerate() {
            assert!(get(&agent, page).map_err(io_error)? == large());
            // Up, and down again.
            let up = &nginx.pages(&format!("/up/{n}"))[n];
            let created = agent.put(up).send(&large()[..]).map_err(io_error)?;
            assert_eq!(created.status(), 201);
            assert!(fs::read(nginx.directory.0.join(format!("files/up/{n}")))? == large());
            assert!(matches!(get(&agent, &nginx.pages("/nowhere")[n]), Err(Error::StatusCode(404))));
        }
        Ok(())
    });
    let nobody = http::agent(Config::builder());
    run(|| {
        let stranger = get(&nobody, &nginx.pages("/large")[1]).unwrap_err();
        assert!(stranger.to_string().contains("certificate"), "{stranger}");
        Ok(())
    });
}

#[test]
fn a_proxy_is_not_asked() {
    let _alone = alone();
    let Some(nginx) = Nginx::start() else { return };
    let nowhere = ureq::Proxy::new("http://127.0.0.1:1").unwrap();
    let agent = http::agent(nginx.trusted().proxy(Some(nowhere)));
    run(|| {
        for page in nginx.pages("/large") {
            assert!(get(&agent, &page).map_err(io_error)? == large());
        }
        Ok(())
    });
}

#[test]
fn connections_are_used_again() {
    let _alone = alone();
    let Some(nginx) = Nginx::start() else { return };
    let agent = nginx.agent();
    for page in nginx.pages("/moved") {
        // Two requests each: the redirect, and what it leads to. Also in another run.
        for expected in ["2", "4"] {
            assert_eq!(run(|| text(&agent, &page)), expected);
        }
    }
}

#[test]
fn a_connection_that_was_closed_while_it_rested_is_not_used_again() {
    let _alone = alone();
    simulated(&Network::new(), || {
        let listener = TcpListener::bind("10.0.0.1:80")?;
        scope(|s| {
            s.spawn(|| {
                for body in ["first", "other"] {
                    let (stream, _) = listener.accept()?;
                    let mut head = BufReader::new(&stream).lines().map_while(Result::ok);
                    assert!(head.any(|line| line.is_empty()));
                    (&stream).write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{body}").as_bytes())?;
                    // It said nothing of closing.
                }
                Ok(())
            });
            let agent = http::agent(Config::builder());
            assert_eq!(text(&agent, "http://10.0.0.1/")?, "first");
            sleep(millis(1))?;
            assert_eq!(text(&agent, "http://10.0.0.1/")?, "other");
            Ok(())
        })
    });
}

#[test]
fn many_requests_wait_at_once_in_one_thread() {
    let _alone = alone();
    let Some(nginx) = Nginx::start() else { return };
    let agent = nginx.agent();
    let pages: Vec<String> = (0..50).map(|n| nginx.pages("/large")[n % 2].clone()).collect();
    let running = Cell::new(0);
    let most = Cell::new(0);
    run(|| {
        gather(&pages, |page| {
            running.set(running.get() + 1);
            most.set(most.get().max(running.get()));
            assert!(get(&agent, page).map_err(io_error)? == large());
            running.set(running.get() - 1);
            Ok(())
        })
    });
    assert!(most.get() > 10, "at most {} at once", most.get());
}

#[test]
fn a_request_can_be_cancelled_anywhere() {
    let _alone = alone();
    let Some(nginx) = Nginx::start() else { return };
    let pages = [nginx.pages("/count"), nginx.pages("/moved")].concat();
    cancelled_everywhere("ureq, with TLS and without, and redirected", |part| {
        let agent = nginx.agent();
        part.run(|| pages.iter().try_for_each(|page| text(&agent, page).map(drop)));
        // Whatever happened to the connections, the agent is as good as new.
        assert!(text(&agent, &pages[0]).is_ok());
        Ok(())
    });
    cancelled_everywhere("ureq, up and down", |part| {
        let agent = nginx.agent();
        let body = &large()[..200_000];
        let [down, up] = nginx.pages("/up/x");
        part.run(|| {
            agent.put(&up).send(body).map_err(io_error)?;
            assert!(get(&agent, &down).map_err(io_error)? == body);
            Ok(())
        });
        Ok(())
    });
}

#[test]
fn how_much_stack_it_uses() {
    let _alone = alone();
    let Some(nginx) = Nginx::start() else { return };
    let pages = nginx.pages("/large");
    for (kib, page, what) in [(256, &pages[0], "ureq, http"), (260, &pages[1], "ureq, https")] {
        let (agent, page) = (nginx.agent(), page.clone());
        run(|| on_a_stack_of(kib, what, move || get(&agent, &page).map(drop).map_err(io_error)));
    }
}

#[test]
fn the_program_fetches_all_that_it_is_given() {
    let _alone = alone();
    let Some(nginx) = Nginx::start() else { return };
    let mut fetch = Command::new(env!("CARGO_BIN_EXE_fetch"));
    fetch.args([&nginx.pages("/large")[0], &nginx.pages("/nowhere")[0], &nginx.pages("/large")[1]]);
    let output = String::from_utf8(fetch.output().unwrap().stdout).unwrap();
    let lines: Vec<&str> = output.lines().collect();
    assert!(lines[0].starts_with("  3000000 http:"), "{output}");
    assert!(lines[1].starts_with("        - http:") && lines[1].contains("404"), "{output}");
    assert!(lines[2].starts_with("        - https:") && lines[2].contains("certificate"), "{output}");
}

// ---- limits and cancellations in every phase -----------------------------------------------------------------------

/// A request that comes to a stop.
struct Phase {
    name: &'static str,
    network: fn() -> Network,
    page: &'static str,
    body: usize,
    limit: fn(ConfigBuilder<AgentScope>, Option<Duration>) -> ConfigBuilder<AgentScope>,
    reason: Timeout,
}

fn peer(network: Network, script: Script) -> Network {
    network.server("10.0.0.1:80".parse().unwrap(), script.clone()).unwrap();
    network.server("10.0.0.1:443".parse().unwrap(), script).unwrap();
    network.host("secure.test", ["10.0.0.1".parse::<IpAddr>().unwrap()])
}

const PHASES: &[Phase] = &[
    Phase {
        name: "connecting",
        network: || peer(Network::new().latency(secs(60)..=secs(60)), Script::new()),
        page: "http://secure.test/",
        body: 0,
        limit: ConfigBuilder::timeout_connect,
        reason: Timeout::Connect,
    },
    Phase {
        name: "the handshake of TLS",
        network: || peer(Network::new(), Script::new()),
        page: "https://secure.test/",
        body: 0,
        limit: ConfigBuilder::timeout_connect,
        reason: Timeout::Connect,
    },
    Phase {
        name: "sending the request",
        network: || peer(Network::new().capacity(10), Script::new().stop_reading()),
        page: "http://secure.test/",
        body: 0,
        limit: ConfigBuilder::timeout_send_request,
        reason: Timeout::SendRequest,
    },
    Phase {
        name: "sending the body",
        network: || peer(Network::new().capacity(1_000), Script::new().stop_reading()),
        page: "http://secure.test/",
        body: 10_000,
        limit: ConfigBuilder::timeout_send_body,
        reason: Timeout::SendBody,
    },
    Phase {
        name: "receiving the head",
        network: || peer(Network::new(), Script::new().send("HTTP/1.1 200 OK\r\ncontent-le")),
        page: "http://secure.test/",
        body: 0,
        limit: ConfigBuilder::timeout_recv_response,
        reason: Timeout::RecvResponse,
    },
    Phase {
        name: "receiving the body",
        network: || peer(Network::new(), Script::new().send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")),
        page: "http://secure.test/",
        body: 0,
        limit: ConfigBuilder::timeout_recv_body,
        reason: Timeout::RecvBody,
    },
];

impl Phase {
    fn request(&self, limit: Option<Duration>) -> Result<Vec<u8>, Error> {
        let agent = http::agent((self.limit)(Config::builder(), limit));
        let mut answer = match self.body {
            0 => agent.get(self.page).call()?,
            bytes => agent.post(self.page).send(&vec![0; bytes][..])?,
        };
        answer.body_mut().read_to_vec()
    }
}

#[test]
fn every_phase_can_be_limited_by_ureq_limited_by_us_and_cancelled() {
    let _alone = alone();
    for phase in PHASES {
        let name = phase.name;
        let network = (phase.network)();
        simulated(&network, || {
            let start = corio::now();
            let error = phase.request(Some(secs(5))).unwrap_err();
            assert!(matches!(&error, Error::Timeout(reason) if *reason == phase.reason), "{name}: {error}");
            // On the virtual clock, but ureq measures on the real one how much of it is left.
            assert!(corio::now() - start <= secs(5), "{name}");
            assert!(is_timed_out(&io_error(error)), "{name}");
            Ok(())
        });
        simulated(&(phase.network)(), || {
            let error = timeout(secs(7), || phase.request(None).map_err(io_error)).unwrap_err();
            assert!(is_timed_out(&error) && is_cancelled(&error), "{name}: {error}");
            Ok(())
        });
        // The two together. ureq's own limit is met where nobody cancels, and is not what is told where somebody does.
        testing::Options::new().network(phase.network).cancel_everywhere(|injector| {
            let error = injector.run(|| phase.request(Some(secs(5))).map_err(io_error)).unwrap_err();
            let (is_cancelled, is_timed_out) = (is_cancelled(&error), is_timed_out(&error));
            assert_eq!((is_cancelled, is_timed_out), (injector.cancelled(), !injector.cancelled()), "{name}: {error}");
            Ok(())
        });
    }
}

/// Is redirected, sends something, and receives something.
fn ask(agent: &Agent, site: &str) -> io::Result<()> {
    let page = |path| format!("{site}/{path}");
    assert_eq!(text(agent, &page("moved"))?, "/page");
    let mut answer = agent.post(page("up")).send(&[b'x'; 100][..]).map_err(io_error)?;
    assert_eq!(answer.body_mut().read_to_string().map_err(io_error)?, "/up");
    Ok(())
}

/// Answers each request with its path, and has moved if asked for that.
fn answer<S: Read + Write>(stream: S) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let head = (&mut stream).lines().take_while(|line| !line.as_ref().is_ok_and(String::is_empty));
        let head = head.collect::<io::Result<Vec<String>>>()?;
        let Some(path) = head.first().and_then(|line| line.split(' ').nth(1)) else { return Ok(()) };
        let length = head.iter().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
        io::copy(&mut (&mut stream).take(length.parse().unwrap()), &mut io::sink())?;
        let status = if path == "/moved" { "302 Found\r\nlocation: /page" } else { "200 OK" };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{path}", path.len());
        stream.get_mut().write_all(answer.as_bytes())?;
        stream.get_mut().flush()?;
    }
}

#[test]
fn a_server_that_falls_silent_anywhere_meets_a_limit_and_a_cancellation() {
    let _alone = alone();
    let identity = Identity::new();
    let http =
        |listener: &TcpListener| ask(&http::agent(Config::builder()), &format!("http://{}", listener.local_addr()?));
    Conversation::new("ureq, http", Caller::We, http, answer).with_silences_everywhere(3, 8);
    let https = |listener: &TcpListener| {
        let agent = http::agent(trusting(&identity));
        ask(&agent, &format!("https://{}", listener.local_addr()?))
    };
    let server = identity.server();
    let answer_https = |stream| answer(tls::accept(&server, stream)?);
    Conversation::new("ureq, https", Caller::We, https, answer_https).with_silences_everywhere(37, 5);
}

#[test]
fn a_name_that_is_not_found_in_time_is_given_up() {
    let _alone = alone();
    // The one thread that could look it up is busy until the end.
    let executor = Executor::named("names", 1).unwrap();
    let (free, busy) = mpsc::channel::<()>();
    let job = executor.spawn(move || busy.recv().is_err());
    let asks =
        |limit| http::agent(Config::builder().timeout_resolve(limit)).get("http://localhost:1/").call().map(drop);
    Runner::new()
        .ctrl_c(false)
        .executor(executor)
        .run(|| {
            let error = asks(Some(millis(5))).unwrap_err();
            assert!(matches!(error, Error::Timeout(Timeout::Resolve)), "{error}");
            let error = timeout(millis(5), || asks(None).map_err(io_error)).unwrap_err();
            assert!(is_timed_out(&error), "{error}");
            let task = spawn(move || asks(None).map_err(io_error));
            testing::wait_all_tasks_blocked()?;
            task.cancel();
            assert!(is_cancelled(&task.join().unwrap_err()));
            drop(free);
            assert!(job.join()?);
            Ok(())
        })
        .unwrap();
}

#[test]
fn names_and_addresses_are_resolved() {
    let _alone = alone();
    let answer = || Script::new().receive(1).send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
    let network = peer(Network::new(), answer());
    network.server("[fd00::1]:8080".parse().unwrap(), answer()).unwrap();
    simulated(&network, || {
        let agent = http::agent(Config::builder());
        assert_eq!(text(&agent, "http://secure.test/")?, "hello");
        assert_eq!(text(&agent, "http://[fd00::1]:8080/")?, "hello");
        let unknown = get(&agent, "http://nobody.test/").unwrap_err();
        assert!(unknown.to_string().contains("nobody.test"), "{unknown}");
        let refused = get(&agent, "http://10.0.0.1:81/").unwrap_err();
        assert!(matches!(&refused, Error::Io(e) if e.kind() == io::ErrorKind::ConnectionRefused), "{refused}");
        Ok(())
    });
}

#[test]
fn an_agent_that_is_shut_down_ends_its_requests() {
    let _alone = alone();
    simulated(&peer(Network::new(), Script::new()), || {
        let agent = http::agent(Config::builder());
        scope(|s| {
            let waiting = s.spawn({
                let agent = agent.clone();
                move || Ok(get(&agent, "http://secure.test/").is_err())
            });
            testing::wait_all_tasks_blocked()?;
            agent.shutdown();
            assert!(waiting.join()? && !current().cancelled());
            Ok(())
        })
    });
}
