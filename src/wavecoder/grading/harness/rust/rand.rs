//! As much of the crate `rand`, in its form of 0.4, as HumanEvalPack's tests and programs use.
//!
//! Its numbers are the same in every run: a test that draws its inputs gives one verdict.

use std::cell::Cell;

thread_local! {
    static STATE: Cell<u64> = const { Cell::new(0x853c_49e6_748f_ea9b) };
}

/// The generator of the calling thread.
#[derive(Clone, Debug)]
pub struct ThreadRng;

pub fn thread_rng() -> ThreadRng {
    ThreadRng
}

pub fn random<T: Rand>() -> T {
    T::rand(&mut ThreadRng)
}

/// A value that can be drawn: integers from their whole range, floats from [0, 1).
pub trait Rand: Sized {
    fn rand<R: Rng + ?Sized>(rng: &mut R) -> Self;
}

/// A number that can be drawn from a range.
pub trait SampleRange: PartialOrd + Sized {
    fn between<R: Rng + ?Sized>(rng: &mut R, low: Self, high: Self) -> Self;
}

pub trait Rng {
    fn next_u64(&mut self) -> u64;

    fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    fn gen<T: Rand>(&mut self) -> T
    where
        Self: Sized,
    {
        T::rand(self)
    }

    /// Draws from [low, high).
    fn gen_range<T: SampleRange>(&mut self, low: T, high: T) -> T
    where
        Self: Sized,
    {
        assert!(low < high, "Rng.gen_range called with low >= high");
        T::between(self, low, high)
    }

    fn gen_weighted_bool(&mut self, n: u32) -> bool
    where
        Self: Sized,
    {
        n <= 1 || self.gen_range(0, n) == 0
    }

    fn choose<'a, T>(&mut self, values: &'a [T]) -> Option<&'a T>
    where
        Self: Sized,
    {
        if values.is_empty() {
            None
        } else {
            Some(&values[self.gen_range(0, values.len())])
        }
    }

    fn shuffle<T>(&mut self, values: &mut [T])
    where
        Self: Sized,
    {
        for i in (1..values.len()).rev() {
            let j = self.gen_range(0, i + 1);
            values.swap(i, j);
        }
    }
}

impl Rng for ThreadRng {
    // SplitMix64 (Steele, Lea, Flood 2014).
    fn next_u64(&mut self) -> u64 {
        STATE.with(|state| {
            let next = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
            state.set(next);
            let mut z = next;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        })
    }
}

macro_rules! integers {
    ($($name:ty),*) => {$(
        impl Rand for $name {
            fn rand<R: Rng + ?Sized>(rng: &mut R) -> Self {
                // The high bits first: a type of 128 bits repeats them.
                (rng.next_u64() >> (64 - <$name>::BITS.min(64))) as $name
            }
        }
        impl SampleRange for $name {
            fn between<R: Rng + ?Sized>(rng: &mut R, low: Self, high: Self) -> Self {
                let width = (high as i128).wrapping_sub(low as i128) as u128;
                (low as i128).wrapping_add((rng.next_u64() as u128 % width) as i128) as $name
            }
        }
    )*};
}
integers!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize);

macro_rules! floats {
    ($($name:ty, $bits:expr);*) => {$(
        impl Rand for $name {
            fn rand<R: Rng + ?Sized>(rng: &mut R) -> Self {
                (rng.next_u64() >> (64 - $bits)) as $name / (1u64 << $bits) as $name
            }
        }
        impl SampleRange for $name {
            fn between<R: Rng + ?Sized>(rng: &mut R, low: Self, high: Self) -> Self {
                low + (high - low) * <$name as Rand>::rand(rng)
            }
        }
    )*};
}
floats!(f32, 24; f64, 53);

impl Rand for bool {
    fn rand<R: Rng + ?Sized>(rng: &mut R) -> Self {
        rng.next_u64() >> 63 == 1
    }
}
