//! Redis by the crate `redis` over our streams, against a real server.

mod support;

use std::cell::Cell;
use std::io::{self, Write};
use std::process::Command;

use corio::net::TcpListener;
use corio::typed::{gather, run, scope, spawn, timeout};
use corio::{is_cancelled, is_timed_out, millis, secs, sleep};
use corio_apps::redis::Connection;
use redis::{Commands, ConnectionLike, Parser, RedisError, RedisResult, TypedCommands, Value, cmd, pipe};
use support::{Caller, Conversation, Directory, Hushed, Served, alone, cancelled_everywhere, is_there, on_a_stack_of};

/// A server that keeps nothing, in a directory of its own.
struct Redis {
    served: Served,
    _directory: Directory,
}

impl Redis {
    fn start() -> Option<Redis> {
        if !is_there("redis-server", &["--version"]) {
            return None;
        }
        let directory = Directory::new();
        let served = Served::start(|port| {
            let mut command = Command::new("redis-server");
            command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"]).arg(&directory.0);
            command
        });
        Some(Redis { served, _directory: directory })
    }

    fn open(&self) -> RedisResult<Connection> {
        Connection::open(("127.0.0.1", self.served.port), 0)
    }
}

#[test]
fn commands_pipelines_and_transactions_work() -> RedisResult<()> {
    let _alone = alone();
    let Some(server) = Redis::start() else { return Ok(()) };
    run(|| {
        let mut redis = Connection::open(("127.0.0.1", server.served.port), 3)?;
        assert!(redis.check_connection() && redis.get_db() == 3);
        TypedCommands::set(&mut redis, "name", "Ada")?;
        assert_eq!(TypedCommands::get(&mut redis, "name")?, Some("Ada".to_owned()));
        assert_eq!(TypedCommands::get(&mut redis, "nobody")?, None);
        let long = "x".repeat(5_000_000);
        TypedCommands::set(&mut redis, "long", &long)?;
        assert_eq!(TypedCommands::get(&mut redis, "long")?.as_ref(), Some(&long));
        // The database is the one that was asked for.
        assert_eq!(TypedCommands::get(&mut server.open()?, "name")?, None);

        let mut many = pipe();
        for n in 0..10_000 {
            many.cmd("RPUSH").arg("list").arg(n).ignore();
        }
        let (length,): (usize,) = many.cmd("LLEN").arg("list").query(&mut redis)?;
        assert_eq!(length, 10_000);
        let list: Vec<u32> = Commands::lrange(&mut redis, "list", 0, -1)?;
        assert!(list.iter().copied().eq(0..10_000));

        let (n, m): (u32, u32) = pipe().atomic().incr("n", 1).incr("n", 1).query(&mut redis)?;
        assert_eq!((n, m), (1, 2));
        Ok(())
    })
}

#[test]
fn what_the_server_refuses_is_an_error_and_the_connection_goes_on() -> RedisResult<()> {
    let _alone = alone();
    let Some(server) = Redis::start() else { return Ok(()) };
    run(|| {
        let mut redis = server.open()?;
        TypedCommands::set(&mut redis, "text", "abc")?;
        let error = TypedCommands::incr(&mut redis, "text", 1).unwrap_err();
        assert!(error.to_string().contains("not an integer"), "{error}");
        // One of several, in a pipeline and in a transaction, and one that spoils a transaction.
        let mut three = pipe();
        three.incr("n", 1).incr("text", 1).incr("n", 1);
        assert!(three.query::<Value>(&mut redis).is_err());
        assert!(three.atomic().query::<Value>(&mut redis).is_err());
        let spoilt = pipe().atomic().incr("n", 1).cmd("NONSENSE").query::<Value>(&mut redis).unwrap_err();
        assert!(spoilt.to_string().to_lowercase().contains("unknown command"), "{spoilt}");
        assert!(redis.is_open());
        assert_eq!(TypedCommands::get_int(&mut redis, "n")?, Some(4));
        Ok(())
    })
}

#[test]
fn tasks_wait_for_the_server_and_for_each_other() -> RedisResult<()> {
    let _alone = alone();
    let Some(server) = Redis::start() else { return Ok(()) };
    run(|| {
        gather(0..20, |_| {
            let mut redis = server.open()?;
            (0..50).try_for_each(|_| TypedCommands::incr(&mut redis, "n", 1).map(drop))
        })?;
        scope(|s| {
            // It waits in the server until somebody pushes, who is a task of the same thread.
            let waiting = s.spawn(|| {
                let mut redis = server.open()?;
                let popped: (String, String) = Commands::blpop(&mut redis, "jobs", 0.0)?;
                Ok(popped.1)
            });
            let mut redis = server.open()?;
            while !cmd("CLIENT").arg("LIST").query::<String>(&mut redis)?.contains("cmd=blpop") {
                sleep(millis(1))?;
            }
            assert!(!waiting.is_done());
            TypedCommands::rpush(&mut redis, "jobs", "a job")?;
            assert_eq!(waiting.join()?, "a job");
            assert_eq!(TypedCommands::get_int(&mut redis, "n")?, Some(1_000));
            Ok(())
        })
    })
}

