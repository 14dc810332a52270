//! What the handle of a socket is that is awaited: one of several, over one of the direct style.

use std::io;

pub(super) fn has_clones() -> io::Error {
    io::Error::new(
        io::ErrorKind::ResourceBusy,
        "the socket has clones, and in the direct style it is one: drop those first",
    )
}

/// For a type with such a field, and a function `new` that makes one of what the field holds. The last part says where the
/// descriptor's source is.
macro_rules! handle {
    ($handle:ident, $field:ident: $direct:path, $socket:ident => $source:expr) => {
        impl $handle {
            /// The socket of the direct style: for addresses, options, and whatever else does not wait.
            pub fn get_ref(&self) -> &$direct {
                &self.$field
            }

            /// The socket of the direct style, for coroutines.
            ///
            /// # Errors
            ///
            /// [`ResourceBusy`](io::ErrorKind::ResourceBusy) while it has clones; then only this one is gone.
            pub fn into_direct(self) -> io::Result<$direct> {
                let socket = self.$field.clone();
                drop(self); // and the waits that it keeps
                Arc::into_inner(socket).ok_or_else(super::handle::has_clones)
            }
        }

        /// Takes it over from the direct style, without its time limits.
        impl From<$direct> for $handle {
            fn from($socket: $direct) -> $handle {
                $source.set_impatient(false);
                $handle::new(Arc::new($socket))
            }
        }

        /// Another handle of the same socket: what comes in goes to one of them.
        impl Clone for $handle {
            fn clone(&self) -> $handle {
                $handle::new(self.$field.clone())
            }
        }

        impl std::fmt::Debug for $handle {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&self.$field, f)
            }
        }
    };
}

pub(super) use handle;
