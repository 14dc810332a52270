//! PostgreSQL by tokio-postgres over the streams of `corio::aio`, against a real server.

mod support;

use std::cell::Cell;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::rc::Rc;

use corio::net::{self, SocketAddr};
use corio::{aio, is_cancelled, is_timed_out, millis, secs, sleep, spawn};
use corio_apps::postgres::Connection;
use futures_util::future::{join_all, try_join, try_join_all};
use support::{
    Caller, Conversation, Directory, Hushed, alone, cancelled_everywhere, free_port, is_there, on_a_stack_of, run,
};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Error, SimpleQueryMessage};

/// A server in a directory of its own.
struct Postgres {
    directory: Directory,
    port: u16,
}

impl Postgres {
    fn start() -> Option<Postgres> {
        let postgres = program("postgres");
        if !is_there(&postgres.to_string_lossy(), &["--version"]) {
            return None;
        }
        let directory = Directory::new();
        if let Some(user) = user() {
            chown(&directory.0, Some(user), Some(user)).unwrap();
        }
        let made =
            quiet("initdb").args(["--username=postgres", "--auth=trust", "--no-sync", "-D"]).arg(&directory.0).status();
        assert!(made.unwrap().success());
        // If it ends at once, another has taken the port.
        let port = (0..10).map(|_| free_port()).find(|port| {
            let options =
                format!("-c port={port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off");
            let mut start = quiet("pg_ctl");
            start
                .args(["start", "--wait", "--silent", "-o", &options, "-D"])
                .arg(&directory.0)
                .status()
                .unwrap()
                .success()
        });
        Some(Postgres { directory, port: port.expect("a server that starts") })
    }

    fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    async fn open(&self) -> io::Result<Connection> {
        open(self.address()).await
    }

    /// Ends it without asking those who are connected.
    fn stop(&self) {
        let _ = quiet("pg_ctl").args(["stop", "--mode=immediate", "-D"]).arg(&self.directory.0).status();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn open(address: SocketAddr) -> io::Result<Connection> {
    Connection::open(address, Config::new().user("postgres")).await
}

/// Debian keeps its programs off the path; of several versions any will do.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = versions.map(|version| version.path().join("bin").join(name)).find(|program| program.exists());
    found.unwrap_or_else(|| name.into())
}

/// One of its programs, in whose name a server may run.
fn quiet(name: &str) -> Command {
    let mut command = Command::new(program(name));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(user) = user() {
        command.uid(user).gid(user).current_dir("/");
    }
    command
}

/// It refuses to run as root; then it is nobody.
fn user() -> Option<u32> {
    const NOBODY: u32 = 65_534;
    (fs::metadata("/proc/self").unwrap().uid() == 0).then_some(NOBODY)
}

fn other(error: Error) -> io::Error {
    io::Error::other(error)
}

/// What a query brings that has one number in one row.
async fn number(client: &Client, query: &str) -> io::Result<i64> {
    client.query_one(query, &[]).await.map_err(other)?.try_get(0).map_err(other)
}

/// Whether the server is still at something that sleeps.
async fn sleeps(client: &Client) -> io::Result<bool> {
    let query = "select count(*) from pg_stat_activity where pid <> pg_backend_pid() and query like '%pg_sleep%' \
                 and state = 'active'";
    Ok(number(client, query).await? > 0)
}

#[test]
fn queries_transactions_and_copies_work() {
    let _alone = alone();
    let Some(server) = Postgres::start() else { return };
    run(|| {
        aio::wait_on(async {
            let mut connection = server.open().await?;
            let client = &mut connection.client;
            client
                .batch_execute("create table people (id int primary key, name text not null)")
                .await
                .map_err(other)?;
            let insert = client.prepare("insert into people values ($1, $2)").await.map_err(other)?;
            let long = "x".repeat(5_000_000);
            for (id, name) in [(1, "Ada"), (2, &long)] {
                assert_eq!(client.execute(&insert, &[&id, &name]).await.map_err(other)?, 1);
            }
            let rows = client.query("select name from people order by id", &[]).await.map_err(other)?;
            let names: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
            assert!(names == ["Ada", &long]);

            // A transaction that is dropped has not happened.
            let transaction = client.transaction().await.map_err(other)?;
            transaction.execute("delete from people", &[]).await.map_err(other)?;
            drop(transaction);
            assert_eq!(number(client, "select count(*) from people").await?, 2);
            let transaction = client.transaction().await.map_err(other)?;
            transaction.execute("delete from people where id = 2", &[]).await.map_err(other)?;
            transaction.commit().await.map_err(other)?;
            assert_eq!(number(client, "select count(*) from people").await?, 1);

            let told = client.simple_query("select name, null from people").await.map_err(other)?;
            let rows = told.iter().filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some((row.get(0), row.get(1))),
                _ => None,
            });
            assert_eq!(rows.collect::<Vec<_>>(), [(Some("Ada"), None)]);
            drop(insert);
            connection.close().await
        })?
    });
}

