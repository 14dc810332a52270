//! Other programs: real ones, such as `cat`, `sh` and `sleep`.
//!
//! Ids (PROC-01, H2 and so on) are lines of asyncio's behaviours and rows of the table of faults. The tests run again with
//! `CORIO_CHILD_WATCH=thread`, where a thread notices the end of a child and not the kernel's descriptor.

mod common;

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::rc::Rc;
use std::time::Duration;

use common::{SCENARIO, child_command, finish, in_a_fork, in_child, watchdog};
use corio::io::{PipeReader, PipeWriter, pipe};
use corio::process::{Command, Stdio};
use corio::{gather, is_cancelled, is_timed_out, millis, run, scope, secs, sleep, spawn, timeout, yield_now};

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// Whether a process exists, be it as a zombie.
fn exists(pid: u32) -> bool {
    fs::metadata(format!("/proc/{pid}")).is_ok()
}

/// Waits until a process is gone from the system's table.
fn until_gone(pid: u32) -> io::Result<()> {
    timeout(secs(30), || {
        while exists(pid) {
            sleep(millis(5))?;
        }
        Ok(())
    })
}

/// PROC-01: write, close the input, read the output, wait.
#[test]
fn proc_01_a_conversation_by_pipes() {
    run(|| {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        stdin.write_all(b"hello\n")?;
        let mut line = [0; 6];
        stdout.read_exact(&mut line)?;
        assert_eq!(&line, b"hello\n");
        assert_eq!(child.try_wait()?, None);
        drop(stdin);
        assert_eq!(stdout.read(&mut line)?, 0);
        assert_eq!(child.wait()?.code(), Some(0));
        Ok(())
    })
    .unwrap();
}

/// PROC-02: outputs that are piped, and those that are not.
#[test]
fn proc_02_communicate_gives_both_outputs_and_the_status() {
    run(|| {
        let mut command = shell("cat; echo err >&2; exit 3");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let output = child.communicate(b"in")?;
        assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"in"[..], &b"err\n"[..]));
        assert_eq!(output.status.code(), Some(3));
        let output = shell("echo out").stdout(Stdio::piped()).spawn()?.wait_with_output()?;
        assert_eq!((&output.stdout[..], output.stderr.len()), (&b"out\n"[..], 0));
        Ok(())
    })
    .unwrap();
}

/// PROC-03: much in and much out at once, and a child that reads nothing.
#[test]
fn h7_proc_03_much_in_and_much_out_is_no_deadlock() {
    let much: Vec<u8> = (0..3 << 20).map(|n| n as u8).collect();
    run(|| {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = child.communicate(&much)?;
        assert!(output.stdout == much && output.status.success());
        let mut child = shell("exit 0").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = child.communicate(&much)?;
        assert!(output.stdout.is_empty() && output.status.success());
        Ok(())
    })
    .unwrap();
    // The same on a thread without a loop.
    let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    assert!(child.communicate(&much).unwrap().stdout == much);
}

/// PROC-04: no input is its end at once; and no other child holds it open.
#[test]
fn proc_04_an_empty_input_ends_at_once_and_is_inherited_by_nobody() {
    run(|| {
        let mut first = Command::new("cat").stdin(Stdio::piped()).spawn()?;
        let second = Command::new("sleep").arg("60").kill_on_drop(true).spawn()?;
        drop(first.stdin.take());
        assert!(timeout(secs(30), || first.wait())?.success());
        drop(second);
        assert_eq!(Command::new("cat").stdin(Stdio::piped()).spawn()?.communicate(b"")?.status.code(), Some(0));
        Ok(())
    })
    .unwrap();
}

#[test]
fn f1_proc_05_writing_to_a_child_that_has_ended_is_a_broken_pipe() {
    run(|| {
        let mut child = shell("exit 0").stdin(Stdio::piped()).spawn()?;
        child.wait()?;
        let error = child.stdin.take().unwrap().write_all(b"anybody?").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        Ok(())
    })
    .unwrap();
}

