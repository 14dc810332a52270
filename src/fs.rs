//! Files.
//!
//! The kernel calls a file always ready, and then blocks the thread that reads it. So everything here is done on a thread of
//! the loop's executor while the task waits ([`to_thread`]); on a thread without a loop it is done right
//! there. A hop costs some microseconds: read and write in large pieces, or through std's `BufReader` and `BufWriter`.
//!
//! A cancelled call that has not begun never begins; one that has begun is waited for, and its result counts (R13). The
//! functions are those of [`std::fs`] and have its errors; besides, all of them may fail with a cancellation, and with
//! [`InvalidInput`](io::ErrorKind::InvalidInput) in a callback.
//!
//! ```
//! use corio::{fs, run};
//! use std::io;
//!
//! let place = std::env::temp_dir().join(format!("corio-fs-{}", std::process::id()));
//! run(|| {
//!     fs::create_dir_all(place.join("one/two"))?;
//!     let (text, copy, link) = (place.join("text"), place.join("copy"), place.join("link"));
//!     fs::write(&text, "a line\n")?;
//!     assert_eq!(fs::read_to_string(&text)?.into_bytes(), fs::read(&text)?);
//!     assert_eq!(fs::copy(&text, &copy)?, fs::metadata(&text)?.len());
//!
//!     fs::symlink(&text, &link)?;
//!     assert_eq!(fs::read_link(&link)?, text);
//!     assert!(fs::symlink_metadata(&link)?.is_symlink() && fs::canonicalize(&link)? == fs::canonicalize(&text)?);
//!     fs::hard_link(&text, place.join("second name"))?;
//!     fs::rename(&copy, &text)?; // replaces it in one step; the second name still has the old one
//!     assert!(fs::exists(&text)? && !fs::exists(&copy)?);
//!
//!     let mut permissions = fs::metadata(&text)?.permissions();
//!     permissions.set_readonly(true);
//!     fs::set_permissions(&text, permissions)?;
//!     fs::create_dir(place.join("three"))?;
//!     fs::remove_dir(place.join("three"))?;
//!     fs::remove_file(&link)?;
//!     let mut names = fs::read_dir(&place)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
//!     names.sort();
//!     assert_eq!(names, ["one", "second name", "text"]);
//!     fs::remove_dir_all(&place)
//! })
//! # .unwrap()
//! ```

use std::fs::{self, Metadata, Permissions};
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::vec;

use crate::provided::methods;
use crate::to_thread;

/// An open file. The counterpart of [`std::fs::File`].
///
/// It can be read and written through a shared reference; all handles of an open file have one position.
///
/// ```
/// use corio::fs::{self, File};
/// use std::io::{BufRead, BufReader, Write};
///
/// let path = std::env::temp_dir().join(format!("corio-doc-{}", std::process::id()));
/// corio::run(|| {
///     File::create(&path)?.write_all(b"one\ntwo\n")?;
///     let lines = BufReader::new(File::open(&path)?).lines();
///     assert_eq!(lines.collect::<Result<Vec<_>, _>>()?, ["one", "two"]); // line by line, while others run
///     fs::remove_file(&path)
/// })
/// # .unwrap()
/// ```
///
/// A file that is on the disk, whatever happens, before another one is told of it:
///
/// ```
/// use corio::fs::{self, File};
/// use std::io::{Seek, Write};
///
/// let path = std::env::temp_dir().join(format!("corio-sync-{}", std::process::id()));
/// corio::run(|| {
///     let mut journal = File::create_new(&path)?; // fails if another has it
///     journal.write_all(b"entry 1, and something that was begun")?;
///     journal.set_len(7)?;
///     journal.sync_data()?; // what is in it
///     journal.sync_all()?; // and its size and times
///     let mut permissions = journal.metadata()?.permissions();
///     permissions.set_readonly(true);
///     journal.set_permissions(permissions)?;
///
///     let mut same = journal.try_clone()?;
///     same.rewind()?;
///     assert_eq!(journal.stream_position()?, 0); // they share one position
///     let of_std: std::fs::File = journal.into_std();
///     assert_eq!(File::from_std(of_std).metadata()?.len(), 7);
///     fs::remove_file(&path)
/// })
/// # .unwrap()
/// ```
#[derive(Debug)]
pub struct File {
    file: fs::File,
}

