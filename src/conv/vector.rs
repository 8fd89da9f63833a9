//! One vector register of f32, as tiles and transforms need it.
//!
//! Arrays under `#[target_feature]` make the same instructions only as long as the compiler unrolls a tile whole; at
//! 14 rows by 2 vectors of 16 lanes it gave up (2 to 4 GFLOP/s instead of over 100). A register type is one value to
//! it, so the tile stays small. Calls are sound only inside an instance of `stamp!` for the instruction set.

/// A vector register.
pub(crate) trait Vector: Copy {
    /// The same number in every lane.
    fn splat(x: f32) -> Self;

    /// Reads as many numbers as there are lanes.
    ///
    /// # Safety
    /// All of them lie in one slice.
    unsafe fn read(from: *const f32) -> Self;

    /// Writes all lanes.
    ///
    /// # Safety
    /// All of them lie in one slice that is lent to the caller alone.
    unsafe fn write(self, to: *mut f32);

    /// Reads the first `len` numbers; the other lanes are zero.
    ///
    /// # Safety
    /// All of them lie in one slice, and they are at most as many as there are lanes.
    unsafe fn read_first(from: *const f32, len: usize) -> Self;

    /// Writes the first `len` lanes.
    ///
    /// # Safety
    /// All of them lie in one slice that is lent to the caller alone, and they are at most as many as there are lanes.
    unsafe fn write_first(self, to: *mut f32, len: usize);

    /// Reads `live` numbers; a whole vector where `WHOLE` says so, which spares the mask.
    ///
    /// # Safety
    /// As for [`Vector::read`] or [`Vector::read_first`].
    #[inline(always)]
    unsafe fn read_live<const WHOLE: bool>(from: *const f32, live: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe { if WHOLE { Self::read(from) } else { Self::read_first(from, live) } }
    }

    /// Writes `live` lanes; the whole vector where `WHOLE` says so.
    ///
    /// # Safety
    /// As for [`Vector::write`] or [`Vector::write_first`].
    #[inline(always)]
    unsafe fn write_live<const WHOLE: bool>(self, to: *mut f32, live: usize) {
        // SAFETY: the caller's promise.
        unsafe { if WHOLE { self.write(to) } else { self.write_first(to, live) } }
    }

    /// Asks for a cache line ahead of its use; any address will do.
    fn prefetch(from: *const f32);

    /// `self * b + c`, rounded once where the instruction set can.
    fn mul_add(self, b: Self, c: Self) -> Self;

    /// `self + b`.
    fn add(self, b: Self) -> Self;

    /// `self - b`.
    fn sub(self, b: Self) -> Self;

    /// `self * b`.
    fn mul(self, b: Self) -> Self;

    /// The larger; `b` if either is NaN or both are zero.
    fn max(self, b: Self) -> Self;

    /// The smaller; `b` if either is NaN or both are zero.
    fn min(self, b: Self) -> Self;
}

/// Finds the register type for the constants that `stamp!` hands to a body.
pub(crate) struct Lanes<const FMA: bool, const LANES: usize>;

