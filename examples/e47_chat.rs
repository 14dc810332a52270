//! **Lesson.** Broadcasting is a queue per client.
//!
//! **Predict.** Ada says two things, Grace one, and Silent never reads a word. How many tasks does the server need for three
//! clients? Whom does Silent hold up?
//!
//! **Shows** V4, V5: a client's two tasks, and who wakes the one that writes.
//! **Covers** A12, D26: connections that last, broadcasts, chat servers.
//!
//! Run `cargo run --example e47_chat`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` for real sockets.

use std::io::{self, Write};
use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use corio::io::StreamReader;
use corio::net::{TcpListener, TcpStream};
use corio::{Builder, Queue, millis, say, scope, sleep, spawn};

mod common;

type Room = RefCell<BTreeMap<u32, Rc<Queue<String>>>>;

fn tell(room: &Room, text: &str) {
    for outbox in room.borrow().values() {
        let _ = outbox.try_put(format!("{text}\n")); // whoever is too slow misses lines, and holds up nobody
    }
}

fn serve(room: &Room, id: u32, stream: TcpStream) -> io::Result<()> {
    let outbox = Rc::new(Queue::bounded(16));
    room.borrow_mut().insert(id, outbox.clone());
    let end = scope(|s| {
        let write = || {
            for line in &*outbox {
                (&stream).write_all(line?.as_bytes())?;
            }
            Ok(())
        };
        drop(Builder::new().name(format!("writer {id}")).spawn_scoped(s, write)?);
        for line in StreamReader::new(&stream).lines() {
            tell(room, &format!("{id}: {}", line?));
        }
        outbox.shutdown(); // the writer sends what is left, and ends
        Ok(())
    });
    room.borrow_mut().remove(&id);
    end
}

fn client(name: &'static str, says: &'static [&'static str], listener: &TcpListener) -> io::Result<()> {
    let stream = TcpStream::connect(listener.local_addr()?)?;
    if !says.is_empty() {
        let reading = stream.try_clone()?;
        drop(spawn(move || {
            for line in StreamReader::new(reading).lines() {
                say!("{name} reads {}", line?);
            }
            Ok(())
        }));
    }
    sleep(millis(100))?;
    says.iter().try_for_each(|text| (&stream).write_all(format!("{text}\n").as_bytes()))?;
    sleep(millis(100))?;
    stream.shutdown(std::net::Shutdown::Write)
}

pub(crate) fn program() -> io::Result<()> {
    let (room, listener) = (&Room::default(), &TcpListener::bind("127.0.0.1:0")?);
    scope(|s| {
        for (id, (name, says)) in (1..).zip([("Ada", &["hello", "anybody?"][..]), ("Grace", &["hi"]), ("Silent", &[])])
        {
            drop(Builder::new().name(name).spawn_scoped(s, move || client(name, says, listener))?);
            let (stream, _) = listener.accept()?;
            let reader = move || serve(room, id, stream).unwrap_or_else(|error| say!("{name} is gone: {error}"));
            drop(Builder::new().name(format!("reader {id}")).spawn_scoped(s, reader)?);
        }
        Ok(())
    })
}

fn main() -> io::Result<()> {
    common::watch(program)
}
