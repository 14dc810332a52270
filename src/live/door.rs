//! Where the live view is asked: a socket in a directory of the user's own.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::sys;

/// Where such a directory may be, the best place first. A program that a service manager has started and a shell may know of
/// different ones, so who asks looks at all.
fn candidates() -> Vec<PathBuf> {
    let user = sys::user();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let own = format!("/run/user/{user}");
    let mut all: Vec<PathBuf> = runtime.into_iter().chain([own.into()]).map(|path| path.join("corio")).collect();
    all.extend([std::env::temp_dir(), "/tmp".into()].map(|path| path.join(format!("corio-{user}"))));
    all.retain(|path| path.is_absolute()); // a relative one would be another directory for everybody
    all.dedup();
    all
}

/// Whether nobody else can get into that directory. That nobody puts another one in its place is for the one above to see to, as `/tmp`
/// does by its sticky bit; whoever did would still meet the second lock.
fn is_private(directory: &Path) -> io::Result<()> {
    let status = fs::symlink_metadata(directory)?;
    if status.is_dir() && status.uid() == sys::user() && status.mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(io::Error::new(
        ErrorKind::PermissionDenied,
        "it must be a directory that belongs to this user, and that nobody else may enter (mode 0700)",
    ))
}

fn name(pid: u32) -> String {
    format!("{pid}.sock")
}

/// The sockets that are there, with the ids of their processes.
pub(super) fn sockets() -> Vec<(u32, PathBuf)> {
    let private = candidates().into_iter().filter(|directory| is_private(directory).is_ok());
    let entries = private.filter_map(|directory| fs::read_dir(directory).ok()).flatten().flatten();
    let socket = |entry: fs::DirEntry| {
        let pid = entry.file_name().to_str()?.strip_suffix(".sock")?.parse().ok()?;
        Some((pid, entry.path()))
    };
    entries.filter_map(socket).collect()
}

/// An open door: the socket is there until this is dropped.
pub(super) struct Door {
    listener: UnixListener,
    path: PathBuf,
}

impl Door {
    /// In the best place that there is.
    pub(super) fn open() -> io::Result<Door> {
        let mut failed = String::new();
        for directory in candidates() {
            match Door::open_in(&directory) {
                Ok(door) => return Ok(door),
                Err(error) => failed += &format!("\n  {}: {error}", directory.display()),
            }
        }
        Err(io::Error::other(format!("no place for its socket:{failed}")))
    }

    fn open_in(directory: &Path) -> io::Result<Door> {
        match DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => is_private(directory)?,
        }
        let path = directory.join(name(std::process::id()));
        if path.symlink_metadata().is_ok() {
            // Of an earlier process with this number, unless somebody answers: then of one in another namespace.
            // It may be stopped, and its line full: who begins a run does not wait for it.
            if super::answers(&path) {
                return Err(ErrorKind::AddrInUse.into());
            }
            fs::remove_file(&path)?;
        }
        let listener = UnixListener::bind(&path)?;
        let door = Door { listener, path };
        door.listener.set_nonblocking(true)?;
        Ok(door)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn fd(&self) -> i32 {
        self.listener.as_raw_fd()
    }

    /// The next who has come, if there is one. Nobody else comes in through the directory; this is the second lock.
    pub(super) fn next(&self) -> io::Result<Option<Guest>> {
        let guest = match self.listener.accept() {
            Ok((guest, _)) => guest,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        let user = sys::peer_user(guest.as_raw_fd())?;
        Ok(Some(if user == sys::user() { Guest::Own(guest) } else { Guest::Other(user) }))
    }
}

/// Who has come.
pub(super) enum Guest {
    /// The program's own user.
    Own(UnixStream),
    /// Another one, by his number: he is not let in.
    Other(u32),
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
