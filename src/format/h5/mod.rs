//! HDF5 files in memory: groups, texts and tensors, as Keras writes and reads them.
//!
//! Read ([`File`]): superblocks 0 to 3, object headers 1 and 2, groups as symbol
//! tables or as links, tensors of floats that are contiguous, compact or in
//! chunks (deflated, shuffled, checksummed), texts of fixed or variable length.
//! That is all that h5py writes unless it is asked for `libver="latest"`.
//! Written ([`Group`]): the oldest form, which every HDF5 library reads.
//!
//! Nothing that a file claims is believed. All structure is looked at once, when
//! the file is opened; each message, entry and byte copied is paid for out of a
//! budget that grows with the file's length ([`bytes::Budget`]), so that no
//! file can make a reader hang or fill the memory.
//!
//! Source: "HDF5 File Format Specification Version 3.0", The HDF Group.

mod attribute;
mod bytes;
mod chunks;
mod header;
mod members;
mod read;
#[cfg(test)]
mod tests;
mod types;
mod write;

pub use read::File;
pub use write::Group;

/// The first bytes of every HDF5 file.
pub const MAGIC: &[u8] = b"\x89HDF\r\n\x1a\n";