#[test]
fn queries_that_are_asked_at_once_are_answered_in_order_and_each_gets_its_own() {
    let _alone = alone();
    let Some(server) = Postgres::start() else { return };
    run(|| {
        aio::wait_on(async {
            let connection = server.open().await?;
            let double = connection.client.prepare("select $1::int8 * 2").await.map_err(other)?;
            let asked = (0..1_000_i64).map(async |n| {
                let row = connection.client.query_one(&double, &[&n]).await.map_err(other)?;
                Ok::<i64, io::Error>(row.get(0))
            });
            assert!(try_join_all(asked).await?.into_iter().eq((0..1_000).map(|n| n * 2)));
            connection.close().await
        })?
    });
}

#[test]
fn coroutines_and_futures_share_a_connection() {
    let _alone = alone();
    let Some(server) = Postgres::start() else { return };
    run(|| {
        let connection = Rc::new(aio::wait_on(server.open())??);
        aio::wait_on(connection.client.batch_execute("create sequence turns"))?.map_err(other)?;
        let tasks: Vec<_> = (0..20)
            .map(|n| {
                let connection = connection.clone();
                let turn = async move { number(&connection.client, "select nextval('turns')").await };
                if n % 2 == 0 { spawn(move || aio::wait_on(turn)?) } else { aio::spawn_local(turn) }
            })
            .collect();
        let mut turns = tasks.into_iter().map(|task| task.join()).collect::<io::Result<Vec<_>>>()?;
        turns.sort_unstable();
        assert!(turns.into_iter().eq(1..=20));
        aio::wait_on(Rc::into_inner(connection).expect("all have ended").close())?
    });
}

#[test]
fn what_the_server_refuses_is_an_error_and_the_connection_goes_on() {
    let _alone = alone();
    let Some(server) = Postgres::start() else { return };
    run(|| {
        aio::wait_on(async {
            let nobody = Connection::open(server.address(), Config::new().user("nobody")).await;
            let refused = nobody.err().expect("there is no such user");
            assert_eq!(code(&refused), Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION), "{refused}");

            let connection = server.open().await?;
            let client = &connection.client;
            let refusals = [
                ("select", "select 1 from nowhere", SqlState::UNDEFINED_TABLE),
                ("nonsense", "selekt 1", SqlState::SYNTAX_ERROR),
                ("too late", "select 1 / (n - 1) from generate_series(0, 9) n", SqlState::DIVISION_BY_ZERO),
            ];
            // All at once: what comes after an error is not spoilt.
            let answers = join_all(refusals.iter().map(|(_, query, _)| client.query(*query, &[])));
            let (answers, one) = try_join(async { Ok(answers.await) }, number(client, "select 1::int8")).await?;
            assert_eq!(one, 1);
            for ((what, _, state), answer) in refusals.iter().zip(answers) {
                assert_eq!(answer.expect_err(what).code(), Some(state), "{what}");
            }
            connection.close().await
        })?
    });
}

/// The server's, in an error that `Connection` has given.
fn code(error: &io::Error) -> Option<&SqlState> {
    error.get_ref()?.downcast_ref::<Error>()?.code()
}

#[test]
fn what_others_tell_is_heard_until_the_connection_ends() {
    let _alone = alone();
    let Some(server) = Postgres::start() else { return };
    run(|| {
        let (listener, teller) = aio::wait_on(try_join(server.open(), server.open()))??;
        aio::wait_on(listener.client.batch_execute("listen news"))?.map_err(other)?;
        let told = listener.notifications.clone();
        let hearing = spawn(move || {
            let heard = (&*told).into_iter().map(|told| told.map(|told| told.payload().to_owned()));
            heard.collect::<io::Result<Vec<_>>>()
        });
        for n in 0..3 {
            aio::wait_on(teller.client.batch_execute(&format!("notify news, '{n}'")))?.map_err(other)?;
        }
        // An answer comes after what was told before it.
        aio::wait_on(number(&listener.client, "select 1::int8"))??;
        aio::wait_on(try_join(listener.close(), teller.close()))??;
        assert_eq!(hearing.join()?, ["0", "1", "2"]);
        Ok(())
    });
}