/// F1: also in a program that has left the signal on.
#[test]
fn f1_a_pipe_that_nobody_reads_raises_no_signal() {
    const NAME: &str = "f1_a_pipe_that_nobody_reads_raises_no_signal";
    let output = in_child(NAME, || {
        // SAFETY: what the system does by default.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        run(|| {
            let (reader, mut writer) = pipe()?;
            writer.write_all(b"heard")?;
            drop(reader);
            assert_eq!(writer.write(b"unheard").unwrap_err().kind(), ErrorKind::BrokenPipe);
            let (a, b) = corio::net::UnixStream::pair()?;
            drop(b);
            assert_eq!((&a).write(b"?").unwrap_err().kind(), ErrorKind::BrokenPipe);
            Ok(())
        })
        .unwrap();
    });
    output.succeeded();
}

/// PROC-06 and PROC-10: how it ended, by itself or by a signal.
#[test]
fn proc_06_10_the_status_says_how_it_ended() {
    run(|| {
        assert_eq!(shell("exit 7").status()?.code(), Some(7));
        assert_eq!(shell("kill -TERM $$").status()?.signal(), Some(libc::SIGTERM));
        let child = Command::new("sleep").arg("60").spawn()?;
        child.signal(libc::SIGTERM)?;
        assert_eq!(child.wait()?.signal(), Some(libc::SIGTERM));
        let child = Command::new("sleep").arg("60").spawn()?;
        child.kill()?;
        assert_eq!(child.wait()?.signal(), Some(libc::SIGKILL));
        Ok(())
    })
    .unwrap();
}

/// PROC-07 and PROC-08: giving a wait up does not touch the child; all who wait get the same; before that there is none.
#[test]
fn proc_07_08_any_number_may_wait_and_give_up() {
    run(|| {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take();
        let child = Rc::new(child);
        assert!(timeout(millis(5), || child.wait()).is_err_and(|error| is_timed_out(&error)));
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let child = child.clone();
                spawn(move || child.wait())
            })
            .collect();
        yield_now()?;
        waiting[0].cancel();
        yield_now()?;
        assert_eq!(child.try_wait()?, None);
        drop(stdin);
        for (n, task) in waiting.into_iter().enumerate() {
            match task.join() {
                Ok(status) => assert!(n > 0 && status.success()),
                Err(error) => assert!(n == 0 && is_cancelled(&error)),
            }
        }
        assert_eq!(child.wait()?.code(), Some(0));
        assert_eq!(child.try_wait()?.and_then(|status| status.code()), Some(0));
        Ok(())
    })
    .unwrap();
}

/// PROC-09: a signal to one that has ended: none while it is unreaped, and refused afterwards.
#[test]
fn h2_proc_09_a_number_that_is_no_longer_its_own_is_never_signalled() {
    run(|| {
        let child = shell("exit 0").spawn()?;
        while fs::read_to_string(format!("/proc/{}/stat", child.id())).is_ok_and(|stat| !stat.contains(") Z ")) {
            sleep(millis(2))?;
        }
        child.signal(libc::SIGTERM)?; // a zombie hears nothing
        assert!(child.wait()?.success());
        assert_eq!(child.signal(libc::SIGTERM).unwrap_err().kind(), ErrorKind::NotFound);
        child.kill()
    })
    .unwrap();
}

/// PROC-11: much output, read slowly and in part after the end.
#[test]
fn proc_11_output_is_complete_however_slowly_it_is_read() {
    run(|| {
        let mut child = shell("head -c 300000 /dev/zero").stdout(Stdio::piped()).spawn()?;
        let mut stdout = child.stdout.take().unwrap();
        let (mut total, mut buffer) = (0, [0; 4096]);
        loop {
            match stdout.read(&mut buffer)? {
                0 => break,
                n => total += n,
            }
            if total % 7 == 0 {
                yield_now()?;
            }
        }
        assert_eq!(total, 300_000);
        let mut child = shell("echo left").stdout(Stdio::piped()).spawn()?;
        child.wait()?;
        let mut text = String::new();
        child.stdout.take().unwrap().read_to_string(&mut text)?;
        assert_eq!(text, "left\n");
        Ok(())
    })
    .unwrap();
}

