//! Children without descriptors of their own.
#![allow(dead_code, unreachable_pub)] // each test file is a crate and uses a part

/// Makes pidfd_open fail as on a kernel that has none, in this process and its children.
pub fn without_pidfds() {
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    let end = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jf, k| libc::sock_filter { code, jt: 0, jf, k };
    let mut filter = [
        step(load, 0, 0), // the call's number
        step(equal, 1, libc::SYS_pidfd_open as u32),
        step(end, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
        step(end, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program is live and has the length it says; the last is a call that takes integers.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let all = libc::SECCOMP_FILTER_FLAG_TSYNC;
        let set = libc::SECCOMP_SET_MODE_FILTER;
        let installed = libc::syscall(libc::SYS_seccomp, set, all, &raw const program);
        assert_eq!(installed, 0, "{}", std::io::Error::last_os_error());
        assert_eq!(libc::syscall(libc::SYS_pidfd_open, std::process::id(), 0), -1);
    }
}
