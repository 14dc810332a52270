//! Redis by the crate `redis`: its commands, pipelines and scripts over a connection of ours.
//!
//! The crate's own connection is made of std's streams. But all that it knows of commands stands on one trait,
//! [`ConnectionLike`], and its parser reads from whatever can be read.

use std::io::{self, Write};

use corio::net::{TcpStream, ToSocketAddrs};
use redis::{Cmd, ConnectionLike, Parser, RedisError, RedisResult, Value, cmd};

/// A connection to a server, whose calls wait in their task.
pub struct Connection {
    stream: TcpStream,
    parser: Parser,
    database: i64,
    /// A request has been sent, at least in part, and not all of its answer has been read.
    is_out_of_step: bool,
}

impl Connection {
    /// Connects, and takes the database of that number.
    pub fn open(address: impl ToSocketAddrs, database: i64) -> RedisResult<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let mut connection = Connection { stream, parser: Parser::new(), database, is_out_of_step: false };
        if database != 0 {
            cmd("SELECT").arg(database).exec(&mut connection)?;
        }
        Ok(connection)
    }

    /// Sends a request and reads its answers.
    ///
    /// One that was given up on the way, by a cancellation or a time limit, leaves an answer on the wire, and the next
    /// request would take it for its own. So a connection is good for nothing after an error.
    fn ask<T>(&mut self, request: &[u8], read: impl FnOnce(&mut Connection) -> RedisResult<T>) -> RedisResult<T> {
        if self.is_out_of_step {
            let text = "an earlier request was given up before its answer had come: connect anew";
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, text).into());
        }
        self.is_out_of_step = true;
        self.stream.write_all(request)?;
        let answer = read(self)?;
        self.is_out_of_step = false;
        Ok(answer)
    }

    /// The next answer. What the server tells unasked is passed over.
    fn answer(&mut self) -> RedisResult<Value> {
        loop {
            match self.parser.parse_value(&self.stream)? {
                Value::Push { .. } => {}
                value => return Ok(value),
            }
        }
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command(&mut self, request: &[u8]) -> RedisResult<Value> {
        self.ask(request, Connection::answer)
    }

    fn req_command(&mut self, command: &Cmd) -> RedisResult<Value> {
        let request = command.get_packed_command();
        if command.is_no_response() {
            return self.ask(&request, |_| Ok(Value::Nil));
        }
        self.req_packed_command(&request)
    }

    /// The first `skip` answers say no more than that the server has understood, or has not: then the last one says that
    /// nothing was done.
    fn req_packed_commands(&mut self, requests: &[u8], skip: usize, count: usize) -> RedisResult<Vec<Value>> {
        let (refused, answers) = self.ask(requests, |connection| {
            let mut refused = None;
            for _ in 0..skip {
                if let Value::ServerError(error) = connection.answer()? {
                    refused.get_or_insert(error);
                }
            }
            let answers: RedisResult<Vec<Value>> = (0..count).map(|_| connection.answer()).collect();
            Ok((refused, answers?))
        })?;
        match refused {
            Some(error) => Err(RedisError::from(error)),
            None => Ok(answers),
        }
    }

    fn get_db(&self) -> i64 {
        self.database
    }

    fn check_connection(&mut self) -> bool {
        cmd("PING").exec(self).is_ok()
    }

    fn is_open(&self) -> bool {
        !self.is_out_of_step
    }
}