/// PROC-12: a program that is not there leaves nothing behind.
#[test]
fn proc_12_a_program_that_is_missing_leaves_nothing_behind() {
    const NAME: &str = "proc_12_a_program_that_is_missing_leaves_nothing_behind";
    let output = in_child(NAME, || {
        run(|| {
            let open = || fs::read_dir("/proc/self/fd").unwrap().count();
            let before = open();
            for _ in 0..10 {
                let mut command = Command::new("/nowhere/no such program");
                let error = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap_err();
                assert_eq!(error.kind(), ErrorKind::NotFound);
            }
            assert_eq!(open(), before);
            Ok(())
        })
        .unwrap();
        let children = fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
        assert_eq!(children, "");
    });
    output.succeeded();
}

/// PROC-13: what nobody else knows of is killed and reaped when it is not wanted any more.
#[test]
fn h2_proc_13_a_cancelled_output_kills_and_reaps_its_child() {
    run(|| {
        let (reader, writer) = pipe()?;
        let task = spawn(move || {
            let mut command = shell("echo $$ >&3; exec sleep 60");
            let fd: std::os::fd::OwnedFd = writer.into_fd()?;
            // SAFETY: `dup2` may be called between fork and exec; the descriptor is open until then.
            unsafe {
                use std::os::fd::AsRawFd;
                use std::os::unix::process::CommandExt;
                command.as_std_mut().pre_exec(move || {
                    if libc::dup2(fd.as_raw_fd(), 3) < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
                });
            }
            command.output()
        });
        let mut text = String::new();
        let mut byte = [0];
        while (&reader).read(&mut byte)? > 0 && byte[0] != b'\n' {
            text.push(byte[0] as char);
        }
        let pid: u32 = text.trim().parse().map_err(io::Error::other)?;
        assert!(exists(pid));
        task.cancel();
        assert!(task.join().is_err_and(|error| is_cancelled(&error)));
        until_gone(pid)
    })
    .unwrap();
}

/// PROC-14 and PROC-18: a handle that is dropped: the child runs on and is reaped, or is killed if that was asked for.
#[test]
fn h2_proc_14_18_a_child_that_nobody_waits_for_is_reaped() {
    run(|| {
        let killed = Command::new("sleep").arg("60").kill_on_drop(true).spawn()?;
        let pid = killed.id();
        drop(killed);
        until_gone(pid)?;
        let mut runs_on = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (pid, mut stdin, mut stdout) =
            (runs_on.id(), runs_on.stdin.take().unwrap(), runs_on.stdout.take().unwrap());
        drop(runs_on);
        stdin.write_all(b"still here")?;
        drop(stdin);
        let mut text = String::new();
        stdout.read_to_string(&mut text)?;
        assert_eq!(text, "still here");
        until_gone(pid)?;
        let ended = shell("exit 0").spawn()?;
        let pid = ended.id();
        drop(ended);
        until_gone(pid)
    })
    .unwrap();
}

/// PROC-15: of each output the data comes before its end.
#[test]
fn proc_15_data_comes_before_its_end() {
    run(|| {
        let mut child = shell("printf one; printf two >&2; exec >&-; sleep 0.05; printf three >&2");
        let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (mut out, mut err) = (String::new(), String::new());
        child.stdout.take().unwrap().read_to_string(&mut out)?;
        assert_eq!((out.as_str(), child.try_wait()?), ("one", None));
        child.stderr.take().unwrap().read_to_string(&mut err)?;
        assert_eq!(err, "twothree");
        child.wait().map(drop)
    })
    .unwrap();
}

/// PROC-16: surroundings.
#[test]
fn proc_16_surroundings_are_what_was_asked_for() {
    run(|| {
        let mut command = shell("echo $A-$B-$HOME; pwd; ps -o sid= -p $$ 2>/dev/null || true");
        command.env_clear().env("A", "1").envs([("B", "2"), ("C", "3")]).env_remove("C").current_dir("/");
        command.env("PATH", "/usr/bin:/bin");
        let output = command.output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut lines = text.lines();
        assert_eq!((lines.next(), lines.next()), (Some("1-2-"), Some("/")));
        let mut command = shell("kill -0 -$$ && echo leads a group");
        std::os::unix::process::CommandExt::process_group(command.as_std_mut(), 0);
        assert_eq!(command.output()?.stdout, b"leads a group\n");
        Ok(())
    })
    .unwrap();
}

