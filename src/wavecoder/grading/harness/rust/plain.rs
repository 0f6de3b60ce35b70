//! Types of the standard library, whose equality no program can write anew.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

mod sealed {
    pub trait Sealed {}
}

/// A type that a program may give back: it is sealed, so a program cannot add one of its own.
pub trait Plain: sealed::Sealed {}

/// Gives back what it gets, if that is plain.
pub fn plain<T: Plain>(value: T) -> T {
    value
}

macro_rules! plain {
    ($($name:ty),*) => {$(
        impl sealed::Sealed for $name {}
        impl Plain for $name {}
    )*};
}
plain!(
    bool, char, str, String, (), u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize,
    f32, f64
);

macro_rules! containers {
    ($([$($parameters:tt)*] $name:ty;)*) => {$(
        impl<$($parameters)*> sealed::Sealed for $name {}
        impl<$($parameters)*> Plain for $name {}
    )*};
}
containers!(
    ['a, T: Plain + ?Sized] &'a T;
    [T: Plain + ?Sized] Box<T>;
    [T: Plain] [T];
    [T: Plain, const N: usize] [T; N];
    [T: Plain] Vec<T>;
    [T: Plain] VecDeque<T>;
    [T: Plain] Option<T>;
    [T: Plain, E: Plain] Result<T, E>;
    [K: Plain, V: Plain] HashMap<K, V>;
    [K: Plain, V: Plain] BTreeMap<K, V>;
    [T: Plain] HashSet<T>;
    [T: Plain] BTreeSet<T>;
    [A: Plain] (A,);
    [A: Plain, B: Plain] (A, B);
    [A: Plain, B: Plain, C: Plain] (A, B, C);
    [A: Plain, B: Plain, C: Plain, D: Plain] (A, B, C, D);
);