#[test]
fn the_program_shows_what_psql_tells() {
    let _alone = alone();
    let Some(server) = Postgres::start() else { return };
    let address = server.address().to_string();
    let mut listening = Command::new(env!("CARGO_BIN_EXE_listen"))
        .args([&address, "postgres", "news"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(listening.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(said.next().as_deref(), Some("listening to news"));
    let port = server.port.to_string();
    let mut psql = quiet("psql");
    psql.args(["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-c", "notify news, 'hello'"]);
    assert!(psql.status().unwrap().success());
    assert_eq!(said.next().as_deref(), Some("hello"));
    // It ends with the connection, and says why.
    server.stop();
    assert_eq!(said.next(), None);
    assert!(!listening.wait().unwrap().success());
}

// ---- time ----------------------------------------------------------------------------------------------------------

#[test]
fn a_query_that_takes_too_long_is_given_up_by_the_server_too() {
    let _alone = alone();
    let Some(server) = Postgres::start() else { return };
    run(|| {
        aio::wait_on(async {
            let (connection, other_one) = try_join(server.open(), server.open()).await?;
            let late = connection.within(millis(100), connection.client.batch_execute("select pg_sleep(600)")).await;
            assert!(is_timed_out(&late.unwrap_err()));
            let soon = connection.within(secs(600), connection.client.query_one("select 'here'", &[])).await?;
            assert_eq!(soon.get::<_, &str>(0), "here");
            assert!(!sleeps(&other_one.client).await?);
            // What the server says itself, before the limit.
            let wrong = connection.within(secs(600), connection.client.batch_execute("selekt")).await.unwrap_err();
            assert_eq!(code(&wrong), Some(&SqlState::SYNTAX_ERROR), "{wrong}");
            try_join(connection.close(), other_one.close()).await.map(drop)
        })?
    });
}

#[test]
fn a_request_to_give_up_never_meets_the_query_after() {
    let _alone = alone();
    let Some(server) = Postgres::start() else { return };
    run(|| {
        aio::wait_on(async {
            let connection = server.open().await?;
            // The limit and the answer come at about the same time.
            for _ in 0..300 {
                match connection.within(millis(2), connection.client.batch_execute("select pg_sleep(0.002)")).await {
                    Err(error) if !is_timed_out(&error) => return Err(error),
                    _ => assert_eq!(number(&connection.client, "select 1::int8").await?, 1),
                }
            }
            connection.close().await
        })?
    });
}

// ---- cancellation --------------------------------------------------------------------------------------------------

#[test]
fn a_task_that_waits_for_an_answer_can_be_cancelled_and_the_connection_is_for_others() {
    let _alone = alone();
    let Some(server) = Postgres::start() else { return };
    run(|| {
        let connection = Rc::new(aio::wait_on(server.open())??);
        let watcher = aio::wait_on(server.open())??;
        for is_direct in [false, true] {
            let sleeping = connection.clone();
            let ask = async move { sleeping.client.batch_execute("select pg_sleep(600)").await.map_err(other) };
            let task = if is_direct { spawn(move || aio::wait_on(ask)?) } else { aio::spawn_local(ask) };
            while !aio::wait_on(sleeps(&watcher.client))?? {
                sleep(millis(1))?;
            }
            task.cancel();
            assert!(is_cancelled(&task.join().unwrap_err()));
            // The server does not know of it, and answers in order: the next one waits, until the server is told.
            assert!(aio::wait_on(sleeps(&watcher.client))??);
            let next = connection.clone();
            let next = aio::spawn_local(async move { number(&next.client, "select 1::int8").await });
            aio::wait_on(connection.cancel())??;
            assert_eq!(next.join()?, 1);
        }
        let connection = Rc::into_inner(connection).expect("all have ended");
        aio::wait_on(try_join(connection.close(), watcher.close()))?.map(drop)
    });
}

#[test]
fn a_client_can_be_cancelled_anywhere() {
    let _alone = alone();
    let Some(server) = Postgres::start() else { return };
    let address = server.address();
    /// How many have been written, when nobody else is connected: to hang up does not end what the server is at.
    async fn count(watcher: &Connection) -> io::Result<i64> {
        let others = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                      where backend_type = 'client backend' and pid <> pg_backend_pid()";
        while number(&watcher.client, others).await? > 0 {
            aio::sleep(millis(1)).await?;
        }
        number(&watcher.client, "select count(*) from written").await
    }
    run(|| {
        aio::wait_on(async {
            let connection = server.open().await?;
            connection.client.batch_execute("create table written (n int)").await.map_err(other)?;
            connection.close().await
        })?
    });
    cancelled_everywhere("tokio-postgres", |part| {
        let watcher = aio::wait_on(open(address))??;
        let before = aio::wait_on(count(&watcher))??;
        let asked = Cell::new(0);
        let talk = async || {
            let connection = open(address).await?;
            for _ in 0..2 {
                asked.set(asked.get() + 1);
                connection.client.execute("insert into written values (1)", &[]).await.map_err(other)?;
            }
            match connection.within(millis(5), connection.client.batch_execute("select pg_sleep(1)")).await {
                Err(error) if is_timed_out(&error) => connection.close().await,
                other => other,
            }
        };
        let done = part.run(|| aio::wait_on(talk())?);
        // Each has been done once or never, and those before the one that was given up have been done.
        let written = aio::wait_on(count(&watcher))?? - before;
        assert!(done.is_none() || written == 2);
        assert!((asked.get() - 1).max(0) <= written && written <= asked.get(), "asked {asked:?}, written {written}");
        aio::wait_on(watcher.close())?
    });
}

#[test]
fn a_server_that_goes_away_is_an_error() {
    let _alone = alone();
    let Some(server) = Postgres::start() else { return };
    run(|| {
        let connection = aio::wait_on(server.open())??;
        let told = connection.notifications.clone();
        let hearing = spawn(move || (&*told).into_iter().try_for_each(|told| told.map(drop)));
        drop(server);
        let error = aio::wait_on(connection.client.batch_execute("select 1"))?.unwrap_err();
        assert!(error.is_closed(), "{error}");
        hearing.join()?;
        assert!(aio::wait_on(connection.close())?.is_err());
        Ok(())
    });
}

// ---- silence -------------------------------------------------------------------------------------------------------

/// That whoever calls may come in; a secret to cancel by; and that the next query may come.
const WELCOME: &[u8] = b"R\0\0\0\x08\0\0\0\0K\0\0\0\x0c\0\0\0\x01\0\0\0\x02Z\0\0\0\x05I";
/// That a query has been done.
const DONE: &[u8] = b"C\0\0\0\x0dSELECT 0\0Z\0\0\0\x05I";

/// Reads a message, of which the head says the length: all messages but the first one begin with a letter.
fn read_message(stream: &mut impl Read, letters: usize) -> io::Result<()> {
    stream.read_exact(&mut vec![0; letters])?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut rest = vec![0; u32::from_be_bytes(length) as usize - length.len()];
    stream.read_exact(&mut rest)
}

#[test]
fn a_server_that_falls_silent_anywhere_meets_a_limit_and_a_cancellation() {
    let _alone = alone();
    let ask = |listener: &net::TcpListener| {
        let server = listener.local_addr()?;
        aio::wait_on(async {
            let connection = open(server).await?;
            try_join(connection.client.batch_execute("select 1"), connection.client.batch_execute("select 2"))
                .await
                .map_err(other)?;
            connection.close().await
        })?
    };
    // It answers when both have come: they are sent without waiting.
    let answer = |mut stream: Hushed| {
        read_message(&mut stream, 0)?;
        stream.write_all(WELCOME)?;
        read_message(&mut stream, 1)?;
        read_message(&mut stream, 1)?;
        stream.write_all(&DONE.repeat(2))?;
        stream.read_to_end(&mut Vec::new()).map(drop)
    };
    Conversation::new("tokio-postgres", Caller::We, ask, answer).with_silences_everywhere(3, 10);
}

#[test]
fn how_much_stack_it_uses() {
    let _alone = alone();
    let Some(server) = Postgres::start() else { return };
    let address = server.address();
    run(|| {
        on_a_stack_of(260, "tokio-postgres", move || {
            aio::wait_on(async {
                let connection = open(address).await?;
                assert_eq!(number(&connection.client, "select 1::int8").await?, 1);
                connection.close().await
            })?
        })
    });
}