impl File {
    /// Opens a file to read it.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::open`], and see the [module](self).
    #[track_caller]
    pub fn open(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).open(path)
    }

    /// Opens a file to write it; makes it if it is not there, and empties it if it is.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::create`], and see the [module](self).
    #[track_caller]
    pub fn create(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path)
    }

    /// Makes a file that is not there yet, to read and write it.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::create_new`], and see the [module](self).
    #[track_caller]
    pub fn create_new(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).open(path)
    }

    /// A file of std's.
    pub fn from_std(file: fs::File) -> File {
        File { file }
    }

    /// The file of std's.
    pub fn into_std(self) -> fs::File {
        self.file
    }

    /// Waits until what was written, and the size and so on, is on the disk.
    ///
    /// # Errors
    ///
    /// What the system says, and see the [module](self).
    #[track_caller]
    pub fn sync_all(&self) -> io::Result<()> {
        to_thread(|| self.file.sync_all())?
    }

    /// Waits until what was written is on the disk.
    ///
    /// # Errors
    ///
    /// What the system says, and see the [module](self).
    #[track_caller]
    pub fn sync_data(&self) -> io::Result<()> {
        to_thread(|| self.file.sync_data())?
    }

    /// Makes it that long: cuts it, or fills it up with zeros.
    ///
    /// # Errors
    ///
    /// What the system says, and see the [module](self).
    #[track_caller]
    pub fn set_len(&self, bytes: u64) -> io::Result<()> {
        to_thread(|| self.file.set_len(bytes))?
    }

    /// Its size, times and so on.
    ///
    /// # Errors
    ///
    /// What the system says, and see the [module](self).
    #[track_caller]
    pub fn metadata(&self) -> io::Result<Metadata> {
        to_thread(|| self.file.metadata())?
    }

    /// Says who may do what with it.
    ///
    /// # Errors
    ///
    /// What the system says, and see the [module](self).
    #[track_caller]
    pub fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        to_thread(|| self.file.set_permissions(permissions))?
    }

    /// A second handle of the same open file. It does not wait.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn try_clone(&self) -> io::Result<File> {
        Ok(File { file: self.file.try_clone()? })
    }
}

macro_rules! read_write_seek {
    ($($file:ty),*) => {$(
        impl Read for $file {
            #[track_caller]
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                to_thread(|| (&self.file).read(buffer))?
            }

            #[track_caller]
            fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                to_thread(|| (&self.file).read_vectored(buffers))?
            }

            // One hop for all of it, as with the whole of a file by `corio::fs::read`.
            #[track_caller]
            fn read_to_end(&mut self, bytes: &mut Vec<u8>) -> io::Result<usize> {
                to_thread(|| (&self.file).read_to_end(bytes))?
            }

            #[track_caller]
            fn read_to_string(&mut self, text: &mut String) -> io::Result<usize> {
                to_thread(|| (&self.file).read_to_string(text))?
            }

            methods!(read_exact);
        }

        impl Write for $file {
            #[track_caller]
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                to_thread(|| (&self.file).write(bytes))?
            }

            #[track_caller]
            fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
                to_thread(|| (&self.file).write_vectored(slices))?
            }

            methods!(write_all);

            /// Nothing: the kernel has what was written. [`File::sync_all`] is for the disk.
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        impl Seek for $file {
            #[track_caller]
            fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
                to_thread(|| (&self.file).seek(position))?
            }
        }
    )*};
}

read_write_seek!(File, &File);

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

impl From<fs::File> for File {
    fn from(file: fs::File) -> File {
        File { file }
    }
}

impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> File {
        File { file: fd.into() }
    }
}

/// How a file is to be opened. The counterpart of [`std::fs::OpenOptions`].
///
/// ```
/// use corio::fs::{self, OpenOptions};
/// use std::{io::{Read, Write}, os::unix::fs::OpenOptionsExt};
///
/// let path = std::env::temp_dir().join(format!("corio-log-{}", std::process::id()));
/// corio::run(|| {
///     let mut options = OpenOptions::new();
///     options.read(true).append(true).create(true).as_std_mut().mode(0o600); // for this user alone
///     options.open(&path)?.write_all(b"one ")?;
///     options.open(&path)?.write_all(b"two")?;
///     let mut text = String::new();
///     options.open(&path)?.read_to_string(&mut text)?;
///     assert_eq!(text, "one two");
///
///     assert!(OpenOptions::new().write(true).create_new(true).open(&path).is_err()); // it is there
///     assert_eq!(OpenOptions::new().write(true).truncate(true).open(&path)?.metadata()?.len(), 0);
///     fs::remove_file(&path)
/// })
/// # .unwrap()
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions {
    options: fs::OpenOptions,
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions::new()
    }
}

macro_rules! options {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        pub fn $name(&mut self, $name: bool) -> &mut OpenOptions {
            self.options.$name($name);
            self
        }
    )*};
}

impl OpenOptions {
    /// None set: a file so opened could be neither read nor written.
    pub fn new() -> OpenOptions {
        OpenOptions { options: fs::OpenOptions::new() }
    }

    options! {
        /// To read it.
        read
        /// To write it.
        write
        /// To write at its end, wherever that is by then.
        append
        /// To empty it.
        truncate
        /// To make it if it is not there.
        create
        /// To make it, and fail if it is there.
        create_new
    }

    /// std's options, for all else: permissions, flags of the system.
    pub fn as_std_mut(&mut self) -> &mut fs::OpenOptions {
        &mut self.options
    }

    /// Opens a file.
    ///
    /// # Errors
    ///
    /// As [`std::fs::OpenOptions::open`], and see the [module](self).
    #[track_caller]
    pub fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let path = path.as_ref();
        Ok(File { file: to_thread(|| self.options.open(path))?? })
    }
}

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident($path:ident $(, $arg:ident: $type:ty)*) -> $value:ty;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        ///
        #[doc = concat!("As [`std::fs::", stringify!($name), "`], and see the [module](self).")]
        #[track_caller]
        pub fn $name($path: impl AsRef<Path> $(, $arg: $type)*) -> io::Result<$value> {
            let $path = $path.as_ref();
            to_thread(move || fs::$name($path $(, $arg)*))?
        }
    )*};
}