/// PROC-17: the end of the process is one thing, and the end of its output another.
#[test]
fn proc_17_wait_follows_the_process_and_communicate_its_output() {
    run(|| {
        let mut child = shell("sleep 0.3 & exit 5").stdout(Stdio::piped()).spawn()?;
        assert_eq!(child.wait()?.code(), Some(5));
        let mut stdout = child.stdout.take().unwrap();
        let early = timeout(millis(1), || stdout.read(&mut [0]));
        assert!(early.is_err_and(|error| is_timed_out(&error)), "the grandchild still has it");
        assert_eq!(stdout.read(&mut [0])?, 0);
        Ok(())
    })
    .unwrap();
}

/// PROC-19 and H3: fifty at once.
#[test]
fn h3_proc_19_fifty_children_end_at_once() {
    const NAME: &str = "h3_proc_19_fifty_children_end_at_once";
    let output = in_child(NAME, || {
        run(|| {
            let open = || fs::read_dir("/proc/self/fd").unwrap().count();
            assert!(shell("exit 0").status()?.success());
            let before = open();
            let codes = gather(0..50, |n| shell(&format!("exit {n}")).status().map(|status| status.code()))?;
            assert_eq!(codes, (0..50).map(Some).collect::<Vec<_>>());
            // Where threads notice the ends, they have a moment to let go of their pipes.
            timeout(secs(30), || {
                while open() > before {
                    sleep(millis(1))?;
                }
                Ok(())
            })
        })
        .unwrap();
    });
    output.succeeded();
}

#[test]
fn a_child_is_hope_and_no_deadlock() {
    run(|| {
        let child = shell("sleep 0.05").spawn()?;
        child.wait().map(drop) // no timer, no other task
    })
    .unwrap();
}

#[test]
fn the_same_with_a_thread_that_notices_the_end() {
    if std::env::var_os("CORIO_CHILD_WATCH").is_some() {
        return;
    }
    let _watchdog = watchdog();
    for name in [
        "proc_01_a_conversation_by_pipes",
        "proc_06_10_the_status_says_how_it_ended",
        "proc_07_08_any_number_may_wait_and_give_up",
        "h2_proc_14_18_a_child_that_nobody_waits_for_is_reaped",
        "h3_proc_19_fifty_children_end_at_once",
    ] {
        let mut command = child_command(name);
        command.env_remove(SCENARIO).env("CORIO_CHILD_WATCH", "thread");
        finish(command).succeeded();
    }
}

// ---- forks ----------------------------------------------------------------------------------------------------------------

/// H1: the kernel's half of a loop is shared by both, so the fork must not touch it.
#[test]
fn h1_a_fork_leaves_the_loop_of_its_parent_alone() {
    const NAME: &str = "h1_a_fork_leaves_the_loop_of_its_parent_alone";
    let output = in_child(NAME, || {
        let mut runner = corio::Runner::new();
        runner
            .run(|| {
                let (near, far) = corio::net::UnixStream::pair()?;
                assert!(timeout(millis(1), || (&near).read(&mut [0])).is_err(), "it is registered now");
                let mut near = Some(near);
                let status = in_a_fork(|| {
                    drop(near.take()); // here it must not be taken out of the poll
                    let (other, _other) = corio::net::UnixStream::pair().unwrap();
                    let refused = (&other).read(&mut [0]).unwrap_err();
                    i32::from(refused.kind() != ErrorKind::InvalidInput)
                });
                assert_eq!(libc::WEXITSTATUS(status), 0);
                (&far).write_all(b"!")?;
                let mut near = near.as_ref().unwrap();
                timeout(secs(30), || near.read_exact(&mut [0]))
            })
            .unwrap();
        let status = in_a_fork(|| {
            let refused = runner.run(|| Ok(())).unwrap_err();
            let own = run(|| sleep(millis(1)));
            i32::from(refused.kind() != ErrorKind::InvalidInput || own.is_err())
        });
        assert_eq!(libc::WEXITSTATUS(status), 0);
        runner.run(|| sleep(millis(1))).unwrap();
    });
    output.succeeded();
}

