//! The standard streams, in processes of their own.
//!
//! H8 is a row of the table of faults.

mod common;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::process::Stdio;

use common::{Ended, child_command, leave, plays, watchdog};
use corio::io::{stderr, stdin, stdout};
use corio::{is_timed_out, millis, run, scope, timeout};

/// Whether the description behind a descriptor is in non-blocking mode.
fn is_nonblocking(fd: i32) -> bool {
    // SAFETY: asks for flags.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    flags & libc::O_NONBLOCK != 0
}

/// Shouts what it reads, line by line.
fn shout() -> io::Result<()> {
    run(|| {
        for line in BufReader::new(stdin()).lines() {
            let line = line?;
            stdout().write_all(format!("said {}\n", line.to_uppercase()).as_bytes())?;
        }
        assert_eq!(stdin().read(&mut [0])?, 0, "the end is told again");
        stderr().write_all(b"the end\n")
    })
}

fn shouts(name: &str, input: Stdio, send: &str) {
    let mut command = child_command(name);
    let mut process = command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    if let Some(mut stdin) = process.stdin.take() {
        stdin.write_all(send.as_bytes()).unwrap();
    }
    let ended = Ended::new(&process.wait_with_output().unwrap());
    ended.succeeded();
    assert!(ended.stdout.contains("said ONE\nsaid TWO\n"), "{ended:?}");
    assert!(ended.stderr.contains("the end"), "{ended:?}");
}

#[test]
fn h8_lines_come_from_a_pipe_and_end_once() {
    const NAME: &str = "h8_lines_come_from_a_pipe_and_end_once";
    if plays(NAME) {
        let _watchdog = watchdog();
        shout().unwrap();
        leave();
    }
    shouts(NAME, Stdio::piped(), "one\ntwo");
}

#[test]
fn h8_lines_come_from_a_file() {
    const NAME: &str = "h8_lines_come_from_a_file";
    if plays(NAME) {
        let _watchdog = watchdog();
        shout().unwrap();
        leave();
    }
    let path = std::env::temp_dir().join(format!("corio-stdin-{}", std::process::id()));
    std::fs::write(&path, "one\ntwo\n").unwrap();
    shouts(NAME, File::open(&path).unwrap().into(), "");
    std::fs::remove_file(&path).unwrap();
}

/// H8: other tasks run while nobody types, and the description, which others share, is left as it was.
#[test]
fn h8_waiting_for_input_stops_nobody_and_leaves_the_description_alone() {
    const NAME: &str = "h8_waiting_for_input_stops_nobody_and_leaves_the_description_alone";
    if plays(NAME) {
        let _watchdog = watchdog();
        run(|| {
            assert!(timeout(millis(5), || stdin().read(&mut [0])).is_err_and(|error| is_timed_out(&error)));
            scope(|s| {
                let reader = s.spawn(|| {
                    let mut text = [0; 2];
                    stdin().read_exact(&mut text)?;
                    Ok(text)
                });
                corio::sleep(millis(5))?;
                assert!(!reader.is_done());
                stdout().write_all(b"type!\n")?;
                assert_eq!(&reader.join()?, b"hi");
                Ok(())
            })?;
            // More than the pipe holds, to a reader who is slow.
            stdout().write_all(&[b'x'; 200_000])
        })
        .unwrap();
        leave();
    }
    let mut command = child_command(NAME);
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdin, mut stdout) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
    let mut line = String::new();
    while !line.ends_with("type!\n") {
        line.clear();
        assert!(stdout.read_line(&mut line).unwrap() > 0);
    }
    stdin.write_all(b"hi").unwrap();
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).unwrap();
    assert_eq!(rest.iter().filter(|byte| **byte == b'x').count(), 200_000);
    assert!(process.wait().unwrap().success());
    assert!(!is_nonblocking(stdin.as_raw_fd()) && !is_nonblocking(stdout.get_ref().as_raw_fd()));
}

/// H8: a terminal, of which the shell has the other handle.
#[test]
fn h8_a_terminal_is_read_line_by_line_and_stays_in_its_mode() {
    const NAME: &str = "h8_a_terminal_is_read_line_by_line_and_stays_in_its_mode";
    if plays(NAME) {
        let _watchdog = watchdog();
        let mut line = String::new();
        run(|| BufReader::new(stdin()).read_line(&mut line).map(drop)).unwrap();
        assert_eq!(line, "typed\n");
        leave();
    }
    // SAFETY: opens a pair of descriptors, which nobody else has.
    let (mut near, far) = unsafe {
        use std::os::fd::FromRawFd;
        let (mut near, mut far) = (-1, -1);
        let null = std::ptr::null_mut();
        assert_eq!(libc::openpty(&mut near, &mut far, null, null.cast(), null.cast()), 0);
        (File::from_raw_fd(near), File::from_raw_fd(far))
    };
    let mut process = child_command(NAME).stdin(far.try_clone().unwrap()).stdout(Stdio::piped()).spawn().unwrap();
    near.write_all(b"typed\n").unwrap();
    assert!(process.wait().unwrap().success());
    assert!(!is_nonblocking(far.as_raw_fd()));
}