/// See [`Lanes`].
pub(crate) trait Register {
    /// The register type.
    type Vector: Vector;
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Lanes, Register, Vector};

    macro_rules! vector {
        ($type:ty, $set:ident, $load:ident, $store:ident, $load_first:ident, $store_first:ident, $add:ident, $sub:ident, $mul:ident, $max:ident, $min:ident, $mul_add:expr) => {
            // SAFETY, for each block: the lanes' instruction set is that of the `stamp!` instance that this is
            // inlined into, which is handed out only where the CPU has it; pointers are the caller's promise.
            impl Vector for $type {
                #[inline(always)]
                fn splat(x: f32) -> Self {
                    // SAFETY: as above.
                    unsafe { $set(x) }
                }
                #[inline(always)]
                unsafe fn read(from: *const f32) -> Self {
                    // SAFETY: as above.
                    unsafe { $load(from) }
                }
                #[inline(always)]
                unsafe fn write(self, to: *mut f32) {
                    // SAFETY: as above.
                    unsafe { $store(to, self) }
                }
                #[inline(always)]
                unsafe fn read_first(from: *const f32, len: usize) -> Self {
                    // SAFETY: as above.
                    unsafe { $load_first(from, len) }
                }
                #[inline(always)]
                unsafe fn write_first(self, to: *mut f32, len: usize) {
                    // SAFETY: as above.
                    unsafe { $store_first(self, to, len) }
                }
                #[inline(always)]
                fn prefetch(from: *const f32) {
                    // SAFETY: SSE is part of the base of x86-64, and a prefetch of any address is allowed.
                    unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) }
                }
                #[inline(always)]
                fn mul_add(self, b: Self, c: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $mul_add(self, b, c) }
                }
                #[inline(always)]
                fn add(self, b: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $add(self, b) }
                }
                #[inline(always)]
                fn sub(self, b: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $sub(self, b) }
                }
                #[inline(always)]
                fn mul(self, b: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $mul(self, b) }
                }
                #[inline(always)]
                fn max(self, b: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $max(self, b) }
                }
                #[inline(always)]
                fn min(self, b: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $min(self, b) }
                }
            }
        };
    }

    vector!(
        __m512,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        load_first_512,
        store_first_512,
        _mm512_add_ps,
        _mm512_sub_ps,
        _mm512_mul_ps,
        _mm512_max_ps,
        _mm512_min_ps,
        _mm512_fmadd_ps
    );
    vector!(
        __m256,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        load_first_256,
        store_first_256,
        _mm256_add_ps,
        _mm256_sub_ps,
        _mm256_mul_ps,
        _mm256_max_ps,
        _mm256_min_ps,
        _mm256_fmadd_ps
    );
    vector!(
        __m128,
        _mm_set1_ps,
        _mm_loadu_ps,
        _mm_storeu_ps,
        load_first_128,
        store_first_128,
        _mm_add_ps,
        _mm_sub_ps,
        _mm_mul_ps,
        _mm_max_ps,
        _mm_min_ps,
        baseline_mul_add
    );

    // What follows is called only from the blocks above, whose reasons hold here too: the instance's instruction set, and
    // the caller's promise that `len` numbers, at most a vector, may be read or written. Masked lanes touch no memory.

    #[inline(always)]
    unsafe fn load_first_512(from: *const f32, len: usize) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_maskz_loadu_ps(((1_u32 << len) - 1) as __mmask16, from) }
    }

    #[inline(always)]
    unsafe fn store_first_512(x: __m512, to: *mut f32, len: usize) {
        // SAFETY: as above.
        unsafe { _mm512_mask_storeu_ps(to, ((1_u32 << len) - 1) as __mmask16, x) }
    }

    // All bits set in the first `len` lanes.
    #[inline(always)]
    unsafe fn mask_256(len: usize) -> __m256i {
        // SAFETY: as above.
        unsafe { _mm256_cmpgt_epi32(_mm256_set1_epi32(len as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)) }
    }

    #[inline(always)]
    unsafe fn load_first_256(from: *const f32, len: usize) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_maskload_ps(from, mask_256(len)) }
    }

    #[inline(always)]
    unsafe fn store_first_256(x: __m256, to: *mut f32, len: usize) {
        // SAFETY: as above.
        unsafe { _mm256_maskstore_ps(to, mask_256(len), x) }
    }

    #[inline(always)]
    unsafe fn load_first_128(from: *const f32, len: usize) -> __m128 {
        let mut padded = [0.0; 4];
        // SAFETY: as above.
        unsafe {
            std::ptr::copy_nonoverlapping(from, padded.as_mut_ptr(), len);
            _mm_loadu_ps(padded.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn store_first_128(x: __m128, to: *mut f32, len: usize) {
        let mut whole = [0.0; 4];
        // SAFETY: as above.
        unsafe {
            _mm_storeu_ps(whole.as_mut_ptr(), x);
            std::ptr::copy_nonoverlapping(whole.as_ptr(), to, len);
        }
    }

    #[inline(always)]
    unsafe fn baseline_mul_add(a: __m128, b: __m128, c: __m128) -> __m128 {
        #[cfg(target_feature = "fma")]
        // SAFETY: the whole program is built for CPUs with FMA.
        return unsafe { _mm_fmadd_ps(a, b, c) };
        #[cfg(not(target_feature = "fma"))]
        // SAFETY: SSE is part of the base of x86-64.
        unsafe {
            _mm_add_ps(_mm_mul_ps(a, b), c)
        }
    }

    impl Register for Lanes<true, 16> {
        type Vector = __m512;
    }
    impl Register for Lanes<true, 8> {
        type Vector = __m256;
    }
    impl Register for Lanes<{ cfg!(target_feature = "fma") }, 4> {
        type Vector = __m128;
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod arrays {
    use super::{Lanes, Register, Vector};
    use crate::simd::mul_add;

    const FUSED: bool = cfg!(any(target_arch = "aarch64", target_feature = "fma"));

    #[inline(always)]
    fn zip(a: [f32; 4], b: [f32; 4], f: impl Fn(f32, f32) -> f32) -> [f32; 4] {
        std::array::from_fn(|l| f(a[l], b[l]))
    }

    impl Vector for [f32; 4] {
        #[inline(always)]
        fn splat(x: f32) -> Self {
            [x; 4]
        }
        #[inline(always)]
        unsafe fn read(from: *const f32) -> Self {
            // SAFETY: the caller's promise; arrays of f32 need no more than its alignment.
            unsafe { from.cast::<Self>().read() }
        }
        #[inline(always)]
        unsafe fn write(self, to: *mut f32) {
            // SAFETY: the caller's promise; arrays of f32 need no more than its alignment.
            unsafe { to.cast::<Self>().write(self) }
        }
        #[inline(always)]
        unsafe fn read_first(from: *const f32, len: usize) -> Self {
            let mut padded = [0.0; 4];
            // SAFETY: the caller's promise.
            unsafe { std::ptr::copy_nonoverlapping(from, padded.as_mut_ptr(), len) };
            padded
        }
        #[inline(always)]
        unsafe fn write_first(self, to: *mut f32, len: usize) {
            // SAFETY: the caller's promise.
            unsafe { std::ptr::copy_nonoverlapping(self.as_ptr(), to, len) };
        }
        #[inline(always)]
        fn prefetch(_: *const f32) {}
        #[inline(always)]
        fn mul_add(self, b: Self, c: Self) -> Self {
            std::array::from_fn(|l| mul_add::<FUSED>(self[l], b[l], c[l]))
        }
        #[inline(always)]
        fn add(self, b: Self) -> Self {
            zip(self, b, |a, b| a + b)
        }
        #[inline(always)]
        fn sub(self, b: Self) -> Self {
            zip(self, b, |a, b| a - b)
        }
        #[inline(always)]
        fn mul(self, b: Self) -> Self {
            zip(self, b, |a, b| a * b)
        }
        #[inline(always)]
        fn max(self, b: Self) -> Self {
            zip(self, b, |a, b| if a > b { a } else { b })
        }
        #[inline(always)]
        fn min(self, b: Self) -> Self {
            zip(self, b, |a, b| if a < b { a } else { b })
        }
    }

    impl Register for Lanes<FUSED, 4> {
        type Vector = [f32; 4];
    }
}