#[test]
fn h1_a_fork_that_waits_in_the_loop_of_its_parent_is_ended_and_told_why() {
    const NAME: &str = "h1_a_fork_that_waits_in_the_loop_of_its_parent_is_ended_and_told_why";
    let output = in_child(NAME, || {
        run(|| {
            let status = in_a_fork(|| {
                let _ = sleep(millis(1));
                0
            });
            assert_eq!(libc::WTERMSIG(status), libc::SIGABRT);
            sleep(millis(1))
        })
        .unwrap();
    });
    output.succeeded();
    assert!(output.stderr.contains("forked out of a running event loop"));
}

// ---- pipes ---------------------------------------------------------------------------------------------------------------

/// UNIX-05: data, then the end; a terminal whose other side is gone has ended.
#[test]
fn unix_05_a_pipe_brings_data_and_then_its_end() {
    run(|| {
        let (mut reader, writer) = pipe()?;
        scope(|s| {
            s.spawn(move || {
                let mut writer = writer;
                for _ in 0..50 {
                    writer.write_all(&[7; 10_000])?; // more than a pipe holds
                }
                Ok(())
            });
            let mut bytes = Vec::new();
            assert_eq!(reader.read_to_end(&mut bytes)?, 500_000);
            Ok(())
        })?;
        // SAFETY: opens a pair of descriptors, which nobody else has.
        let (near, far) = unsafe {
            use std::os::fd::{FromRawFd, OwnedFd};
            let (mut near, mut far) = (-1, -1);
            let null = std::ptr::null_mut();
            assert_eq!(libc::openpty(&mut near, &mut far, null, null.cast(), null.cast()), 0);
            (OwnedFd::from_raw_fd(near), OwnedFd::from_raw_fd(far))
        };
        let mut terminal = PipeReader::from_fd(near)?;
        fs::File::from(far).write_all(b"typed")?;
        let mut text = String::new();
        terminal.read_to_string(&mut text)?;
        assert_eq!(text, "typed");
        Ok(())
    })
    .unwrap();
}

/// UNIX-06: the reader is gone, before the write and during it.
#[test]
fn unix_06_a_writer_hears_that_nobody_reads() {
    run(|| {
        let (reader, mut writer) = pipe()?;
        let blocked = spawn(move || Ok(writer.write_all(&[0; 1 << 20])));
        yield_now()?;
        sleep(Duration::from_millis(5))?;
        assert!(!blocked.is_done());
        drop(reader);
        assert_eq!(blocked.join()?.unwrap_err().kind(), ErrorKind::BrokenPipe);
        Ok(())
    })
    .unwrap();
}

#[test]
fn b11_unix_07_a_regular_file_is_no_pipe() {
    let file = fs::File::open(std::env::current_exe().unwrap()).unwrap();
    assert_eq!(PipeReader::from_fd(file.into()).unwrap_err().kind(), ErrorKind::InvalidInput);
    let directory = fs::File::open("/").unwrap();
    assert_eq!(PipeWriter::from_fd(directory.into()).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn output_collects_what_goes_nowhere_else_and_leaves_the_command_as_it_was() {
    run(|| {
        let (near, mut far) = std::os::unix::net::UnixStream::pair()?;
        let mut command = shell("echo out; echo err >&2");
        command.stderr(std::os::fd::OwnedFd::from(near));
        for _ in 0..2 {
            let output = command.output()?;
            assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"out\n"[..], &b""[..]));
        }
        drop(command);
        let mut errors = String::new();
        far.read_to_string(&mut errors)?;
        assert_eq!(errors, "err\nerr\n");
        let mut command = shell("exit 0");
        command.output()?;
        let child = command.spawn()?;
        assert!(child.stdin.is_none() && child.stdout.is_none() && child.stderr.is_none());
        child.wait_with_output()?;
        Ok(())
    })
    .unwrap();
}