functions! {
    /// All bytes of a file.
    read(path) -> Vec<u8>;
    /// All of a file, as text.
    read_to_string(path) -> String;
    /// Size, times and so on of what a path leads to.
    metadata(path) -> Metadata;
    /// The same of a symbolic link itself.
    symlink_metadata(path) -> Metadata;
    /// The path without links and dots.
    canonicalize(path) -> PathBuf;
    /// Where a symbolic link leads.
    read_link(path) -> PathBuf;
    /// Whether something is there.
    exists(path) -> bool;
    /// Makes a directory.
    create_dir(path) -> ();
    /// Makes a directory, and those on the way to it.
    create_dir_all(path) -> ();
    /// Removes a file.
    remove_file(path) -> ();
    /// Removes an empty directory.
    remove_dir(path) -> ();
    /// Removes a directory and all that is in it.
    remove_dir_all(path) -> ();
    /// Says who may do what with a file.
    set_permissions(path, permissions: Permissions) -> ();
}

macro_rules! two_paths {
    ($($(#[$doc:meta])* $name:ident -> $value:ty;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        ///
        #[doc = concat!("As [`std::fs::", stringify!($name), "`], and see the [module](self).")]
        #[track_caller]
        pub fn $name(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<$value> {
            let (from, to) = (from.as_ref(), to.as_ref());
            to_thread(|| fs::$name(from, to))?
        }
    )*};
}

two_paths! {
    /// Copies a file, and says how many bytes it has.
    copy -> u64;
    /// Gives a file another name, and replaces what had it.
    rename -> ();
    /// Gives a file a second name.
    hard_link -> ();
}

/// Writes a file: all that is to be in it.
///
/// # Errors
///
/// As [`std::fs::write`], and see the [module](self).
///
/// ```
/// use corio::{fs, run};
///
/// let path = std::env::temp_dir().join(format!("corio-write-{}", std::process::id()));
/// run(|| {
///     fs::write(&path, "first")?;
///     fs::write(&path, [1, 2, 3])?; // what was there is gone
///     assert_eq!(fs::read(&path)?, [1, 2, 3]);
///     fs::remove_file(&path)
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn write(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> io::Result<()> {
    let (path, contents) = (path.as_ref(), contents.as_ref());
    to_thread(|| fs::write(path, contents))?
}

/// Makes a symbolic link that leads to `original`.
///
/// # Errors
///
/// As [`std::os::unix::fs::symlink`], and see the [module](self).
#[track_caller]
pub fn symlink(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (original, link) = (original.as_ref(), link.as_ref());
    to_thread(|| std::os::unix::fs::symlink(original, link))?
}

/// What is in a directory, in no order.
///
/// # Errors
///
/// As [`std::fs::read_dir`], and see the [module](self).
///
/// ```
/// let names: Vec<_> = corio::fs::read_dir("src")?.collect::<Result<_, _>>()?;
/// assert!(names.iter().any(|entry| entry.file_name() == "lib.rs"));
/// # std::io::Result::Ok(())
/// ```
#[track_caller]
pub fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    let path = path.as_ref();
    Ok(ReadDir { directory: Some(to_thread(|| fs::read_dir(path))??), batch: Vec::new().into_iter() })
}

/// What is in a directory; from [`read_dir`]. It fetches some entries at a time.
///
/// ```
/// use corio::fs::{ReadDir, read_dir};
///
/// fn sources(entries: ReadDir) -> std::io::Result<usize> {
///     let mut count = 0;
///     for entry in entries { // an item may be an error
///         count += usize::from(entry?.path().extension().is_some_and(|extension| extension == "rs"));
///     }
///     Ok(count)
/// }
/// assert!(corio::run(|| sources(read_dir("src")?)).unwrap() > 0);
/// ```
#[derive(Debug)]
pub struct ReadDir {
    /// `None` when all of it was fetched.
    directory: Option<fs::ReadDir>,
    batch: vec::IntoIter<io::Result<fs::DirEntry>>,
}

impl Iterator for ReadDir {
    type Item = io::Result<fs::DirEntry>;

    #[track_caller]
    fn next(&mut self) -> Option<io::Result<fs::DirEntry>> {
        const BATCH: usize = 64;
        if let Some(entry) = self.batch.next() {
            return Some(entry);
        }
        let directory = self.directory.as_mut()?;
        match to_thread(|| directory.by_ref().take(BATCH).collect::<Vec<_>>()) {
            Ok(batch) => {
                if batch.len() < BATCH {
                    self.directory = None;
                }
                self.batch = batch.into_iter();
                self.batch.next()
            }
            // A loop that ignores errors would be refused for ever.
            Err(error) => {
                self.directory = None;
                Some(Err(error))
            }
        }
    }
}
