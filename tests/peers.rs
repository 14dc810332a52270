//! Real peers: programs that know nothing of this one talk to our servers, and our clients to theirs.

mod common;
#[path = "../examples/e45_web_server.rs"]
#[allow(dead_code)]
mod e45_web_server;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::{ask, server, shout};
use corio::io::StreamReader;
use corio::net::{TcpStream, UdpSocket, UnixListener, UnixStream};
use corio::process::Child;
use corio::{millis, run, secs, sleep, spawn, timeout};

/// Whether a program is there; if not, says that a test skips, past the test harness, which hides what tests that pass print.
fn has(program: &str) -> bool {
    let there = Command::new(program).arg("-h").stdin(Stdio::null()).output().is_ok();
    if !there {
        let _ = writeln!(io::stderr(), "SKIPPED: {program}: not installed");
    }
    there
}

/// Runs a program of the system beside the loop, and returns what it printed.
fn peer(program: &str, args: &[&str], input: &str) -> io::Result<String> {
    let mut command = corio::process::Command::new(program);
    let mut child = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let output = timeout(secs(60), || child.communicate(input.as_bytes()))?;
    assert!(output.status.success(), "{program} {args:?}: {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A program that serves, and is killed in the end. Its input is empty.
fn serving(program: &str, args: &[&str]) -> io::Result<Child> {
    let mut command = corio::process::Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn()
}

/// Tries again until the program on the other side is there.
fn until_there<T>(mut connect: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    timeout(secs(60), || {
        loop {
            match connect() {
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) => {}
                result => return result,
            }
            sleep(millis(10))?;
        }
    })
}

/// A port that nobody has, or had a moment ago.
fn free_port() -> io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn socket_path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("corio-{name}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

#[test]
fn nc_socat_and_asyncio_are_served() {
    run(|| {
        let (server, address) = server()?;
        let handle = server.handle();
        let serving = spawn(move || server.serve(shout));
        let port = address.port().to_string();
        if has("nc") {
            assert_eq!(peer("nc", &["-N", "127.0.0.1", &port], "by nc")?, "BY NC");
        }
        if has("socat") {
            assert_eq!(peer("socat", &["-", &format!("TCP:127.0.0.1:{port}")], "by socat")?, "BY SOCAT");
        }
        if has("python3") {
            let script = "
import asyncio, sys
async def main():
    async def ask(n):
        reader, writer = await asyncio.open_connection('127.0.0.1', int(sys.argv[1]))
        writer.write(b'client %d' % n)
        writer.write_eof()
        return await reader.read()
    answers = await asyncio.gather(*[ask(n) for n in range(50)])
    assert answers == [b'CLIENT %d' % n for n in range(50)], answers
    print('fine')
asyncio.run(main())";
            assert_eq!(peer("python3", &["-c", script, &port], "")?, "fine\n");
        }
        handle.stop();
        serving.join()
    })
    .unwrap();
}

#[test]
fn an_asyncio_server_serves_our_clients() {
    if !has("python3") {
        return;
    }
    let script = "
import asyncio
async def main():
    async def shout(reader, writer):
        writer.write((await reader.read()).upper())
        await writer.drain()
        writer.close()
    server = await asyncio.start_server(shout, '127.0.0.1', 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, input)
asyncio.run(main())";
    run(|| {
        let mut command = corio::process::Command::new("python3");
        command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let mut lines = corio::io::StreamReader::new(child.stdout.take().unwrap());
        let port: u16 = String::from_utf8_lossy(&lines.read_line()?).trim().parse().map_err(io::Error::other)?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let answers = corio::gather(0..50, |n| ask(address, &format!("client {n}")))?;
        assert!(answers.iter().enumerate().all(|(n, answer)| *answer == format!("CLIENT {n}")));
        child.kill()?;
        child.wait().map(drop)
    })
    .unwrap();
}

/// Enough of HTTP for somebody who asks politely: the connection stays open for the next request.
fn answer_http(stream: TcpStream) -> io::Result<()> {
    let mut requests = StreamReader::new(&stream);
    loop {
        let first = requests.read_line()?;
        if first.is_empty() {
            return Ok(());
        }
        let mut length = 0;
        loop {
            let line = String::from_utf8_lossy(&requests.read_line()?).trim().to_ascii_lowercase();
            match line.split_once(':') {
                Some(("content-length", value)) => length = value.trim().parse().map_err(io::Error::other)?,
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        requests.read_exact(&mut body)?;
        let words = String::from_utf8_lossy(&first);
        let [method, path, ..] = words.split_whitespace().collect::<Vec<_>>()[..] else {
            return Err(ErrorKind::InvalidData.into());
        };
        let answer = format!("{method} {path} {}\n", String::from_utf8_lossy(&body));
        write!(&stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{answer}", answer.len())?;
    }
}

#[test]
fn curl_is_served() {
    if !has("curl") {
        return;
    }
    run(|| {
        let (server, address) = server()?;
        let handle = server.handle();
        let serving = spawn(move || server.serve(answer_http));
        let url = |path: &str| format!("http://{address}/{path}");
        let common = ["-sS", "--noproxy", "*", "--max-time", "60"];
        let args = |more: &[&str]| common.iter().chain(more).map(|arg| (*arg).to_owned()).collect::<Vec<_>>();
        let curl = |more: &[&str]| {
            let args = args(more);
            peer("curl", &args.iter().map(String::as_str).collect::<Vec<_>>(), "")
        };
        // Two requests over one connection.
        assert_eq!(curl(&[&url("one"), &url("two")])?, "GET /one \nGET /two \n");
        assert_eq!(curl(&["-d", "some data", &url("post")])?, "POST /post some data\n");
        handle.stop();
        serving.join()
    })
    .unwrap();
}

/// The web server of the learning path is one for others too.
#[test]
fn curl_is_answered_by_an_example() {
    if !has("curl") {
        return;
    }
    run(|| {
        let (server, address) = server()?;
        let handle = server.handle();
        let serving = spawn(move || server.serve(e45_web_server::serve));
        let curl = |more: &[&str], path: &str| {
            let url = format!("http://{address}{path}");
            let args =
                [&["-sS", "--noproxy", "*", "--max-time", "60", "-w", "%{http_code} %{content_type}"], more, &[&url]];
            peer("curl", &args.concat(), "")
        };
        let kind = "application/json";
        assert_eq!(curl(&["-d", "255"], "/hex")?, format!("{{\"hex\":\"0xff\",\"number\":255}}\n200 {kind}"));
        assert!(curl(&["-d", "ada"], "/hex")?.ends_with(&format!("\n400 {kind}")));
        assert!(curl(&[], "/nothing")?.ends_with(&format!("\n404 {kind}")));
        handle.stop();
        serving.join()
    })
    .unwrap();
}

#[test]
fn our_client_asks_nc_and_socat() {
    run(|| {
        if has("nc") {
            let port = free_port()?;
            let mut nc = corio::process::Command::new("nc");
            nc.args(["-l", "-N", "127.0.0.1", &port.to_string()]);
            let mut nc = nc.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
            let mut client = until_there(|| TcpStream::connect(("127.0.0.1", port)))?;
            client.write_all(b"to nc")?;
            nc.stdin.take().expect("a pipe").write_all(b"from nc")?; // and closes it: nc shuts down after that
            let mut text = String::new();
            client.read_to_string(&mut text)?;
            // Only now: nc leaves at the end of what it is sent, whatever it has still to send.
            client.shutdown(Shutdown::Write)?;
            let heard = timeout(secs(60), || nc.communicate(b""))?;
            assert_eq!((String::from_utf8_lossy(&heard.stdout).as_ref(), text.as_str()), ("to nc", "from nc"));
        }
        if has("socat") {
            let port = free_port()?;
            let listen = format!("TCP4-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork");
            let _socat = serving("socat", &[&listen, "SYSTEM:tr a-z A-Z"])?;
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            for n in 0..5 {
                assert_eq!(until_there(|| ask(address, &format!("client {n}")))?, format!("CLIENT {n}"));
            }
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn datagrams_come_and_go_by_socat() {
    if !has("socat") {
        return;
    }
    run(|| {
        let ours = UdpSocket::bind("127.0.0.1:0")?;
        let port = ours.local_addr()?.port();
        let answering = spawn(move || {
            let mut buffer = [0; 100];
            let (n, from) = ours.recv_from(&mut buffer)?;
            ours.send_to(&buffer[..n].to_ascii_uppercase(), from).map(drop)
        });
        // It waits for an answer of so many bytes, and half a minute at most.
        let there = format!("UDP4:127.0.0.1:{port},readbytes=10");
        assert_eq!(peer("socat", &["-t", "30", "-", &there], "a datagram")?, "A DATAGRAM");
        answering.join()?;

        let port = free_port()?;
        let _socat = serving("socat", &[&format!("UDP4-RECVFROM:{port},bind=127.0.0.1,fork"), "SYSTEM:tr a-z A-Z"])?;
        let ours = UdpSocket::bind("127.0.0.1:0")?;
        ours.connect(("127.0.0.1", port))?;
        let mut buffer = [0; 100];
        // It may not be there yet, and what nobody receives is lost.
        let n = until_there(|| {
            ours.send(b"a datagram")?;
            match timeout(millis(500), || ours.recv(&mut buffer)) {
                Err(error) if corio::is_timed_out(&error) => Err(ErrorKind::NotFound.into()),
                result => result,
            }
        })?;
        assert_eq!(&buffer[..n], b"A DATAGRAM");
        Ok(())
    })
    .unwrap();
}

#[test]
fn sockets_of_the_machine_are_shared_with_nc_and_socat() {
    run(|| {
        let path = socket_path("ours");
        let listener = UnixListener::bind(&path)?;
        let serving_here = spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, mut text) = (stream?, String::new());
                stream.read_to_string(&mut text)?;
                stream.write_all(text.to_uppercase().as_bytes())?;
            }
            Ok(())
        });
        let name = path.to_str().expect("a plain name");
        if has("nc") {
            assert_eq!(peer("nc", &["-N", "-U", name], "by nc")?, "BY NC");
        }
        if has("socat") {
            assert_eq!(peer("socat", &["-", &format!("UNIX-CONNECT:{name}")], "by socat")?, "BY SOCAT");
            let theirs = socket_path("theirs");
            let _socat = serving("socat", &[&format!("UNIX-LISTEN:{},fork", theirs.display()), "SYSTEM:tr a-z A-Z"])?;
            let mut client = until_there(|| UnixStream::connect(&theirs))?;
            client.write_all(b"to socat")?;
            client.shutdown(Shutdown::Write)?;
            let mut text = String::new();
            client.read_to_string(&mut text)?;
            assert_eq!(text, "TO SOCAT");
            let _ = std::fs::remove_file(theirs);
        }
        serving_here.cancel();
        assert!(serving_here.join().is_err());
        Ok(())
    })
    .unwrap();
}