#[test]
fn after_a_request_that_was_given_up_a_connection_refuses_to_take_its_answer_for_another() -> RedisResult<()> {
    let _alone = alone();
    let Some(server) = Redis::start() else { return Ok(()) };
    run(|| {
        let mut redis = server.open()?;
        let late = timeout(millis(20), || {
            let popped: RedisResult<(String, String)> = Commands::blpop(&mut redis, "jobs", 0.0);
            popped.map(drop)
        });
        let error: RedisError = late.unwrap_err();
        assert!(is_timed_out(&error) && is_cancelled(&error), "{error}");
        assert!(!redis.is_open());
        let error = TypedCommands::get(&mut redis, "name").unwrap_err();
        assert!(error.to_string().contains("connect anew"), "{error}");
        assert!(!redis.check_connection());

        let mut redis = server.open()?;
        let task = spawn(move || {
            let popped: RedisResult<(String, String)> = Commands::blpop(&mut redis, "jobs", 0.0);
            assert!(!redis.is_open());
            popped.map(drop)
        });
        sleep(millis(20))?;
        task.cancel();
        // Inside an error that can be cloned.
        assert!(is_cancelled(&task.join().unwrap_err()));
        Ok(())
    })
}

#[test]
fn a_request_can_be_cancelled_anywhere() {
    let _alone = alone();
    let Some(server) = Redis::start() else { return };
    cancelled_everywhere("redis", |part| {
        let asked = Cell::new(0);
        let before = counted(&server)?;
        let done = part.run(|| {
            let mut redis = server.open().map_err(io::Error::other)?;
            for _ in 0..5 {
                asked.set(asked.get() + 1);
                TypedCommands::incr(&mut redis, "n", 1).map_err(io::Error::other)?;
                let twice: RedisResult<()> = pipe().atomic().incr("m", 1).incr("m", 1).exec(&mut redis);
                twice.map_err(io::Error::other)?;
            }
            Ok(())
        });
        // Each request has been done once or never, and those before the one that was given up have been done.
        let after = counted(&server)?;
        let (n, m) = (after.0 - before.0, after.1 - before.1);
        assert!(done.is_none() || n == 5);
        assert!((asked.get() - 1).max(0) <= n && n <= asked.get(), "asked {} times, done {n} times", asked.get());
        assert!(m % 2 == 0 && m / 2 <= n && n - m / 2 <= 1, "{n} and {m}");
        Ok(())
    });
}

#[test]
fn a_server_that_falls_silent_anywhere_meets_a_limit_and_a_cancellation() {
    let _alone = alone();
    let ask = |listener: &TcpListener| {
        let talk = || {
            let mut redis = Connection::open(listener.local_addr()?, 3)?;
            TypedCommands::set(&mut redis, "name", "Ada")?;
            assert_eq!(TypedCommands::get(&mut redis, "name")?, Some("Ada".to_owned()));
            let (n, m): (u32, u32) = pipe().atomic().incr("n", 1).incr("n", 1).query(&mut redis)?;
            assert_eq!((n, m), (1, 2));
            Ok::<_, RedisError>(())
        };
        talk().map_err(io::Error::other)
    };
    // It has an answer to each of these requests, whatever they are.
    let answer = |mut stream: Hushed| {
        let mut parser = Parser::new();
        let queued = ["+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "*2\r\n:1\r\n:2\r\n"];
        for answer in ["+OK\r\n", "+OK\r\n", "$3\r\nAda\r\n"].iter().chain(&queued) {
            parser.parse_value(&mut stream).map_err(io::Error::other)?;
            stream.write_all(answer.as_bytes())?;
        }
        Ok(())
    };
    Conversation::new("redis", Caller::We, ask, answer).with_silences_everywhere(1, 10);
}

fn counted(server: &Redis) -> io::Result<(isize, isize)> {
    let count = || {
        let mut redis = server.open()?;
        // Whatever the server has still to do of an earlier connection, it does before it is told that there is none.
        cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes").exec(&mut redis)?;
        let n = TypedCommands::get_int(&mut redis, "n")?.unwrap_or(0);
        Ok::<_, RedisError>((n, TypedCommands::get_int(&mut redis, "m")?.unwrap_or(0)))
    };
    count().map_err(io::Error::other)
}

#[test]
fn a_server_that_goes_away_is_an_error() -> RedisResult<()> {
    let _alone = alone();
    let Some(server) = Redis::start() else { return Ok(()) };
    run(|| {
        let mut redis = server.open()?;
        drop(server);
        let error = TypedCommands::get(&mut redis, "name").unwrap_err();
        assert!(error.is_io_error() && !redis.is_open(), "{error}");
        Ok(())
    })
}

#[test]
fn how_much_stack_it_uses() {
    let _alone = alone();
    let Some(server) = Redis::start() else { return };
    support::run(|| {
        on_a_stack_of(256, "redis", move || {
            let mut redis = server.open().map_err(io::Error::other)?;
            TypedCommands::set(&mut redis, "name", "Ada").map_err(io::Error::other)?;
            let name: Vec<String> = pipe().get("name").get("name").query(&mut redis).map_err(io::Error::other)?;
            assert_eq!(name, ["Ada", "Ada"]);
            Ok(())
        })
    });
}

#[test]
fn off_the_loop_the_same_calls_block_the_thread() {
    let _alone = alone();
    let Some(server) = Redis::start() else { return };
    let mut redis = server.open().unwrap();
    TypedCommands::set(&mut redis, "name", "Ada").unwrap();
    // And the connection goes on in a loop.
    let name = run(move || timeout(secs(30), || TypedCommands::get(&mut redis, "name")));
    assert_eq!(name.unwrap(), Some("Ada".to_owned()));
}

#[test]
fn the_program_counts() {
    let _alone = alone();
    let Some(server) = Redis::start() else { return };
    let mut counter = Command::new(env!("CARGO_BIN_EXE_counter"));
    let output = counter.arg(format!("127.0.0.1:{}", server.served.port)).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "1000\n", "{}", String::from_utf8_lossy(&output.stderr));
}
