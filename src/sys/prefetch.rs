//! Asking the processor for memory before it is needed.

/// Begins to load the cache line of `items[index]`; does nothing where there is no such item, or on a
/// processor for which this file knows no instruction.
#[inline]
#[allow(unsafe_code, reason = "a prefetch takes a pointer")]
pub fn prefetch<T>(items: &[T], index: usize) {
    let Some(item) = items.get(index) else { return };
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing that the program can see and faults on no address; this one
    // lies within a slice besides.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(item).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = item;
}
