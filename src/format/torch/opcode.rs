//! The opcodes of Python's pickle, by number and name.
//!
//! Those that [`Machine`](super::pickle) carries out make plain values; the others are known by name alone, so
//! that an error can say which one a file holds.
//!
//! Source: `pickletools` of the Python library; PEP 307, PEP 3154 and PEP 574.

/// An opcode that is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[rustfmt::skip]
pub(super) enum Opcode {
    Proto, Frame, Stop, Mark, Pop, PopMark, Dup,
    None, True, False, Int1, Int2, Int4, Long1, Float,
    Text1, Text4, Text8, Bytes1, Bytes4, String1, String4,
    EmptyList, List, Append, Appends,
    EmptyTuple, Tuple, Tuple1, Tuple2, Tuple3,
    EmptyDict, Dict, SetItem, SetItems,
    Global, StackGlobal, Reduce, Build, PersId,
    Put1, Put4, Memoize, Get1, Get4,
}

const CARRIED_OUT: [(u8, Opcode); 45] = [
    (0x80, Opcode::Proto),
    (0x95, Opcode::Frame),
    (b'.', Opcode::Stop),
    (b'(', Opcode::Mark),
    (b'0', Opcode::Pop),
    (b'1', Opcode::PopMark),
    (b'2', Opcode::Dup),
    (b'N', Opcode::None),
    (0x88, Opcode::True),
    (0x89, Opcode::False),
    (b'K', Opcode::Int1),
    (b'M', Opcode::Int2),
    (b'J', Opcode::Int4),
    (0x8a, Opcode::Long1),
    (b'G', Opcode::Float),
    (0x8c, Opcode::Text1),
    (b'X', Opcode::Text4),
    (0x8d, Opcode::Text8),
    (b'C', Opcode::Bytes1),
    (b'B', Opcode::Bytes4),
    (b'U', Opcode::String1),
    (b'T', Opcode::String4),
    (b']', Opcode::EmptyList),
    (b'l', Opcode::List),
    (b'a', Opcode::Append),
    (b'e', Opcode::Appends),
    (b')', Opcode::EmptyTuple),
    (b't', Opcode::Tuple),
    (0x85, Opcode::Tuple1),
    (0x86, Opcode::Tuple2),
    (0x87, Opcode::Tuple3),
    (b'}', Opcode::EmptyDict),
    (b'd', Opcode::Dict),
    (b's', Opcode::SetItem),
    (b'u', Opcode::SetItems),
    (b'c', Opcode::Global),
    (0x93, Opcode::StackGlobal),
    (b'R', Opcode::Reduce),
    (b'b', Opcode::Build),
    (b'Q', Opcode::PersId),
    (b'q', Opcode::Put1),
    (b'r', Opcode::Put4),
    (0x94, Opcode::Memoize),
    (b'h', Opcode::Get1),
    (b'j', Opcode::Get4),
];

const REFUSED: [(u8, &str); 23] = [
    (b'I', "INT"),
    (b'L', "LONG"),
    (b'F', "FLOAT"),
    (b'S', "STRING"),
    (b'V', "UNICODE"),
    (b'P', "PERSID"),
    (b'p', "PUT"),
    (b'g', "GET"),
    (b'i', "INST"),
    (b'o', "OBJ"),
    (0x81, "NEWOBJ"),
    (0x92, "NEWOBJ_EX"),
    (0x82, "EXT1"),
    (0x83, "EXT2"),
    (0x84, "EXT4"),
    (0x8b, "LONG4"),
    (0x8e, "BINBYTES8"),
    (0x8f, "EMPTY_SET"),
    (0x90, "ADDITEMS"),
    (0x91, "FROZENSET"),
    (0x96, "BYTEARRAY8"),
    (0x97, "NEXT_BUFFER"),
    (0x98, "READONLY_BUFFER"),
];

impl Opcode {
    /// The opcode of a byte; the error is a name for what it is instead.
    pub(super) fn from_byte(byte: u8) -> Result<Self, String> {
        let found = CARRIED_OUT.iter().find(|(code, _)| *code == byte);
        found.map(|(_, opcode)| *opcode).ok_or_else(|| {
            let name = REFUSED.iter().find(|(code, _)| *code == byte).map(|(_, name)| *name);
            name.map_or_else(
                || format!("the byte {byte:#04x}, which is no opcode"),
                |name| format!("the opcode {name}"),
            )
        })
    }
}
