//! What `select!`, `join!` and `try_join!` share: the names of branches, and the loop over them.

/// Calls one of the macros with its own tokens, the list of names, and the user's.
#[doc(hidden)]
#[macro_export]
macro_rules! __with_branch_names {
    ($macro:ident ($($own:tt)*) $($users:tt)*) => {
        $crate::$macro!($($own)* [
            (0 B0 b0) (1 B1 b1) (2 B2 b2) (3 B3 b3) (4 B4 b4) (5 B5 b5) (6 B6 b6) (7 B7 b7)
            (8 B8 b8) (9 B9 b9) (10 B10 b10) (11 B11 b11) (12 B12 b12) (13 B13 b13) (14 B14 b14)
            (15 B15 b15) (16 B16 b16) (17 B17 b17) (18 B18 b18) (19 B19 b19) (20 B20 b20)
            (21 B21 b21) (22 B22 b22) (23 B23 b23) (24 B24 b24) (25 B25 b25) (26 B26 b26)
            (27 B27 b27) (28 B28 b28) (29 B29 b29) (30 B30 b30) (31 B31 b31) (32 B32 b32)
            (33 B33 b33) (34 B34 b34) (35 B35 b35) (36 B36 b36) (37 B37 b37) (38 B38 b38)
            (39 B39 b39) (40 B40 b40) (41 B41 b41) (42 B42 b42) (43 B43 b43) (44 B44 b44)
            (45 B45 b45) (46 B46 b46) (47 B47 b47) (48 B48 b48) (49 B49 b49) (50 B50 b50)
            (51 B51 b51) (52 B52 b52) (53 B53 b53) (54 B54 b54) (55 B55 b55) (56 B56 b56)
            (57 B57 b57) (58 B58 b58) (59 B59 b59) (60 B60 b60) (61 B61 b61) (62 B62 b62)
            (63 B63 b63) (64)
        ] {} $($users)*)
    };
}

/// Goes once over the branches, each in its turn from the first on: the insides of a poll. A body may
/// `continue` with the next branch, and `return` from the poll.
#[doc(hidden)]
#[macro_export]
macro_rules! __each_branch {
    ($cx:ident, $first:expr, $count:tt, {$($index:tt => $body:block)+}) => {
        $crate::__private::ready!($crate::__private::poll_budget($cx));
        let first: u32 = $first;
        for next in 0_u32..$count {
            match $crate::__private::round(first, next, $count) {
                $($index => $body)+
                _ => $crate::__private::unreachable!("there are as many branches as counted"),
            }
        }
    };
}
